"""Features are of the clip as it is: chance has no part in them, so that no augmentation is kept for ever in a store.

A published re-implementation mirrored and shifted pictures while it filled its cache, and trained on that one draw.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch

from .conftest import Build

NAMES = ("audio_encoder", "audio_functionals", "audio_logmel", "audio_mfcc", "audio_resnet18", "face_encoder",
         "face_r3d101", "face_r3d18", "text_bert", "video_r3d101", "video_r3d18")


def set_chance(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def chance() -> tuple[object, ...]:
    return random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state().numpy().tobytes()


@pytest.mark.parametrize("name", NAMES)
def test_chance_neither_changes_the_rows_nor_is_drawn_from(name: str, extractors: dict[str, Any],
                                                           build_media: Build) -> None:
    extractor, found = extractors[name], []
    clip = build_media(extractor.needs)
    extractor.extract([clip])  # loads the network, which may be a random one
    for seed in (1, 2):
        set_chance(seed)
        before = chance()
        found.append(extractor.extract([clip])[0].values.tobytes())
        assert chance() == before, "numbers were drawn"
    assert found[0] == found[1]


@pytest.mark.parametrize("name", ["face_r3d101", "face_r3d18", "video_r3d101", "video_r3d18"])
def test_a_clip_gives_a_row_for_each_snippet_and_no_altered_copies(name: str, extractors: dict[str, Any],
                                                                   build_media: Build) -> None:
    extractor = extractors[name]
    clip = build_media(extractor.needs)
    frames = next(iter(clip.frames.values()))
    rows = extractor.extract([clip])[0]
    layout = extractor.layout if hasattr(extractor, "layout") else extractor.config.layout
    assert len(rows.values) == len(layout.spans(frames.num_frames))
