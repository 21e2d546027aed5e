"""Where windows over a sequence begin and end: pure arithmetic on counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np


def spans(length: int, size: int, stride: int) -> np.ndarray:
    """Cut a sequence into equal, possibly overlapping spans.

    A tail shorter than ``size`` is dropped; a sequence shorter than ``size`` gives no spans.

    Args:
        length: steps in the sequence (frames, samples or tokens).
        size: steps per span, at least 1.
        stride: steps between span starts, at least 1.

    Returns:
        Start and stop of each span, int64, shape (N, 2), half-open.

    Raises:
        ValueError: ``size`` or ``stride`` is below 1.

    >>> spans(10, 4, 3).tolist()
    [[0, 4], [3, 7], [6, 10]]
    """
    if size < 1 or stride < 1:
        raise ValueError(f"size and stride are at least 1, found {size} and {stride}")
    starts = np.arange(0, max(0, length - size + 1), stride, dtype=np.int64)
    return np.stack([starts, starts + size], axis=1)


@dataclass(frozen=True)
class Snippets:
    """How a clip's frames are cut into snippets for a 3-D network.

    Args:
        layout: ``"sliding"``: every ``hop`` frames, as many as fit, thinned evenly to ``most``;
            ``"spread"``: always ``most`` snippets, evenly from the first frame to the last.
        size: frames per snippet.
        hop: frames between the starts of sliding snippets.
        most: the greatest number of snippets.
    """

    layout: Literal["sliding", "spread"] = "sliding"
    size: int = 16
    hop: int = 8
    most: int = 32

    def __post_init__(self) -> None:
        if min(self.size, self.hop, self.most) < 1:
            raise ValueError(f"size, hop and most are at least 1, found {self}")

    def spans(self, num_frames: int) -> np.ndarray:
        """Start and stop of each snippet, int64, shape (N, 2), half-open.

        A clip shorter than one snippet gives one (or, spread, ``most``) that reaches past its end: the last frame is
        held there. No frames give no snippets.

        >>> Snippets(size=4, hop=3).spans(10).tolist()
        [[0, 4], [3, 7], [6, 10]]
        >>> Snippets(size=4).spans(2).tolist()
        [[0, 4]]
        >>> Snippets("spread", size=4, most=3).spans(10).tolist()
        [[0, 4], [3, 7], [6, 10]]
        """
        if num_frames < 1:
            return np.zeros((0, 2), np.int64)
        if self.layout == "spread":
            starts = evenly(max(0, num_frames - self.size), self.most)
        else:
            starts = spans(max(num_frames, self.size), self.size, self.hop)[:, 0]
            if len(starts) > self.most:
                starts = starts[evenly(len(starts) - 1, self.most)]
        return np.stack([starts, starts + self.size], axis=1)

    def frames(self, num_frames: int) -> np.ndarray:
        """Indices of the frames that the snippets use, sorted and distinct, int64, shape (T,)."""
        covered = np.zeros(num_frames, bool)
        for start, stop in self.spans(num_frames):
            covered[start:stop] = True
        return np.flatnonzero(covered)


def evenly(last: int, count: int) -> np.ndarray:
    """``count`` whole numbers from 0 to ``last``, as even as rounding allows, int64, shape (count,).

    >>> evenly(10, 3).tolist()
    [0, 5, 10]
    """
    return np.asarray(np.floor(np.linspace(0, last, count) + 0.5), np.int64)
