"""Small stores with something to learn, for the tests of training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from pipeline.clip import Clip, Corpus, Fold, Protocol, Task
from pipeline.media import FeatureSequence
from pipeline.storage.packing import FeatureData, write_store

CLASSES = ("calm", "glad", "angry")
TASKS = (Task("emotion", CLASSES), Task("arousal", value_range=(0.0, 1.0)))
WORDS = {"calm": "quiet evening tea", "glad": "happy sunny party", "angry": "stop shouting now"}
MODALITIES = {"text_bert": ("text", (6,)), "audio_logmel": ("audio", (4, 2)), "face_r3d18": ("face", (5,))}


def rows_of(clip: Clip, feature: str, *, seed: int) -> FeatureSequence:
    """Noisy rows around a place that the emotion and the arousal decide; every seventh clip has none."""
    random = np.random.default_rng(seed)
    shape = MODALITIES[feature][1]
    if seed % 7 == 6:
        return FeatureSequence.empty(shape)
    length = int(random.integers(1, 6))
    values = random.normal(size=(length, *shape)).astype(np.float32)
    place = CLASSES.index(str(clip.labels.get("emotion", "calm")))
    values.reshape(length, -1)[:, place] += 1.5
    values.reshape(length, -1)[:, 3] += 3 * float(clip.labels.get("arousal", 0.5))
    return FeatureSequence(values, np.stack([np.arange(length), np.arange(1, length + 1)], 1).astype(np.float32))


def _moved(rows: FeatureSequence, shift: float) -> FeatureSequence:
    return replace(rows, values=rows.values + np.float32(shift))


def make_clips(sizes: dict[str, int], *, seed: int = 0, tasks: Sequence[Task] = TASKS) -> list[Clip]:
    """Clips of each split, four to a dialogue, every eleventh without an emotion."""
    random = np.random.default_rng(seed)
    names = {task.name for task in tasks}
    clips = []
    for split, number in sizes.items():
        for index in range(number):
            emotion = CLASSES[int(random.choice(3, p=(0.5, 0.3, 0.2)))]
            labels = {"emotion": emotion, "arousal": float(random.random())}
            if index % 11 == 10:
                del labels["emotion"]
            clips.append(Clip(f"{split}/clip{index}", text=f"{WORDS[emotion]} {index}", split=split,
                              speaker=f"speaker{index % 3}", group=f"{split}-dialogue{index // 4}",
                              labels={name: value for name, value in labels.items() if name in names}))
    return clips


def make_actors(num_actors: int, each: int = 12, *, seed: int = 0) -> list[Clip]:
    """Clips of one split, so many of each actor, who is group and speaker; every eleventh without an emotion."""
    clips = make_clips({"all": num_actors * each}, seed=seed)
    return [replace(clip, group=f"actor{place // each + 1}", speaker=f"actor{place // each + 1}")
            for place, clip in enumerate(clips)]


def make_protocol(num_actors: int, size: int, *, name: str = "actor-folds", warning: str = "") -> Protocol:
    """Actors in order, ``size`` a fold; the next fold chooses the epoch."""
    parts = [tuple(f"actor{first + place}" for place in range(size)) for first in range(1, num_actors + 1, size)]
    return Protocol(name, tuple(Fold(str(place + 1), part, parts[(place + 1) % len(parts)])
                                for place, part in enumerate(parts)), "Doe (2020), table 2", warning)


def make_store(path: Path, *, sizes: dict[str, int] | None = None, features: Sequence[str] = tuple(MODALITIES),
               clips: Sequence[Clip] | None = None, recipe: dict[str, object] | None = None,
               tasks: Sequence[Task] = TASKS, seed: int = 0, protocols: Sequence[Protocol] = (),
               corpus: str = "made-up", shift: Mapping[str, float] = MappingProxyType({})) -> Path:
    """Write a store of made-up features; ``shift`` is added to all rows of a group."""
    if clips is None:
        clips = make_clips(sizes or {"train": 120, "dev": 40, "test": 40}, seed=seed, tasks=tasks)
    data = {feature: FeatureData(
        MODALITIES[feature][0], MODALITIES[feature][1], {"extractor": feature, **(recipe or {})},
        {clip.clip_id: _moved(rows_of(clip, feature, seed=1000 * seed + 10 * index + place), shift.get(clip.group, 0))
         for index, clip in enumerate(clips)}) for place, feature in enumerate(features)}
    about = Corpus(corpus, tuple(tasks), protocols=tuple(protocols))
    return write_store(path, corpus=about, clips=clips, features=data)
