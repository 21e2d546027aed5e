"""Where shots begin, and on which frames faces are sought."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def shot_cuts(thumbnails: np.ndarray, *, least_change: float = 12.0, ratio: float = 3.0) -> np.ndarray:
    """Frames at which a new shot begins.

    A cut is a change between neighbours that is large, and large against the changes around it.

    Args:
        thumbnails: small grey pictures, (T, h, w).
        least_change: mean absolute difference of grey levels, 0 to 255.
        ratio: times the median change of the eight before and the eight after; two frames alone have no cut.

    Returns:
        int64 (K,), rising, each above 0.
    """
    return cuts_of(changes([thumbnails]), least_change=least_change, ratio=ratio)


def changes(blocks: Iterable[np.ndarray]) -> np.ndarray:
    """Mean absolute difference between each grey picture and the next, float32 (T - 1,).

    Args:
        blocks: all pictures in order, (n, h, w) at a time.
    """
    parts, last = [np.zeros(0, np.float32)], None
    for block in blocks:
        block = block.astype(np.float32)
        joined = block if last is None else np.concatenate([last, block])
        parts.append(np.abs(np.diff(joined, axis=0)).mean((1, 2)))
        last = block[-1:]
    return np.concatenate(parts)


def cuts_of(change: np.ndarray, *, least_change: float = 12.0, ratio: float = 3.0) -> np.ndarray:
    """:func:`shot_cuts` from the :func:`changes` of the pictures."""
    if len(change) < 2:
        return np.zeros(0, np.int64)
    padded = np.pad(change, 8, constant_values=np.nan)
    neighbours = np.delete(np.lib.stride_tricks.sliding_window_view(padded, 17), 8, axis=1)
    around = np.nanmedian(neighbours, axis=1)
    return np.asarray(np.flatnonzero((change > least_change) & (change > ratio * around)) + 1)


def key_frames(num_frames: int, cuts: np.ndarray, stride: int) -> np.ndarray:
    """Frames to detect faces on: first and last of every shot, and evenly between at most ``stride`` apart.

    >>> key_frames(10, np.array([6]), 4).tolist()
    [0, 3, 5, 6, 9]
    """
    edges = [0, *cuts.tolist(), num_frames]
    keys = [np.floor(np.linspace(start, stop - 1, 1 + -(-(stop - 1 - start) // stride)) + 0.5)
            for start, stop in zip(edges[:-1], edges[1:], strict=True) if stop > start]
    return np.unique(np.concatenate(keys)).astype(np.int64) if keys else np.zeros(0, np.int64)
