"""How much a mouth moves, and how far it is open, in a frame that head and camera do not move.

A face is cut out of every frame, turned and scaled by its eyes and nose alone (the landmarks of the mouth would take
its motion away), smoothed over time. What is left of the head's motion between two pictures is fitted on the upper
face as a flow (a shift, a turn and a change of size) with a change of light, and taken off the whole face; what then
remains around the mouth is the mouth's own motion, and what remains on the upper face is the measure of noise: grain,
compression, a head that turns in depth. Comparing pictures around the mouth to see who speaks: Everingham, Sivic and
Zisserman, "Hello! My name is... Buffy", BMVC 2006.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_filter1d, map_coordinates

from pipeline.media import Frames

EYES_PIXELS = 16                    # distance between the eyes in the stabilised picture: about that of a 40-pixel face
STEP_SECONDS = 0.08                 # pictures are compared over this time: one step of 12 frames a second, two of 25
HOLD_SECONDS = 0.2                  # a picture that stays longer than this is not held by a slow camera: nothing moves
GAP_SECONDS = 0.35                  # a track that is away for longer goes on as another stretch
_SMOOTH_SECONDS = 0.15              # of landmarks, which jitter
_BLOCK = 32
# The stabilised picture in distances between the eyes, from the point between them.
_X = np.arange(-20, 21) / EYES_PIXELS
_Y = np.arange(-10, 31) / EYES_PIXELS
_ACROSS, _DOWN = np.meshgrid(_X, _Y)
_UPPER = (np.abs(_ACROSS) < 0.95) & (_DOWN > -0.35) & (_DOWN < 0.6)
_EYES_AND_NOSE = np.array([-0.5, 0.5, 0.57j])  # of the five-point template of pipeline.faces.alignment
_MOUTH = 1.15                                  # below the eyes, in the same template


@dataclass(frozen=True)
class Mouth:
    """One unbroken stretch of a track, on the frames of a grid.

    Args:
        rows: which rows of ``faces``, int64 (R,), rising.
        row_times: their starts in seconds (R,).
        times: seconds of each frame of the grid (T,).
        motion: change around the mouth over ``STEP_SECONDS``, in parts of the contrast of the upper face, (T,).
        noise: the same on the upper face, (T,).
        opening: mean difference from one line of the stabilised picture to the next between the lips, in parts of the
            same contrast, (T,): lips, teeth and the dark behind them lie across an open mouth, whatever its colours.
        eyes_pixels: distance between the eyes in the pictures that were measured.
    """

    rows: np.ndarray
    row_times: np.ndarray
    times: np.ndarray
    motion: np.ndarray
    noise: np.ndarray
    opening: np.ndarray
    eyes_pixels: float


def measure_mouths(frames: Frames, faces: np.ndarray, starts: np.ndarray) -> list[Mouth]:
    """Mouths of all tracks.

    A frame that only repeats the one before (a grid finer than the camera's) is left out and interpolated. Nothing is
    compared across a gap. Memory does not grow with the number of frames.

    Args:
        frames: all frames of a grid.
        faces: rows of :data:`pipeline.faces.COLUMNS`, float32 (R, 16), in pixels of the source.
        starts: seconds at which each row's frame starts (R,).

    Returns:
        One for each stretch of each track; a stretch that lies on fewer than two frames is there with no frames.
    """
    shrink = np.array(frames.shape[2:0:-1]) / np.maximum(frames.source_size[::-1], 1)
    times = frames.indices / frames.rate_hz
    stretches = [_Stretch(rows, faces[rows], starts[rows], times, shrink) for rows in _stretches(faces, starts)]
    for block, first, fresh in _fresh_blocks(frames):
        for stretch in stretches:
            stretch.look(block, first, fresh)
    return [stretch.finish(times) for stretch in stretches]


def _stretches(faces: np.ndarray, starts: np.ndarray) -> Iterator[np.ndarray]:
    """Rows of each track, cut where it is away."""
    for track in np.unique(faces[:, 0]):
        rows = np.flatnonzero(faces[:, 0] == track)
        yield from np.split(rows, np.flatnonzero(np.diff(starts[rows]) > GAP_SECONDS) + 1)


def _fresh_blocks(frames: Frames) -> Iterator[tuple[np.ndarray, int, np.ndarray]]:
    """The green of the frames (n, H, W), the first one's place, and which are not repeats, bool (n,)."""
    hold = HOLD_SECONDS * frames.rate_hz
    before, kept = None, 0
    for first, block in frames.blocks(_BLOCK):
        # Green stands for grey: it has most of the light, and shows lips on skin best.
        green = np.ascontiguousarray(block[..., 1])
        fresh = np.ones(len(green), bool)
        for place, picture in enumerate(green):
            repeated = before is not None and np.array_equal(picture, before)
            fresh[place] = not repeated or first + place - kept > hold
            if fresh[place]:
                kept = first + place
            before = picture
        yield green, first, fresh


class _Stretch:
    """What is known of one stretch while frames go by."""

    def __init__(self, rows: np.ndarray, faces: np.ndarray, starts: np.ndarray, times: np.ndarray,
                 shrink: np.ndarray) -> None:
        self.rows, self.starts = rows, starts.astype(np.float64)
        self.span = np.searchsorted(times, [self.starts[0] - 1e-6, self.starts[-1] + 1e-6])
        self.steps: list[np.ndarray] = []      # place, motion², noise² (of pairs)
        self.looks: list[np.ndarray] = []      # place, opening, contrast (of pictures)
        self.recent: list[tuple[int, np.ndarray]] = []
        self.step = STEP_SECONDS
        at = times[self.span[0]:self.span[1]]
        self.times = at
        points = faces[:, 6:16].reshape(-1, 5, 2) * shrink
        self.turn, self.shift, mouths = _steady(points[..., 0] + 1j * points[..., 1], self.starts, at)
        self.eyes_pixels = float(np.median(np.abs(self.turn))) if len(at) else 0.0
        # Half of the template's place steadies profiles, whose eyes and nose say little of the scale.
        centre = (np.median(mouths.real) + 1j * np.median(mouths.imag) + 1j * _MOUTH) / 2 if len(at) else 1j * _MOUTH
        self.around = (np.abs(_ACROSS - centre.real) < 0.55) & (np.abs(_DOWN - centre.imag - 0.08) < 0.43)
        self.inside = (np.abs(_ACROSS - centre.real) < 0.3) & (np.abs(_DOWN - centre.imag - 0.08) < 0.22)

    def look(self, block: np.ndarray, first: int, fresh: np.ndarray) -> None:
        """Measure the frames of a block that this stretch lies on."""
        low, high = max(self.span[0], first), min(self.span[1], first + len(block))
        places = [place for place in range(low, high) if fresh[place - first] or place == self.span[0]]
        if not places:
            return
        cut = np.stack([_cut(block[place - first], self.turn[place - self.span[0]], self.shift[place - self.span[0]])
                        for place in places])
        cut = gaussian_filter(cut, (0, 0.7, 0.7))
        upper = cut[:, _UPPER]
        self.looks.append(np.stack([places, np.abs(np.diff(cut, axis=1))[:, self.inside[1:]].mean(1),
                                    upper.std(1)], axis=1))
        known = [*self.recent, *zip(places, cut, strict=True)]
        seconds = self.times[[place - self.span[0] for place, _ in known]]
        earlier = np.searchsorted(seconds, seconds - self.step + 1e-3, side="right") - 1
        pairs = [(then, now) for now, then in enumerate(earlier) if now >= len(self.recent) and then >= 0]
        if pairs:
            motion, noise = _changes(np.stack([known[then][1] for then, _ in pairs]),
                                     np.stack([known[now][1] for _, now in pairs]), self.around)
            self.steps.append(np.stack([[known[now][0] for _, now in pairs], motion, noise], axis=1))
        self.recent = known[int(max(0, earlier[-1])):]

    def finish(self, times: np.ndarray) -> Mouth:
        """Signals on every frame of the grid."""
        nothing = np.zeros(0)
        if not self.steps:
            return Mouth(self.rows, self.starts, nothing, nothing, nothing, nothing, self.eyes_pixels)
        steps, looks = np.concatenate(self.steps), np.concatenate(self.looks)
        grid = np.arange(*self.span)
        contrast = max(float(np.median(looks[:, 2])), 2.0)  # in grey levels; a black face has none
        # A change belongs to the middle of its step.
        middle = steps[:, 0] - self.step / 2 * (len(self.times) - 1) / max(self.times[-1] - self.times[0], 1e-9)
        motion, noise = (np.sqrt(np.interp(grid, middle, steps[:, column])) / contrast for column in (1, 2))
        opening = np.interp(grid, looks[:, 0], looks[:, 1]) / contrast
        return Mouth(self.rows, self.starts, times[grid], motion, noise, opening, self.eyes_pixels)


def _steady(points: np.ndarray, starts: np.ndarray, times: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Turn-and-scale and shift (T,) from the stabilised frame to pictures, and the mouth's place in it (T,)."""
    if len(points) > 1:
        sigma = _SMOOTH_SECONDS / max(float(np.median(np.diff(starts))), 1e-3)
        points = gaussian_filter1d(points, sigma, axis=0, mode="nearest")
    placed = np.stack([np.interp(times, starts, column) for column in points.T], axis=1)
    template = _EYES_AND_NOSE - _EYES_AND_NOSE.mean()
    centre = placed[:, :3].mean(1)
    turn = (placed[:, :3] - centre[:, None]) @ template.conj() / (np.abs(template) ** 2).sum()
    turn = np.where(np.abs(turn) < 1, 1, turn)  # landmarks in one point, as hostile stores may have them
    shift = centre - turn * _EYES_AND_NOSE.mean()
    return turn, shift, (placed[:, 3:].mean(1) - shift) / turn


def _cut(picture: np.ndarray, turn: complex, shift: complex) -> np.ndarray:
    """The stabilised face (41, 41) from a grey picture; large faces are averaged down first."""
    coarser = max(1, int(abs(turn) / EYES_PIXELS + 0.5))
    places = turn * (_ACROSS + 1j * _DOWN) + shift
    height, width = picture.shape
    left, right = np.clip([np.floor(places.real.min()) - coarser, np.ceil(places.real.max()) + coarser], 0, width - 1)
    top, bottom = np.clip([np.floor(places.imag.min()) - coarser, np.ceil(places.imag.max()) + coarser], 0, height - 1)
    part = picture[int(top):int(bottom) + 1, int(left):int(right) + 1].astype(np.float32)
    if coarser > 1 and min(part.shape) >= coarser:
        rows, columns = part.shape[0] // coarser, part.shape[1] // coarser
        part = part[:rows * coarser, :columns * coarser].reshape(rows, coarser, columns, coarser).mean((1, 3))
    else:
        coarser = 1
    where = [(places.imag - top + 0.5) / coarser - 0.5, (places.real - left + 0.5) / coarser - 0.5]
    return np.asarray(map_coordinates(part, where, order=1, mode="nearest"), np.float32)


def _changes(before: np.ndarray, after: np.ndarray, around: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean square of what the upper face's motion leaves, around the mouth and on the upper face, each (N,)."""
    middle = (before + after) / 2
    down, across = np.gradient(middle, axis=(1, 2))
    causes = np.stack([across, down, across * _ACROSS + down * _DOWN, down * _ACROSS - across * _DOWN,
                       middle - middle.mean((1, 2), keepdims=True), np.ones_like(middle)], axis=-1)
    change = after - before
    known = causes[:, _UPPER]
    square = np.einsum("npi,npj->nij", known, known) + 1e-3 * np.eye(causes.shape[-1])
    weights = np.linalg.solve(square, np.einsum("npi,np->ni", known, change[:, _UPPER])[..., None])
    left = change - (causes @ weights[:, None])[..., 0]
    return (left[:, around] ** 2).mean(1), (left[:, _UPPER] ** 2).mean(1)
