"""From detections on key frames to face tracks."""

from __future__ import annotations

import numpy as np

from pipeline.faces import COLUMNS


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
