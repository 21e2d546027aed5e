"""Several faces: whose mouth goes with the sound, whose does not, and where they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pipeline.rendering.conversation import OUT_OF_VIEW, Conversation, Face, Performance, film, frame_labels
from pipeline.rendering.scene import Track
from pipeline.rendering.script import SPEAKERS
from pipeline.rendering.voice import SAMPLE_RATE_HZ, loudness

SAID = Performance(0, "speaking", .2, 1.4, "We can take the bus at nine.", 1.2)
MIMED = Performance(1, "miming", .2, 1.4, "You broke my guitar again!", 1.2)


def conversation(*performances: Performance, snr_db: float | None = None) -> Conversation:
    faces = tuple(Face(speaker, "neutral", f"v:{number}", 2 * number, 40)
                  for number, speaker in enumerate(SPEAKERS[:3]))
    return Conversation(faces, 2, (112, 120), .68, performances, SPEAKERS[4], 40, snr_db)


def mouth_motion(scene_frames: np.ndarray, box: np.ndarray) -> float:
    """Mean change from frame to frame in the lower third of a face, levels of 255."""
    left, top, right, bottom = box.astype(int)
    mouth = scene_frames[:, bottom - (bottom - top) // 3:bottom, left:right].astype(float)
    return float(np.abs(np.diff(mouth, axis=0)).mean())


def test_labels_say_what_each_mouth_does_in_the_middle_of_a_frame() -> None:
    performances = (SAID, Performance(0, "chewing", 1.5, 1.6), MIMED, replace(SAID, person=OUT_OF_VIEW))
    labels = frame_labels(performances, 0, 40)
    assert labels[4] == "NOT_SPEAKING" and set(labels[5:35]) == {"SPEAKING_AUDIBLE"}
    assert set(labels[35:]) == {"NOT_SPEAKING"}
    assert set(frame_labels(performances, 1, 40)) == {"NOT_SPEAKING", "SPEAKING_NOT_AUDIBLE"}
    assert set(frame_labels(performances, 2, 40)) == {"NOT_SPEAKING"}


def test_a_mimed_sentence_moves_the_mouth_and_is_not_heard() -> None:
    both, mimed = (film(conversation(*done), np.random.default_rng(0)) for done in ((SAID, MIMED), (MIMED,)))
    assert both.frames.shape == (40, 224, 240, 3) and len(both.waveform) == 40 * 640
    said, still = (mouth_motion(mimed.frames, track.boxes.mean(0)) for track in mimed.tracks[1::-1])
    assert said > 2 * still, "levels of 255"
    assert np.abs(mimed.waveform).max() < .01 < .05 < np.abs(both.waveform).max()


def test_a_voice_out_of_view_is_heard_and_moves_no_mouth() -> None:
    scene = film(conversation(replace(SAID, person=OUT_OF_VIEW)), np.random.default_rng(0))
    assert np.abs(scene.waveform).max() > .05
    assert {label for track in scene.tracks for label in track.labels} == {"NOT_SPEAKING"}
    assert max(mouth_motion(scene.frames, track.boxes.mean(0)) for track in scene.tracks) < 3


def test_the_mouth_that_speaks_goes_with_the_sound_and_one_that_mimes_does_not() -> None:
    scene = film(conversation(SAID, MIMED), np.random.default_rng(1))
    loud = loudness(scene.waveform, (np.arange(40) + .5) / 25)
    assert np.corrcoef(scene.opening, loud)[0, 1] > .7
    other = film(conversation(replace(MIMED, person=0)), np.random.default_rng(1))
    assert abs(np.corrcoef(other.opening, loud)[0, 1]) < .7


def test_tracks_begin_and_end_where_they_should_and_boxes_hold_the_faces() -> None:
    scene = film(conversation(SAID), np.random.default_rng(0))
    assert [(track.entity, track.first_frame, len(track.labels)) for track in scene.tracks] == [
        ("v:0", 0, 40), ("v:1", 2, 38), ("v:2", 4, 36)]
    centres = [track.boxes.mean(0).reshape(2, 2).mean(0) for track in scene.tracks]
    for (x, y), (left, top) in zip(centres, ((0, 0), (120, 0), (0, 112))):
        assert left + 40 < x < left + 80 and top + 30 < y < top + 85
    assert (scene.frames[:, 112:, 120:] == 90).all(), "a place without a face is grey"


def test_noise_is_as_loud_as_was_asked_for() -> None:
    quiet, noisy = (film(conversation(SAID, snr_db=snr), np.random.default_rng(0)) for snr in (None, 6.0))
    speech = quiet.waveform[np.abs(quiet.waveform) > .005]
    noise = noisy.waveform[-SAMPLE_RATE_HZ // 8:]
    ratio = 10 * np.log10(np.mean(np.square(speech)) / np.mean(np.square(noise)))
    assert 3 < ratio < 14, "dB, as the noise comes and goes"
    assert quiet.frames.shape == noisy.frames.shape


def test_a_track_needs_a_box_for_every_label() -> None:
    with pytest.raises(ValueError, match="one box a label"):
        Track("v:0", 0, np.zeros((2, 4)), ("NOT_SPEAKING",))
