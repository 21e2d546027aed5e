"""Scores of predictions.

Classification: accuracy, weighted F1 (MELD's score), macro F1 and UAR (unweighted average recall), as scikit-learn
defines them and fractions 0–1; where one class is looked for also average precision (AVA's). Regression: the
concordance correlation coefficient (Lin 1989), Pearson's r, mean absolute error, root mean squared error. All but
average precision are functions of sums over clips, which :mod:`pipeline.scores.resampling` redraws.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.clip import Task
from pipeline.scores.average_precision import average_precision

AVERAGE_PRECISION = "average_precision"
CLASSIFICATION_METRICS = ("accuracy", "weighted_f1", "macro_f1", "uar")
SHARES = (*CLASSIFICATION_METRICS, AVERAGE_PRECISION)      # fractions of something, printed in per cent
REGRESSION_METRICS = ("ccc", "pearson", "mae", "rmse")
LOWER_IS_BETTER = ("mae", "rmse")


def metric_names(task: Task) -> tuple[str, ...]:
    """Names of a task's scores."""
    if task.positive:
        return (AVERAGE_PRECISION, *CLASSIFICATION_METRICS)
    return CLASSIFICATION_METRICS if task.classes else REGRESSION_METRICS


def main_metric(task: Task) -> str:
    """The score that chooses the best epoch unless the user names one: weighted F1, average precision where one class
    is looked for, or CCC for values."""
    if task.positive:
        return AVERAGE_PRECISION
    return "weighted_f1" if task.classes else "ccc"


def positive_scores(task: Task, outputs: np.ndarray) -> np.ndarray | None:
    """Probability of the class that is looked for, (N,), from outputs (N, C); None where none is."""
    return outputs[:, task.classes.index(task.positive)] if task.positive else None


def score(task: Task, labels: np.ndarray, predictions: np.ndarray,
          scores: np.ndarray | None = None) -> dict[str, float]:
    """All scores of one task.

    Args:
        task: what was predicted.
        labels: (N,) class indices or values; none missing.
        predictions: (N,), likewise.
        scores: (N,) how likely the class that is looked for is; without them what is predicted stands for certain.

    Returns:
        By metric. Average precision is left out where the class that is looked for does not occur. Classes that neither
        occur nor are predicted are left out of macro F1; classes that do not occur are left out of UAR. A
        correlation with something constant is 0.

    Raises:
        ValueError: no clip, or lengths that differ.
    """
    if len(labels) == 0 or len(labels) != len(predictions):
        raise ValueError(f"needs as many predictions as labels and at least one, found {len(predictions)} and"
                         f" {len(labels)}")
    if not task.classes:
        sums = value_terms(labels, predictions).sum(0)
        return {name: float(value) for name, value in value_scores(sums).items()}
    found = {}
    looked_for = wanted(task, labels)
    if looked_for is not None and looked_for.any():
        found[AVERAGE_PRECISION] = average_precision(looked_for, certainty(task, predictions, scores))
    size = max(len(task.classes), int(max(labels.max(), predictions.max())) + 1)
    table = np.bincount(labels * size + predictions, minlength=size ** 2).reshape(size, size)
    return {**found, **{name: float(value) for name, value in class_scores(table).items()}}


def wanted(task: Task, labels: np.ndarray) -> np.ndarray | None:
    """Where a label is the class that is looked for, bool (N,); None where none is."""
    return labels == task.classes.index(task.positive) if task.positive else None


def certainty(task: Task, predictions: np.ndarray, scores: np.ndarray | None) -> np.ndarray:
    """How sure of the class that is looked for, (N,): as the scores say, or 1 where it is predicted and else 0."""
    return scores if scores is not None else (predictions == task.classes.index(task.positive)).astype(np.float64)


def class_scores(tables: np.ndarray) -> dict[str, np.ndarray]:
    """Scores of confusion tables (..., C true, C predicted), each (...)."""
    hits = np.diagonal(tables, axis1=-2, axis2=-1)                          # (..., C)
    support, predicted = tables.sum(-1), tables.sum(-2)
    f1 = 2 * hits / np.maximum(support + predicted, 1)
    recall = hits / np.maximum(support, 1)
    total = np.maximum(support.sum(-1), 1)
    return {"accuracy": hits.sum(-1) / total, "weighted_f1": (f1 * support).sum(-1) / total,
            "macro_f1": f1.sum(-1) / np.maximum((support + predicted > 0).sum(-1), 1),
            "uar": recall.sum(-1) / np.maximum((support > 0).sum(-1), 1)}


def value_terms(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """What value scores are sums of, (N, 8): 1, x, y, x², y², xy, |x−y|, (x−y)², in float64."""
    x, y = labels.astype(np.float64), predictions.astype(np.float64)
    return np.stack([np.ones_like(x), x, y, x * x, y * y, x * y, np.abs(x - y), np.square(x - y)], axis=1)


def value_scores(sums: np.ndarray) -> dict[str, np.ndarray]:
    """Scores of sums (..., 8), each (...); variances divide by N, as in Lin's definition of CCC."""
    mean_x, mean_y, xx, yy, xy, absolute, square = np.moveaxis(sums[..., 1:] / sums[..., :1], -1, 0)
    variance_x, variance_y = np.maximum(xx - mean_x ** 2, 0), np.maximum(yy - mean_y ** 2, 0)
    covariance = xy - mean_x * mean_y
    floor = np.finfo(np.float64).eps * np.maximum(xx + yy, 1)               # rounding left over from a constant
    spread = np.sqrt(variance_x * variance_y)
    moves = np.minimum(variance_x, variance_y) > floor
    apart = variance_x + variance_y + np.square(mean_x - mean_y)
    return {"ccc": np.where(moves, 2 * covariance / np.maximum(apart, floor), 0.0),
            "pearson": np.where(moves, covariance / np.where(moves, spread, 1), 0.0),
            "mae": absolute, "rmse": np.sqrt(square)}


def mean_and_sd(values: Sequence[float]) -> tuple[float, float]:
    """Mean and sample standard deviation (N − 1); 0 for a single value."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
