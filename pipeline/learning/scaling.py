"""Statistics of rows: those of each clip that stand for it, and those by which all clips are standardised."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.joined import Rows, row_index

BLOCK_BYTES = 64 << 20          # rows taken from disk at a time while pooling: memory stays flat, reads stay long
SPEAKER_NOTE = ("transductive: every speaker's clips are standardised by that speaker's own, the tested ones too"
                " (without their labels); compare only with results that do the same")


@dataclass(frozen=True)
class Scaler:
    """Mean and standard deviation of every number of a row, by feature.

    A number that hardly varies there (a dead unit, silence) has the standard deviation 1. Pixels are only brought to
    [0, 1]: their mean is 0 and their deviation 255.

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
            values: float32 (B, T, *row); with each speaker's own statistics also (B, *row).
            clips: places of the clips whose rows they are, int64 (B,); only each speaker's own statistics need them.
        """
        mean, sd = self.mean[name], self.sd[name]
        if self.speaker is not None:
            place = torch.from_numpy(self.speaker[clips])
            mean, sd = mean[place], sd[place]                               # (B, *row)
            if values.ndim > mean.ndim:
                mean, sd = mean.unsqueeze(1), sd.unsqueeze(1)               # (B, 1, *row)
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
        index = torch.from_numpy(row_index(starts - first, lengths))
        offsets = torch.from_numpy(np.cumsum(lengths) - lengths)
        mean = F.embedding_bag(index, values, offsets, mode="mean")
        for place, pool in enumerate(pools):
            if pool == "std":
                centred = values[index] - mean.repeat_interleave(torch.from_numpy(lengths), 0)
                variance = F.embedding_bag(torch.arange(len(index)), centred.square_(), offsets, mode="mean")
            pooled[torch.from_numpy(clips), place] = mean if pool == "mean" else variance.sqrt()
    return np.asarray(pooled.flatten(1))


def _blocks(rows: Rows, width: int) -> Iterator[np.ndarray]:
    """Places of the clips that have rows, in the order of the file, cut so that a block stays under BLOCK_BYTES."""
    order = np.flatnonzero(rows.lengths)
    order = order[np.argsort(rows.starts[order], kind="stable")]
    if len(order):
        size = np.cumsum(rows.lengths[order]) * width * 4 // BLOCK_BYTES
        yield from np.split(order, np.flatnonzero(np.diff(size)) + 1)


def _mean_and_sd(rows: Rows) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation over all rows, from those of each clip (law of total variance)."""
    if rows.values.dtype == np.uint8:
        return torch.zeros(rows.row_shape), torch.full(rows.row_shape, 255.0)
    weight = rows.lengths / max(1, rows.lengths.sum())
    mean, within = pool_rows(rows, ("mean", "std")).astype(np.float64).reshape(len(weight), 2, -1).swapaxes(0, 1)
    total = weight @ mean
    sd = np.sqrt(weight @ (np.square(within) + np.square(mean - total)))
    sd[sd <= 1e-6 * sd.max(initial=0)] = 1.0
    shape = rows.row_shape
    return torch.from_numpy(total.astype(np.float32)).view(shape), torch.from_numpy(sd.astype(np.float32)).view(shape)
