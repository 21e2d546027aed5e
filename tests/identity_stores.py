"""A store of made-up identities with a known truth: who each face track shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.clip import Clip, Corpus
from pipeline.faces import COLUMNS
from pipeline.faces.alignment import FIVE_POINTS
from pipeline.media import FeatureSequence
from pipeline.storage.packing import FeatureData, write_store

WIDTH = 512
FACES = "faces-as-they-were"
RECIPE: dict[str, Any] = {"extractor": "face_identity", "upstream": {"faces": FACES}, "fingerprint": "made-one-way",
                          "weights": [{"network": "n", "source": "file"}]}
Cast = Sequence[Sequence[str]]  # for each clip who its tracks show


def looks(person: str, *, seed: int = 0, noise: float = 0.4) -> np.ndarray:
    """An embedding of a person: the person's own direction, and chance."""
    own = np.random.default_rng(list(person.encode())).normal(size=WIDTH)
    drawn = own / np.linalg.norm(own) + noise * np.random.default_rng(seed).normal(size=WIDTH) / np.sqrt(WIDTH)
    return (drawn / np.linalg.norm(drawn)).astype(np.float32)  # type: ignore[no-any-return]


def face_row(track: int, left: float) -> np.ndarray:
    """A row of ``faces``: a box of 40 pixels."""
    return np.array([track, left, 20, left + 40, 60, .99, *(FIVE_POINTS * 40 + (left, 20)).ravel()], np.float32)


def make_identities(path: Path, cast: Cast, *, speakers: Sequence[str] = (), source: Path | None = None,
                    recipe: dict[str, Any] | None = None, corpus: Corpus = Corpus("made", redistribute="yes"),
                    first: int = 0) -> Path:
    """Write a store whose clips are ``train/0``, ``train/1``, …; all tracks of a clip are in view together."""
    ids = [f"train/{first + place}" for place in range(len(cast))]
    speakers = [*speakers, *[""] * (len(cast) - len(speakers))]
    clips = [Clip(clip_id, source, stop_seconds=1.0, speaker=speaker, split="train")
             for clip_id, speaker in zip(ids, speakers, strict=True)]
    people, faces = {}, {}
    for place, (clip_id, seen) in enumerate(zip(ids, cast, strict=True)):
        rows = [looks(person, seed=100 * (first + place) + track) for track, person in enumerate(seen)]
        times = np.tile(np.array([[0, .8]], np.float32), (len(rows), 1))
        people[clip_id] = FeatureSequence(np.stack(rows), times) if rows else FeatureSequence.empty((WIDTH,))
        boxes = [face_row(track, 10 + 50 * track) for track in range(len(seen))]
        faces[clip_id] = FeatureSequence(np.stack(boxes), times) if rows else FeatureSequence.empty((len(COLUMNS),))
    return write_store(path, corpus=corpus, clips=clips, features={
        "face_identity": FeatureData("face", (WIDTH,), recipe or RECIPE, people, is_input=False),
        "faces": FeatureData("face", (len(COLUMNS),), {"extractor": "faces", "fingerprint": FACES}, faces,
                             columns=COLUMNS, is_input=False)})
