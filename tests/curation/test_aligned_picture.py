"""The picture of a clip that was brought to a clock, by the library and by the command."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.cli import main
from pipeline.clip import Clip, Corpus, Task
from pipeline.curation.aligned_picture import draw_aligned
from pipeline.curation.aligning import align
from pipeline.errors import UsageError
from pipeline.media import FeatureSequence, TimesKind
from pipeline.storage.packing import FeatureData, write_store


def rows(num: int, seconds: float, width: int = 3, kind: TimesKind = "measured") -> FeatureSequence:
    values = np.random.default_rng(num).normal(size=(num, width)).astype(np.float32)
    edges = np.arange(num + 1) * seconds
    return FeatureSequence(values, np.stack([edges[:-1], edges[1:]], 1).astype(np.float32), kind)


@pytest.fixture()
def store(tmp_path: Path) -> Path:
    """Clip a has nothing, b sound, c sound, faces and words."""
    clips = [Clip(f"train/{name}", split="train", text="so it is", labels={"mood": "a"}) for name in "abc"]
    data = {"sound": {"train/b": rows(40, .05), "train/c": rows(40, .05)}, "faces": {"train/c": rows(4, .5)},
            "text_words": {"train/c": rows(3, .6, 2, "proportional")}}
    features = {name: FeatureData("audio", (2 if name == "text_words" else 3,), {"extractor": name}, cells)
                for name, cells in data.items()}
    return write_store(tmp_path / "store.h5", corpus=Corpus("mine", (Task("mood", ("a", "b")),)), clips=clips,
                       features=features)


def test_the_first_clip_with_most_features_is_drawn_unless_one_is_named(store: Path, tmp_path: Path) -> None:
    made = align(store, tmp_path / "out.h5", ["sound", "faces"], "0.5")
    chosen = draw_aligned(store, made, ["sound", "faces"])
    assert chosen == draw_aligned(store, made, ["sound", "faces"], "train/c")
    other = draw_aligned(store, made, ["sound", "faces"], "train/b")
    taller, lower = (Image.open(io.BytesIO(part)).height for part in (chosen, other))
    assert taller > lower, "the words of c, which b lacks"


def test_a_clip_that_has_nothing_to_draw_is_refused(store: Path, tmp_path: Path) -> None:
    made = align(store, tmp_path / "out.h5", ["sound"], "words")
    with pytest.raises(UsageError, match="out.h5 is written, but there is nothing to draw: no rows of sound@text_words"
                                         " in train/a; name a clip that has rows"):
        draw_aligned(store, made, ["sound"], "train/a")
    with pytest.raises(UsageError, match="no clip 'train/z'"):
        draw_aligned(store, made, ["sound"], "train/z")


def test_the_command_draws_what_the_library_draws(store: Path, tmp_path: Path,
                                                  capsys: pytest.CaptureFixture[str]) -> None:
    out, picture = tmp_path / "out.h5", tmp_path / "pictures" / "c.png"
    picture.parent.mkdir()
    asked = ["align", str(store), "--source", "sound", "--clock", "words", "--out", str(out)]
    assert main([*asked, "--clip", "train/c"]) == 2
    assert "says which clip is drawn; add --picture FILE.png" in capsys.readouterr().err
    assert main([*asked, "--picture", str(picture), "--clip", "train/z"]) == 1 and not out.exists()
    assert "has no clip 'train/z'" in capsys.readouterr().err
    assert main([*asked, "--picture", str(picture), "--clip", "train/c"]) == 0
    said = capsys.readouterr()
    assert said.out.strip() == str(out) and f"drawn in {picture}" in said.err
    made = align(store, tmp_path / "again.h5", ["sound"], "words")
    assert picture.read_bytes() == draw_aligned(store, made, ["sound"])
