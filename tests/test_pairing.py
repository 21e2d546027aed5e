"""Sound and picture that a model is given together are of one clip, in whatever order their files were read.

A published re-implementation listed a folder of sounds and a folder of pictures and paired the two lists by place, so
that one missing file moved all pairs behind it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.cross_attention import CrossAttention
from models.early import Early
from pipeline.clip import Clip, Corpus, Task
from pipeline.joined import open_stores
from pipeline.learning.jobs import gather
from pipeline.learning.train_config import TrainConfig
from pipeline.media import FeatureSequence
from pipeline.storage.packing import FeatureData, write_store

CLASSES = ("calm", "happy", "sad")
NUMBERS = range(12)


def clip_of(number: int) -> Clip:
    return Clip(f"all/01-01-0{number % 3 + 2}-01-01-01-{number + 1:02d}", split="all", group=f"{number + 1:02d}",
                speaker=f"{number + 1:02d}", text="", labels={"emotion": CLASSES[number % 3]})


def make_store(path: Path, feature: str, modality: str, numbers: list[int]) -> Path:
    """Clips in this order; every row holds its clip's number."""
    clips = [clip_of(number) for number in numbers]
    rows = {clip_of(number).clip_id: FeatureSequence(
        np.full((1 + number % 3, 2), number, np.float32), np.full((1 + number % 3, 2), np.nan, np.float32), "none")
        for number in numbers}
    data = {feature: FeatureData(modality, (2,), {"extractor": feature}, rows)}
    return write_store(path, corpus=Corpus("ravdess", (Task("emotion", CLASSES),)), clips=clips, features=data)


@pytest.mark.parametrize(("model", "config"), [("early", Early.Config()), ("cross_attention", CrossAttention.Config())])
def test_each_clip_gets_its_own_sound_picture_and_label(tmp_path: Path, model: str, config: Any) -> None:
    """Fails where rows are paired by their place in two lists: one store is shuffled, and each lacks a clip."""
    order = np.random.default_rng(0).permutation(12).tolist()
    sound = make_store(tmp_path / "sound.h5", "audio_resnet18", "audio", [n for n in NUMBERS if n != 3])
    picture = make_store(tmp_path / "picture.h5", "face_r3d101", "face", [n for n in order if n != 7])
    material = gather(open_stores([sound, picture]), model, config, TrainConfig(device="cpu"))
    batch = material.batches.take(np.arange(12)[::-1].copy())
    actors = [int(clip_id[-2:]) - 1 for clip_id in batch.clip_ids]
    assert sorted(actors) == list(NUMBERS)
    for row, number in enumerate(actors):
        for feature, missing in (("audio_resnet18", 3), ("face_r3d101", 7)):
            values = batch.features[feature][row][batch.mask[feature][row]]
            assert (len(values) > 0) == (number != missing)
            assert (values == number).all(), f"{feature} of clip {number} is another's"
        assert batch.labels["emotion"][row] == number % 3
