"""The faces of a store's clips with their speaking scores: which features hold them, and whose they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.errors import StoreError
from pipeline.faces import COLUMNS, SPEAKING_COLUMNS
from pipeline.store import FeatureStore

SCORE = SPEAKING_COLUMNS.index("speaking")


@dataclass(frozen=True)
class Faces:
    """The faces of one clip.

    Args:
        rows: of :data:`pipeline.faces.COLUMNS` in source pixels, float32 (R, 16).
        times: start and stop of each in seconds from the clip's start, float32 (R, 2).
        speaking: score of each row, float32 (R,); NaN where it was not computed.
    """

    rows: np.ndarray
    times: np.ndarray
    speaking: np.ndarray

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def tracks(self) -> np.ndarray:
        """Track of each row, int64 (R,)."""
        return self.rows[:, 0].astype(np.int64)


@dataclass(frozen=True)
class Track:
    """One face of a clip over time.

    Args:
        number: as in the rows of ``faces``.
        start_seconds, stop_seconds: first and last moment in which it is seen, from the clip's start, half-open.
        num_rows: frames in which it is seen.
        height_pixels: median height of its box in source pixels.
        probability: mean over its rows.
        speaking: mean score over its rows; None where it was not computed.
    """

    number: int
    start_seconds: float
    stop_seconds: float
    num_rows: int
    height_pixels: float
    probability: float
    speaking: float | None


def face_features(store: FeatureStore, wanted: str | None = None) -> tuple[str, str | None]:
    """The feature that holds a store's faces, and the one with their speaking scores if there is one.

    Args:
        store: where they are.
        wanted: which faces, where there are variants; by default ``faces`` itself, or else the first.

    Raises:
        StoreError: there are no faces, or the wanted feature is not there or holds something else.
    """
    known = [name for name in store.features if store.head(name)["columns"] == COLUMNS]
    if wanted is not None and store.head(wanted) and wanted not in known:
        raise StoreError(f"{wanted} of {store.path} holds no faces; those that do: {', '.join(known) or 'none'}")
    if not known:
        raise StoreError(f"{store.path} has no feature of faces; add it with: python -m pipeline extract --dataset"
                         f" {store.corpus.name} --extractors faces --out {store.path}")
    faces = wanted or ("faces" if "faces" in known else known[0])
    made_from = (name for name in store.features if store.head(name)["columns"] == SPEAKING_COLUMNS
                 and store.fingerprint(faces) in _upstream(store, name))
    return faces, next(made_from, None)


def _upstream(store: FeatureStore, feature: str) -> list[object]:
    found = store.recipe(feature).get("upstream", {})
    return list(found.values()) if isinstance(found, dict) else []


def read_faces(store: FeatureStore, place: int, faces: str, speaking: str | None) -> Faces:
    """The faces of one clip.

    Args:
        store: where they are.
        place: of the clip in the clip table.
        faces, speaking: as :func:`face_features` gives them.

    Raises:
        StoreError: the scores do not fit the faces, or either is damaged.
    """
    found = store.cell(place, faces)
    scores = np.full(len(found.values), np.nan, np.float32)
    if speaking is not None and store.status(speaking)[place] in ("done", "empty"):
        stored = store.cell(place, speaking).values
        if len(stored) != len(scores) or not np.array_equal(stored[:, 0], found.values[:, 0]):
            raise StoreError(f"{store.path}: {speaking} of clip {store.column('clip_id')[place]} has {len(stored)} rows"
                             f" that are not those of {faces} ({len(scores)}); make {speaking} anew with: python -m"
                             f" pipeline extract --extractors {speaking} --replace")
        scores = stored[:, SCORE]
    return Faces(found.values, found.times, scores)


def summarise_tracks(faces: Faces) -> list[Track]:
    """Each track of a clip, by its number."""
    return [_summarise(int(number), faces, faces.tracks == number) for number in np.unique(faces.tracks)]


def _summarise(number: int, faces: Faces, mine: np.ndarray) -> Track:
    rows, times, scores = faces.rows[mine], faces.times[mine], faces.speaking[mine]
    return Track(number, float(times[:, 0].min()), float(times[:, 1].max()), len(rows),
                 float(np.median(rows[:, 4] - rows[:, 2])), float(rows[:, COLUMNS.index("probability")].mean()),
                 None if np.isnan(scores).any() else float(scores.mean()))
