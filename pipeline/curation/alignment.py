"""Rows of one feature on the clock of another: what overlaps in time belongs together, whatever its row number."""

from __future__ import annotations

import math
from typing import Literal, get_args

import numpy as np

How = Literal["mean", "nearest", "linear"]
HOWS: tuple[How, ...] = get_args(How)
_BLOCK = 512  # spans of the clock at a time, so that an hour of rows needs no more memory than a minute


def steps(step_seconds: float, stop_seconds: float) -> np.ndarray:
    """A clock of equal steps from 0 on that covers a stretch.

    Args:
        step_seconds: length of a step, above 0.
        stop_seconds: end of the stretch.

    Returns:
        Start and stop of each step in seconds, float32 (T, 2); the last may reach past the end.

    Raises:
        ValueError: the step is not above 0.

    >>> steps(0.5, 1.2).tolist()
    [[0.0, 0.5], [0.5, 1.0], [1.0, 1.5]]
    """
    if not step_seconds > 0:
        raise ValueError(f"a step is above 0 s, found {step_seconds}")
    edges = np.arange(int(np.ceil(round(stop_seconds / step_seconds, 6))) + 1) * step_seconds
    return np.stack([edges[:-1], edges[1:]], 1).astype(np.float32)


def onto(values: np.ndarray, spans: np.ndarray, clock: np.ndarray, how: How) -> tuple[np.ndarray, np.ndarray]:
    """One row for each span of a clock that some row overlaps; spans that none does are left out.

    ``mean`` weighs the rows by how long they overlap the span; ``nearest`` takes, of those that do, the one whose
    middle is nearest to the span's (of equals the earlier); ``linear`` joins the middles of neighbouring rows by
    straight lines and reads them at the span's middle, which beyond the first and last is their value.

    Args:
        values: rows (T, …), float32, or uint8 for ``nearest``.
        spans: start and stop of each row, seconds (T, 2).
        clock: start and stop of each span, seconds (U, 2).
        how: see above.

    Returns:
        Values (V, …) of the type of ``values``, and which spans of the clock they are, int64 (V,), rising.

    Raises:
        ValueError: other rows than times, or pixels that are to be averaged.

    >>> spans, clock = np.array([[0, 1], [1, 2]]), np.array([[0.5, 1.5], [4, 5]])
    >>> rows, which = onto(np.float32([[1], [3]]), spans, clock, "mean")
    >>> rows.tolist(), which.tolist()
    ([[2.0]], [0])
    """
    if len(values) != len(spans):
        raise ValueError(f"{len(values)} rows with {len(spans)} times")
    if values.dtype != np.float32 and how != "nearest":
        raise ValueError(f"rows of {values.dtype} are only taken as they are: nearest")
    order = np.argsort(spans[:, 0], kind="stable")
    spans, flat = spans[order].astype(np.float64), values[order].reshape(len(values), math.prod(values.shape[1:]))
    ends = np.maximum.accumulate(spans[:, 1]) if len(spans) else spans[:, 1]
    times = np.asarray(clock, np.float64)
    rows, which = [np.zeros((0, flat.shape[1]), values.dtype)], [np.zeros(0, np.int64)]
    for start in range(0, len(times), _BLOCK):
        block = times[start:start + _BLOCK]
        near = slice(int(np.searchsorted(ends, block[:, 0].min(), "right")),
                     int(np.searchsorted(spans[:, 0], block[:, 1].max(), "left")))
        overlap = np.minimum(block[:, None, 1], spans[None, near, 1]) - np.maximum(block[:, None, 0],
                                                                                   spans[None, near, 0])
        covered = np.flatnonzero((overlap > 0).any(1)) if overlap.shape[1] else np.zeros(0, np.int64)
        which.append(start + covered)
        found = _on_lines(flat, spans, block[covered]) if how == "linear" else \
            _weighed(flat[near], spans[near], block[covered], overlap[covered], how)
        rows.append(found.astype(values.dtype))
    return np.concatenate(rows).reshape(-1, *values.shape[1:]), np.concatenate(which)


def _weighed(rows: np.ndarray, spans: np.ndarray, clock: np.ndarray, overlap: np.ndarray, how: How) -> np.ndarray:
    """Rows (T, D) pooled over, or chosen for, spans of a clock (V, 2) that they overlap by so many seconds (V, T)."""
    if not len(clock):
        return np.zeros((0, rows.shape[1]))
    if how == "mean":
        weights = np.maximum(overlap, 0)
        return np.asarray((weights / weights.sum(1, keepdims=True)) @ rows.astype(np.float64))
    away = np.where(overlap > 0, np.abs(spans.mean(1)[None] - clock.mean(1)[:, None]), np.inf)
    return np.asarray(rows[away.argmin(1)])


def _on_lines(rows: np.ndarray, spans: np.ndarray, clock: np.ndarray) -> np.ndarray:
    """Rows (T, D) on the lines between their middles, at the middles of spans of a clock (V, 2)."""
    if not len(clock):
        return np.zeros((0, rows.shape[1]))
    middles, wanted = spans.mean(1), clock.mean(1)
    order = np.argsort(middles, kind="stable")
    middles = middles[order]
    right = np.searchsorted(middles, wanted).clip(0, len(middles) - 1)
    left = np.maximum(right - 1, 0)
    gap = middles[right] - middles[left]
    share = np.clip((wanted - middles[left]) / np.where(gap > 0, gap, 1), 0, 1)[:, None]
    return np.asarray(rows[order[left]].astype(np.float64) * (1 - share) + rows[order[right]] * share)
