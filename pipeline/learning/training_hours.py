"""Less to learn from: a random part of the training clips, by hours, to see what more of a corpus would bring."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.errors import TrainingError
from pipeline.joined import JoinedStores
from pipeline.learning.train_config import TrainConfig
from pipeline.learning.units import Units

SECONDS = 3600.0


def fewer_clips(clips: np.ndarray, stores: JoinedStores, inputs: Sequence[str], units: Units,
                config: TrainConfig) -> tuple[np.ndarray, tuple[str, ...]]:
    """Those of some clips that :func:`within_hours` takes, and what a reader of the scores must know of it.

    Where ``train_hours`` is 0, all are taken and nothing is said.

    Args:
        clips: places, int64.
        stores, inputs, units: as :func:`clip_seconds` takes them.
        config: how many hours, and the seed.

    Raises:
        TrainingError: nobody knows how long clips are, or the first is longer than that.
    """
    if not config.train_hours:
        return clips, ()
    seconds = clip_seconds(stores, inputs, units)
    kept = within_hours(clips, seconds, stores.clips["group"].to_numpy(), config.train_hours, config.seed)
    found = f"{len(kept)} of {len(clips)} clips, {seconds[kept].sum() / SECONDS:.3g} hours, seed {config.seed}"
    return kept, (f"learnt from {found}",)


def within_hours(clips: np.ndarray, seconds: np.ndarray, groups: np.ndarray, hours: float, seed: int) -> np.ndarray:
    """Random clips that last so many hours together at most, group after group.

    With one seed the clips of fewer hours are among those of more.

    Args:
        clips: places to choose from, int64 (n,).
        seconds: how long each clip of the corpus lasts, (N,).
        groups: of each clip of the corpus, (N,) str; one without a group stands alone.
        hours: at most.
        seed: of the order of groups.

    Returns:
        Some of ``clips``, in their order, int64.

    Raises:
        TrainingError: the first clip is longer than that.
    """
    names = np.array([group or f"\0{place}" for place, group in zip(clips.tolist(), groups[clips].tolist())])
    _, owner = np.unique(names, return_inverse=True)
    rank = np.random.default_rng(seed).permutation(owner.max() + 1)[owner]
    order = np.argsort(rank, kind="stable")
    kept = order[np.cumsum(seconds[clips][order]) <= hours * SECONDS]
    if not len(kept):
        raise TrainingError(f"train_hours={hours:g}: the first training clip alone lasts"
                            f" {seconds[clips][order[0]] / SECONDS:.3g} hours; allow more")
    return clips[np.sort(kept)]


def clip_seconds(stores: JoinedStores, inputs: Sequence[str], units: Units) -> np.ndarray:
    """How long each clip lasts: the time that the rows answered for span, or the rows of its inputs.

    Args:
        stores: whose clips.
        inputs: features that are learnt from.
        units: what is answered for.

    Returns:
        Seconds, float64 (N,); 0 where no input has rows.

    Raises:
        TrainingError: no input says when its rows are.
    """
    num_clips = len(units.lengths)
    if units.times is not None:
        spans = np.diff(units.times.astype(np.float64), axis=1)[:, 0]
        return np.bincount(units.owner, spans, num_clips)
    found = np.zeros(num_clips)
    for name in inputs:
        rows, times = stores.rows(name), stores.times(name)
        for clip in np.flatnonzero(rows.lengths).tolist():
            own = np.asarray(times[rows.starts[clip]:rows.starts[clip] + rows.lengths[clip]])
            found[clip] = max(found[clip], np.nan_to_num(own[:, 1].max() - own[:, 0].min()))
    if not found.any():
        raise TrainingError(f"train_hours: rows of {', '.join(inputs)} have no times, so nobody knows how long clips"
                            " are; leave it out")
    return found
