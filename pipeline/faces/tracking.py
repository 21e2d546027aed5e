"""From detections on key frames to face tracks.

A track is a dict from frame to row: box x1, y1, x2, y2, probability and five landmarks x, y, float32 (15,).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from pipeline.faces import COLUMNS, RATE_HZ

Track = dict[int, np.ndarray]
#: New sights of a track beyond its end, frame by frame up to a frame, as far as the face can be followed.
Follow = Callable[[Track, int], Track]


@dataclass(frozen=True)
class TrackRules:
    """When detections are one person, and when a track is worth keeping.

    Args:
        least_overlap: intersection over union of the box that is expected and the one that is found.
        least_likeness: of their looks, -1 to 1; below it even boxes in one place are two people.
        leap_likeness: from here on boxes without overlap, less than a face apart, are one person who moved fast.
        longest_gap_seconds: from one detection of a face to its next; the frames between are filled.
        least_seconds, least_detections, least_probability: shorter and weaker tracks are dropped as chance finds; the
            probability is the mean over the detections.
        least_seen: share of a track's frames on which it is seen; one that is mostly filled in is chance finds joined.
            A clip of one frame keeps every face.
    """

    least_overlap: float = 0.2
    least_likeness: float = 0.2
    leap_likeness: float = 0.8
    longest_gap_seconds: float = 1.6
    least_seconds: float = 0.5
    least_detections: int = 2
    least_probability: float = 0.75
    least_seen: float = 0.3


def overlap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (K, 4) and (L, 4): (K, L)."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:4], b[None, :, 2:4])
    both = np.prod(np.clip(high - low, 0, None), axis=2)
    area_a, area_b = (np.prod(boxes[:, 2:4] - boxes[:, :2], axis=1) for boxes in (a, b))
    return np.asarray(both / np.maximum(area_a[:, None] + area_b[None] - both, 1e-9))


@dataclass(frozen=True)
class Linked:
    """A person within a shot.

    Args:
        sights: the track.
        found: the frames of them that are detections, rising; the others were followed.
    """

    sights: Track
    found: list[int]


def link(detections: Sequence[np.ndarray], keys: np.ndarray, cuts: np.ndarray, *,
         looks: Sequence[np.ndarray] | None = None, follow: Follow | None = None,
         rules: TrackRules = TrackRules()) -> list[Linked]:
    """Join detections on key frames into tracks by place and looks, the best assignment at each, never across a cut.

    Args:
        detections: per key frame (K, 15) as :class:`pipeline.faces.mtcnn.FaceDetector` gives them.
        keys: frame of each entry of ``detections``.
        cuts: frames at which shots begin.
        looks: per key frame (K, D), a unit vector for each detection; the product of two says how alike they are.
            Without them place alone decides.
        follow: traces faces that no detection carries on; they are lost without it.
        rules: what makes two detections one person.

    Returns:
        Tracks in order of appearance.
    """
    tracks: list[Linked] = []
    last_looks: list[np.ndarray] = []
    shot = np.searchsorted(cuts, keys, side="right")
    longest = round(rules.longest_gap_seconds * RATE_HZ)
    live: list[int] = []
    for place, rows in enumerate(detections):
        frame = int(keys[place])
        same_shot = place > 0 and shot[place] == shot[place - 1]
        live = [track for track in live if same_shot and frame - tracks[track].found[-1] <= longest]
        seen = looks[place] if looks is not None else np.ones((len(rows), 1), np.float32)
        pairs = _assigned([tracks[track].sights for track in live], [last_looks[track] for track in live], frame, rows,
                          seen, rules)
        if follow is not None:
            pairs |= _traced([tracks[track].sights for track in live], pairs, frame, rows, follow, rules)
        for which, row in pairs.items():
            tracks[live[which]].sights[frame], last_looks[live[which]] = rows[row], seen[row]
            tracks[live[which]].found.append(frame)
        for row in sorted(set(range(len(rows))) - set(pairs.values())):
            live.append(len(tracks))
            tracks.append(Linked({frame: rows[row]}, [frame]))
            last_looks.append(seen[row])
    return tracks


def _assigned(tracks: list[Track], track_looks: list[np.ndarray], frame: int, rows: np.ndarray, looks: np.ndarray,
              rules: TrackRules) -> dict[int, int]:
    """Which row carries which track on, by place and looks."""
    if not tracks or not len(rows):
        return {}
    scores = _scores(tracks, frame, rows, np.stack(track_looks) @ looks.T, rules)
    return {int(which): int(row) for which, row in zip(*linear_sum_assignment(scores, maximize=True), strict=True)
            if scores[which, row] > 0}


def _traced(tracks: list[Track], pairs: dict[int, int], frame: int, rows: np.ndarray, follow: Follow,
            rules: TrackRules) -> dict[int, int]:
    """Follow the tracks that no row carries on; those that end on a free row go on with it, those that end on another
    track's lose what was followed."""
    found: dict[int, int] = {}
    for which in sorted(set(range(len(tracks))) - set(pairs)):
        sights = follow(tracks[which], frame)
        if frame in sights and len(rows):
            shared = overlap(sights[frame][None, :4], rows[:, :4])[0]
            row = int(shared.argmax())
            if shared[row] >= rules.least_overlap:
                if row in (pairs | found).values():
                    continue
                found[which] = row
        tracks[which].update(sights)
    return found


def _scores(tracks: list[Track], frame: int, rows: np.ndarray, likeness: np.ndarray,
            rules: TrackRules) -> np.ndarray:
    """How well each row carries each track on, (len(tracks), len(rows)); 0 where it cannot."""
    here = np.stack([track[max(track)] for track in tracks])
    ahead = np.stack([expected(track, frame) for track in tracks])
    place = np.maximum(overlap(here[:, :4], rows[:, :4]), overlap(ahead[:, :4], rows[:, :4]))
    sides = [np.sqrt(np.prod(boxes[:, 2:4] - boxes[:, :2], axis=1)) for boxes in (here, rows)]
    middles = [(boxes[:, :2] + boxes[:, 2:4]) / 2 for boxes in (here, rows)]
    smaller = np.minimum(sides[0][:, None], sides[1][None])
    larger = np.maximum(sides[0][:, None], sides[1][None])
    near = np.linalg.norm(middles[0][:, None] - middles[1][None], axis=2) < smaller
    leaps = near & (larger < 1.5 * smaller) & (likeness >= rules.leap_likeness)
    fits = ((place >= rules.least_overlap) & (likeness >= rules.least_likeness)) | leaps
    return np.where(fits, place + np.clip(likeness, 0, 1), 0)


def expected(track: Track, frame: int) -> np.ndarray:
    """A track's row (15,) at a frame after its last or before its first, if it moves on as it did between the last
    two sights; never by more than half its size."""
    known = sorted(track) if frame > min(track) else sorted(track, reverse=True)
    last: np.ndarray = track[known[-1]].copy()
    if len(known) > 1:
        before = track[known[-2]]
        step = (last - before) / (known[-1] - known[-2]) * (frame - known[-1])
        move = (step[:2] + step[2:4]) / 2
        side = float(np.sqrt(max(np.prod(last[2:4] - last[:2]), 0)))
        move *= min(1.0, side / 2 / max(float(np.linalg.norm(move)), 1e-9))
        last[[0, 2, *range(5, 15, 2)]] += move[0]
        last[[1, 3, *range(6, 15, 2)]] += move[1]
    return last


def fill(track: Track) -> tuple[np.ndarray, np.ndarray]:
    """A track on every frame between its first and last sight, by linear interpolation.

    Returns:
        Frames int64 (T,) and rows float32 (T, 15).
    """
    known = np.array(sorted(track))
    frames = np.arange(known[0], known[-1] + 1)
    rows = np.stack([track[frame] for frame in known.tolist()])
    filled = np.stack([np.interp(frames, known, column) for column in rows.T], axis=1)
    return frames, filled.astype(np.float32)


def smoothed(rows: np.ndarray, is_seen: np.ndarray) -> np.ndarray:
    """Boxes and landmarks of a track averaged with the frame before and the one after, weights 1, 2, 1.

    The weights are even on both sides, so nothing lags. A row without a seen neighbour on each side stays.

    Args:
        rows: (T, 15), one a frame.
        is_seen: bool (T,); False where a row was filled in.

    Returns:
        float32 (T, 15).
    """
    smooth: np.ndarray = rows.copy()
    inner = is_seen[:-2] & is_seen[1:-1] & is_seen[2:]
    mean = (rows[:-2] + 2 * rows[1:-1] + rows[2:]) / 4
    mean[:, 4] = rows[1:-1, 4]
    smooth[1:-1][inner] = mean[inner]
    return smooth


def face_rows(tracks: Sequence[Linked], *, num_frames: int, faint: Sequence[dict[int, float]] | None = None,
              rules: TrackRules = TrackRules()) -> tuple[np.ndarray, np.ndarray]:
    """All faces of a clip as rows of :data:`COLUMNS`, ordered by frame, then track.

    Args:
        tracks: as :func:`link` gives them, or with more sights from :mod:`pipeline.faces.refinement`.
        num_frames: of the clip; the rules for tracks do not apply to a single one.
        faint: for each track the probability on frames where a face was looked for and not found.
        rules: which tracks are kept.

    Returns:
        Frames int64 (R,) and rows float32 (R, 16); tracks numbered from 0 in order of appearance.
    """
    frames, rows = [np.zeros(0, np.int64)], [np.zeros((0, len(COLUMNS)), np.float32)]
    for place in sorted(range(len(tracks)), key=lambda place: min(tracks[place].sights)):
        if num_frames > 1 and not _is_kept(tracks[place], num_frames, rules):
            continue
        track_frames, track_rows = fill(tracks[place].sights)
        for frame, probability in (faint[place] if faint is not None else {}).items():
            if track_frames[0] < frame < track_frames[-1]:
                track_rows[frame - track_frames[0], 4] = probability
        track_rows = smoothed(track_rows, np.isin(track_frames, list(tracks[place].sights)))
        frames.append(track_frames)
        rows.append(np.column_stack([np.full(len(track_rows), len(rows) - 1, np.float32), track_rows]))
    all_frames, all_rows = np.concatenate(frames), np.concatenate(rows)
    order = np.lexsort((all_rows[:, 0], all_frames))
    return all_frames[order], all_rows[order]


def _is_kept(track: Linked, clip_frames: int, rules: TrackRules) -> bool:
    probability = np.mean([track.sights[frame][4] for frame in track.found])
    num_frames = max(track.sights) - min(track.sights) + 1
    return bool(len(track.found) >= rules.least_detections and probability >= rules.least_probability
                and num_frames >= min(round(rules.least_seconds * RATE_HZ), clip_frames)
                and len(track.sights) >= rules.least_seen * num_frames)
