"""Two runs on the same clips: what differs, and how sure that is."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest
from tests.frame_stores import make_frame_store
from tests.training_stores import make_store

from pipeline import training
from pipeline.cli import main
from pipeline.comparison import compare
from pipeline.errors import TrainingError, UsageError
from pipeline.learning.train_config import TrainConfig


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """One run learnt from words and faces, one from noise alone for one epoch."""
    folder = tmp_path_factory.mktemp("compare")
    store = make_store(folder / "a.h5")
    good = training.train(store, model="early", config=TrainConfig(epochs=15, seeds=2), out=folder / "good")
    poor = training.train(store, model="early", inputs=["audio_logmel"], config=TrainConfig(epochs=1, lr=1e-6),
                          out=folder / "poor")
    return good, poor


def test_the_better_run_is_told_by_a_positive_difference_and_a_small_p(runs: tuple[Path, Path]) -> None:
    found = compare(runs[1], runs[0])
    assert found["split"] == "test" and set(found["tasks"]) == {"emotion", "arousal"}
    f1 = found["tasks"]["emotion"]["metrics"]["weighted_f1"]
    metrics = [json.loads((run / "metrics.json").read_text())["test"]["emotion"]["weighted_f1"]["mean"] for run in runs]
    assert (f1["second"], f1["first"]) == pytest.approx(tuple(metrics), abs=1e-9)
    assert f1["difference"] == pytest.approx(metrics[0] - metrics[1]) and 0 < f1["low"] < f1["high"]
    assert f1["p_value"] < 0.05
    assert found["tasks"]["emotion"]["num_groups"] == 10


def test_the_command_says_the_same_in_a_table(runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(runs[1]), str(runs[0]), "--split", "dev"]) == 0
    said = capsys.readouterr().out
    assert "weighted f1" in said and "emotion, dev" in said
    assert main(["compare", str(runs[1]), str(runs[0]), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tasks"]["arousal"]["metrics"]["ccc"]["difference"] > 0


def test_runs_of_rows_are_compared_row_by_row(tmp_path: Path) -> None:
    store = make_frame_store(tmp_path / "tracks.h5")
    made = [training.train(store, model="early", inputs=["asd_audio"], tasks=["speaking"],
                           config=TrainConfig(epochs=epochs), out=tmp_path / f"run{epochs}") for epochs in (1, 3)]
    found = compare(*made)["tasks"]["speaking"]
    assert "average_precision" in found["metrics"] and found["num_clips"] > 100 and found["num_groups"] == 6
    with pytest.raises(UsageError, match="share no clip"):
        other = training.train(make_store(tmp_path / "b.h5"), model="early", tasks=["emotion"],
                               config=TrainConfig(epochs=1), out=tmp_path / "other")
        config = json.loads((other / "config.json").read_text())
        (other / "config.json").write_text(json.dumps({**config, "tasks": ["speaking"]}))
        answers = pd.read_csv(other / "predictions.csv").assign(task="speaking", label="speaking",
                                                                prediction="speaking")
        answers.to_csv(other / "predictions.csv", index=False)
        compare(made[0], other)


def test_what_cannot_be_compared_is_said(runs: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="predictions.csv cannot be read"):
        compare(runs[0], tmp_path)
    with pytest.raises(UsageError, match="no labelled answers for 'emotion'"):
        compare(*runs, split="nosuch")
    changed = tmp_path / "changed"
    changed.mkdir()
    (changed / "config.json").write_text((runs[1] / "config.json").read_text())
    table = pd.read_csv(runs[1] / "predictions.csv", keep_default_na=False, dtype=str)
    table.assign(label=table["label"].replace({"calm": "glad", "glad": "calm"})).to_csv(
        changed / "predictions.csv", index=False)
    with pytest.raises(TrainingError, match="has one label for 'emotion'.*and another"):
        compare(runs[0], changed)
    table.drop(columns="seed").to_csv(changed / "predictions.csv", index=False)
    with pytest.raises(TrainingError, match="no column seed"):
        compare(runs[0], changed)
