"""The picture of who speaks when."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from pipeline.segmenting.timeline_plots import COLOURS, draw_timeline
from pipeline.segmenting.turns import Turn, Turns

SOUND = np.sin(np.arange(160_000)).astype(np.float32)
TALK = Turns("a_$talk$", (Turn(0, 4, "speaker1"), Turn(5, 9, "speaker2")), 10.0)


def pixels(found: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(found)).convert("RGB"))


def share_of(picture: np.ndarray, colour: str) -> float:
    rgb = [int(colour[place:place + 2], 16) for place in (1, 3, 5)]
    return float((picture == rgb).all(2).mean())


def test_each_speaker_has_a_colour_and_the_same_values_give_the_same_picture() -> None:
    found = draw_timeline(TALK, SOUND)
    assert found == draw_timeline(TALK, SOUND)
    assert min(share_of(pixels(found), colour) for colour in COLOURS[:2]) > 0.02
    assert share_of(pixels(found), COLOURS[2]) == 0


def test_the_truth_has_lanes_of_its_own() -> None:
    assert pixels(draw_timeline(TALK, SOUND, truth=TALK)).shape[0] > pixels(draw_timeline(TALK, SOUND)).shape[0]


def test_recordings_without_turns_or_sound_and_long_ones_are_drawn() -> None:
    short = pixels(draw_timeline(Turns("quiet", ()), np.zeros(0, np.float32))).shape
    long = pixels(draw_timeline(TALK, np.tile(SOUND[:1600], 3000))).shape
    assert short[1] == long[1] and short[0] < long[0]
