"""Aligned crops of a real face turned by known angles."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.data import astronaut
from skimage.transform import SimilarityTransform, estimate_transform, resize, warp

from pipeline.faces import COLUMNS
from pipeline.faces.alignment import (EXPRESSION_CROP, FIVE_POINT_CROP, FIVE_POINTS, IDENTITY_CROP, RECIPES,
                                      SPEAKER_CROP, CropRecipe, Recipe, align, cut, landmarks_of, resized, similarity)
from pipeline.faces.mtcnn import FaceDetector

# Landmarks of scikit-image's astronaut as facenet-pytorch's MTCNN gives them, pixels of the 512×512 picture.
ASTRONAUT = np.array([[205.0, 101.7], [246.8, 103.7], [224.7, 129.0], [201.7, 139.2], [245.3, 141.9]])


@pytest.mark.parametrize("seed", range(5))
def test_similarity_agrees_with_scikit_image(seed: int) -> None:
    random = np.random.default_rng(seed)
    source = random.normal(size=(5, 2)) * 30
    target = random.normal(size=(5, 2)) * 3 + source @ [[1.0, 0.5], [-0.5, 1.0]] + 7
    turn, shift = similarity(source, target)
    expected = estimate_transform("similarity", source, target)
    assert [turn.real, turn.imag] == pytest.approx(expected.params[:2, 0])
    assert [shift.real, shift.imag] == pytest.approx(expected.translation)


def test_similarity_never_mirrors_and_survives_points_that_are_one() -> None:
    turn, _ = similarity(FIVE_POINTS, FIVE_POINTS * [-1, 1])
    assert abs(turn) < 1, "a mirror image is met by shrinking"
    assert similarity(np.ones((5, 2)), FIVE_POINTS)[0] == 0


def test_the_crops_eyes_lie_where_the_recipe_says() -> None:
    np.testing.assert_allclose(EXPRESSION_CROP.template[:2], [[0.35, 0.35], [0.65, 0.35]])
    same = CropRecipe("standard", tuple(FIVE_POINTS[0]), tuple(FIVE_POINTS[1]))
    np.testing.assert_allclose(same.template, FIVE_POINTS)


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    torch.set_num_threads(1)
    return FaceDetector(torch.device("cpu"))


def posed(degrees: float, zoom: float, canvas: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """The astronaut's face turned and zoomed about the middle of a picture; with its landmarks there."""
    middle = ASTRONAUT.mean(0)
    turn = zoom * np.exp(1j * np.deg2rad(degrees))
    move = SimilarityTransform(np.array([[turn.real, -turn.imag, 0], [turn.imag, turn.real, 0], [0, 0, 1]]))
    place = SimilarityTransform(translation=-middle) + move + SimilarityTransform(translation=(canvas / 2, canvas / 2))
    picture = warp(astronaut(), place.inverse, output_shape=(canvas, canvas), order=1, preserve_range=True)
    return picture.round().astype(np.uint8), place(ASTRONAUT - 0.5) + 0.5  # scikit-image counts from pixels' middles


@pytest.mark.parametrize("zoom", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("degrees", [0.0, 35.0, -60.0, 180.0])
def test_a_face_turned_by_any_angle_comes_out_level(detector: FaceDetector, degrees: float, zoom: float) -> None:
    picture, landmarks = posed(degrees, zoom)
    crop = align(picture, landmarks, EXPRESSION_CROP, 112)
    assert crop.shape == (112, 112, 3) and crop.dtype == np.uint8
    found, = detector(crop[None], min_face=40)
    assert len(found) == 1
    turn, shift = similarity(ASTRONAUT, EXPRESSION_CROP.template * 112)
    expected = turn * (ASTRONAUT[:, 0] + 1j * ASTRONAUT[:, 1]) + shift
    distance = np.abs(found[0, 5::2] + 1j * found[0, 6::2] - expected)
    assert distance.mean() < 2 and distance.max() < 4, "the five points lie where the best similarity puts them"
    assert abs(np.rad2deg(np.arctan2(found[0, 8] - found[0, 6], found[0, 7] - found[0, 5]))) < 6, "eyes level"


def test_the_crop_of_every_pose_shows_the_same_face() -> None:
    upright = align(*posed(0, 1), EXPRESSION_CROP, 112).astype(float)
    for degrees, zoom in ((35, 1), (180, 1), (0, 2)):
        other = align(*posed(degrees, zoom), EXPRESSION_CROP, 112).astype(float)
        assert np.abs(other - upright)[10:-10, 10:-10].mean() < 1.5


def test_a_face_at_the_border_repeats_the_edge() -> None:
    picture = np.full((100, 100, 3), 200, np.uint8)
    picture[:, :50] = 40
    for corner in ([0, 0], [95, 5], [-300, 50], [400, 400]):
        crop = align(picture, FIVE_POINTS * 40 + corner, EXPRESSION_CROP, 64)
        assert crop.shape == (64, 64, 3) and set(np.unique(crop)) <= set(range(40, 201))
    assert (align(picture, FIVE_POINTS * 40 + [-300, 0], EXPRESSION_CROP, 64) == 40).all()


@pytest.mark.parametrize("face", [20, 56, 112, 300, 900, 2500])
def test_a_face_larger_than_the_crop_is_averaged_and_one_smaller_is_not_darkened(face: int) -> None:
    side = 2 * face
    random = np.random.default_rng(0)
    picture = random.choice(np.array([0, 255], np.uint8), (side, side))[..., None].repeat(3, 2)
    crop = align(picture, FIVE_POINTS * face + face / 2, EXPRESSION_CROP, 56).astype(float)
    assert crop.mean() == pytest.approx(127.5, abs=8 if face < 100 else 3)
    per_pixel = face / 56
    if per_pixel > 4:
        assert crop.std() < 255 / per_pixel, "noise finer than a pixel averages out"


def test_a_fine_grating_leaves_no_pattern() -> None:
    picture = np.zeros((3000, 3000, 3), np.uint8)
    picture[:, ::2] = 255
    crop = align(picture, FIVE_POINTS * 1400 + 800, EXPRESSION_CROP, 112).astype(float)
    assert crop.std() < 5 and crop.mean() == pytest.approx(127.5, abs=2)


def test_a_point_in_the_picture_goes_where_the_transform_puts_it() -> None:
    ramp = np.linspace(0, 250, 251)[None].repeat(251, 0)
    picture = np.stack([ramp, ramp.T, ramp * 0], 2).astype(np.uint8)
    crop = align(picture, EXPRESSION_CROP.template * 112 + [20, 60], EXPRESSION_CROP, 112)
    np.testing.assert_array_equal(crop[50, :, 0], np.arange(112) + 20)
    np.testing.assert_array_equal(crop[:, 50, 1], np.arange(112) + 60)


def test_landmarks_that_are_one_point_give_one_colour() -> None:
    crop = align(resize(astronaut(), (64, 64), preserve_range=True).astype(np.uint8), np.full((5, 2), 30.0),
                 EXPRESSION_CROP, 16)
    assert len(np.unique(crop.reshape(-1, 3), axis=0)) == 1


def face_row(points: np.ndarray = ASTRONAUT, box: tuple[float, ...] = (180.0, 60.0, 260.0, 170.0)) -> np.ndarray:
    return np.array([0, *box, 0.99, *points.ravel()], np.float32)


def ramps(height: int = 200, width: int = 240) -> np.ndarray:
    """A picture whose red is x and whose green is y."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[..., 0], picture[..., 1] = np.arange(width), np.arange(height)[:, None]
    return picture


def corners(crop: np.ndarray) -> list[list[int]]:
    return [crop[place, place, :2].astype(int).tolist() for place in (0, -1)]


@pytest.mark.parametrize("side", [112, 224])
def test_the_recognition_crop_is_the_standard_template(side: int) -> None:
    np.testing.assert_allclose(FIVE_POINT_CROP.template, FIVE_POINTS)
    crop = cut(ramps(300, 250), face_row(FIVE_POINTS * side + [10, 20]), FIVE_POINT_CROP, side)
    assert corners(crop) == [[10, 20], [9 + side, 19 + side]]


def test_a_stretched_box_crop_is_facenets_own() -> None:
    from facenet_pytorch.models.utils.detect_face import extract_face
    from PIL import Image
    for box in ((150.0, 37.0, 296.0, 183.0), (150.0, 30.0, 296.0, 322.0)):  # it cuts at whole pixels
        expected = extract_face(Image.fromarray(astronaut()), np.array(box), 160, 14).permute(1, 2, 0).numpy()
        found = cut(astronaut(), face_row(box=box), IDENTITY_CROP, 160).astype(float)
        assert np.abs(found - expected).mean() < 3


def test_a_speakers_crop_is_a_square_with_more_below() -> None:
    # TalkNet: half the box's longer side is bs = 50; 1.4·bs to each side of the middle, bs above, 1.8·bs below.
    crop = cut(ramps(), face_row(box=(80, 60, 160, 160)), SPEAKER_CROP, 140)
    assert corners(crop) == [[50, 60], [189, 199]]


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=list(RECIPES))
def test_every_recipe_has_its_name_and_cuts_a_face_of_any_place_and_size(recipe: Recipe) -> None:
    assert RECIPES[recipe.name] is recipe
    for size, corner in ((1e-3, 50.0), (3, -40.0), (50, 230.0), (4000, -100.0), (1e12, 0.0), (1.0, 1e12)):
        face = face_row(FIVE_POINTS * size + corner, (corner, corner, corner + size, corner + size))
        crop = cut(ramps(), face, recipe, 16)
        assert crop.shape == (16, 16, 3) and crop.dtype == np.uint8


def test_a_crop_cut_from_the_smaller_picture_is_the_same_crop() -> None:
    smaller = resize(astronaut(), (256, 256), preserve_range=True, anti_aliasing=True).round().astype(np.uint8)
    face = resized(face_row()[None], np.array([0.5, 0.5]))[0]
    for recipe in RECIPES.values():
        whole, half = (cut(picture, row, recipe, 40).astype(float) for picture, row in (
            (astronaut(), face_row()), (smaller, face)))
        assert np.abs(whole - half).mean() < 4


def test_faces_are_resized_in_both_directions_and_keep_track_and_probability() -> None:
    rows = face_row()[None]
    found = resized(rows, np.array([2.0, 3.0]))
    np.testing.assert_allclose(found[0, [1, 2, 3, 4]], rows[0, [1, 2, 3, 4]] * [2, 3, 2, 3])
    np.testing.assert_allclose(landmarks_of(found)[0], ASTRONAUT * [2, 3], rtol=1e-6)
    assert found[0, [0, 5]].tolist() == rows[0, [0, 5]].tolist() and rows.shape == (1, len(COLUMNS))
    assert rows[0, 1] == 180, "what was given is left alone"


def test_the_side_of_a_place_is_what_a_crop_covers() -> None:
    assert FIVE_POINT_CROP.place(face_row(FIVE_POINTS * 80)).side == pytest.approx(80)
    assert SPEAKER_CROP.place(face_row(box=(80, 60, 160, 160))).side == pytest.approx(140)
    assert IDENTITY_CROP.place(face_row(box=(0, 0, 146, 73))).side == pytest.approx(160)
