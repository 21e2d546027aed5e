"""R3D-101 on whole frames: which pixels it sees, and rows of the shape that the settings say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipeline import weights
from pipeline.errors import WeightsError
from pipeline.extractors.video_r3d101 import VideoR3d101
from pipeline.media import Media
from pipeline.networks.snippets import middle

from .conftest import Build


class Watched:
    """Stands for the network: keeps what it was given."""

    def __init__(self, row_shape: tuple[int, ...]) -> None:
        self.row_shape = row_shape

    def __call__(self, frames: np.ndarray, rows: np.ndarray, *, batch_size: int) -> np.ndarray:
        self.frames, self.rows = frames, rows
        return np.ones((len(rows), *self.row_shape), np.float32)


def watched(**settings: Any) -> tuple[VideoR3d101, Watched]:
    extractor = VideoR3d101(VideoR3d101.Config(weights="random", **settings))
    network = extractor.__dict__["network"] = Watched(extractor.row_shape)
    return extractor, network


def clip_of(build_media: Build, extractor: VideoR3d101, num_frames: int) -> Media:
    return build_media(extractor.needs, num_frames=num_frames, face=False, num_samples=0)


def test_six_snippets_of_sixteen_are_the_default(build_media: Build) -> None:
    extractor, network = watched()
    found, = extractor.extract([clip_of(build_media, extractor, 100)])
    assert found.values.shape == (6, 2048, 16) and network.frames.shape[1:] == (112, 112, 3)
    assert network.rows.tolist() == np.arange(96).reshape(6, 16).tolist()
    assert found.times[0, 0] == 0 and found.times[-1, 1] == np.float32(100 / 15)


@pytest.mark.parametrize(("settings", "row_shape"), [
    ({}, (2048, 16)), ({"side": 256}, (2048, 64)), ({"rows": "pooled"}, (2048,)), ({"side": 32}, (2048, 1))])
def test_rows_are_maps_of_the_pictures_size_or_their_mean(settings: dict[str, Any], row_shape: tuple[int, ...]) -> None:
    assert VideoR3d101(VideoR3d101.Config(**settings)).row_shape == row_shape


def test_sliding_snippets_are_offered(build_media: Build) -> None:
    extractor, _ = watched(snippets="sliding", rows="pooled")
    assert extractor.extract([clip_of(build_media, extractor, 45)])[0].values.shape == (4, 2048)


@pytest.mark.parametrize("shape", [(6, 20), (20, 6), (12, 12)])
def test_the_middle_square_is_what_the_network_sees(shape: tuple[int, int]) -> None:
    frames = np.zeros((2, *shape, 3), np.uint8)
    short, (height, width) = min(shape), shape
    top, left = (height - short) // 2, (width - short) // 2
    frames[1, top:top + short, left:left + short] = (10, 200, 30)
    found = middle(frames, 6)
    assert found.shape == (2, 6, 6, 3) and found.dtype == np.uint8
    assert not found[0].any() and (found[1] == (10, 200, 30)).all()


def test_the_middle_keeps_places_and_colours() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (3, 8, 12, 3), np.uint8)
    np.testing.assert_array_equal(middle(frames, 8), frames[:, :, 2:10])


def test_weights_that_nobody_put_there_are_asked_for_before_any_work(monkeypatch: pytest.MonkeyPatch,
                                                                     tmp_path: Any) -> None:
    monkeypatch.setenv("PIPELINE_WEIGHTS", str(tmp_path))
    extractor = VideoR3d101()
    assert extractor.sources == (weights.R3D101,)
    with pytest.raises(WeightsError, match="Download r3d101_K_200ep.pth from https://drive.google.com"):
        extractor.weights


def test_a_picture_of_no_pixels_is_refused() -> None:
    with pytest.raises(ValueError, match="side is at least 1, found 0"):
        VideoR3d101.Config(side=0)
