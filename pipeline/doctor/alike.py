"""Recordings that are the same although their bytes differ: encoded again, in another container, at another size.

Sound is compared by the signs of energy differences between neighbouring bands and times (Haitsma and Kalker, "A Highly
Robust Audio Fingerprinting System", ISMIR 2002), pictures by the signs of brightness differences between neighbouring
places of a tiny copy ("difference hash"). Clips of one scene may look the same, so sound decides where there is any.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.media import SAMPLE_RATE_HZ, FrameRequest

REQUEST = FrameRequest(rate_hz=4.0, size=(8, 9))
SILENCE_DB = -60.0

_MOMENTS = 8  # pictures of a clip that are compared
_SLICES, _BANDS = 33, 17  # 32 x 16 signs
_BAND_EDGES_HZ = np.geomspace(300.0, 3000.0, _BANDS + 1)  # the paper's range
_SHORTEST_SECONDS = 0.25
# Shares of signs that may differ. Different material differs in half of them; the paper allows 0.35 of 8192.
_SOUND_SHARE, _PICTURE_SHARE, _PICTURE_ALONE_SHARE = 0.25, 0.2, 0.05
_APART_SECONDS = 0.15  # encoders lengthen a clip by a block of sound or a frame
_SQUARE = 512


@dataclass(frozen=True)
class Print:
    """What a clip sounds and looks like, in 128 bytes.

    Args:
        seconds: its length.
        sound: packed signs, uint8 (64,); None where it is silent most of the time or too short.
        picture: packed signs, uint8 (64,); None where there is no picture or nothing in it.
    """

    seconds: float
    sound: np.ndarray | None
    picture: np.ndarray | None


def fingerprint(seconds: float, frames: np.ndarray, wave: np.ndarray) -> Print:
    """The print of a clip.

    Args:
        seconds: its length.
        frames: uint8 (T, 8, 9, 3), as ``REQUEST`` gives them.
        wave: mono sound (S,) at 16 kHz.
    """
    return Print(seconds, _sound(wave), _picture(frames))


def _sound(wave: np.ndarray) -> np.ndarray | None:
    if len(wave) < _SHORTEST_SECONDS * SAMPLE_RATE_HZ:
        return None
    edges = np.linspace(0, len(wave), _SLICES + 1).astype(int)
    energies = np.stack([_bands(wave[start:stop]) for start, stop in zip(edges, edges[1:])])
    if (energies.sum(axis=1) > 10 ** (SILENCE_DB / 10)).mean() < 0.5:
        return None
    steps = np.diff(energies, axis=1)
    return np.packbits(np.diff(steps, axis=0) > 0)


def _bands(samples: np.ndarray) -> np.ndarray:
    """Mean power in each band, float64 (17,)."""
    size = max(2048, len(samples))  # finer than the narrowest band, 43 Hz
    power = np.abs(np.fft.rfft(samples * np.hanning(len(samples)), size)) ** 2 / max(1, len(samples)) ** 2
    places = np.round(_BAND_EDGES_HZ * size / SAMPLE_RATE_HZ).astype(int)
    return np.asarray(np.add.reduceat(power, places)[:_BANDS])


def _picture(frames: np.ndarray) -> np.ndarray | None:
    if not len(frames):
        return None
    chosen = frames[np.linspace(0, len(frames) - 1, _MOMENTS).round().astype(int)].mean(axis=3)
    if chosen.std(axis=(1, 2)).max() < 2:
        return None
    return np.packbits(np.diff(chosen, axis=2) > 0)


def alike(prints: Sequence[Print]) -> list[list[int]]:
    """Places of prints of the same material, in groups of two and more; each place is in one group at most.

    Only lengths within 0.15 s are compared, in squares of clips, so that memory does not depend on their number.
    """
    order = np.argsort([one.seconds for one in prints], kind="stable")
    seconds = np.array([prints[place].seconds for place in order])
    sound, picture = (_Signs([getattr(prints[place], name) for place in order]) for name in ("sound", "picture"))
    leader = np.arange(len(order))
    for start in range(0, len(order), _SQUARE):
        rows = slice(start, min(start + _SQUARE, len(order)))
        end = int(np.searchsorted(seconds, seconds[rows][-1] + _APART_SECONDS, side="right"))
        for other in range(start, end, _SQUARE):
            columns = slice(other, min(other + _SQUARE, end))
            near = seconds[None, columns] - seconds[rows, None] <= _APART_SECONDS
            later = np.arange(columns.start, columns.stop)[None] > np.arange(rows.start, rows.stop)[:, None]
            same = _same(sound, picture, rows, columns, near & later)
            for row in np.flatnonzero(same.any(axis=1)):
                leader[columns][same[row]] = leader[start + row]
    groups = [order[leader == first].tolist() for first in np.unique(leader[leader != np.arange(len(leader))])]
    return sorted(sorted(group) for group in groups)


class _Signs:
    """The signs of many prints, packed; and which have any."""

    def __init__(self, packed: Sequence[np.ndarray | None]) -> None:
        blank = np.zeros(64, np.uint8)
        self.there = np.array([one is not None for one in packed], bool)
        self._packed = np.array([blank if one is None else one for one in packed], np.uint8).reshape(-1, 64)

    def differing(self, rows: slice, columns: slice) -> np.ndarray:
        """Share of signs that differ, float32 (rows, columns): of ±1 vectors it is the product in disguise."""
        one, other = (2 * np.unpackbits(self._packed[part], axis=1).astype(np.float32) - 1 for part in (rows, columns))
        return np.asarray((1 - one @ other.T / one.shape[1]) / 2)

    def both(self, rows: slice, columns: slice) -> np.ndarray:
        """Do both have any?"""
        return np.asarray(self.there[rows, None] & self.there[None, columns])


def _same(sound: _Signs, picture: _Signs, rows: slice, columns: slice, asked: np.ndarray) -> np.ndarray:
    """Is it the same material? bool (rows, columns). Where one of two has sound and the other none, it is not."""
    hears, sees = sound.both(rows, columns), picture.both(rows, columns)
    neither = ~sound.there[rows, None] & ~sound.there[None, columns]
    heard = asked & hears & (sound.differing(rows, columns) <= _SOUND_SHARE)
    unheard = asked & neither & sees
    if not (heard | unheard).any():
        return np.asarray(heard)
    seen = picture.differing(rows, columns)
    return np.asarray(heard & (~sees | (seen <= _PICTURE_SHARE)) | unheard & (seen <= _PICTURE_ALONE_SHARE))
