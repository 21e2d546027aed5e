"""Which of the faces in view an extractor follows."""

from __future__ import annotations

import numpy as np


def largest_track(frames: np.ndarray, rows: np.ndarray, start: int, stop: int) -> dict[int, np.ndarray]:
    """The face that covers most area over frames ``start:stop``: its row (16,) by frame; empty without a face."""
    inside = rows[(frames >= start) & (frames < stop)]
    if not len(inside):
        return {}
    area = np.prod(inside[:, 3:5] - inside[:, 1:3], axis=1)
    totals = np.bincount(inside[:, 0].astype(int), area)
    chosen = (frames >= start) & (frames < stop) & (rows[:, 0] == totals.argmax())
    return dict(zip(frames[chosen].tolist(), rows[chosen], strict=True))
