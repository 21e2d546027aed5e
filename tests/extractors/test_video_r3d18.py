"""R3D-18 on whole frames."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from pipeline.extractors.video_r3d18 import VideoR3d18
from pipeline.media import Media

from .conftest import Build


class Frames16:
    """Stands for the network: gives the first frame's mean and the numbers of the frames it was given."""

    def __call__(self, frames: np.ndarray, rows: np.ndarray, *, batch_size: int) -> np.ndarray:
        assert frames.shape[1:] == (112, 112, 3) and rows.shape[1:] == (16,)
        values = np.zeros((len(rows), 512), np.float32)
        values[:, :16] = rows
        return values


def extract(clip: Media, **settings: Any) -> Any:
    extractor = VideoR3d18(VideoR3d18.Config(weights="random", **settings))
    extractor.__dict__["network"] = Frames16()
    return extractor.extract([clip])[0]


def clip_of(build_media: Build, num_frames: int, **settings: Any) -> Media:
    return build_media(VideoR3d18(VideoR3d18.Config(**settings)).needs, num_frames=num_frames, face=False,
                       num_samples=0)


@pytest.mark.parametrize(("num_frames", "starts"), [(1, [0]), (15, [0]), (16, [0]), (23, [0]), (24, [0, 8]),
                                                    (45, [0, 8, 16, 24])])
def test_snippets_of_16_every_8_as_many_as_fit_and_at_least_one(
        build_media: Build, num_frames: int, starts: list[int]) -> None:
    found = extract(clip_of(build_media, num_frames))
    np.testing.assert_allclose(found.times[:, 0], np.array(starts) / 15, atol=1e-6)
    np.testing.assert_allclose(found.times[:, 1], np.minimum(np.array(starts) + 16, num_frames) / 15, atol=1e-6)


def test_a_clip_shorter_than_a_snippet_holds_its_last_frame(build_media: Build) -> None:
    rows = extract(clip_of(build_media, 5)).values[0, :16]
    assert rows.tolist() == [0, 1, 2, 3, *[4] * 12]


def test_six_by_sixteen_spreads_six_snippets_and_reads_only_their_frames(build_media: Build) -> None:
    clip = clip_of(build_media, 200, snippets="six_by_sixteen")
    frames, = clip.frames.values()
    assert len(frames) == 96 and frames.num_frames == 200
    found = extract(clip, snippets="six_by_sixteen")
    assert found.values[:, :16].astype(int).tolist() == np.arange(96).reshape(6, 16).tolist()
    assert found.times[0, 0] == 0 and found.times[-1, 1] == np.float32(200 / 15)


def test_times_end_with_the_clip(build_media: Build) -> None:
    clip = replace(clip_of(build_media, 16), duration_seconds=1.05)
    assert extract(clip).times.tolist() == [[0, np.float32(1.05)]]


def test_frames_are_asked_for_as_the_network_was_trained() -> None:
    request = VideoR3d18().request
    assert (request.rate_hz, request.size, request.crop) == (15, (128, 171), (112, 112))
