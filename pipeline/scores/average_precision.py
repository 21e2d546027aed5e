"""Average precision as the AVA active-speaker benchmark defines it: one figure over all rows, interpolated."""

from __future__ import annotations

import numpy as np


def average_precision(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Area under precision over recall, where precision at a recall is the best at that or any higher recall.

    The definition is PASCAL VOC's (Everingham et al. 2010, all points) as in ActivityNet's
    ``get_ava_active_speaker_performance.py``, and so is the order of the arithmetic: without ties the result is that
    script's to the last bit. Among equal scores the earlier row comes first, whatever the sorting routine does; the
    official script leaves it to pandas' unstable sort. scikit-learn's ``average_precision_score`` does not interpolate
    and is lower.

    Args:
        labels: (N,) bool, True = positive.
        scores: (N,) finite or infinite, higher = more likely positive.
        weights: (N,) how often each row counts, 0 or more, as in a bootstrap over groups; None for once each.

    Returns:
        From 0 to 1.

    Raises:
        ValueError: lengths that differ, a score that is no number, a weight below 0, or no positive row that counts.

    >>> average_precision(np.array([True, False, True]), np.array([.9, .8, .7]))
    0.8333333333333333
    """
    labels, scores = np.asarray(labels, bool), np.asarray(scores, np.float64)
    counts = np.ones(len(labels)) if weights is None else np.asarray(weights, np.float64)
    if labels.ndim != 1 or not labels.shape == scores.shape == counts.shape:
        raise ValueError(f"needs one score and one weight a label, found {labels.shape}, {scores.shape} and"
                         f" {counts.shape}")
    if np.isnan(scores).any() or not (counts >= 0).all():
        raise ValueError("scores must be numbers and weights 0 or more")
    order = np.argsort(-scores, kind="stable")
    order = order[counts[order] > 0]
    hits = labels[order]
    if not hits.any():
        raise ValueError("there is no positive row, so average precision is not defined")
    true_positives = np.cumsum(counts[order] * hits)
    precision = np.maximum.accumulate((true_positives / np.cumsum(counts[order]))[::-1])[::-1]
    steps = np.diff(true_positives / true_positives[-1], prepend=0.0)
    return float(np.sum((steps * precision)[hits]))
