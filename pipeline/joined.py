"""Several feature stores read as one: joined by clip id, and the choice of which features a model is given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.clip import Task
from pipeline.errors import StoreError
from pipeline.learning.layered import is_layered as is_layered
from pipeline.storage.shards import open_store
from pipeline.store import FeatureStore

# One feature of each group is a model's input unless the user names the inputs: what is said, how, and what is seen.
MODALITY_GROUPS = (("text",), ("audio",), ("face", "video"))

# Networks' embeddings sum up more in one pooled row than raw measurements such as log-mel bands do, and the speaker's
# face tells more of an emotion than the whole frame. Features that stand not here follow, narrowest rows first.
PREFERRED_INPUTS = ("text_bert", "audio_resnet18", "face_r3d18", "face_r3d101", "video_r3d18", "video_r3d101",
                    "audio_functionals")


@dataclass(frozen=True)
class Rows:
    """Rows of one feature and whose they are.

    Args:
        values: (R, *row_shape), usually mapped from a file.
        starts: first row of each clip, int64 (N,).
        lengths: number of rows of each clip, int64 (N,); 0 where it has none.
        layered: is a row (layers of an encoder, units)? Its shape alone does not say, as maps are (channels, places).
    """

    values: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    layered: bool = False

    @property
    def row_shape(self) -> tuple[int, ...]:
        return tuple(self.values.shape[1:])

    def of(self, clips: np.ndarray) -> Rows:
        """The same rows for some clips, by their places, in the order given."""
        return replace(self, starts=self.starts[clips], lengths=self.lengths[clips])


class JoinedStores:
    """Feature stores whose clips are joined by id; a clip that one store lacks has no rows of that store's features.

    Clips keep the order of the first store; those that only a later store has follow.

    Args:
        stores: at least one.

    Attributes:
        clips: the clip table, one row a clip, from the first store that has the clip.
        tasks: by name.

    Raises:
        StoreError: two stores hold the same feature, the same clip in two splits, or one task with other classes.
    """

    def __init__(self, stores: Sequence[FeatureStore]) -> None:
        if not stores:
            raise ValueError("at least one store is needed")
        self.stores = tuple(stores)
        self._owners: dict[str, FeatureStore] = {}
        for store in stores:
            for feature in store.features:
                if feature in self._owners:
                    raise StoreError(f"{self._owners[feature].path} and {store.path} both hold {feature!r}; name only"
                                     " one of them, or extract one of the two under another name: FEATURE@VARIANT")
                self._owners[feature] = store
        tables = [store.clips for store in stores]
        self.clips = pd.concat(tables, ignore_index=True).drop_duplicates("clip_id", ignore_index=True)
        index = pd.Index(self.clips["clip_id"])
        self._places = {store.path: index.get_indexer(table["clip_id"]) for store, table in zip(stores, tables)}
        self._check_splits(tables)
        self.tasks: dict[str, Task] = {}
        for store in stores:
            for task in store.corpus.tasks:
                known = self.tasks.setdefault(task.name, task)
                if known != task:
                    raise StoreError(f"task {task.name!r} has classes {', '.join(known.classes) or 'none'} in an"
                                     f" earlier store and {', '.join(task.classes) or 'none'} in {store.path}")

    def __len__(self) -> int:
        return len(self.clips)

    def _check_splits(self, tables: Sequence[pd.DataFrame]) -> None:
        for store, table in zip(self.stores, tables):
            known = self.clips["split"].to_numpy()[self._places[store.path]]
            different = np.flatnonzero(known != table["split"].to_numpy())
            if len(different):
                clip = table.iloc[different[0]]
                raise StoreError(f"clip {clip['clip_id']} is in split {known[different[0]]!r} of an earlier store and"
                                 f" in {clip['split']!r} of {store.path}")

    @property
    def unit_rows(self) -> pd.DataFrame | None:
        """``row`` and ``start_seconds`` of each clip where clips are rows of others; else None."""
        return None

    @property
    def rendered(self) -> tuple[str, ...]:
        """Names of the corpora that were rendered and not filmed."""
        return tuple(dict.fromkeys(store.corpus.name for store in self.stores if store.corpus.rendered))

    @property
    def notices(self) -> list[str]:
        """What must stand beside every figure on them."""
        return list(dict.fromkeys(store.corpus.notice for store in self.stores if store.corpus.notice))

    @property
    def paths(self) -> tuple[Path, ...]:
        return tuple(store.path for store in self.stores)

    @property
    def features(self) -> tuple[str, ...]:
        """Names of all features, sorted."""
        return tuple(sorted(self._owners))

    def owner(self, feature: str) -> FeatureStore:
        """The store that holds a feature.

        Raises:
            StoreError: none does; the message names those there are and the command that adds one.
        """
        if feature not in self._owners:
            stores = " and ".join(map(str, self.paths))
            raise StoreError(f"{stores} has no feature {feature!r}, only {', '.join(self.features) or 'none'}; add it"
                             f" with: python -m pipeline extract --dataset {self.stores[0].corpus.name} --extractors"
                             f" {feature} --out {self.paths[0]}")
        return self._owners[feature]

    def rows(self, feature: str) -> Rows:
        """Rows of a feature for every clip of :attr:`clips`.

        Raises:
            StoreError: no such feature.
        """
        store = self.owner(feature)
        offsets, places = store.offsets(feature), self._places[store.path]
        starts, lengths = np.zeros(len(self), np.int64), np.zeros(len(self), np.int64)
        starts[places], lengths[places] = offsets[:-1], np.diff(offsets)
        return Rows(store.array(feature), starts, lengths, is_layered(self.describe(feature)))

    def times(self, feature: str) -> np.ndarray:
        """Start and stop of all rows of a feature in seconds from their clip's start, float32 (R, 2).

        Raises:
            StoreError: no such feature.
        """
        return self.owner(feature).times(feature)

    def columns(self, feature: str) -> tuple[str, ...]:
        """Names of a feature's columns; empty where they have none.

        Raises:
            StoreError: no such feature.
        """
        columns: tuple[str, ...] = self.owner(feature).head(feature)["columns"]
        return columns

    def labels(self, task: str) -> np.ndarray:
        """Labels of a task for every clip: class index int64 with −1 missing, or float32 with NaN missing; (N,).

        Raises:
            StoreError: no store has the task, or two give one clip different labels.
        """
        if task not in self.tasks:
            raise StoreError(f"{' and '.join(map(str, self.paths))} has no task {task!r}, only"
                             f" {', '.join(self.tasks) or 'none'}")
        classes = bool(self.tasks[task].classes)
        joined = np.full(len(self), -1, np.int64) if classes else np.full(len(self), np.nan, np.float32)
        for store in self.stores:
            if task in {known.name for known in store.corpus.tasks}:
                places, found = self._places[store.path], store.labels(task)
                clash = is_labelled(found) & is_labelled(joined[places]) & (found != joined[places])
                if clash.any():
                    clip_id = self.clips["clip_id"].iloc[places[np.flatnonzero(clash)[0]]]
                    raise StoreError(f"clip {clip_id} has another label for {task!r} in {store.path} than in an earlier"
                                     " store; use one corpus reading for both")
                joined[places[is_labelled(found)]] = found[is_labelled(found)]
        return joined

    def describe(self, feature: str) -> dict[str, Any]:
        """What a checkpoint keeps of a feature: modality, row_shape, fingerprint, recipe; in JSON's types."""
        store = self.owner(feature)
        return {"modality": store.modality(feature), "row_shape": list(store.row_shape(feature)),
                "fingerprint": store.fingerprint(feature), "recipe": store.recipe(feature)}


def row_index(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Places of all rows of some clips, one clip after the other, int64 (sum of lengths,).

    >>> row_index(np.array([5, 0]), np.array([2, 3])).tolist()
    [5, 6, 0, 1, 2]
    """
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return np.asarray(np.repeat(starts, lengths) + within)


def open_stores(paths: Path | Sequence[Path]) -> JoinedStores:
    """Open one store or several.

    Raises:
        StoreError: one cannot be read, or they do not go together.
    """
    several = [paths] if isinstance(paths, (str, Path)) else list(paths)
    return JoinedStores([open_store(path) for path in several])


def is_labelled(labels: np.ndarray) -> np.ndarray:
    """Where a label stands, bool (N,): not −1 in class indices, not NaN in values."""
    return labels >= 0 if labels.dtype.kind == "i" else ~np.isnan(labels)


def choose_inputs(stores: JoinedStores, inputs: Sequence[str] | None = None,
                  preferred: Sequence[str] = ()) -> tuple[str, ...]:
    """The features that a model is given.

    Those the user names; otherwise those of ``preferred`` that are there; otherwise one for each of text, sound and
    picture, among the features that are meant for models and have rows: by :data:`PREFERRED_INPUTS`, then faces before
    whole frames, then the narrowest rows, then by name. A variant (``face_r3d18@six``) ranks right behind its plain
    form.

    Args:
        stores: that hold them.
        inputs: what the user names.
        preferred: what the model asks for by itself, in its order; a variant stands for a plain form that is not there.

    Raises:
        StoreError: a named feature is not there, or there is none to choose.
    """
    if inputs:
        for feature in inputs:
            stores.owner(feature)
        return tuple(dict.fromkeys(inputs))
    usable = [name for name in stores.features if stores.owner(name).is_input(name) and stores.rows(name).lengths.any()]
    forms = [[name for name in usable if name.split("@")[0] == plain] for plain in preferred]
    chosen = [min(names) for names in forms if names]                       # a plain name comes before its variants
    for group in () if chosen else MODALITY_GROUPS:
        candidates = [name for name in usable if stores.owner(name).modality(name) in group]
        if candidates:
            chosen.append(min(candidates, key=lambda name: _rank(stores, name, group)))
    if not chosen:
        raise StoreError(f"{' and '.join(map(str, stores.paths))} has no rows of any feature that a model can learn"
                         f" from; it holds {', '.join(stores.features) or 'no features'}; add one with: python -m"
                         f" pipeline extract --dataset {stores.stores[0].corpus.name} --out {stores.paths[0]}")
    return tuple(chosen)


def _rank(stores: JoinedStores, name: str, group: tuple[str, ...]) -> tuple[int, int, int, str]:
    plain = name.split("@")[0]
    place = PREFERRED_INPUTS.index(plain) if plain in PREFERRED_INPUTS else len(PREFERRED_INPUTS)
    store = stores.owner(name)
    return place, group.index(store.modality(name)), int(np.prod(store.row_shape(name))), name
