"""What is asked for is checked before anything is looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.datasets.manifest import Manifest
from pipeline.errors import UsageError
from pipeline.running.planning import ExtractConfig, plan_extraction


@pytest.mark.parametrize("part", ["0/4", "5/4", "1/0", "x/2", "3", "1/2/3", "-1/4", "9/3"])
def test_a_part_that_is_not_there_is_refused_before_weights_and_clips_are_looked_for(part: str) -> None:
    with pytest.raises(UsageError, match=f"--shard {part}: expected K/N with K from 1 to N, for instance 3/16"):
        plan_extraction(Manifest(), Path("store.h5"), ["face_r3d18"], {}, ExtractConfig(shard=part))
