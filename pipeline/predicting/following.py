"""Faces followed through whole recordings, part after part, with how sure it is that each speaks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.extraction import ExtractConfig, Progress, extract
from pipeline.predicting.stretches import Cuts, Recording, Stretch, clip_id, parts_of
from pipeline.speaking.tracks import Faces, face_features, read_faces
from pipeline.store import FeatureStore

Watch = Callable[[], AbstractContextManager[Progress]]


def follow(recordings: Sequence[Recording], store: Path, *, settings: Mapping[str, Mapping[str, str]],
           config: ExtractConfig, watch: Watch) -> dict[int, Faces]:
    """Faces of the recordings that have a picture, by place.

    A face is followed within parts of a minute, and has another number in each.

    Args:
        recordings: that can be decoded; what is damaged in them is passed over.
        store: a file to make.
        settings: of the extractors, as after ``--set``.
        config: of the extraction.
        watch: opens what is told how it goes on.

    Raises:
        PipelineError: as :func:`pipeline.extraction.extract`.
    """
    seen = [number for number, part in enumerate(recordings) if part.size[0]]
    if not seen:
        return {}
    parts = [parts_of(recordings[number].duration_seconds) for number in seen]
    cuts = Cuts([(recordings[number].source, part) for number, part in zip(seen, parts, strict=True)])
    with watch() as progress:
        extract(cuts, store, extractors=["faces", "speaking"], settings=settings,
                config=replace(config, on_damage="partial"), progress=progress)
    opened = FeatureStore(store)
    return {number: _joined(opened, place, part) for place, (number, part) in enumerate(zip(seen, parts))}


def _joined(store: FeatureStore, recording: int, parts: Sequence[Stretch]) -> Faces:
    """The faces of a recording's parts on its own clock; a face has another number in each part."""
    rows, times, speaking, used = [], [], [], 0
    names = face_features(store)
    for place, part in enumerate(parts):
        found = read_faces(store, store.place(clip_id(recording, place)), *names)
        moved = found.rows.copy()
        moved[:, 0] += used
        used = int(moved[:, 0].max(initial=used - 1)) + 1
        rows.append(moved)
        times.append(found.times + np.float32(part.start_seconds))
        speaking.append(found.speaking)
    return Faces(np.concatenate(rows), np.concatenate(times), np.concatenate(speaking))
