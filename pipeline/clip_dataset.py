"""Labelled clips as a ``torch.utils.data.Dataset``, for training loops of one's own.

The trainers here need no loader (see ``pipeline/batch.py``); this gives the same batches to code that expects one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from pipeline.batch import Batch, gather_rows
from pipeline.errors import StoreError
from pipeline.joined import Rows, is_labelled
from pipeline.store import FeatureStore


@dataclass(frozen=True)
class LabelledClip:
    """One clip as a dataset gives it.

    Args:
        clip_id: whose it is.
        features: float32 (T, *row) by feature, T = 0 where the clip has no rows; copies that may be changed.
        label: class index, int64 (); or value, float32 ().
    """

    clip_id: str
    features: Mapping[str, Tensor]
    label: Tensor


class ClipDataset(Dataset[LabelledClip]):
    """The clips of a store that have a label of one task, in the store's order.

    Rows are read from the file's map when a clip is asked for. An object may be pickled, forked and used by the workers
    of a ``DataLoader``; give that :meth:`collate`.

    Args:
        store: where the features are.
        features: names, or one name.
        task: whose labels.
        split: only its clips; None for all.

    Attributes:
        clip_ids: str (N,).
        labels: int64 (N,), or float32 of a regression.

    Raises:
        StoreError: no such feature, task or split, or no clip of it has a label.

    >>> clips = store.dataset(["text_bert", "audio_resnet18"], "emotion", "train")          # doctest: +SKIP
    >>> loader = DataLoader(clips, 32, shuffle=True, collate_fn=clips.collate)              # doctest: +SKIP
    """

    def __init__(self, store: FeatureStore, features: str | Sequence[str], task: str, split: str | None = None) -> None:
        self.store, self.task, self.split = store, task, split
        self.features = (features,) if isinstance(features, str) else tuple(dict.fromkeys(features))
        if not self.features:
            raise ValueError("at least one feature is needed")
        for feature in self.features:
            store.head(feature)
        labels, splits = store.labels(task), store.column("split")
        if split is not None and split not in set(splits.tolist()):
            raise StoreError(f"{store.path} has no clip of split {split!r}, only of"
                             f" {', '.join(sorted(set(splits.tolist()))) or 'none'}")
        chosen = is_labelled(labels) if split is None else is_labelled(labels) & (splits == split).astype(bool)
        self._places = np.flatnonzero(chosen)
        if not len(self._places):
            raise StoreError(f"no clip of {store.path}{f' in split {split}' if split else ''} has a label of {task}")
        self.clip_ids, self.labels = store.column("clip_id")[self._places], labels[self._places]

    def __reduce__(self) -> tuple[object, ...]:
        return ClipDataset, (self.store, self.features, self.task, self.split)

    def __repr__(self) -> str:
        return f"ClipDataset({len(self)} clips, {', '.join(self.features)}, {self.task})"

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> LabelledClip:
        place = int(self._places[index])
        rows = {name: torch.from_numpy(np.array(self.store.cell(place, name).values, np.float32))
                for name in self.features}
        return LabelledClip(str(self.clip_ids[index]), rows, torch.tensor(self.labels[index]))

    def collate(self, clips: Sequence[LabelledClip]) -> Batch:
        """Some clips as one batch: rows padded with zeros to the longest, with masks that say which are real."""
        features, mask = {}, {}
        for name in self.features:
            lengths = np.asarray([len(clip.features[name]) for clip in clips], np.int64)
            values = torch.cat([clip.features[name] for clip in clips]).numpy()
            features[name], mask[name] = gather_rows(Rows(values, np.cumsum(lengths) - lengths, lengths))
        return Batch(features, mask, {self.task: torch.stack([clip.label for clip in clips])},
                     np.asarray([clip.clip_id for clip in clips], object))
