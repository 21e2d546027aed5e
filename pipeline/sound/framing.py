"""Windows over a waveform on one grid: window ``k`` lies around ``(k + 0.5) * HOP_SECONDS``, whatever its length."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pipeline.media import SAMPLE_RATE_HZ

HOP_SECONDS = 0.01
BLOCK_WINDOWS = 2 ** 12  # at a time: spectra take ten times the memory of their sound


def num_windows(num_samples: int, *, rate_hz: int = SAMPLE_RATE_HZ) -> int:
    """How many steps of 10 ms a waveform has, a part of one counted whole.

    >>> num_windows(16_000), num_windows(1), num_windows(0)
    (100, 1, 0)
    """
    return -(-num_samples // round(HOP_SECONDS * rate_hz))


def windows(waveform: np.ndarray, size: int, *, rate_hz: int = SAMPLE_RATE_HZ) -> Iterator[np.ndarray]:
    """All windows of a waveform in blocks; what reaches past its ends is filled with silence.

    Args:
        waveform: float32 (S,) at ``rate_hz``.
        size: samples of a window, at least one step of 10 ms.
        rate_hz: its sample rate.

    Yields:
        float32 (≤ ``BLOCK_WINDOWS``, size), to be read and not written; the blocks hold ``num_windows`` rows together.

    Raises:
        ValueError: ``waveform`` is not one-dimensional, or windows that leave gaps.
    """
    hop = round(HOP_SECONDS * rate_hz)
    if waveform.ndim != 1:
        raise ValueError(f"a waveform is (S,), found {waveform.shape}")
    if size < hop:
        raise ValueError(f"windows have at least {hop} samples, found {size}")
    steps, lead = num_windows(len(waveform), rate_hz=rate_hz), (size - hop) // 2
    for start in range(0, steps, BLOCK_WINDOWS):
        stop = min(start + BLOCK_WINDOWS, steps)
        first, part = start * hop - lead, np.zeros((stop - start - 1) * hop + size, np.float32)
        samples = waveform[max(0, first):first + len(part)]
        part[max(0, -first):][:len(samples)] = samples
        yield np.lib.stride_tricks.sliding_window_view(part, size)[::hop]
