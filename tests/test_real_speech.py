"""Real acted speech, from files to figures: voices that were never heard are told by their emotion far above chance."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.datasets.ravdess import Ravdess
from pipeline.extraction import ExtractConfig, extract
from pipeline.learning.train_config import TrainConfig
from pipeline.runs import read_json
from pipeline.training import train

ACTORS = ("01", "02", "03", "04", "05", "06")


@pytest.fixture(scope="module")
def store(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six actors, each saying one sentence once in every emotion and strength: 90 clips."""
    if not (shared_data / "ravdess").is_dir():
        pytest.skip("no RAVDESS among the real material")
    folder = tmp_path_factory.mktemp("speech")
    for actor in ACTORS:
        (folder / "few" / f"Actor_{actor}").mkdir(parents=True)
        for file in sorted((shared_data / "ravdess" / f"Actor_{actor}").iterdir()):
            if file.stem.split("-")[4:6] == ["01", "01"]:
                (folder / "few" / f"Actor_{actor}" / file.name).symlink_to(file.resolve())
    dataset = Ravdess(Ravdess.Config(root=folder / "few", modality="audio"))
    extract(dataset, folder / "speech.h5", extractors=["audio_logmel", "audio_functionals"],
            config=ExtractConfig(jobs=1))
    return folder / "speech.h5"


def test_emotions_of_unheard_actors_are_told_above_chance(store: Path, tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("group,fold\n" + "".join(
        f"{actor},{place // 2 + 1}\n" for place, actor in enumerate(ACTORS)))
    run = train(store, model="early", inputs=["audio_functionals"], tasks=["emotion"], out=tmp_path / "run",
                config=TrainConfig(folds=str(tmp_path / "pairs.csv")))
    metrics = read_json(run / "metrics.json")
    assert metrics["num_clips"]["test"]["scored"]["emotion"] == 90
    assert metrics["test"]["emotion"]["uar"]["mean"] > 2 / 8


def test_the_recommended_model_of_sound_learns_from_both_features(store: Path, tmp_path: Path) -> None:
    run = train(store, model="audio_cnn", tasks=["emotion"], out=tmp_path / "run", config=TrainConfig(
        folds="3-group-folds", epochs=2))
    config = read_json(run / "config.json")
    assert config["inputs"] == ["audio_logmel", "audio_functionals"]
    assert len((run / "predictions.csv").read_text().splitlines()) == 91
