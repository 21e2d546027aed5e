"""Which of the faces in view an extractor follows, span by span.

The policies, each over the frames of one span:

* ``largest``: the track that covers most area, summed over the frames;
* ``central``: the track whose boxes' middles lie nearest to the middle of the picture on average;
* ``longest``: of the tracks in view, the one that is seen in most frames of the whole clip; of equals the larger;
* ``speaking``: of the tracks that speak (their mean score is 0.5 or more), the one with the greatest sum of scores;
  none where nobody speaks;
* ``gallery``: the track that is most like the clip's speaker, if it is at least as like as the gallery asks for;
* ``all``: every track.

Of equals the one that appeared first is followed. The choice says who it is about and nothing else: whether a crop is
good enough is asked afterwards, so that a blurred speaker is never replaced by a sharp listener.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

Policy = Literal["largest", "central", "longest", "gallery", "speaking", "all"]
POLICIES: tuple[Policy, ...] = get_args(Policy)
LEAST_SPEAKING = 0.5  # from here on a face speaks; see pipeline.faces.SPEAKING_COLUMNS


@dataclass(frozen=True)
class Candidates:
    """All faces of a clip, and what is known of them.

    Args:
        frames: frame of each face on the grid, int64 (R,).
        rows: of :data:`pipeline.faces.COLUMNS` in source pixels, (R, 16).
        source_size: (height, width) of the source picture.
        speaking: score of each row, (R,); for the policy ``speaking``.
        likeness: of each track to the clip's speaker by the track's number, (K,); for the policy ``gallery``.
        least_likeness: from here on two faces are one person's.

    Raises:
        ValueError: these do not belong together.
    """

    frames: np.ndarray
    rows: np.ndarray
    source_size: tuple[int, int] = (0, 0)
    speaking: np.ndarray | None = None
    likeness: np.ndarray | None = None
    least_likeness: float = 0.0

    def __post_init__(self) -> None:
        if len(self.frames) != len(self.rows) or self.speaking is not None and len(self.speaking) != len(self.rows):
            raise ValueError(f"{len(self.rows)} faces in {len(self.frames)} frames with"
                             f" {len(self.rows) if self.speaking is None else len(self.speaking)} speaking scores")

    def inside(self, start: int, stop: int) -> np.ndarray:
        """Places in ``rows`` of the faces in the frames ``[start, stop)``, rising, int64."""
        return np.flatnonzero((self.frames >= start) & (self.frames < stop))


def choose(policy: Policy, faces: Candidates, start: int, stop: int) -> list[np.ndarray]:
    """The faces to follow in a span.

    Args:
        policy: see above.
        faces: of the clip.
        start, stop: frames of the span, half-open.

    Returns:
        For each face that is followed the places of its rows in ``faces.rows``, rising; one at most, but for ``all``,
        where tracks stand in the order of their numbers.

    Raises:
        ValueError: the policy needs scores that are not given.
    """
    inside = faces.inside(start, stop)
    if not len(inside):
        return []
    tracks, member = np.unique(faces.rows[inside, 0], return_inverse=True)
    if policy == "all":
        return [inside[member == place] for place in range(len(tracks))]
    merits = _merits(policy, faces, inside, tracks, member)
    best = int(merits.argmax())
    return [inside[member == best]] if np.isfinite(merits[best]) else []


def _merits(policy: Policy, faces: Candidates, inside: np.ndarray, tracks: np.ndarray,
            member: np.ndarray) -> np.ndarray:
    """What counts for each track in view, (K,): the greatest is followed, −inf never."""
    rows, counts = faces.rows[inside], np.bincount(member)
    if policy == "largest":
        return np.asarray(np.bincount(member, areas(rows)))
    if policy == "central":
        height, width = faces.source_size
        away = np.hypot(*((rows[:, 1:3] + rows[:, 3:5]) / 2 - (width / 2, height / 2)).T)
        return np.asarray(-np.bincount(member, away) / counts)
    if policy == "longest":
        lengths, sizes = (np.array([amounts[faces.rows[:, 0] == track].sum() for track in tracks])
                          for amounts in (np.ones(len(faces.rows)), areas(faces.rows)))
        return np.where(lengths == lengths.max(), sizes, -np.inf)
    if policy == "speaking":
        if faces.speaking is None:
            raise ValueError("the policy speaking needs a speaking score for each face")
        sums = np.bincount(member, faces.speaking[inside])
        return np.where(sums / counts >= LEAST_SPEAKING, sums, -np.inf)
    if faces.likeness is None:
        raise ValueError("the policy gallery needs each track's likeness to the clip's speaker")
    likeness = faces.likeness[tracks.astype(int)]
    return np.where(likeness >= faces.least_likeness, likeness, -np.inf)


def areas(rows: np.ndarray) -> np.ndarray:
    """Area of each face's box in square pixels, float64 (R,)."""
    return np.asarray(np.prod(rows[:, 3:5].astype(np.float64) - rows[:, 1:3], axis=1))
