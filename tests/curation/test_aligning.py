"""Features of a real store on one clock: what overlaps belongs together, and the result is a store like any other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.cli import main
from pipeline.clip import Clip, Corpus, Task
from pipeline.curation.aligning import align
from pipeline.errors import StoreError, UsageError
from pipeline.joined import JoinedStores
from pipeline.learning.layered import is_layered
from pipeline.media import FeatureSequence, TimesKind
from pipeline.storage.packing import Cell, Failure, FeatureData, write_store
from pipeline.store import FeatureStore


def rows(values: list[float], spans: list[tuple[float, float]], kind: TimesKind = "measured") -> FeatureSequence:
    return FeatureSequence(np.array(values, np.float32).reshape(-1, 1), np.array(spans, np.float32).reshape(-1, 2),
                           kind)


@pytest.fixture()
def store(tmp_path: Path) -> Path:
    """Sound in quarters of a second, faces by the second, words that are guessed in one clip, text without times."""
    clips = [Clip(f"train/{name}", split="train", labels={"mood": "a"}) for name in "abcd"]
    quarters = rows([0, 1, 2, 3, 4, 5, 6, 7], [(k / 4, k / 4 + .25) for k in range(8)])
    sound = {f"train/{name}": quarters for name in "abc"}
    faces = {"train/a": rows([10, 20], [(0, 1), (1, 2)]), "train/b": FeatureSequence.empty((1,))}
    words = {"train/a": rows([2, 3], [(.25, .75), (5, 6)]), "train/c": rows([2], [(0, .5)], "proportional")}
    none = FeatureSequence(np.zeros((2, 1), np.float32), np.full((2, 2), np.nan, np.float32), "none")
    failed = {"train/c": Cell.failed(Failure("decode", "permanent", "broken"))}
    pixels = FeatureSequence(np.arange(8, dtype=np.uint8).reshape(2, 4), np.array([[0, 1], [1, 2]], np.float32))
    layers = {"train/a": FeatureSequence(np.ones((1, 3, 2), np.float32), np.array([[0, 2]], np.float32))}
    write_store(tmp_path / "store.h5", corpus=Corpus("mine", (Task("mood", ("a", "b")),)), clips=clips, features={
        "sound": FeatureData("audio", (1,), {"settings": {}}, sound, columns=("loudness",)),
        "faces@big": FeatureData("face", (1,), {"settings": {}}, faces, failed),
        "text_words": FeatureData("text", (1,), {"settings": {}}, words, is_input=False),
        "text": FeatureData("text", (1,), {"settings": {}}, {"train/a": none}),
        "crops": FeatureData("face", (4,), {"settings": {}}, {"train/a": pixels}, dtype="uint8"),
        "deep": FeatureData("audio", (3, 2), {"settings": {"layers": "all"}}, layers)})
    return tmp_path / "store.h5"


def test_sound_is_averaged_over_the_rows_of_another_feature(store: Path, tmp_path: Path) -> None:
    made = align(store, tmp_path / "out.h5", ["sound"], "faces@big")
    aligned = FeatureStore(made.path)
    found = aligned.read("train/a", "sound@faces-big")
    assert found.values[:, 0].tolist() == [1.5, 5.5] and found.times.tolist() == [[0, 1], [1, 2]]
    assert found.times_kind == "measured" and made.features == {"sound@faces-big": (2, 1, 0)}
    assert aligned.status("sound@faces-big").tolist() == ["done", "empty", "failed", "missing"]
    assert aligned.failures["message"].tolist() == ["faces@big failed, which this is made from"]
    head = aligned.head("sound@faces-big")
    assert (head["modality"], tuple(head["columns"])) == ("audio", ("loudness",))


def test_a_row_of_the_clock_that_nothing_overlaps_is_left_out_and_guesses_stay_guesses(
        store: Path, tmp_path: Path) -> None:
    made = align(store, tmp_path / "out.h5", ["sound"], "words")
    aligned = FeatureStore(made.path)
    one, other = (aligned.read(f"train/{name}", "sound@text_words") for name in "ac")
    assert one.values[:, 0].tolist() == [1.5] and one.times.tolist() == [[.25, .75]] and one.times_kind == "measured"
    assert other.values[:, 0].tolist() == [.5] and other.times_kind == "proportional"
    assert made.features["sound@text_words"] == (2, 2, 1)


@pytest.mark.parametrize(("how", "first"), [("mean", .375), ("nearest", 0.0), ("linear", .3)])
def test_steps_of_a_fixed_length_cover_the_clip(store: Path, tmp_path: Path, how: str, first: float) -> None:
    align(store, tmp_path / "out.h5", ["sound", "faces@big"], "0.4", how=how)  # type: ignore[arg-type]
    aligned = FeatureStore(tmp_path / "out.h5")
    found = aligned.read("train/a", "sound@0.4s")
    assert len(found.values) == 5 and found.values[0, 0] == pytest.approx(first)
    assert len(aligned.read("train/a", "faces-big@0.4s").values) == 5


def test_the_result_joins_with_its_store_and_verifies(store: Path, tmp_path: Path,
                                                      capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["align", str(store), "--source", "sound", "--clock", "0.5", "--out", str(tmp_path / "out.h5")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "out.h5")
    assert main(["verify", str(tmp_path / "out.h5")]) == 0
    joined = JoinedStores([FeatureStore(store), FeatureStore(tmp_path / "out.h5")])
    assert {"sound", "sound@0.5s"} <= set(joined.features) and len(joined) == 4


def test_layers_are_still_told_by_the_recipe(store: Path, tmp_path: Path) -> None:
    align(store, tmp_path / "out.h5", ["deep"], "1")
    aligned = FeatureStore(tmp_path / "out.h5")
    assert aligned.row_shape("deep@1s") == (3, 2)
    assert is_layered({"row_shape": [3, 2], "recipe": aligned.recipe("deep@1s")})


def test_the_fingerprint_changes_with_what_it_is_made_from_and_how(store: Path, tmp_path: Path) -> None:
    prints = set()
    for number, (clock, how) in enumerate([("1", "mean"), ("1", "nearest"), ("2", "mean"), ("words", "mean")]):
        align(store, tmp_path / f"{number}.h5", ["sound"], clock, how=how)  # type: ignore[arg-type]
        aligned = FeatureStore(tmp_path / f"{number}.h5")
        prints.add(aligned.fingerprint(aligned.features[0]))
    assert len(prints) == 4


def test_pixels_are_taken_as_they_are(store: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="rows of crops are pixels, .*use --how nearest"):
        align(store, tmp_path / "out.h5", ["crops"], "0.5")
    align(store, tmp_path / "out.h5", ["crops"], "0.5", how="nearest")
    assert FeatureStore(tmp_path / "out.h5").read("train/a", "crops@0.5s").values.dtype == np.uint8


@pytest.mark.parametrize(("sources", "clock", "message"), [
    (["sond"], "words", "no feature of .* named 'sond'; did you mean 'sound'"),
    (["sound"], "word", "no feature of .* named 'word'"), (["sound"], "0", "--clock 0: a step is above 0 s"),
    (["sound"], "-1", "a step is above 0 s"), (["sound"], "nan", "a step is above 0 s"),
    ([], "words", "no feature to align")])
def test_what_is_not_there_is_refused(store: Path, tmp_path: Path, sources: list[str], clock: str,
                                      message: str) -> None:
    with pytest.raises(UsageError, match=message):
        align(store, tmp_path / "out.h5", sources, clock)


@pytest.mark.parametrize(("source", "clock"), [("text", "0.5"), ("sound", "text")])
def test_rows_without_times_belong_to_none(store: Path, tmp_path: Path, source: str, clock: str) -> None:
    with pytest.raises(StoreError, match="rows of text in .* have no times, so none can be told to belong"):
        align(store, tmp_path / "out.h5", [source], clock)


def test_a_store_that_is_there_is_not_replaced(store: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is there already; name another --out"):
        align(store, store, ["sound"], "1")
