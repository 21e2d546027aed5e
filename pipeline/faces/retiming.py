"""Face tracks on another clock: from the 15 Hz rows of ``faces`` to the frames that an active-speaker network sees.

Networks of active speakers see 25 frames a second. One clip's tracks follow each other, by their number, and within a
track its frames by time: :func:`retime` says so for a clip's rows of ``faces``, and whoever knows these knows which
rows of a feature such as ``asd_faces`` are whose.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import median_filter

LATE_SHARE = 0.1     # of a step: a frame that begins so shortly before the track's end is not shown any more
STEADY_FRAMES = 13   # half a second at 25 Hz: TalkNet's demonstration takes the median box over as many


@dataclass(frozen=True)
class RetimedTrack:
    """One face of a clip, frame by frame without holes.

    Args:
        number: of the track in ``faces``.
        frames: places on the new clock's grid, rising by 1, int64 (T,).
        rows: of :data:`pipeline.faces.COLUMNS` at these, interpolated, float32 (T, 16).
        sources: rows of ``faces`` that it is made from, by time, int64 (K,).
        nearest: for each of these the frame nearest in time, as a place in ``frames``, int64 (K,).
    """

    number: int
    frames: np.ndarray
    rows: np.ndarray
    sources: np.ndarray
    nearest: np.ndarray

    def __len__(self) -> int:
        return len(self.frames)


def retime(rows: np.ndarray, times: np.ndarray, rate_hz: float) -> list[RetimedTrack]:
    """A clip's tracks, by number, on a grid of ``rate_hz``.

    A track has the frames that begin while it lasts: from the start of its first row to the stop of its last; one that
    is too short for any has the frame nearest to its start.

    Args:
        rows: of :data:`pipeline.faces.COLUMNS`, float32 (R, 16), in any order.
        times: start and stop of each in seconds from the clip's start, float32 (R, 2).
        rate_hz: frames a second.
    """
    tracks = []
    for number in np.unique(rows[:, 0]).astype(np.int64).tolist():
        sources = np.flatnonzero(rows[:, 0] == number)
        sources = sources[np.argsort(times[sources, 0], kind="stable")]
        starts = times[sources, 0].astype(np.float64) * rate_hz  # in frames of the grid
        first = int(np.ceil(starts[0] - LATE_SHARE))
        stop = int(np.ceil(times[sources, 1].max() * rate_hz - LATE_SHARE))
        frames = np.arange(first, stop) if stop > first else np.array([round(float(starts[0]))])
        there = np.stack([np.interp(frames, starts, column) for column in rows[sources].T], axis=1)
        nearest = np.clip(np.round(starts).astype(np.int64), frames[0], frames[-1]) - frames[0]
        tracks.append(RetimedTrack(number, frames, there.astype(np.float32), sources, nearest))
    return tracks


def track_spans(tracks: Sequence[RetimedTrack]) -> list[slice]:
    """Which rows of a feature that has one for each frame of each track are whose, in the order of ``tracks``.

    >>> frames = np.arange(3)
    >>> track_spans([RetimedTrack(0, frames, np.zeros((3, 16)), frames, frames)] * 2)
    [slice(0, 3, None), slice(3, 6, None)]
    """
    stops = np.cumsum([len(track) for track in tracks]).tolist()
    return [slice(stop - len(track), stop) for stop, track in zip(stops, tracks)]


def nearest_rows(tracks: Sequence[RetimedTrack]) -> np.ndarray:
    """For each row of ``faces`` the row of such a feature of the same track that is nearest in time, int64 (R,)."""
    found = np.zeros(sum(len(track.sources) for track in tracks), np.int64)
    for track, span in zip(tracks, track_spans(tracks)):
        found[track.sources] = span.start + track.nearest
    return found


def steadied(rows: np.ndarray, size: int = STEADY_FRAMES) -> np.ndarray:
    """A track's rows (T, 16) with the middle and size of its box by the median over ``size`` frames, the ends held, so
    that the crop does not tremble with the detector."""
    boxes = rows[:, 1:5]
    middles, sizes = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    steady = median_filter(np.concatenate([middles, sizes], axis=1), size=(size, 1), mode="nearest")
    found: np.ndarray = rows.copy()
    found[:, 1:3], found[:, 3:5] = steady[:, :2] - steady[:, 2:] / 2, steady[:, :2] + steady[:, 2:] / 2
    return found
