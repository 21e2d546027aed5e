"""Two stores side by side: which clips and features differ, by what settings, and how far their rows are apart."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from pipeline.joined import Rows, row_index
from pipeline.recipes import recipe_differences
from pipeline.store import FeatureStore

BLOCK_ROWS = 4096
MOST_LISTED = 10                # clips that are named


@dataclass(frozen=True)
class FeatureDifference:
    """How one feature differs between two stores, over the clips that both hold.

    Args:
        same_recipe: are the fingerprints equal?
        settings: what differs in the recipes, ``[name, first, second]``.
        clips: clips with rows in both.
        identical: of those, clips whose rows are equal to the byte.
        only_first, only_second: clips with rows in one store alone.
        other_lengths: clips with another number of rows, which are not compared further.
        cosine_mean, cosine_least: of the other clips' rows, each with its own counterpart; None without any.
        relative_mean, relative_most: ‖a − b‖ / ‖b‖ of those rows; None without any.
        furthest: clip of the row with the largest relative error; "" without any.
        other_shape: the rows cannot be compared at all.
    """

    same_recipe: bool
    settings: tuple[tuple[str, Any, Any], ...]
    clips: int
    identical: int
    only_first: int
    only_second: int
    other_lengths: int
    cosine_mean: float | None = None
    cosine_least: float | None = None
    relative_mean: float | None = None
    relative_most: float | None = None
    furthest: str = ""
    other_shape: bool = False


def differences(first: FeatureStore, second: FeatureStore) -> dict[str, Any]:
    """Everything in which two stores differ.

    Args:
        first, second: stores, of one corpus or not.

    Returns:
        In JSON's types: ``clips`` (``both``, ``only_first``, ``only_second``, and ``first_names``, ``second_names``,
        some of those), ``columns`` (clips with another value, by column of the clip table, labels included),
        ``only_first`` and ``only_second`` (features), and ``features`` (:class:`FeatureDifference` by name).

    Raises:
        StoreError: a part of one is damaged.
    """
    names = [store.column("clip_id") for store in (first, second)]
    _, *places = np.intersect1d(names[0].astype(str), names[1].astype(str), return_indices=True)
    order = np.argsort(places[0])
    here, there = places[0][order], places[1][order]
    alone = [np.setdiff1d(np.arange(len(own)), taken) for own, taken in zip(names, places, strict=True)]
    shared = [name for name in first.features if name in second.features]
    return {
        "clips": {"both": len(here), "only_first": len(alone[0]), "only_second": len(alone[1]),
                  "first_names": names[0][alone[0][:MOST_LISTED]].tolist(),
                  "second_names": names[1][alone[1][:MOST_LISTED]].tolist()},
        "columns": _columns(first, second, here, there),
        "only_first": [name for name in first.features if name not in shared],
        "only_second": [name for name in second.features if name not in shared],
        "features": {name: asdict(_feature(name, first, second, here, there)) for name in shared}}


def _columns(first: FeatureStore, second: FeatureStore, here: np.ndarray, there: np.ndarray) -> dict[str, int]:
    """Clips with another value, by column; columns without any are left out."""
    tasks = {task.name for task in first.corpus.tasks} & {task.name for task in second.corpus.tasks}
    found = {}
    for name in ("split", "group", "speaker", "dialogue", "turn", "text", "source_digest", "start_seconds",
                 "stop_seconds", *(f"labels/{task}" for task in sorted(tasks))):
        ours, theirs = first.column(name)[here], second.column(name)[there]
        other = ours != theirs
        if ours.dtype.kind == "f" and theirs.dtype.kind == "f":
            other &= ~(np.isnan(ours) & np.isnan(theirs))
        if other.any():
            found[name] = int(np.count_nonzero(other))
    return found


def _feature(name: str, first: FeatureStore, second: FeatureStore, here: np.ndarray,
             there: np.ndarray) -> FeatureDifference:
    ours, theirs = (Rows(store.array(name), store.offsets(name)[:-1][clips], np.diff(store.offsets(name))[clips])
                    for store, clips in ((first, here), (second, there)))
    both = (ours.lengths > 0) & (theirs.lengths > 0)
    identical = both & (first.cell_digests(name)[here] == second.cell_digests(name)[there])
    alike = both & ~identical & (ours.lengths == theirs.lengths)
    counted = FeatureDifference(
        first.fingerprint(name) == second.fingerprint(name),
        tuple(recipe_differences(first.recipe(name), second.recipe(name))), clips=int(both.sum()),
        identical=int(identical.sum()), only_first=int(((ours.lengths > 0) & (theirs.lengths == 0)).sum()),
        only_second=int(((theirs.lengths > 0) & (ours.lengths == 0)).sum()),
        other_lengths=int((both & ~identical & (ours.lengths != theirs.lengths)).sum()))
    if ours.row_shape != theirs.row_shape:
        return replace(counted, other_shape=True)
    if not alike.any():
        return counted
    clips = np.flatnonzero(alike)
    cosine, relative = _row_differences(ours.of(clips), theirs.of(clips))
    owner = np.repeat(clips, ours.lengths[clips])
    return replace(counted, cosine_mean=float(cosine.mean()), cosine_least=float(cosine.min()),
                   relative_mean=float(relative.mean()), relative_most=float(relative.max()),
                   furthest=str(first.column("clip_id")[here[owner[relative.argmax()]]]))


def _row_differences(ours: Rows, theirs: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Cosine and relative error of each row and its counterpart, float64 (R,); two rows of zeros are alike."""
    here, there = row_index(ours.starts, ours.lengths), row_index(theirs.starts, theirs.lengths)
    cosine, relative = np.empty(len(here)), np.empty(len(here))
    for start in range(0, len(here), BLOCK_ROWS):
        part = slice(start, start + BLOCK_ROWS)
        a, b = (rows.values[index[part]].reshape(len(index[part]), -1).astype(np.float64)
                for rows, index in ((ours, here), (theirs, there)))
        norms = np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)
        zero = (norms[0] == 0) & (norms[1] == 0)
        product = np.maximum(norms[0] * norms[1], np.finfo(float).tiny)
        cosine[part] = np.where(zero, 1.0, (a * b).sum(1) / product)
        apart = np.linalg.norm(a - b, axis=1)
        relative[part] = np.where(zero, 0.0, apart / np.maximum(norms[1], np.finfo(np.float32).tiny))
    return cosine, relative
