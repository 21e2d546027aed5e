"""R3D-101 on aligned crops: the crops of face_r3d18 at the network's own size, and its own rows."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.extractors.face_r3d101 import FaceR3d101
from pipeline.media import Media

from .conftest import Build
from .test_video_r3d101 import Watched


def extract(clip: Media, extractor: FaceR3d101) -> tuple[Watched, tuple[int, ...]]:
    network = extractor.__dict__["network"] = Watched(extractor.row_shape)
    found, = extractor.extract([clip])
    return network, found.values.shape


@pytest.mark.parametrize(("side", "places"), [(112, 16), (48, 4)])
def test_six_snippets_of_aligned_crops_of_the_networks_size(build_media: Build, side: int, places: int) -> None:
    extractor = FaceR3d101(FaceR3d101.Config(weights="random", side=side))
    network, shape = extract(build_media(extractor.needs), extractor)
    assert shape == (6, 2048, places)
    assert network.frames.shape[1:] == (side, side, 3) and network.rows.shape == (6, 16)
    assert extractor.settings()["side"] == side and extractor.settings()["crop"]


def test_a_clip_without_a_face_has_no_rows(build_media: Build) -> None:
    extractor = FaceR3d101(FaceR3d101.Config(weights="random", rows="pooled"))
    found, = extractor.extract([build_media(extractor.needs, face=False)])
    assert found.values.shape == (0, 2048) and found.values.dtype == np.float32


def test_settings_of_the_face_and_of_the_network_are_both_checked() -> None:
    with pytest.raises(ValueError, match="lines is at least 1, found 0"):
        FaceR3d101.Config(lines=0)
    with pytest.raises(ValueError, match="side is at least 1, found 0"):
        FaceR3d101.Config(side=0)
