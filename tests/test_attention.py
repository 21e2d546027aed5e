"""What a run of cross-attention looks at in a clip: folds, attentions, the film's crops and sound behind them."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.makers import make_video
from tests.speaking.test_tracks import FACES_RECIPE, face_rows

from pipeline.attention import draw_clip_attention, look_at, place_of, row_pictures, spectrogram_of
from pipeline.cli import main
from pipeline.clip import Clip, Corpus, Task
from pipeline.errors import StoreError, UsageError
from pipeline.faces import COLUMNS
from pipeline.joined import open_stores
from pipeline.learning.train_config import TrainConfig
from pipeline.media import FeatureSequence
from pipeline.runs import Checkpoint
from pipeline.sound.spectrogram import log_mel
from pipeline.storage.packing import FeatureData, SourceRecord, write_store
from pipeline.store import FeatureStore
from pipeline.training import train
from pipeline.weights import file_digest

FEATURES = ("face_r3d101", "audio_resnet18")
NUM_FRAMES = 18                 # of each film on the grid of faces
RECIPES: dict[str, dict[str, Any]] = {
    "faces": FACES_RECIPE,
    "face_r3d101": {"extractor": "face_r3d101", "upstream": {"faces": FACES_RECIPE["fingerprint"]}, "settings": {
        "snippets": "six_by_sixteen", "side": 33, "rows": "maps", "face": "largest", "crop": "eyes at .35"}},
    "audio_resnet18": {"extractor": "audio_resnet18", "settings": {"patches": "six_parts"}}}
CONFIG = TrainConfig(device="cpu", epochs=2, baselines=False)
SETTINGS = {"width": "16", "metric_loss": "emotion_relation"}


def rows_of(number: int, shape: tuple[int, ...]) -> FeatureSequence:
    """Six rows about the class of a clip, 0.2 s each."""
    values = np.random.default_rng(number).normal(size=(6, *shape)).astype(np.float32)
    values.reshape(6, -1)[:, number % 2] += 2
    return FeatureSequence(values, np.stack([np.arange(6), np.arange(1, 7)], 1).astype(np.float32) / 5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight films of four people and ``a.h5``, with maps of 2×2 places; one film has no face in it, one no sound."""
    folder = tmp_path_factory.mktemp("cross")
    clips, sources = [], {}
    cells: dict[str, dict[str, FeatureSequence]] = {name: {} for name in RECIPES}
    for number in range(8):
        film = make_video(folder / f"{number}.mp4", seconds=1.2, tone_hz=200 + 300 * (number % 2), sound=number != 7)
        clip = Clip(f"all/c{number}", film, split="all", group=f"g{number // 2}",
                    labels={"emotion": ("happy", "sad")[number % 2]})
        clips.append(clip)
        sources[clip.clip_id] = SourceRecord(1, 1, file_digest(film))
        faces = face_rows(*((frame, 0, 20, 0.99) for frame in range(NUM_FRAMES if number != 6 else 0)))
        cells["faces"][clip.clip_id] = faces
        cells["face_r3d101"][clip.clip_id] = rows_of(number, (8, 4)) if number != 6 else FeatureSequence.empty((8, 4))
        cells["audio_resnet18"][clip.clip_id] = rows_of(number, (12,)) if number != 7 else FeatureSequence.empty((12,))
    about = {"faces": ("face", (len(COLUMNS),)), "face_r3d101": ("face", (8, 4)), "audio_resnet18": ("audio", (12,))}
    write_store(folder / "a.h5", corpus=Corpus("toy", (Task("emotion", ("happy", "sad")),)), clips=clips,
                sources=sources, features={name: FeatureData(
                    about[name][0], about[name][1], RECIPES[name], cells[name], is_input=name != "faces",
                    columns=COLUMNS if name == "faces" else ()) for name in RECIPES})
    return folder


@pytest.fixture(scope="module")
def run(folder: Path) -> Path:
    """One network of all clips, chosen on those it learns from: for looking alone."""
    return train(folder / "a.h5", model="cross_attention", config=CONFIG, settings=SETTINGS, inputs=FEATURES,
                 out=folder / "run")


def test_folds_are_trained_with_every_loss_on_distances(folder: Path, tmp_path: Path) -> None:
    for loss in ("triplet", "emotion_relation", "centre"):
        found = train(folder / "a.h5", model="cross_attention", config=CONFIG, inputs=FEATURES, out=tmp_path / loss,
                      settings={"width": "16", "metric_loss": loss, "folds": "4-group-folds"})
        metrics = json.loads((found / "metrics.json").read_text())
        assert metrics["num_clips"]["test"]["scored"] == {"emotion": 8} and len(metrics["folds"]) == 4
    notes = draw_clip_attention(tmp_path / "triplet", folder / "a.h5", "all/c3", tmp_path / "c3.png")
    assert len(notes) == 1 and "of the run looks, which did not learn from this clip" in notes[0]
    fold = notes[0].split()[1]
    tested = next(part for name, part in metrics["folds"].items() if name == fold)["test_groups"]
    assert tested == ["g1"]


def test_a_picture_is_drawn_over_the_crops_and_the_sound_of_the_clip(folder: Path, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.png"
    assert main(["attention", "--run", str(run), "--features", str(folder / "a.h5"), "--clip", "all/c1", "--out",
                 str(out)]) == 0
    with Image.open(out) as picture:
        assert picture.size[0] > 500
    other = tmp_path / "b.png"
    draw_clip_attention(run, folder / "a.h5", "all/c2", other)
    assert out.read_bytes() != other.read_bytes()
    again = tmp_path / "c.png"
    draw_clip_attention(run, folder / "a.h5", "all/c1", again)
    assert again.read_bytes() == out.read_bytes()


def test_crops_are_those_that_the_network_saw(folder: Path) -> None:
    """One for each row, a face on each; the film is read again, so a store holds no pictures."""
    store = FeatureStore(folder / "a.h5")
    crops = row_pictures(store, "face_r3d101", "all/c0")
    assert crops.shape == (6, 112, 112, 3) and len(store.read("all/c0", "face_r3d101").values) == 6
    assert crops.std((1, 2, 3)).min() > 20, "a face, and not the grey wall"
    with pytest.raises(StoreError, match="no pictures can be told for the rows of audio_resnet18"):
        row_pictures(store, "audio_resnet18", "all/c0")


def test_what_is_read_of_a_network_belongs_to_the_clip(folder: Path, run: Path) -> None:
    stores = open_stores(folder / "a.h5")
    checkpoint = Checkpoint.load(run / "seed0" / "best.pt")
    looked = look_at(checkpoint, stores, place_of(stores, "all/c0"))
    assert looked.looks.space is not None and looked.looks.space.shape == (6, 4)
    np.testing.assert_allclose(looked.looks.space.sum(1), 1, rtol=1e-5)
    assert looked.seen == "face_r3d101" and looked.rows.tolist() == list(range(6))
    assert "emotion" in looked.answer and "labelled happy" in looked.answer
    faceless, silent = (look_at(checkpoint, stores, place_of(stores, f"all/c{number}")) for number in (6, 7))
    assert faceless.seen == "" and not faceless.looks.seen.any() and faceless.looks.heard.any()
    assert silent.seen == "face_r3d101" and not silent.looks.heard.any()


@pytest.mark.parametrize(("clip", "said"), [("all/c6", ["the clip has no rows of what is seen"]),
                                            ("all/c7", ["drawn without its spectrogram: .*7.mp4 has no sound"])])
def test_a_side_that_is_not_there_is_said(folder: Path, run: Path, tmp_path: Path, clip: str, said: list[str]) -> None:
    notes = draw_clip_attention(run, folder / "a.h5", clip, tmp_path / "a.png")
    assert len(notes) == len(said)
    for note, words in zip(notes, said, strict=True):
        assert re.search(words, note)


def test_without_its_film_a_clip_is_drawn_over_a_plain_grid_and_that_is_said(
        folder: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    film, away = folder / "4.mp4", tmp_path / "away.mp4"
    arguments = ["attention", "--run", str(run), "--features", str(folder / "a.h5"), "--clip", "all/c4", "--out"]
    assert main([*arguments, str(tmp_path / "whole.png")]) == 0
    shutil.move(film, away)
    try:
        assert main([*arguments, str(tmp_path / "gone.png")]) == 0
        said = capsys.readouterr().err
        shutil.copy(folder / "5.mp4", film)
        assert main([*arguments, str(tmp_path / "other.png")]) == 0
        other = capsys.readouterr().err
    finally:
        shutil.move(away, film)
    assert re.search("drawn over a plain grid in place of the pictures: .*4.mp4, .* is no longer there", said)
    assert "drawn without its spectrogram: " in said
    assert "is not the file that clip all/c4 was made from" in other
    assert (tmp_path / "gone.png").read_bytes() != (tmp_path / "whole.png").read_bytes()
    assert (tmp_path / "gone.png").read_bytes() == (tmp_path / "other.png").read_bytes()


def test_a_stored_spectrogram_is_taken_before_the_film(folder: Path, tmp_path: Path) -> None:
    stored = FeatureSequence(np.full((5, 64), -30, np.float32), np.full((5, 2), np.nan, np.float32), "none")
    clips = [Clip("all/c0", split="all")]
    write_store(tmp_path / "b.h5", corpus=Corpus("toy"), clips=clips, features={"audio_logmel@x": FeatureData(
        "audio", (64,), {"extractor": "audio_logmel"}, {"all/c0": stored})})
    both = open_stores([folder / "a.h5", tmp_path / "b.h5"])
    np.testing.assert_array_equal(spectrogram_of(both, "all/c0"), stored.values)
    made = spectrogram_of(both, "all/c1")
    tone = np.sin(2 * np.pi * 500 * np.arange(16_000) / 16_000).astype(np.float32)
    assert made.shape[1] == 64 and made[20].argmax() == log_mel(tone)[20].argmax()


@pytest.mark.parametrize(("changed", "message"), [
    ({"out": "a.jpg"}, "--out a.jpg: expected a name that ends in .png"),
    ({"seed": 3}, "--seed 3: .*run has 0"), ({"clip": "all/x"}, "has no clip 'all/x'; ids look like all/c0, all/c1")])
def test_wishes_that_cannot_be_are_refused(folder: Path, run: Path, tmp_path: Path, changed: dict[str, object],
                                           message: str) -> None:
    wishes = {"out": str(tmp_path / "a.png"), "seed": None, "clip": "all/c0", **changed}
    with pytest.raises((UsageError, StoreError), match=message):
        draw_clip_attention(run, folder / "a.h5", str(wishes["clip"]), Path(str(wishes["out"])),
                            seed=wishes["seed"])  # type: ignore[arg-type]


def test_a_run_of_another_model_has_no_attention_to_draw(folder: Path, tmp_path: Path) -> None:
    other = train(folder / "a.h5", model="early", config=CONFIG, inputs=FEATURES, out=tmp_path / "early")
    with pytest.raises(UsageError, match="the run is of early, which has no attention to draw"):
        draw_clip_attention(other, folder / "a.h5", "all/c0", tmp_path / "a.png")


def test_a_picture_that_cannot_be_written_is_said(folder: Path, run: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write .*a.png"):
        draw_clip_attention(run, folder / "a.h5", "all/c0", tmp_path / "file" / "a.png")
