"""Attention maps drawn over crops and spectrogram."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipeline.pages.attention_plots import Looks, draw_attention

RANDOM = np.random.default_rng(0)
CROPS = RANDOM.integers(0, 256, (6, 32, 32, 3), np.uint8)
LEVELS = RANDOM.normal(-40, 10, (300, 64)).astype(np.float32)


def looks(**changed: Any) -> Looks:
    even = {"space": np.full((6, 16), 1 / 16), "seen": np.full(6, 1 / 6), "heard": np.full(6, 1 / 6),
            "heard_by_seen": np.full((6, 6), 1 / 6)}
    return Looks(**{**even, **changed})


def pixels(found: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(found)).convert("RGB"))


def test_a_picture_is_drawn_the_same_each_time_and_each_attention_shows_in_it() -> None:
    plain = draw_attention(looks(), CROPS, LEVELS)
    assert plain == draw_attention(looks(), CROPS, LEVELS) and min(pixels(plain).shape[:2]) > 500
    peak = np.zeros((6, 16))
    peak[:, 5] = 1
    for name, values in (("space", peak), ("seen", peak[0, :6]), ("heard", np.eye(6)[2]), ("heard_by_seen", np.eye(6))):
        assert draw_attention(looks(**{name: values}), CROPS, LEVELS) != plain, name


def test_the_place_that_is_looked_at_is_the_bright_one() -> None:
    black, space = np.zeros_like(CROPS), np.zeros((6, 16))
    space[0, 0] = 1
    picture = pixels(draw_attention(looks(space=space), black, LEVELS)).astype(int)
    first = picture[:, :picture.shape[1] // 6].sum(2)
    bright = np.argwhere((first > 250) & (first < 600))
    assert len(bright) and bright[:, 0].min() < picture.shape[0] // 4


def test_rows_without_maps_leave_the_crops_as_they_are() -> None:
    assert draw_attention(looks(space=None), CROPS, LEVELS) != draw_attention(looks(), CROPS, LEVELS)


def test_what_is_not_to_be_had_is_left_plain_and_a_title_is_written_above() -> None:
    whole = draw_attention(looks(), CROPS, LEVELS)
    plain, silent, titled = (draw_attention(looks(), None, LEVELS), draw_attention(looks(), CROPS, None),
                             draw_attention(looks(), CROPS, LEVELS, title="a clip"))
    assert len({whole, plain, silent, titled}) == 4
    peak = np.zeros((6, 16))
    peak[:, 5] = 1
    assert draw_attention(looks(space=peak), None, None) != draw_attention(looks(), None, None)


def test_brightness_is_comparable_between_the_steps() -> None:
    """A share of a tenth is as dark beside a share of one as it is."""
    faint = np.zeros((6, 16))
    faint[0, 0], faint[1] = 1.0, 1 / 16
    picture = pixels(draw_attention(looks(space=faint), np.zeros_like(CROPS), LEVELS)).astype(int)
    width, height = picture.shape[1] // 6, picture.shape[0] // 5
    second = picture[height // 3:height, width + width // 3:width + 2 * width // 3].sum(2)
    assert (second < 200).mean() > 0.9


@pytest.mark.parametrize("changed", [{"space": np.zeros((6, 15))}, {"space": np.zeros((5, 16))},
                                     {"heard": np.zeros(5)}, {"heard_by_seen": np.zeros((6, 5))}])
def test_attentions_that_do_not_go_together_are_refused(changed: dict[str, np.ndarray]) -> None:
    with pytest.raises(ValueError, match=r"attentions are \(S, P\) with P square, \(S,\), \(S,\) and \(S, S\), found"):
        looks(**changed)


@pytest.mark.parametrize(("crops", "levels"), [(CROPS[:5], LEVELS), (CROPS, LEVELS[:0]), (CROPS, LEVELS[0])])
def test_crops_and_spectrogram_must_be_there(crops: np.ndarray, levels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="6 steps need as many crops and a spectrogram"):
        draw_attention(looks(), crops, levels)
