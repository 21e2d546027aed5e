"""Batches without waiting: rows stay where they are, a batch is one gather by index, and pooled rows are made once.

No loader workers and no Python loop over clips. A model that sums up each clip's rows (``pools``) gets those sums from
memory; any other gets padded rows with a mask, in batches of clips of like length.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.errors import TrainingError
from pipeline.joined import Rows

BLOCK_BYTES = 64 << 20          # rows taken from disk at a time while pooling: memory stays flat, reads stay long
SPEAKER_NOTE = ("transductive: every speaker's clips are standardised by that speaker's own, the tested ones too"
                " (without their labels); compare only with results that do the same")
BUCKET_BATCHES = 32             # clips are sorted by length within this many batches: little padding, enough chance


@dataclass(frozen=True)
class Batch:
    """Some clips, as a model takes them.

    Args:
        features: float32 (B, T, *row) by feature; zeros where the mask is False. T differs between features.
        mask: bool (B, T) by feature, True = a real row.
        labels: by task, int64 (B,) with −1 missing, or float32 (B,) with NaN missing.
        clip_ids: (B,) str.
    """

    features: Mapping[str, Tensor]
    mask: Mapping[str, Tensor]
    labels: Mapping[str, Tensor]
    clip_ids: np.ndarray

    def __len__(self) -> int:
        return len(self.clip_ids)

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name} {tuple(values.shape)}" for name, values in self.features.items())
        return f"Batch({len(self)} clips, {shapes})"


@dataclass(frozen=True)
class Scaler:
    """Mean and standard deviation of every number of a row, by feature.

    A number that hardly varies there (a dead unit, silence) has the standard deviation 1.

    Args:
        mean, sd: over the training clips, float32 (*row); or over each speaker's own clips, (S, *row).
        speaker: whose statistics count for each clip, int64 (N,); None where all clips share them.
    """

    mean: Mapping[str, Tensor]
    sd: Mapping[str, Tensor]
    speaker: np.ndarray | None = None

    @classmethod
    def fit(cls, rows: Mapping[str, Rows]) -> Scaler:
        """Statistics over all rows of the clips given; a feature without rows keeps mean 0 and deviation 1."""
        statistics = {name: _mean_and_sd(part) for name, part in rows.items()}
        return cls({name: mean for name, (mean, _) in statistics.items()},
                   {name: sd for name, (_, sd) in statistics.items()})

    @classmethod
    def fit_speakers(cls, rows: Mapping[str, Rows], speakers: np.ndarray) -> Scaler:
        """Statistics of every speaker's own rows, those of the clips that are tested too: it takes no labels.

        Args:
            rows: by feature, for N clips.
            speakers: (N,) str, none empty.
        """
        names, speaker = np.unique(speakers.astype(str), return_inverse=True)
        parts = [cls.fit({name: part.of(np.flatnonzero(speaker == place)) for name, part in rows.items()})
                 for place in range(len(names))]
        return cls({name: torch.stack([part.mean[name] for part in parts]) for name in rows},
                   {name: torch.stack([part.sd[name] for part in parts]) for name in rows}, speaker)

    def apply(self, name: str, values: Tensor, clips: np.ndarray | None = None) -> Tensor:
        """Standardised rows of one feature.

        Args:
            name: the feature.
            values: float32 (B, T, *row).
            clips: places of the clips whose rows they are, int64 (B,); only each speaker's own statistics need them.
        """
        mean, sd = self.mean[name], self.sd[name]
        if self.speaker is not None:
            place = torch.from_numpy(self.speaker[clips])
            mean, sd = mean[place].unsqueeze(1), sd[place].unsqueeze(1)     # (B, 1, *row)
        return (values - mean.to(values.device)) / sd.to(values.device)

    def state(self) -> dict[str, dict[str, Tensor]]:
        """As a checkpoint keeps it; of each speaker's own, which are of no use for others, mean 0 and deviation 1."""
        if self.speaker is not None:
            return {name: {"mean": torch.zeros_like(mean[0]), "sd": torch.ones_like(mean[0])}
                    for name, mean in self.mean.items()}
        return {name: {"mean": self.mean[name], "sd": self.sd[name]} for name in self.mean}

    @classmethod
    def from_state(cls, state: Mapping[str, Mapping[str, Tensor]]) -> Scaler:
        """The inverse of :meth:`state`, of the training clips' statistics."""
        return cls({name: part["mean"] for name, part in state.items()},
                   {name: part["sd"] for name, part in state.items()})


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

    Attributes:
        inputs: shape of one row as a model gets it, by feature.
        pools: as given.
        has: whether a clip has any row, bool (N,), by feature.
    """

    def __init__(self, rows: Mapping[str, Rows], labels: Mapping[str, np.ndarray], clip_ids: np.ndarray, *,
                 pools: Sequence[str] = (), device: torch.device | str = "cpu") -> None:
        self.device = torch.device(device)
        self.clip_ids = clip_ids
        self.has = {name: part.lengths > 0 for name, part in rows.items()}
        self.rows = {name: as_rows(pool_rows(part, pools), part.lengths > 0) for name, part in rows.items()} \
            if pools else dict(rows)
        self.inputs = {name: part.row_shape for name, part in self.rows.items()}
        self._labels = {task: torch.from_numpy(values).to(self.device) for task, values in labels.items()}
        self._lengths = np.max([part.lengths for part in self.rows.values()], axis=0)
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
            self._resident[name] = torch.where(has.unsqueeze(2), values, 0.0).to(self.device), has.to(self.device)

    def take(self, clips: np.ndarray) -> Batch:
        """The clips at these places, int64 (B,), in the order given."""
        index = torch.from_numpy(clips).to(self.device)
        features, mask = {}, {}
        for name, part in self.rows.items():
            if name in self._resident:
                values, real = self._resident[name]
                features[name], mask[name] = values.index_select(0, index), real.index_select(0, index)
            else:
                features[name], mask[name] = self._padded(name, clips)
        labels = {task: values.index_select(0, index) for task, values in self._labels.items()}
        return Batch(features, mask, labels, self.clip_ids[clips])

    def _padded(self, name: str, clips: np.ndarray) -> tuple[Tensor, Tensor]:
        values, mask = gather_rows(self.rows[name].of(clips))
        if self._scaler is not None:
            real = mask.view(*mask.shape, *[1] * (values.ndim - 2))
            values = torch.where(real, self._scaler.apply(name, values, clips), 0.0)
        return values.to(self.device), mask.to(self.device)

    def epoch(self, clips: np.ndarray, batch_size: int, *, generator: torch.Generator | None = None) -> Iterator[Batch]:
        """All the clips at these places once, in batches.

        Args:
            clips: places, int64.
            batch_size: clips in a batch; the last may be smaller.
            generator: shuffles; without one the order is kept.
        """
        if generator is not None:
            clips = clips[torch.randperm(len(clips), generator=generator).numpy()]
        if self.pools:
            yield from (self.take(clips[start:start + batch_size]) for start in range(0, len(clips), batch_size))
            return
        for places in _buckets(self._lengths[clips], batch_size, generator):
            yield self.take(clips[places])


def as_rows(pooled: np.ndarray, has: np.ndarray) -> Rows:
    """Pooled statistics (N, k·D) as one row for each clip that has any."""
    return Rows(pooled, np.arange(len(pooled)), has.astype(np.int64))


def pool_rows(rows: Rows, pools: Sequence[str]) -> np.ndarray:
    """Sum up each clip's rows by statistics that hold no parameters.

    Args:
        rows: of N clips; rows of D numbers in any shape.
        pools: ``"mean"``, ``"std"`` (of the clip's rows, divided by T: 0 for a single row), in the order wanted.

    Returns:
        float32 (N, k·D), one block of D for each pool; zeros for a clip without rows.
    """
    width = int(np.prod(rows.row_shape))
    pooled = torch.zeros(len(rows.starts), len(pools), width)
    for clips in _blocks(rows, width):
        starts, lengths = rows.starts[clips], rows.lengths[clips]
        first, stop = int(starts.min()), int((starts + lengths).max())
        values = torch.from_numpy(np.asarray(rows.values[first:stop], np.float32).reshape(stop - first, width))
        index = torch.from_numpy(_row_index(starts - first, lengths))
        offsets = torch.from_numpy(np.cumsum(lengths) - lengths)
        mean = F.embedding_bag(index, values, offsets, mode="mean")
        for place, pool in enumerate(pools):
            if pool == "std":
                centred = values[index] - mean.repeat_interleave(torch.from_numpy(lengths), 0)
                variance = F.embedding_bag(torch.arange(len(index)), centred.square_(), offsets, mode="mean")
            pooled[torch.from_numpy(clips), place] = mean if pool == "mean" else variance.sqrt()
    return np.asarray(pooled.flatten(1))


def gather_rows(rows: Rows) -> tuple[Tensor, Tensor]:
    """Rows of some clips, padded to the longest with zeros.

    Returns:
        Values float32 (B, T, *row) and mask bool (B, T); T is at least 1.
    """
    steps = np.arange(max(1, int(rows.lengths.max(initial=0))))
    mask = steps < rows.lengths[:, None]                                    # (B, T)
    values = np.zeros((*mask.shape, *rows.row_shape), np.float32)
    values[mask] = rows.values[_row_index(rows.starts, rows.lengths)]
    return torch.from_numpy(values), torch.from_numpy(mask)


def _row_index(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Places of all rows of some clips, one clip after the other, int64 (sum of lengths,)."""
    within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return np.asarray(np.repeat(starts, lengths) + within)


def _blocks(rows: Rows, width: int) -> Iterator[np.ndarray]:
    """Places of the clips that have rows, in the order of the file, cut so that a block stays under BLOCK_BYTES."""
    order = np.flatnonzero(rows.lengths)
    order = order[np.argsort(rows.starts[order], kind="stable")]
    if len(order):
        size = np.cumsum(rows.lengths[order]) * width * 4 // BLOCK_BYTES
        yield from np.split(order, np.flatnonzero(np.diff(size)) + 1)


def _mean_and_sd(rows: Rows) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation over all rows, from those of each clip (law of total variance)."""
    weight = rows.lengths / max(1, rows.lengths.sum())
    mean, within = pool_rows(rows, ("mean", "std")).astype(np.float64).reshape(len(weight), 2, -1).swapaxes(0, 1)
    total = weight @ mean
    sd = np.sqrt(weight @ (np.square(within) + np.square(mean - total)))
    sd[sd <= 1e-6 * sd.max(initial=0)] = 1.0
    shape = rows.row_shape
    return torch.from_numpy(total.astype(np.float32)).view(shape), torch.from_numpy(sd.astype(np.float32)).view(shape)


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
