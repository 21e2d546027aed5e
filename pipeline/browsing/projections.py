"""Clips as points: averages of their rows, brought to two dimensions, and which lie nearest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.random_projection import SparseRandomProjection
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from pipeline.browsing.opened_store import OpenedStore
from pipeline.errors import StoreError
from pipeline.store import FeatureStore
from pipeline.windows import evenly

Method = Literal["pca", "tsne"]
METHODS: dict[str, str] = {"pca": "PCA", "tsne": "t-SNE"}
MOST_TSNE = 2000                # clips: its time grows faster than their number
MOST_COLUMNS = 4096             # of more columns a random projection keeps the distances (Johnson, Lindenstrauss 1984)
KEPT_COLUMNS = 1024
BEFORE_TSNE = 50                # principal components that t-SNE begins from (van der Maaten, Hinton 2008)
MOST_BYTES = 1 << 30            # of a larger feature only so many rows of each clip are read
FEW_ROWS = 4
BLOCK_BYTES = 64 << 20


@dataclass(frozen=True)
class Averages:
    """The average row of each clip that has rows, every column scaled to mean 0 and standard deviation 1.

    Args:
        places: of the clips in the clip table, int64 (M,), rising.
        values: float32 (M, D).
        sampled: rows of each clip that were read at most; 0 for all.
    """

    places: np.ndarray
    values: np.ndarray
    sampled: int = 0


@dataclass(frozen=True)
class Projection:
    """Clips in two dimensions.

    Args:
        places: of the clips in the clip table, int64 (M,), rising.
        points: float64 (M, 2).
        share: of the variance that the two dimensions hold, 0 to 1; None where that means nothing.
        of: how many clips have rows; more than M where only some were used.
    """

    places: np.ndarray
    points: np.ndarray
    share: float | None
    of: int


def averages(opened: OpenedStore, feature: str) -> Averages:
    """The average row of every clip, worked out once.

    Raises:
        StoreError: no such feature, it is damaged or its numbers are not finite.
    """
    opened.store.head(feature)
    return opened.once(("averages", feature), lambda: _averages(opened.store, feature))


def _averages(store: FeatureStore, feature: str) -> Averages:
    offsets, rows = store.offsets(feature), store.array(feature)
    places = np.flatnonzero(np.diff(offsets) > 0)
    width = int(np.prod(rows.shape[1:]))
    if not len(places):
        return Averages(places, np.zeros((0, width), np.float32))
    row_bytes = max(1, width * rows.dtype.itemsize)
    large = len(rows) * row_bytes > MOST_BYTES
    squeeze = SparseRandomProjection(KEPT_COLUMNS, random_state=0).fit(np.zeros((1, width))) \
        if width > MOST_COLUMNS else None
    found, start = [], 0
    while start < len(places):
        per_clip = np.diff(offsets)[places[start:]]
        cost = np.cumsum(np.minimum(per_clip, FEW_ROWS) if large else per_clip) * row_bytes
        stop = start + max(1, int(np.searchsorted(cost, BLOCK_BYTES)))
        wanted = places[start:stop]
        # Clips without rows lie between the others and take no room, so that these rows lie in one piece.
        chosen: slice | np.ndarray = slice(offsets[wanted[0]], offsets[wanted[-1] + 1])
        edges = np.asarray(offsets[wanted] - offsets[wanted[0]])
        if large:
            some = [_few(offsets[place], offsets[place + 1]) for place in wanted.tolist()]
            chosen, edges = np.concatenate(some), np.cumsum([0, *map(len, some[:-1])])
        block = np.asarray(rows[chosen]).reshape(-1, width)
        mean = np.add.reduceat(block, edges, axis=0, dtype=np.float64) / np.diff(edges, append=len(block))[:, None]
        found.append(mean if squeeze is None else np.asarray(squeeze.transform(mean)))
        start = stop
    values = np.concatenate(found)
    if not np.isfinite(values).all():
        raise StoreError(f"{feature} of {store.path} holds numbers that are not finite; see which with: python -m"
                         f" pipeline verify {store.path}")
    spread = values.std(0)
    values = np.where(spread > 0, (values - values.mean(0)) / np.where(spread > 0, spread, 1), 0)
    return Averages(places, values.astype(np.float32), FEW_ROWS if large else 0)


def _few(start: int, stop: int) -> np.ndarray:
    """A few rows of a clip, evenly from its first to its last."""
    return np.asarray(start + evenly(int(stop - start) - 1, min(int(stop - start), FEW_ROWS)))


def project(opened: OpenedStore, feature: str, method: Method) -> Projection:
    """The clips of a feature in two dimensions, worked out once.

    t-SNE takes :data:`MOST_TSNE` clips at most, evenly over the store.

    Raises:
        StoreError: no such feature, or it cannot be used.
    """
    found = averages(opened, feature)
    return opened.once(("projection", feature, method), lambda: _project(found, method))


def _project(found: Averages, method: Method) -> Projection:
    places, values, count = found.places, found.values, len(found.places)
    if count < 3:
        return Projection(places[:0], np.zeros((0, 2)), None, count)
    if method == "tsne" and count > MOST_TSNE:
        chosen = evenly(count - 1, MOST_TSNE)
        places, values = places[chosen], values[chosen]
    kept = min(2 if method == "pca" else BEFORE_TSNE, *values.shape)
    if not values.any():
        return Projection(places, np.zeros((len(places), 2)), None, count)
    pca = PCA(kept, random_state=0)
    main = pca.fit_transform(values)
    if method == "tsne":
        reducer = TSNE(2, perplexity=min(30.0, (len(main) - 1) / 3), init="pca" if kept > 1 else "random",
                       random_state=0, n_jobs=1)
        with threadpool_limits(1):  # its threads wait for each other at every step: on a busy machine for minutes
            points = reducer.fit_transform(main)
        return Projection(places, np.asarray(points, np.float64), None, count)
    points = np.zeros((len(main), 2))
    points[:, :kept] = main
    return Projection(places, points, float(pca.explained_variance_ratio_.sum()), count)


def nearest(opened: OpenedStore, feature: str, place: int, *, count: int = 8) -> list[tuple[int, float]]:
    """Clips whose average row points most nearly the same way.

    Args:
        opened: the store.
        feature: to compare by.
        place: of the clip in the clip table.
        count: how many at most.

    Returns:
        Places and cosines, −1 to 1, the nearest first; none where the clip has no rows.

    Raises:
        StoreError: no such feature, or it cannot be used.
    """
    found = averages(opened, feature)
    units = opened.once(("units", feature), lambda: found.values / np.maximum(
        np.linalg.norm(found.values, axis=1, keepdims=True), 1e-12))
    own = int(np.searchsorted(found.places, place))
    if own == len(found.places) or found.places[own] != place:
        return []
    cosines = units @ units[own]
    order = [row for row in np.argsort(-cosines, kind="stable")[:count + 1].tolist() if row != own][:count]
    return [(int(found.places[row]), float(cosines[row])) for row in order]
