"""The batched cascade finds what facenet-pytorch's own MTCNN finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from facenet_pytorch import MTCNN
from PIL import Image
from skimage.data import astronaut
from skimage.transform import resize

from pipeline.faces import mtcnn
from pipeline.faces.mtcnn import NUM_COLUMNS, REFERENCE, CascadeSettings, FaceDetector, looks
from pipeline.faces.tracking import overlap

MIN_FACE = 24


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    torch.set_num_threads(1)
    return FaceDetector(torch.device("cpu"))


@pytest.fixture(scope="module")
def reference() -> MTCNN:
    return MTCNN(keep_all=True, min_face_size=MIN_FACE, device=torch.device("cpu"))


@pytest.fixture(scope="module")
def photographs(shared_data: Path) -> list[Path]:
    return sorted((shared_data / "faces").rglob("*.jpg"))


def scaled(picture: np.ndarray, lines: int) -> np.ndarray:
    width = round(picture.shape[1] * lines / picture.shape[0])
    return resize(picture, (lines, width), anti_aliasing=True, preserve_range=True).round().astype(np.uint8)


def faces_of(reference: MTCNN, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Boxes (K, 4) and landmarks (K, 5, 2) of the reference."""
    boxes, _, landmarks = reference.detect(picture, landmarks=True)
    if boxes is None:
        return np.zeros((0, 4)), np.zeros((0, 5, 2))
    return np.asarray(boxes, float), np.asarray(landmarks, float)


def compare(found: np.ndarray, boxes: np.ndarray, landmarks: np.ndarray) -> list[tuple[float, float]]:
    """For each face of the reference: best overlap, and mean distance of landmarks in eye distances."""
    results = []
    for box, points in zip(boxes, landmarks, strict=True):
        scores = overlap(box[None], found[:, :4])[0]
        best = found[scores.argmax()]
        eyes = np.linalg.norm(points[1] - points[0])
        results.append((scores.max(), np.linalg.norm(best[5:].reshape(5, 2) - points, axis=1).mean() / eyes))
    return results


@pytest.mark.parametrize("lines", [120, 180, 256, 360, 512])
def test_a_face_of_any_size_lies_where_the_reference_finds_it(detector: FaceDetector, reference: MTCNN,
                                                              lines: int) -> None:
    picture = scaled(astronaut(), lines)
    found, = detector(picture[None], min_face=MIN_FACE)
    assert found.shape == (1, NUM_COLUMNS) and found.dtype == np.float32 and found[0, 4] > 0.95
    (box_overlap, distance), = compare(found, *faces_of(reference, picture))
    assert box_overlap > 0.75 and distance < 0.06


def test_overlap_with_the_reference_is_high_in_the_middle(detector: FaceDetector, reference: MTCNN) -> None:
    figures = [compare(detector(picture[None], min_face=MIN_FACE)[0], *faces_of(reference, picture))[0]
               for picture in (scaled(astronaut(), lines) for lines in range(140, 520, 40))]
    assert np.median([figure[0] for figure in figures]) >= 0.85
    assert np.median([figure[1] for figure in figures]) <= 0.04


def test_two_people_side_by_side_are_two_faces(detector: FaceDetector, reference: MTCNN) -> None:
    one = scaled(astronaut(), 200)
    picture = np.concatenate([one, one[:, ::-1]], axis=1)
    found, = detector(picture[None], min_face=MIN_FACE)
    figures = compare(found, *faces_of(reference, picture))
    assert len(found) == 2 == len(figures) and min(figure[0] for figure in figures) > 0.75
    assert found[0, 4] >= found[1, 4], "the most probable first"


def test_frames_without_faces_are_ordinary_and_do_not_change_their_neighbours(detector: FaceDetector) -> None:
    face = scaled(astronaut(), 180)
    batch = np.stack([np.zeros_like(face), face, np.full_like(face, 127), face[:, ::-1], np.zeros_like(face)])
    found = detector(batch, min_face=MIN_FACE)
    assert [len(rows) for rows in found] == [0, 1, 0, 1, 0]
    assert all(rows.shape[1] == NUM_COLUMNS for rows in found)
    alone, = detector(face[None], min_face=MIN_FACE)
    np.testing.assert_allclose(found[1], alone, atol=0.01)


def test_frames_that_are_all_empty_or_none_at_all_give_no_faces(detector: FaceDetector) -> None:
    assert [len(rows) for rows in detector(np.zeros((3, 90, 160, 3), np.uint8), min_face=MIN_FACE)] == [0, 0, 0]
    assert detector(np.zeros((0, 90, 160, 3), np.uint8), min_face=MIN_FACE) == []


def test_a_face_upside_down_is_no_face(detector: FaceDetector, reference: MTCNN) -> None:
    picture = scaled(astronaut(), 256)[::-1].copy()
    assert len(detector(picture[None], min_face=MIN_FACE)[0]) == len(faces_of(reference, picture)[0]) == 0


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (11, 11), (300, 5), (12, 12), (13, 40)])
def test_frames_too_small_for_a_face_have_none(detector: FaceDetector, size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (2, *size, 3), np.uint8)
    assert [len(rows) for rows in detector(noise, min_face=MIN_FACE)] == [0, 0]


def test_faces_below_the_least_size_are_not_sought_and_the_least_is_a_cell(detector: FaceDetector) -> None:
    picture = scaled(astronaut(), 180)[None]
    assert len(detector(picture, min_face=120)[0]) == 0
    np.testing.assert_array_equal(detector(picture, min_face=1)[0], detector(picture, min_face=12)[0])


def test_the_same_frames_give_the_same_bytes(detector: FaceDetector) -> None:
    picture = np.stack([scaled(astronaut(), 180)] * 2)
    first, again = (np.concatenate(detector(picture, min_face=MIN_FACE)) for _ in range(2))
    assert first.tobytes() == again.tobytes()


def test_few_candidates_still_find_the_face() -> None:
    strict = FaceDetector(torch.device("cpu"), CascadeSettings(most_candidates=3))
    picture = scaled(astronaut(), 180)
    assert len(strict(picture[None], min_face=MIN_FACE)[0]) == 1


def test_photographs_agree_with_the_reference(detector: FaceDetector, reference: MTCNN,
                                              photographs: list[Path]) -> None:
    figures: list[tuple[float, float]] = []
    for path in photographs:
        picture = np.asarray(Image.open(path).convert("RGB"))
        picture = scaled(picture, 360) if picture.shape[0] > 360 else picture
        boxes, landmarks = faces_of(reference, picture)
        if len(boxes):
            figures += compare(detector(picture[None], min_face=MIN_FACE)[0], boxes, landmarks)
    assert len(figures) >= 20
    found = [figure for figure in figures if figure[0] > 0.5]
    assert len(found) >= 0.9 * len(figures), "faces that the reference finds"
    assert np.median([figure[0] for figure in found]) >= 0.85
    assert np.median([figure[1] for figure in found]) <= 0.05


@pytest.fixture(scope="module")
def exact() -> FaceDetector:
    return FaceDetector(torch.device("cpu"), REFERENCE)


def test_with_the_references_settings_faces_are_the_references(exact: FaceDetector, photographs: list[Path]) -> None:
    plain, num_faces = MTCNN(keep_all=True, device=torch.device("cpu")), 0
    for path in photographs:
        picture = np.array(Image.open(path).convert("RGB").resize((480, 360)))
        boxes, landmarks = faces_of(plain, picture)
        found, = exact(picture[None], min_face=20)
        assert len(found) == len(boxes)
        if len(boxes):
            assert min(figure[0] for figure in compare(found, boxes, landmarks)) > 0.999
            assert max(figure[1] for figure in compare(found, boxes, landmarks)) < 0.001
            num_faces += len(boxes)
    assert num_faces >= 20


def test_a_picture_in_strips_gives_what_it_gives_whole(exact: FaceDetector, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = np.stack([scaled(astronaut(), 300)] * 2)
    whole = exact(picture, min_face=20)
    for pixels in (2 ** 12, 2 ** 14, 30_011):
        monkeypatch.setattr(mtcnn, "_PIXELS_AT_ONCE", pixels)
        for found, expected in zip(exact(picture, min_face=20), whole, strict=True):
            np.testing.assert_allclose(found, expected, atol=0.01)


def test_a_huge_picture_is_sought_as_bytes_and_its_faces_are_found(exact: FaceDetector,
                                                                   monkeypatch: pytest.MonkeyPatch) -> None:
    picture = scaled(astronaut(), 400)
    expected, = exact(picture[None], min_face=40)
    monkeypatch.setattr(mtcnn, "_PIXELS_AS_NUMBERS", 100)
    monkeypatch.setattr(mtcnn, "_SAMPLES", 1)
    found, = exact(picture[None], min_face=40)
    assert len(found) == 1 and overlap(found[:, :4], expected[:, :4])[0, 0] > 0.8


def test_a_known_box_is_placed_by_the_third_network_alone(detector: FaceDetector) -> None:
    picture = scaled(astronaut(), 360)
    found, = detector(picture[None], min_face=MIN_FACE)
    side = found[0, 2] - found[0, 0]
    moved = found[:, :4] + np.array([0.1, -0.1, 0.1, -0.1], np.float32) * side
    frames = np.stack([np.zeros_like(picture), picture])
    answers = detector.look(frames, np.concatenate([moved, moved]), np.array([1, 0]))
    assert answers.shape == (2, NUM_COLUMNS) and answers[0, 4] > 0.95 and answers[1, 4] < 0.5
    assert overlap(answers[:1, :4], found[:, :4])[0, 0] > max(0.8, overlap(moved, found[:, :4])[0, 0])
    assert np.abs(answers[0, 5:] - found[0, 5:]).max() < 0.1 * side
    assert detector.look(frames, np.zeros((0, 4)), np.zeros(0, int)).shape == (0, NUM_COLUMNS)


@pytest.mark.parametrize("box", [[-50, -50, 40, 40], [-90, -90, -10, -10], [300, 300, 500, 500], [5, 5, 5, 5]])
def test_boxes_at_and_beyond_the_border_are_looked_at(detector: FaceDetector, box: list[float]) -> None:
    frame = np.zeros((1, 90, 160, 3), np.uint8)
    for cascade in (detector, FaceDetector(torch.device("cpu"), REFERENCE)):
        answer = cascade.look(frame, np.array([box], np.float32), np.array([0]))
        assert np.isfinite(answer).all() and 0 <= answer[0, 4] <= 1
    assert np.isfinite(looks(frame[0], np.array([box], np.float32))).all()


def test_looks_tell_one_face_from_another_place() -> None:
    picture = scaled(astronaut(), 512)
    face, shifted, elsewhere = [185, 50, 265, 165], [190, 54, 270, 169], [20, 300, 100, 415]
    vectors = looks(picture, np.array([face, shifted, elsewhere], np.float32))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert vectors[0] @ vectors[1] > 0.9 > 0.5 > vectors[0] @ vectors[2]
    assert looks(picture, np.zeros((0, 4))).shape == (0, vectors.shape[1])


def test_a_face_cut_by_the_border_is_found(detector: FaceDetector) -> None:
    picture = scaled(astronaut(), 360)
    found, = detector(picture[None], min_face=MIN_FACE)
    left = int(found[0, 0] + 0.2 * (found[0, 2] - found[0, 0]))
    assert len(detector(picture[None, :, left:], min_face=MIN_FACE)[0]) == 1
