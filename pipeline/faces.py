"""From detections on key frames to face tracks, from tracks to aligned crops: pure functions on arrays."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

#: One row of the ``faces`` feature: a face in a frame; pixels of the upright source picture.
COLUMNS = ("track", "x1", "y1", "x2", "y2", "probability", "left_eye_x", "left_eye_y", "right_eye_x", "right_eye_y",
           "nose_x", "nose_y", "mouth_left_x", "mouth_left_y", "mouth_right_x", "mouth_right_y")

# The five points of a frontal face in a 112-pixel crop (InsightFace's alignment template): eyes, nose, mouth corners.
FIVE_POINTS = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655],
                        [70.7299, 92.2041]]) / 112


@dataclass(frozen=True)
class CropRecipe:
    """Where a face lies in its crop.

    Args:
        name: written into the recipe of every feature made with it.
        left_eye, right_eye: places of the eyes, as parts of the crop's side.
    """

    name: str
    left_eye: tuple[float, float]
    right_eye: tuple[float, float]

    @property
    def template(self) -> np.ndarray:
        """The five landmarks in parts of the crop's side, (5, 2): the standard shape, moved to these eyes."""
        source, target = _complex(FIVE_POINTS[:2]), _complex(np.array([self.left_eye, self.right_eye]))
        turn = (target[1] - target[0]) / (source[1] - source[0])
        return _pairs((_complex(FIVE_POINTS) - source[0]) * turn + target[0])


# Eyes level at 35 % from the top and sides keep forehead and chin in view, which the recognition template cuts off.
EXPRESSION_CROP = CropRecipe("eyes at .35", (0.35, 0.35), (0.65, 0.35))


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


def overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (K, 4) and (L, 4): (K, L)."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:4], b[None, :, 2:4])
    both = np.prod(np.clip(high - low, 0, None), axis=2)
    area_a, area_b = (np.prod(boxes[:, 2:4] - boxes[:, :2], axis=1) for boxes in (a, b))
    return np.asarray(both / np.maximum(area_a[:, None] + area_b[None] - both, 1e-9))


def link(detections: list[np.ndarray], keys: np.ndarray, cuts: np.ndarray, *, least_overlap: float = 0.2,
         longest_gap: int = 2) -> list[dict[int, np.ndarray]]:
    """Join detections on key frames into tracks, greatest overlap first, never across a cut.

    Args:
        detections: per key frame (K, 15) as :class:`pipeline.mtcnn.FaceDetector` gives them.
        keys: frame of each entry of ``detections``.
        cuts: frames at which shots begin.
        least_overlap: intersection over union that makes two boxes one face.
        longest_gap: key frames that a track may miss and still go on.

    Returns:
        Tracks in order of appearance: row (15,) by frame.
    """
    tracks: list[dict[int, np.ndarray]] = []
    live: list[tuple[int, int]] = []  # track, place in keys of its last detection
    shot = np.searchsorted(cuts, keys, side="right")
    for place, rows in enumerate(detections):
        live = [(track, last) for track, last in live
                if shot[last] == shot[place] and place - last <= longest_gap + 1]
        free = list(range(len(rows)))
        if live and free:
            ends = np.stack([tracks[track][int(keys[last])] for track, last in live])
            scores = overlap(ends[:, :4], rows[:, :4])
            while scores.size and scores.max() >= least_overlap:
                which, best = divmod(int(scores.argmax()), scores.shape[1])
                tracks[live[which][0]][int(keys[place])] = rows[best]
                live[which] = (live[which][0], place)
                scores[which], scores[:, best] = -1, -1
                free.remove(best)
        for row in free:
            tracks.append({int(keys[place]): rows[row]})
            live.append((len(tracks) - 1, place))
    return tracks


def fill(track: dict[int, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """A track on every frame between its first and last detection, by linear interpolation.

    Returns:
        Frames int64 (T,) and rows float32 (T, 15).
    """
    known = np.array(sorted(track))
    frames = np.arange(known[0], known[-1] + 1)
    rows = np.stack([track[frame] for frame in known.tolist()])
    filled = np.stack([np.interp(frames, known, column) for column in rows.T], axis=1)
    return frames, filled.astype(np.float32)


def face_rows(tracks: list[dict[int, np.ndarray]], *, least_detections: int = 2,
              num_keys: int) -> tuple[np.ndarray, np.ndarray]:
    """All faces of a clip as rows of :data:`COLUMNS`, ordered by frame, then track.

    Args:
        tracks: as :func:`link` gives them.
        least_detections: shorter tracks are dropped as chance finds, unless the clip has fewer key frames.
        num_keys: key frames of the clip.

    Returns:
        Frames int64 (R,) and rows float32 (R, 16); tracks numbered from 0 in order of appearance.
    """
    kept = [track for track in tracks if len(track) >= min(least_detections, num_keys)]
    frames, rows = [np.zeros(0, np.int64)], [np.zeros((0, len(COLUMNS)), np.float32)]
    for number, track in enumerate(kept):
        track_frames, track_rows = fill(track)
        frames.append(track_frames)
        rows.append(np.column_stack([np.full(len(track_rows), number, np.float32), track_rows]))
    all_frames, all_rows = np.concatenate(frames), np.concatenate(rows)
    order = np.lexsort((all_rows[:, 0], all_frames))
    return all_frames[order], all_rows[order]


def largest_track(frames: np.ndarray, rows: np.ndarray, start: int, stop: int) -> dict[int, np.ndarray]:
    """The face that covers most area over frames ``start:stop``: its row (16,) by frame; empty without a face."""
    inside = rows[(frames >= start) & (frames < stop)]
    if not len(inside):
        return {}
    area = np.prod(inside[:, 3:5] - inside[:, 1:3], axis=1)
    totals = np.bincount(inside[:, 0].astype(int), area)
    chosen = (frames >= start) & (frames < stop) & (rows[:, 0] == totals.argmax())
    return dict(zip(frames[chosen].tolist(), rows[chosen], strict=True))


def align(picture: np.ndarray, landmarks: np.ndarray, recipe: CropRecipe, side: int) -> np.ndarray:
    """Cut a face out of a picture, turned and scaled so that its landmarks lie on the recipe's.

    The similarity transform is the least-squares one over five points (Umeyama 1991, no reflection). Faces larger than
    the crop are averaged down, not skipped over; what lies outside the picture repeats its edge.

    Args:
        picture: uint8 RGB (H, W, 3).
        landmarks: x, y of the five points in pixels of ``picture``, (5, 2).
        recipe: where the face lies in the crop.
        side: height and width of the crop in pixels.

    Returns:
        uint8 RGB (side, side, 3).
    """
    turn, shift = similarity(recipe.template, landmarks)       # crop's unit square → picture
    per_pixel = abs(turn) / side                               # picture's pixels a pixel of the crop
    finer = int(np.clip(np.ceil(per_pixel), 1, 8))
    grid = (np.arange(side * finer) + 0.5) / (side * finer)
    points = _pairs(turn * (grid[None] + 1j * grid[:, None]) + shift)                      # (s, s, 2)
    height, width = picture.shape[:2]
    low = np.clip(np.floor(points.min((0, 1))).astype(int) - 1, 0, [width - 1, height - 1])
    high = np.clip(np.ceil(points.max((0, 1))).astype(int) + 2, low + 1, [width, height])
    region = np.ascontiguousarray(picture[low[1]:high[1], low[0]:high[0]])
    pixels = torch.from_numpy(region).permute(2, 0, 1)[None].float()
    coarser = max(1, int(np.ceil(per_pixel / finer)))          # beyond 8 to 1 the picture is averaged first
    if coarser > 1:
        pixels = functional.avg_pool2d(pixels, coarser, ceil_mode=True)
    extent = np.array(pixels.shape[:1:-1]) * coarser
    place = (points - low) / extent * 2 - 1
    crop = functional.grid_sample(pixels, torch.from_numpy(place.astype(np.float32))[None], mode="bilinear",
                                  padding_mode="border", align_corners=False)
    crop = functional.avg_pool2d(crop, finer) if finer > 1 else crop
    return crop[0].round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous().numpy()


def similarity(source: np.ndarray, target: np.ndarray) -> tuple[complex, complex]:
    """Least-squares turn-and-scale ``a`` and shift ``b`` with ``a * source + b ≈ target``, x + iy for points (N, 2)."""
    z, w = _complex(source), _complex(target)
    centred = z - z.mean()
    turn = complex(np.vdot(centred, w - w.mean()) / max(np.vdot(centred, centred).real, 1e-12))
    return turn, complex(w.mean() - turn * z.mean())


def _complex(points: np.ndarray) -> np.ndarray:
    return points[..., 0].astype(np.float64) + 1j * points[..., 1]


def _pairs(numbers: np.ndarray) -> np.ndarray:
    return np.stack([numbers.real, numbers.imag], axis=-1)
