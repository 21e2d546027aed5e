from __future__ import annotations

import numpy as np
import pytest
import torch
from facenet_pytorch import MTCNN

from pipeline.rendering.acting import LOOKS, Expression, act, listening, mouth_opening, names
from pipeline.rendering.portrait import FACE_BOX, photograph, portray
from pipeline.rendering.scene import Scene, film
from pipeline.rendering.script import SPEAKERS, Line, write_script
from pipeline.rendering.talking_face import Camera, render_face
from pipeline.rendering.voice import loudness

CAMERA = Camera(centre=(224.0, 108.0), zoom=1.25, height=240, width=320)


def still(**curves: float) -> Expression:
    return Expression(**{name: np.array([curves.get(name, 0.0)]) for name in names()})


def picture_of(camera: Camera = CAMERA, **curves: float) -> np.ndarray:
    return next(render_face(photograph(), still(**curves), camera))[0].astype(float)


def dark_share(frame: np.ndarray, box: tuple[float, float, float, float]) -> float:
    """Share of dark pixels where a box has its mouth."""
    left, top, right, bottom = box
    rows = slice(int(top + .64 * (bottom - top)), int(top + .92 * (bottom - top)))
    columns = slice(int(left + .25 * (right - left)), int(left + .75 * (right - left)))
    grey = frame[rows, columns].astype(float).mean(axis=2)
    return float((grey < .45 * np.median(grey)).mean())


def test_an_open_mouth_is_dark_inside() -> None:
    shares = [dark_share(picture_of(opening=opening), CAMERA.face_box()) for opening in (0.0, .5, 1.0)]
    assert 2 * shares[0] < shares[1] and 2 * shares[1] < shares[2]


@pytest.mark.parametrize("curve", ["smile", "brows", "furrow", "inner_brows", "lids", "wrinkle", "opening", "rounding"])
def test_an_expression_changes_the_face_and_nothing_else(curve: str) -> None:
    values = {"opening": .5} if curve == "rounding" else {}
    change = np.abs(picture_of(**{**values, curve: 1.0}) - picture_of(**values)).max(axis=2)
    left, top, right, bottom = (int(side) for side in CAMERA.face_box())
    assert change[top:bottom, left:right].max() > 20
    change[top:bottom + 35, left - 12:right + 12] = 0
    assert change.max() <= 1


@pytest.mark.parametrize("curve", ["yaw", "nod", "roll_degrees", "lean"])
def test_head_motion_leaves_the_background_alone(curve: str) -> None:
    change = np.abs(picture_of(**{curve: .1 if curve == "lean" else 1.0}) - picture_of()).max(axis=2)
    assert change[60:200, 100:220].max() > 20
    assert change[:, :12].max() <= 1


def test_a_mirrored_camera_gives_the_mirrored_picture_and_box() -> None:
    mirrored = Camera(CAMERA.centre, CAMERA.zoom, CAMERA.height, CAMERA.width, mirrored=True)
    assert np.array_equal(picture_of(mirrored), picture_of()[:, ::-1])
    left, top, right, bottom = CAMERA.face_box()
    assert mirrored.face_box() == (320 - right, top, 320 - left, bottom)


def test_a_camera_at_natural_size_gives_the_photograph_outside_the_face() -> None:
    frame = picture_of(Camera((256.0, 256.0), 1.0, 512, 512))
    assert np.abs(frame - photograph() * 255)[200:].max() <= 1


def test_the_landmarks_are_where_mtcnn_finds_them() -> None:
    boxes, probabilities = MTCNN(keep_all=True).detect((photograph() * 255).astype(np.uint8))
    assert probabilities.tolist() == pytest.approx([1.0], abs=1e-3)
    assert boxes[0] == pytest.approx(FACE_BOX, abs=1.5)


def test_speakers_look_different() -> None:
    heads = [portray(speaker)[20:180, 150:300] for speaker in SPEAKERS]
    for one in range(len(heads)):
        for other in range(one):
            assert np.abs(heads[one] - heads[other]).mean() > .02


def test_curves_of_different_lengths_are_refused() -> None:
    curves = {name: np.zeros(3) for name in names()}
    with pytest.raises(ValueError, match=r"one length \(T,\)"):
        Expression(**{**curves, "smile": np.zeros(2)})


def test_a_listeners_mouth_stays_as_it_is() -> None:
    quiet = act(listening(LOOKS["surprise"]), 50, 25.0, opening=None, rounding=None, rng=np.random.default_rng(0))
    assert np.ptp(quiet.opening) == 0 and np.ptp(quiet.yaw) > 0


def test_a_mouth_is_shut_in_silence_and_opens_with_the_sound() -> None:
    opening = mouth_opening(np.array([0.0, .0005, .02, .05, .05]), np.ones(5), 25.0)
    assert opening[:2].tolist() == [0, 0] and opening[2] < opening[3] == opening[4]


@pytest.fixture(scope="module")
def two_shot() -> tuple[Line, Scene]:
    line = next(line for line in write_script(60, seed=0) if line.two_shot and line.face_emotion == "anger")
    return line, film(line, np.random.default_rng(1))


def test_mtcnn_finds_both_faces_at_every_frame(two_shot: tuple[Line, Scene]) -> None:
    scene, detector = two_shot[1], MTCNN(keep_all=True, min_face_size=50)
    assert scene.listening_box is not None
    with torch.inference_mode():
        boxes, probabilities = detector.detect(list(scene.frames))
    for found, certain in zip(boxes, probabilities):
        assert sorted(certain > .95) == [True, True]
        middles = sorted((box[0] + box[2]) / 2 for box in found)
        expected = sorted((box[0] + box[2]) / 2 for box in (scene.speaking_box, scene.listening_box))
        assert middles == pytest.approx(expected, abs=15)


def test_only_the_speaking_mouth_moves_with_the_sound(two_shot: tuple[Line, Scene]) -> None:
    line, scene = two_shot
    assert scene.listening_box is not None
    times = (np.arange(len(scene.frames)) + .5) / float(scene.rate_hz)
    level = loudness(scene.waveform, times)
    speaking, quiet = ([dark_share(frame, box) for frame in scene.frames]
                       for box in (scene.speaking_box, scene.listening_box))
    assert np.corrcoef(scene.opening, level)[0, 1] > .8
    assert np.corrcoef(speaking, level)[0, 1] > .7
    assert np.std(quiet) < .3 * np.std(speaking)
    assert (scene.speaking_box[0] < scene.listening_box[0]) == line.speaker_on_left


def test_frames_and_sound_of_different_lengths_are_refused(two_shot: tuple[Line, Scene]) -> None:
    scene = two_shot[1]
    with pytest.raises(ValueError, match="sound of the same length"):
        Scene(scene.frames[1:], scene.rate_hz, scene.waveform, scene.words, scene.opening, scene.speaking_box, None)


def test_filming_again_gives_the_same_pixels_and_samples() -> None:
    line = min(write_script(60, seed=0), key=lambda line: len(line.text))
    one, other = (film(line, np.random.default_rng(2)) for _ in range(2))
    assert np.array_equal(one.frames, other.frames) and np.array_equal(one.waveform, other.waveform)
