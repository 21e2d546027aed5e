"""Where shots begin, and on which frames faces are sought."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch.nn import functional

LINES = 24  # of the pictures that are compared: averaged so far that a head's motion is no cut, whatever came in
LEAST_CHANGE = 12.0  # of mean grey levels, 0 to 255: a cut between two dark scenes changes more than 20


def thumbnails(frames: np.ndarray, lines: int = LINES) -> np.ndarray:
    """Small grey pictures, each pixel a mean of several, so that frames of any size give nearly the same.

    Args:
        frames: uint8 RGB (N, H, W, 3).
        lines: height of the result, about.

    Returns:
        float32 (N, h, w).
    """
    side = max(1, min(round(frames.shape[1] / lines), *frames.shape[1:3]))
    step = max(1, side // 4)
    green = np.ascontiguousarray(frames[:, ::step, ::step, 1])  # most of what the eye calls brightness
    return functional.avg_pool2d(torch.from_numpy(green)[:, None].float(), side // step)[:, 0].numpy()


def shot_cuts(pictures: np.ndarray) -> np.ndarray:
    """Frames at which a new shot begins.

    A cut is a change between neighbours that is large: above :data:`LEAST_CHANGE`, three times the median of the eight
    before and the eight after, and half as much again as those of the four before and of the four after, so that a
    sudden motion is none. Two frames alone have no cut, and a single bright or torn frame, with the same picture before
    and after, makes none.

    Args:
        pictures: as :func:`thumbnails` gives them, (T, h, w).

    Returns:
        int64 (K,), rising, each above 0.
    """
    return cuts_of(changes([pictures]))


def changes(blocks: Iterable[np.ndarray]) -> np.ndarray:
    """How much each grey picture differs from the one before, and from the one before that, float32 (T - 1, 2).

    Args:
        blocks: all pictures in order, (n, h, w) at a time.

    Returns:
        Mean absolute differences; the second of the first row is infinite, for there is nothing to compare with.
    """
    parts, last = [np.zeros((0, 2), np.float32)], None
    for block in blocks:
        joined = block.astype(np.float32) if last is None else np.concatenate([last, block.astype(np.float32)])
        known = 0 if last is None else len(last)
        rows = [(np.abs(joined[place] - joined[place - 1]).mean(),
                 np.abs(joined[place] - joined[place - 2]).mean() if place > 1 else np.inf)
                for place in range(max(known, 1), len(joined))]
        parts.append(np.array(rows, np.float32).reshape(-1, 2))
        last = joined[-2:]
    return np.concatenate(parts)


def cuts_of(change: np.ndarray) -> np.ndarray:
    """:func:`shot_cuts` from the :func:`changes` of the pictures."""
    if len(change) < 2:
        return np.zeros(0, np.int64)
    step, over_two = change[:, 0].astype(np.float64), change[:, 1]
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(step, 8, constant_values=np.nan), 17)
    around = np.nanmedian(np.delete(windows, 8, axis=1), axis=1)
    before, after = (np.sort(windows[:, part], axis=1) for part in (slice(4, 8), slice(9, 13)))
    is_cut = (step > LEAST_CHANGE) & (step > 3 * around)
    for side in (before, after):
        known = (~np.isnan(side)).sum(1)  # NaN sorts last
        middle = side[np.arange(len(side)), np.maximum(known - 1, 0) // 2]
        is_cut &= ~(step < 1.5 * np.nan_to_num(middle))
    # A flash: both its edges are large, and the pictures on its two sides are alike.
    flash = np.flatnonzero(is_cut[:-1] & is_cut[1:] & (over_two[1:] < 0.5 * np.minimum(step[:-1], step[1:])))
    is_cut[flash] = is_cut[flash + 1] = False
    return np.asarray(np.flatnonzero(is_cut) + 1, np.int64)


def key_frames(num_frames: int, cuts: np.ndarray, stride: int) -> np.ndarray:
    """Frames to detect faces on: first and last of every shot, and evenly between at most ``stride`` apart.

    >>> key_frames(10, np.array([6]), 4).tolist()
    [0, 3, 5, 6, 9]
    """
    edges = [0, *cuts.tolist(), num_frames]
    keys = [np.floor(np.linspace(start, stop - 1, 1 + -(-(stop - 1 - start) // stride)) + 0.5)
            for start, stop in zip(edges[:-1], edges[1:], strict=True) if stop > start]
    return np.unique(np.concatenate(keys)).astype(np.int64) if keys else np.zeros(0, np.int64)
