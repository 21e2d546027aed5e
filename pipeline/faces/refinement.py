"""Between key frames: faces that are known there and there, found in between by the third network alone.

It costs well under a millisecond a face. A gap is halved again and again, so that each look starts from the nearest
sights and a face may move as it likes; at both ends a track is followed frame by frame to where the face leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pipeline.faces.tracking import Linked, Track, TrackRules, expected, overlap

LEAST_PROBABILITY = 0.5   # of the third network; a face that is known before and after needs less than a new one
LEAST_OVERLAP = 0.5       # of the box that is found with the one that was expected; less is another face or none
MOST_SHARED = 0.3         # overlap with another track's box from which on a track is not followed further
#: Rows (K, 15) for frames (K,) and boxes (K, 4).
Look = Callable[[np.ndarray, np.ndarray], np.ndarray]


def refine(tracks: Sequence[Track], look: Look) -> tuple[list[Track], list[dict[int, float]]]:
    """Find every track on the frames between its sights.

    Args:
        tracks: sights on key frames.
        look: asks the network about boxes.

    Returns:
        The tracks with all new sights, and for each the probability on frames where the answer was none or leapt away.
    """
    known, faint = [dict(track) for track in tracks], [dict[int, float]() for _ in tracks]
    while True:
        asked = [(place, (before + after) // 2) for place, track in enumerate(known)
                 for before, after in _gaps(sorted([*track, *faint[place]]))]
        if not asked:
            return known, faint
        guesses = np.stack([_between(known[place], frame) for place, frame in asked])
        answers = look(np.array([frame for _, frame in asked]), guesses[:, :4])
        for (place, frame), guess, answer in zip(asked, guesses, answers, strict=True):
            if _agrees(guess, answer):
                answer[4] = max(answer[4], guess[4])  # who is seen before and after is no less sure between
                known[place][frame] = answer
            else:
                faint[place][frame] = float(answer[4])


def follow(track: Track, look: Look, stop: int) -> Track:
    """Go on from a track's end, or back from its begin, frame by frame.

    Args:
        track: sights.
        look: asks the network about boxes.
        stop: last frame that is asked about.

    Returns:
        The new sights; the first frame without the face ends them.
    """
    known, found = dict(track), Track()
    first, last = min(track), max(track)
    for frame in range(last + 1, stop + 1) if stop > last else range(first - 1, stop - 1, -1):
        guess = expected(known, frame)
        answer = look(np.array([frame]), guess[None, :4])[0]
        if not _agrees(guess, answer):
            break
        known[frame] = found[frame] = answer
    return found


def begin(tracks: Sequence[Linked], look: Look, keys: np.ndarray, cuts: np.ndarray) -> None:
    """Follow every track back from its first detection to where the face came in, at most to the key frame before, on
    which it was not found; the sights are added to the tracks.

    Args:
        tracks: of all shots.
        look: asks the network about boxes.
        keys: key frames, rising.
        cuts: frames at which shots begin.
    """
    for track in tracks:
        first = track.found[0]
        shot = max([0, *cuts[cuts <= first].tolist()])
        earlier = keys[keys < first]
        for frame, row in follow(track.sights, look, max([shot, *(earlier[-1:] + 1).tolist()])).items():
            others = [other.sights[frame] for other in tracks if other is not track and frame in other.sights]
            if others and (overlap(row[None, :4], np.stack(others)[:, :4]) > MOST_SHARED).any():
                break
            track.sights[frame] = row


def joined(tracks: Sequence[Linked], cuts: np.ndarray, rules: TrackRules = TrackRules()) -> list[Linked]:
    """One track of two where the second, in the same place and shot, begins as the first ends or lies in its gap.

    Both happen where a face moves fast: it is followed from both sides and a frame lies between, or it is found, taken
    for another, and then found where it was expected.

    Args:
        tracks: in order of appearance.
        cuts: frames at which shots begin.
        rules: how much boxes share in one place.

    Returns:
        The tracks in order; those given are unchanged.
    """
    whole: list[Linked] = []
    for track in tracks:
        same = next((place for place, other in enumerate(whole)
                     if _goes_on(other.sights, track.sights, cuts, rules)
                     or _lies_in_gap(other.sights, track.sights, rules)), None)
        if same is None:
            whole.append(track)
        else:
            other = whole[same]
            whole[same] = Linked({**other.sights, **track.sights}, sorted([*other.found, *track.found]))
    return whole


def _goes_on(track: Track, later: Track, cuts: np.ndarray, rules: TrackRules) -> bool:
    last, first = max(track), min(later)
    return (0 < first - last <= 2 and not ((cuts > last) & (cuts <= first)).any()
            and bool(overlap(track[last][None, :4], later[first][None, :4])[0, 0] >= rules.least_overlap))


def _lies_in_gap(track: Track, part: Track, rules: TrackRules) -> bool:
    first, last = min(part), max(part)
    if not min(track) < first <= last < max(track) or any(first <= frame <= last for frame in track):
        return False
    shared = [overlap(_between(track, frame)[None, :4], row[None, :4])[0, 0] for frame, row in part.items()]
    return bool(np.mean(shared) >= rules.least_overlap)


def _gaps(frames: list[int]) -> list[tuple[int, int]]:
    return [(before, after) for before, after in zip(frames[:-1], frames[1:], strict=True) if after - before > 1]


def _between(track: Track, frame: int) -> np.ndarray:
    """A track's row (15,) at a frame, on the line between the nearest sights."""
    before, after = (max(known for known in track if known < frame), min(known for known in track if known > frame))
    share = (frame - before) / (after - before)
    return track[before] * (1 - share) + track[after] * share


def _agrees(guess: np.ndarray, answer: np.ndarray) -> bool:
    return bool(answer[4] >= LEAST_PROBABILITY
                and overlap(guess[None, :4], answer[None, :4])[0, 0] >= LEAST_OVERLAP)
