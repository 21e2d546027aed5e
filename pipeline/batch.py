"""Batches without waiting: rows stay where they are, a batch is one gather by index, and pooled rows are made once.

No loader workers and no Python loop over clips. A model that sums up each clip's rows (``pools``) gets those sums from
memory; any other gets padded rows with a mask, in batches of clips of like length. A frame model gets the rows of all
features that belong to each row of one of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

from models import Context, Model
from pipeline.errors import TrainingError
from pipeline.joined import Rows, row_index
from pipeline.learning.conversations import scenes
from pipeline.learning.scaling import Scaler, pool_rows
from pipeline.learning.units import Units

BUCKET_BATCHES = 32             # clips are sorted by length within this many batches: little padding, enough chance


@dataclass(frozen=True)
class Batch:
    """Some clips, as a model takes them.

    Args:
        features: float32 (B, T, *row) by feature; zeros where the mask is False. T differs between features.
        mask: bool (B, T) by feature, True = a real row.
        labels: by task, int64 (B,) with −1 missing, or float32 (B,) with NaN missing; (B, T) for a frame model.
        clip_ids: (B,) str.
        steps: bool (B, T), True where a frame model is to answer; None for others.
        context: for models that ask for it.
    """

    features: Mapping[str, Tensor]
    mask: Mapping[str, Tensor]
    labels: Mapping[str, Tensor]
    clip_ids: np.ndarray
    steps: Tensor | None = None
    context: Context | None = None

    def __len__(self) -> int:
        return len(self.clip_ids)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {tuple(values.shape)}" for name, values in self.features.items())
        return f"Batch({len(self)} clips, {shapes})"

    def answers(self, network: Model) -> dict[str, Tensor]:
        """What a network says, by task: (B, C), or (B, T, C) of a frame model."""
        more = () if self.context is None else (self.context,)
        found: dict[str, Tensor] = network(self.features, self.mask, *more)
        return found


class Batches:
    """Clips with labels, ready to be cut into batches.

    With ``pools`` every clip's rows are summed up once, here, and stay in memory, on ``device``; without, rows stay
    where they are and a batch gathers and pads them.

    Args:
        rows: by feature, for N clips.
        labels: by task, (N,): int64 with −1 missing or float32 with NaN missing.
        clip_ids: (N,).
        pools: what a model asks for in its config; empty for the rows themselves.
        device: where batches come out.
        units: rows that a frame model answers for, whose labels ``labels`` then are.
        aligned: by feature the row that belongs to each unit, int64 (U,), −1 none; with ``units`` only.
        context: of the N clips, for a model that asks for it; a frame model gets scenes for conversations.

    Attributes:
        inputs: shape of one row as a model gets it, by feature.
        layered: features whose rows are (layers of an encoder, units).
        pools: as given.
        has: whether a clip has any row, bool (N,), by feature.
    """

    def __init__(self, rows: Mapping[str, Rows], labels: Mapping[str, np.ndarray], clip_ids: np.ndarray, *,
                 pools: Sequence[str] = (), device: torch.device | str = "cpu", units: Units | None = None,
                 aligned: Mapping[str, np.ndarray] = MappingProxyType({}), context: Context | None = None) -> None:
        self.device = torch.device(device)
        self.clip_ids = clip_ids
        self.has = {name: part.lengths > 0 for name, part in rows.items()} if units is None else {
            name: np.bincount(units.owner, index >= 0, len(clip_ids)) > 0 for name, index in aligned.items()}
        self._units, self._aligned = units, aligned
        self._context = context if context is None or units is None else scenes(context, units)
        self.rows = {name: as_rows(part, pools) for name, part in rows.items()} if pools else dict(rows)
        self.inputs = {name: part.row_shape for name, part in self.rows.items()}
        self.layered = tuple(name for name, part in self.rows.items() if part.layered)
        self._labels = {task: torch.from_numpy(values).to(self.device) for task, values in labels.items()}
        self._lengths = np.max([part.lengths for part in self.rows.values()], axis=0) if units is None \
            else units.lengths
        self._resident: dict[str, tuple[Tensor, Tensor]] = {}
        self._scaler: Scaler | None = None
        self.pools = tuple(pools)

    def fit_scaler(self, clips: np.ndarray) -> Scaler:
        """Statistics of the rows as a model gets them, over the clips at these places."""
        return Scaler.fit({name: part.of(clips) for name, part in self.rows.items()})

    def fit_speakers(self, speakers: np.ndarray) -> Scaler:
        """Statistics of each speaker's own rows as a model gets them.

        Args:
            speakers: (N,) name of each clip's speaker.

        Raises:
            TrainingError: a speaker is unknown.
        """
        unknown = np.flatnonzero(speakers == "")
        if len(unknown):
            raise TrainingError(f"{len(unknown)} of {len(speakers)} clips, {self.clip_ids[unknown[0]]} first, have no"
                                " speaker, and normalise=speaker takes each speaker's own statistics; name the speakers"
                                " in the corpus, or train with --normalise train")
        return Scaler.fit_speakers(self.rows, speakers)

    def use_scaler(self, scaler: Scaler) -> None:
        """Standardise everything that comes out from now on."""
        self._scaler = scaler
        for name, part in self.rows.items() if self.pools else ():
            has = torch.from_numpy(part.lengths > 0).unsqueeze(1)           # (N, 1)
            values = scaler.apply(name, torch.from_numpy(part.values).unsqueeze(1), np.arange(len(has)))
            real = has.view(-1, 1, *[1] * len(part.row_shape))
            self._resident[name] = torch.where(real, values, 0.0).to(self.device), has.to(self.device)

    def take(self, clips: np.ndarray) -> Batch:
        """The clips at these places, int64 (B,), in the order given."""
        index = torch.from_numpy(clips).to(self.device)
        context = self._context and Context(*(part[index].to(self.device) for part in (
            self._context.dialogue, self._context.turn, self._context.speaker, self._context.start)))
        if self._units is not None:
            return self._frames(self._units, clips, context)
        features, mask = {}, {}
        for name, part in self.rows.items():
            if name in self._resident:
                values, real = self._resident[name]
                features[name], mask[name] = values.index_select(0, index), real.index_select(0, index)
            else:
                features[name], mask[name] = self._standardised(name, clips, *gather_rows(part.of(clips)))
        labels = {task: values.index_select(0, index) for task, values in self._labels.items()}
        return Batch(features, mask, labels, self.clip_ids[clips], context=context)

    def _frames(self, units: Units, clips: np.ndarray, context: Context | None) -> Batch:
        """Some clips as a frame model takes them: everything at the rows of the clock."""
        within = np.arange(max(1, int(units.lengths[clips].max(initial=0))))
        steps = within < units.lengths[clips, None]                         # (B, T)
        places = np.where(steps, units.starts[clips, None] + within, 0)
        features, mask = {}, {}
        for name, part in self.rows.items():
            index = np.where(steps, self._aligned[name][places], -1)
            values = np.zeros((*steps.shape, *part.row_shape), np.float32)
            values[index >= 0] = part.values[index[index >= 0]]
            features[name], mask[name] = self._standardised(name, clips, torch.from_numpy(values),
                                                            torch.from_numpy(index >= 0))
        on_device, real = torch.from_numpy(places).to(self.device), torch.from_numpy(steps).to(self.device)
        labels = {task: torch.where(real, values[on_device], -1 if values.dtype == torch.int64 else torch.nan)
                  for task, values in self._labels.items()}
        if context is not None and units.times is not None:
            middles = torch.from_numpy(units.times.mean(1)[places]).to(self.device)
            context = replace(context, times=torch.where(real, context.start.unsqueeze(1) + middles, torch.inf))
        return Batch(features, mask, labels, self.clip_ids[clips], real, context)

    def _standardised(self, name: str, clips: np.ndarray, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        if self._scaler is not None:
            real = mask.view(*mask.shape, *[1] * (values.ndim - 2))
            values = torch.where(real, self._scaler.apply(name, values, clips), 0.0)
        return values.to(self.device), mask.to(self.device)

    def epoch(self, clips: np.ndarray, batch_size: int, *, generator: torch.Generator | None = None,
              batch_rows: int = 0) -> Iterator[Batch]:
        """All the clips at these places once, in batches.

        Args:
            clips: places, int64.
            batch_size: clips in a batch; the last may be smaller, and one with context ends with a conversation.
            generator: shuffles; without one the order is kept.
            batch_rows: rows in a batch at most, padding included, for a frame model; 0 sets no limit, and a longer
                clip makes a batch alone.
        """
        for places in self.places(clips, batch_size, generator=generator, batch_rows=batch_rows):
            yield self.take(places)

    def units_of(self, clips: np.ndarray) -> np.ndarray:
        """Places of what is answered for at some clips, in order: the clips, or their rows; int64."""
        return clips if self._units is None else self._units.of(clips)

    def places(self, clips: np.ndarray, batch_size: int, *, generator: torch.Generator | None = None,
               batch_rows: int = 0) -> Iterator[np.ndarray]:
        """Places of the clips of each batch of :meth:`epoch`."""
        if self._context is not None:
            frames = self._units is not None
            yield from whole_dialogues(np.asarray(self._context.dialogue)[clips], clips, batch_size, generator,
                                       self._lengths[clips] if frames else None, batch_rows)
            return
        if generator is not None:
            clips = clips[torch.randperm(len(clips), generator=generator).numpy()]
        if self.pools:
            yield from (clips[start:start + batch_size] for start in range(0, len(clips), batch_size))
            return
        for bucket in _buckets(self._lengths[clips], batch_size, generator):
            yield from within_rows(clips[bucket], self._lengths[clips[bucket]], batch_rows)


def within_rows(clips: np.ndarray, lengths: np.ndarray, batch_rows: int) -> Iterator[np.ndarray]:
    """A batch cut so that clips times their longest stay within so many rows; 0 cuts nothing.

    >>> [part.tolist() for part in within_rows(np.array([7, 8, 9]), np.array([2, 2, 5]), 6)]
    [[7, 8], [9]]
    """
    first = 0
    for place in range(1, len(clips)):
        if batch_rows and (place + 1 - first) * lengths[first:place + 1].max() > batch_rows:
            yield clips[first:place]
            first = place
    yield clips[first:]


def whole_dialogues(dialogue: np.ndarray, clips: np.ndarray, batch_size: int, generator: torch.Generator | None,
                    lengths: np.ndarray | None = None, batch_rows: int = 0) -> Iterator[np.ndarray]:
    """Batches of whole conversations, each with at least one and beyond that at most ``batch_size`` clips.

    Args:
        dialogue: number of each clip's conversation, (n,).
        clips: (n,) places.
        batch_size: clips in a batch.
        generator: shuffles the conversations; without one they come by their first clips.
        lengths: rows of each clip, (n,), of a frame model.
        batch_rows: rows in a batch of more than one conversation at most, padding included; 0 sets no limit.
    """
    lengths = np.zeros(len(clips), np.int64) if lengths is None else lengths
    _, first, which = np.unique(dialogue, return_index=True, return_inverse=True)
    order = np.argsort(first) if generator is None else torch.randperm(len(first), generator=generator).numpy()
    by_dialogue = np.split(np.argsort(which, kind="stable"), np.cumsum(np.bincount(which))[:-1])
    batch: list[np.ndarray] = []
    for place in order:
        both = np.concatenate([*batch, by_dialogue[place]])
        if batch and (len(both) > batch_size or batch_rows and len(both) * lengths[both].max() > batch_rows):
            yield clips[np.concatenate(batch)]
            batch = []
        batch.append(by_dialogue[place])
    if batch:
        yield clips[np.concatenate(batch)]


def as_rows(rows: Rows, pools: Sequence[str]) -> Rows:
    """Pooled statistics as one row for each of N clips that has any: k·D numbers, or (layers, k·D) of layers."""
    pooled = pool_rows(rows, pools)
    if rows.layered:
        layers, units = rows.row_shape
        by_pool = pooled.reshape(len(pooled), len(pools), layers, units)
        pooled = np.ascontiguousarray(by_pool.swapaxes(1, 2)).reshape(len(pooled), layers, -1)
    return Rows(pooled, np.arange(len(pooled)), (rows.lengths > 0).astype(np.int64), rows.layered)


def gather_rows(rows: Rows) -> tuple[Tensor, Tensor]:
    """Rows of some clips, padded to the longest with zeros.

    Returns:
        Values float32 (B, T, *row) and mask bool (B, T); T is at least 1.
    """
    steps = np.arange(max(1, int(rows.lengths.max(initial=0))))
    mask = steps < rows.lengths[:, None]                                    # (B, T)
    values = np.zeros((*mask.shape, *rows.row_shape), np.float32)
    values[mask] = rows.values[row_index(rows.starts, rows.lengths)]
    return torch.from_numpy(values), torch.from_numpy(mask)


def _buckets(lengths: np.ndarray, batch_size: int, generator: torch.Generator | None) -> list[np.ndarray]:
    """Batches of clips of like length; shuffled among themselves, or as they come without a generator."""
    if generator is None:
        return [np.arange(start, min(start + batch_size, len(lengths))) for start in range(0, len(lengths), batch_size)]
    batches = []
    for start in range(0, len(lengths), batch_size * BUCKET_BATCHES):
        bucket: np.ndarray = np.arange(start, min(start + batch_size * BUCKET_BATCHES, len(lengths)))
        bucket = bucket[np.argsort(lengths[bucket], kind="stable")]
        batches += [bucket[first:first + batch_size] for first in range(0, len(bucket), batch_size)]
    return [batches[place] for place in torch.randperm(len(batches), generator=generator).tolist()]
