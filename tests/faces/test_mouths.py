"""Mouths of a photograph that is moved, lit and painted by known amounts."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.faces import mouths
from pipeline.faces.mouths import Mouth, measure_mouths
from pipeline.media import Frames
from tests.faces.counterfactuals import portrait_faces, syllables, talking_portrait

SECONDS = 2.4
TIMES = np.arange(60) / 25
STARTS = np.arange(36) / 15
OPENING = np.interp(TIMES, np.arange(240) / 100, syllables(SECONDS, 1))
SHUT = np.zeros(60)


def frames_of(pictures: np.ndarray, rate_hz: float = 25.0) -> Frames:
    return Frames(pictures, np.arange(len(pictures)), rate_hz=rate_hz, num_frames=len(pictures),
                  source_size=pictures.shape[1:3])


def only(pictures: np.ndarray, faces: np.ndarray | None = None, starts: np.ndarray = STARTS) -> Mouth:
    found, = measure_mouths(frames_of(pictures), portrait_faces(starts) if faces is None else faces, starts)
    return found


def test_a_talking_mouth_moves_more_than_its_face() -> None:
    mouth = only(talking_portrait(OPENING))
    assert len(mouth.times) == 59 and mouth.rows.tolist() == list(range(36))
    assert np.median(mouth.motion) > 5 * np.median(mouth.noise)
    assert mouth.eyes_pixels == pytest.approx(42, abs=4)


def test_a_mouth_that_opens_twice_as_far_moves_more() -> None:
    assert only(talking_portrait(OPENING)).motion.mean() > 1.3 * only(talking_portrait(OPENING / 3)).motion.mean()


def test_the_opening_follows_the_mouth() -> None:
    mouth = only(talking_portrait(OPENING))
    assert np.corrcoef(mouth.opening, OPENING[:len(mouth.opening)])[0, 1] > 0.8


def test_a_nodding_head_is_no_moving_mouth() -> None:
    nod = np.round(3 * np.sin(2 * np.pi * 2 * TIMES)).astype(int)
    nodding = only(talking_portrait(SHUT, nod), portrait_faces(STARTS, np.interp(STARTS, TIMES, nod)))
    talking = only(talking_portrait(OPENING, nod), portrait_faces(STARTS, np.interp(STARTS, TIMES, nod)))
    assert np.mean(nodding.motion) < 1.5 * np.mean(nodding.noise) + 0.02
    assert np.mean(talking.motion) > 3 * np.mean(nodding.motion)


def test_a_shaking_camera_that_landmarks_do_not_follow_is_no_moving_mouth() -> None:
    shake = np.random.default_rng(0).integers(-1, 2, 60)
    shaken, talking = only(talking_portrait(SHUT, shake)), only(talking_portrait(OPENING))
    assert np.mean(shaken.motion) < 0.3 * np.mean(talking.motion)


def test_light_that_changes_is_no_moving_mouth() -> None:
    light = 0.8 + 0.2 * np.sin(2 * np.pi * 3 * TIMES)
    lit = (talking_portrait(SHUT) * light[:, None, None, None]).astype(np.uint8)
    assert np.mean(only(lit).motion) < 0.2 * np.mean(only(talking_portrait(OPENING)).motion)


def test_light_and_size_of_the_recording_do_not_matter() -> None:
    pictures = talking_portrait(OPENING)
    dim, plain = only((pictures * 0.4).astype(np.uint8)), only(pictures)
    assert np.mean(dim.motion) == pytest.approx(np.mean(plain.motion), rel=0.15)
    large = np.repeat(np.repeat(pictures, 2, axis=1), 2, axis=2)
    faces = portrait_faces(STARTS)
    faces[:, [1, 2, 3, 4, *range(6, 16)]] *= 2
    assert np.mean(only(large, faces).motion) == pytest.approx(np.mean(plain.motion), rel=0.25)


def test_a_still_picture_does_not_move() -> None:
    mouth = only(talking_portrait(SHUT))
    assert mouth.motion.max() < 1e-3 and mouth.noise.max() < 1e-3


def test_repeated_pictures_of_a_slow_camera_are_bridged() -> None:
    slow = np.repeat(talking_portrait(OPENING)[::2], 2, axis=0)
    mouth, plain = only(slow), only(talking_portrait(OPENING))
    assert np.corrcoef(mouth.motion, plain.motion)[0, 1] > 0.7
    assert mouth.motion.mean() == pytest.approx(plain.motion.mean(), rel=0.4)
    swinging = talking_portrait(0.5 + 0.5 * np.sin(2 * np.pi * 1.3 * TIMES))
    assert only(np.repeat(swinging[::3], 3, axis=0)).motion[6:50].min() > 0.03


def test_a_picture_that_stays_is_a_mouth_that_stands_still() -> None:
    pictures = talking_portrait(OPENING)
    pictures[30:] = pictures[30]
    mouth = only(pictures)
    assert mouth.motion[:25].mean() > 0.1 and mouth.motion[42:].max() < 1e-3


def test_nothing_is_compared_across_a_gap_and_rows_keep_their_places() -> None:
    pictures = talking_portrait(SHUT)
    pictures[30:] = 255 - pictures[30:]
    starts = np.delete(STARTS, slice(15, 24))
    first, second = measure_mouths(frames_of(pictures), portrait_faces(starts), starts)
    assert first.rows.tolist() == list(range(15)) and second.rows.tolist() == list(range(15, 27))
    assert first.motion.max() < 1e-3 and second.motion.max() < 1e-3


def test_two_faces_in_one_picture_have_their_own_mouths() -> None:
    pictures = np.concatenate([talking_portrait(OPENING), talking_portrait(SHUT)], axis=2)
    rows = np.concatenate([portrait_faces(STARTS), portrait_faces(STARTS, track=1, left=180)])
    order = np.argsort(np.tile(STARTS, 2), kind="stable")
    talking, listening = measure_mouths(frames_of(pictures), rows[order], np.tile(STARTS, 2)[order])
    assert talking.rows.tolist() == list(range(0, 72, 2)) and listening.rows.tolist() == list(range(1, 72, 2))
    assert talking.motion.mean() > 0.1 and listening.motion.max() < 1e-3


def test_blocks_leave_no_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = np.repeat(talking_portrait(OPENING)[::2], 2, axis=0)
    whole = only(pictures)
    monkeypatch.setattr(mouths, "_BLOCK", 7)
    parts = only(pictures)
    for name in ("motion", "noise", "opening"):
        np.testing.assert_allclose(getattr(parts, name), getattr(whole, name), atol=1e-5)


def test_no_faces_are_no_mouths_and_one_row_is_one_without_frames() -> None:
    assert measure_mouths(frames_of(talking_portrait(SHUT)), np.zeros((0, 16), np.float32), np.zeros(0)) == []
    assert len(only(talking_portrait(SHUT), portrait_faces(STARTS[:1]), STARTS[:1]).motion) == 0
    empty = Frames(np.zeros((0, 8, 8, 3), np.uint8), np.zeros(0, np.int64), rate_hz=25, num_frames=0,
                   source_size=(0, 0))
    mouth, = measure_mouths(empty, portrait_faces(STARTS), STARTS)
    assert len(mouth.times) == len(mouth.motion) == 0 and len(mouth.rows) == 36


@pytest.mark.parametrize("change", [lambda rows: rows * 0, lambda rows: rows + 10_000, lambda rows: rows * 100,
                                    lambda rows: rows / 50], ids=["in a point", "outside", "huge", "tiny"])
def test_impossible_landmarks_give_numbers(change: object) -> None:
    faces = portrait_faces(STARTS)
    faces[:, 6:] = change(faces[:, 6:])  # type: ignore[operator]
    mouth = only(talking_portrait(OPENING), faces)
    assert all(np.isfinite(getattr(mouth, name)).all() for name in ("motion", "noise", "opening"))
