"""Quality of a real face: turned by known angles, mirrored, blurred by known amounts, made small."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.data import astronaut
from skimage.filters import gaussian

from pipeline.faces import COLUMNS
from pipeline.faces.alignment import EXPRESSION_CROP, FIVE_POINTS, align
from pipeline.faces.mtcnn import FaceDetector
from pipeline.faces.quality import NOSE_DEPTH, Gates, roll_degrees, sharpness, yaw_degrees
from tests.faces.test_alignment import ASTRONAUT, posed

DISTANCE = FIVE_POINTS[1, 0] - FIVE_POINTS[0, 0]  # of the eyes
DEPTH = np.array([0, 0, NOSE_DEPTH, 0, 0]) * DISTANCE


def row(points: np.ndarray, *, height: float = 100.0, probability: float = 0.99) -> np.ndarray:
    return np.array([[0, 10, 20, 10 + height, 20 + height, probability, *points.ravel()]], np.float32)


def turned(degrees: float) -> np.ndarray:
    """The standard face, its nose standing out, turned about the axis of the neck."""
    angle, middle = np.deg2rad(degrees), FIVE_POINTS[:2, 0].mean()
    across = (FIVE_POINTS[:, 0] - middle) * np.cos(angle) + DEPTH * np.sin(angle) + middle
    return np.stack([across, FIVE_POINTS[:, 1]], 1) * 80


@pytest.mark.parametrize("degrees", [-70.0, -30.0, 0.0, 15.0, 60.0])
def test_yaw_is_the_angle_that_the_head_was_turned_by(degrees: float) -> None:
    assert yaw_degrees(row(turned(degrees)))[0] == pytest.approx(degrees, abs=0.5)
    assert roll_degrees(row(turned(degrees)))[0] == pytest.approx(0, abs=1)


@pytest.mark.parametrize("degrees", [0.0, 35.0, -60.0, 179.0])
def test_roll_is_the_angle_that_a_picture_was_turned_by_and_leaves_yaw_alone(degrees: float) -> None:
    upright, leaning = (row(posed(angle, 1.0)[1]) for angle in (0.0, degrees))
    difference = (roll_degrees(leaning) - roll_degrees(upright))[0]
    assert np.exp(1j * np.deg2rad(difference - degrees)) == pytest.approx(1, abs=1e-3)
    assert yaw_degrees(leaning)[0] == pytest.approx(yaw_degrees(upright)[0], abs=0.01)


def test_a_mirrored_face_looks_the_other_way(shared_data: Path) -> None:
    torch.set_num_threads(1)
    picture = np.array(Image.open(shared_data / "faces/biden.jpg").convert("RGB").reduce(3))
    detector = FaceDetector(torch.device("cpu"))
    angles = []
    for shown in (picture, picture[:, ::-1]):
        found, = detector(shown[None], min_face=60)
        faces = np.column_stack([np.zeros(len(found)), found])
        angles.append((yaw_degrees(faces)[0], roll_degrees(faces)[0]))
    (yaw, roll), (mirrored_yaw, mirrored_roll) = angles
    assert yaw > 5 and mirrored_yaw == pytest.approx(-yaw, abs=5)
    assert roll > 5 and mirrored_roll == pytest.approx(-roll, abs=3)


def crops(sigma: float) -> np.ndarray:
    """The astronaut's face out of focus, in a crop of 112 pixels."""
    picture = (gaussian(astronaut(), sigma, channel_axis=2) * 255).round().astype(np.uint8)
    return align(picture, ASTRONAUT, EXPRESSION_CROP, 112)[None]


def test_sharpness_falls_with_blur() -> None:
    found = [float(sharpness(crops(sigma))[0]) for sigma in (0, 1, 2, 4, 8)]
    assert all(a > 1.5 * b for a, b in zip(found[:-1], found[1:], strict=True))


def test_sharpness_is_that_of_the_textbook() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (9, 9)).astype(np.uint8)
    edges = [4.0 * grey[y, x] - float(grey[y - 1, x]) - float(grey[y + 1, x]) - float(grey[y, x - 1])
             - float(grey[y, x + 1]) for y in range(1, 8) for x in range(1, 8)]
    assert sharpness(grey[None, :, :, None].repeat(3, 3))[0] == pytest.approx(np.var(edges), rel=1e-4)
    assert sharpness(np.full((2, 9, 9, 3), 77, np.uint8)) == pytest.approx(0, abs=1e-6)
    assert sharpness(np.zeros((0, 9, 9, 3), np.uint8)).shape == (0,)


def test_a_gate_lets_the_sharp_crop_through_and_holds_the_blurred() -> None:
    both = np.concatenate([crops(0), crops(8)])
    assert Gates(least_sharpness=20).sharp(both).tolist() == [True, False]
    assert Gates().sharp(both).tolist() == [True, True]


@pytest.mark.parametrize(("gates", "refused"), [
    (Gates(least_face_pixels=101), "all"), (Gates(least_probability=0.995), "all"),
    (Gates(most_yaw_degrees=40), "turned"),
    (Gates(most_roll_degrees=90), "upside down"), (Gates(least_face_pixels=100, least_probability=0.98), "none")])
def test_each_gate_refuses_its_own(gates: Gates, refused: str) -> None:
    faces = {"straight": row(turned(0)), "turned": row(turned(50)), "upside down": row(100 - turned(0))}
    passed = {name: bool(gates.passes(face)[0]) for name, face in faces.items()}
    assert passed == {name: refused not in ("all", name) for name in faces}


def test_gates_without_limits_let_everything_through_and_no_faces_are_none() -> None:
    odd = np.zeros((1, len(COLUMNS)), np.float32)  # all landmarks in one point
    assert Gates().passes(odd).tolist() == [True]
    assert Gates().passes(odd[:0]).shape == (0,)


def test_limits_outside_their_range_are_refused() -> None:
    for name, value in (("least_face_pixels", -1.0), ("most_yaw_degrees", 91.0), ("most_roll_degrees", 181.0),
                        ("least_probability", 1.1), ("least_sharpness", float("nan"))):
        with pytest.raises(ValueError, match=f"{name} is 0 or more.*, found"):
            Gates(**{name: value})
