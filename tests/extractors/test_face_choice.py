"""Whose the rows of the face extractors are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from pipeline.extractors.face_choice import FaceChoice
from pipeline.extractors.face_r3d18 import FaceR3d18
from pipeline.faces.choice import Policy
from tests.networks.test_crops import LARGE, MIDDLE, everywhere, scene


class Counting:
    """Stands for the network."""

    def __call__(self, frames: np.ndarray, rows: np.ndarray, *, batch_size: int) -> np.ndarray:
        return np.ones((len(rows), 512), np.float32)


@pytest.mark.parametrize("policy", ["largest", "speaking", "all"])
@pytest.mark.parametrize("snippets", ["sliding", "six_by_sixteen"])
def test_it_has_a_row_for_each_row_of_a_face_extractor_with_the_same_settings(policy: Policy, snippets: str) -> None:
    settings: dict[str, Any] = {"face": policy, "snippets": snippets}
    choice, network = FaceChoice(FaceChoice.Config(**settings)), FaceR3d18(FaceR3d18.Config(**settings))
    network.__dict__["network"] = Counting()
    faces = everywhere(LARGE, MIDDLE)
    for frame in range(30, 40):
        faces[frame] = [MIDDLE]
    clip = scene(choice, faces, speaking={0: 0.8, 1: 0.3})
    assert choice.request == network.request, "one decoding serves both"
    mine, = choice.extract([clip])
    theirs, = network.extract([clip])
    assert len(mine.values) == len(theirs.values) > 0
    np.testing.assert_array_equal(mine.times, theirs.times)


def test_a_row_says_who_is_seen_how_often_and_where() -> None:
    choice = FaceChoice()
    found, = choice.extract([scene(choice, {frame: [MIDDLE] for frame in (3, 4, 9)}, num_frames=16)])
    assert dict(zip(choice.columns, found.values[0].tolist(), strict=True)) == {
        "track": 1, "num_crops": 3, "x1": 100, "y1": 100, "x2": 140, "y2": 140}
