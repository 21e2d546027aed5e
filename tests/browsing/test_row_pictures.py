"""Pictures of rows: the right way up, the right colours, the times where they belong."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.browsing.opened_store import OpenedStore
from pipeline.browsing.row_pictures import MOST_HIGH, MOST_WIDE, draw_rows, in_order, shrunk, time_ticks, usual
from pipeline.media import FeatureSequence
from tests.browsing.stores import face_rows, make_store, spaced, untimed


def head(*shape: int, extractor: str = "x", dtype: str = "float32", columns: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"recipe": {"extractor": extractor}, "row_shape": shape, "dtype": dtype, "columns": columns}


def brightness(png: bytes) -> np.ndarray:
    """Sum of red, green and blue of each pixel, (H, W)."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), int).sum(2)


def test_time_runs_to_the_right_and_columns_run_down() -> None:
    values = np.full((4, 3), -2, np.float32)
    values[1, 2] = 2
    seen = brightness(draw_rows(spaced(values, 1.0), head(3)))
    assert seen.shape == (3, 4) and np.unravel_index(seen.argmax(), seen.shape) == (2, 1)


def test_low_bands_of_a_spectrogram_lie_below() -> None:
    values = np.full((20, 8), -80, np.float32)
    values[5, 0] = -10
    seen = brightness(draw_rows(spaced(values, .01), head(8, extractor="audio_logmel")))
    assert np.unravel_index(seen.argmax(), seen.shape) == (7, 5)


def test_named_columns_go_from_their_own_least_to_their_own_greatest() -> None:
    values = np.array([[0, 1000], [1, 3000], [2, 2000]], np.float32)
    seen = brightness(draw_rows(spaced(values, 1.0), head(2, columns=("a", "b"))))
    assert seen[0, 0] == seen[1, 0] == seen.min() and seen[0, 2] == seen[1, 1] == seen.max()


def test_what_is_usual_in_the_store_is_in_the_middle(tmp_path: Path) -> None:
    opened = OpenedStore(make_store(tmp_path / "s.h5"))
    spread = usual(opened, "text_bert")
    assert spread is not None and usual(opened, "audio_logmel") is None is usual(opened, "asd_faces")
    assert spread.mean == pytest.approx(opened.store.array("text_bert").mean(0), abs=1e-6)
    rows = untimed(np.stack([spread.mean, spread.mean + 9 * spread.deviation]).astype(np.float32))
    seen = brightness(draw_rows(rows, opened.store.head("text_bert"), spread))
    assert (seen[:, 0] < seen[:, 1]).all() and np.ptp(seen[:, 0]) <= 1  # one of 256 colours


def test_rows_that_are_pictures_stand_side_by_side() -> None:
    values = np.repeat(np.arange(0, 250, 10, dtype=np.uint8), 36).reshape(25, 6, 6)
    seen = brightness(draw_rows(spaced(values, .04), head(6, 6, dtype="uint8")))
    assert seen.shape == (6, 72) and seen[0, 0] == 0 and seen[0, -1] == 3 * 240 and (np.diff(seen[0]) >= 0).all()


def test_long_and_broad_rows_are_averaged() -> None:
    seen = brightness(draw_rows(spaced(np.zeros((5000, 3, 700), np.float32), .01), head(3, 700)))
    assert seen.shape == (MOST_HIGH, MOST_WIDE)
    assert shrunk(np.arange(10.).reshape(10, 1), 4).ravel().tolist() == [.5, 3., 5.5, 8.]
    assert shrunk(np.arange(3.), 4).tolist() == [0, 1, 2]


def test_faces_are_drawn_track_after_track() -> None:
    rows = in_order(face_rows(tracks=2, moments=3), head(16, columns=("track", "x1")))
    assert rows.values[:, 0].tolist() == [0, 0, 0, 1, 1, 1] and rows.times[3, 0] == 0
    plain = spaced(np.zeros((2, 1), np.float32), 1.0)
    assert in_order(plain, head(1, columns=("letters",))) is plain


def test_times_stand_where_their_rows_are() -> None:
    assert time_ticks(spaced(np.zeros((4, 1), np.float32), .5), head(1)) == [
        (.125, "0.00 s"), (.375, "0.50 s"), (.625, "1.00 s"), (.875, "1.50 s")]
    assert len(time_ticks(spaced(np.zeros((1000, 1), np.float32), .5), head(1))) == 6
    assert time_ticks(untimed(np.zeros((2, 1), np.float32)), head(1)) == [(.25, "row 1"), (.75, "row 2")]
    pictures = spaced(np.zeros((100, 2, 2), np.uint8), 1.0)
    assert time_ticks(pictures, head(2, 2, dtype="uint8"))[1] == (2.5 / 12, "18.00 s")


def test_no_rows_are_not_drawn() -> None:
    with pytest.raises(ValueError, match="at least one row is drawn"):
        draw_rows(FeatureSequence.empty((3,)), head(3))
