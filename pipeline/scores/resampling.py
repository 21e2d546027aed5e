"""How far chance could move scores: whole groups of clips are drawn again and again, for one run or for two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.clip import Task
from pipeline.metrics import (AVERAGE_PRECISION, CLASSIFICATION_METRICS, REGRESSION_METRICS, certainty, class_scores,
                              value_scores, value_terms, wanted)
from pipeline.scores.average_precision import average_precision

PRECISION_RESAMPLES = 200       # of average precision, as every draw costs a pass over all clips


@dataclass(frozen=True)
class Draws:
    """Groups of some clips, drawn with replacement as often as there are groups, many times.

    Clips of one group resemble each other, so whole groups are drawn (Efron and Tibshirani 1993, chapter 13).

    Args:
        place: number of each clip's group, int64 (N,).
        times: how often each group is drawn, int64 (draws, groups).
    """

    place: np.ndarray
    times: np.ndarray

    @classmethod
    def of(cls, groups: np.ndarray, *, seed: int = 0, num_resamples: int = 1000) -> Draws:
        """Draw.

        Args:
            groups: (N,) group of each clip; "" means that the clip stands alone.
            seed: of the draws.
            num_resamples: draws.
        """
        names = np.where(groups == "", np.char.add("\0", np.arange(len(groups)).astype(str)).astype(object), groups)
        _, place = np.unique(names.astype(str), return_inverse=True)
        num_groups = int(place.max()) + 1
        chance = np.full(num_groups, 1 / num_groups)
        return cls(place, np.random.default_rng(seed).multinomial(num_groups, chance, num_resamples))

    def scores(self, task: Task, labels: np.ndarray, predictions: Sequence[np.ndarray],
               certain: Sequence[np.ndarray | None] = ()) -> dict[str, np.ndarray]:
        """Every score on every draw, the mean over seeds, which are all scored on the same draws.

        Args:
            task: what was predicted.
            labels: (N,), none missing.
            predictions: (N,) of each seed.
            certain: (N,) of each seed, how likely the class that is looked for is.

        Returns:
            By metric (draws,); of average precision the first :data:`PRECISION_RESAMPLES` draws, those left out that
            drew nothing to be found.
        """
        num_draws, num_groups = self.times.shape
        totals: dict[str, np.ndarray] = {metric: np.zeros(num_draws) for metric in (
            CLASSIFICATION_METRICS if task.classes else REGRESSION_METRICS)}
        for predicted in predictions:
            if task.classes:
                sums = np.zeros((num_groups, len(task.classes) ** 2))
                np.add.at(sums, (self.place, labels * len(task.classes) + predicted), 1)
                found = class_scores((self.times @ sums).reshape(num_draws, len(task.classes), len(task.classes)))
            else:
                sums = np.zeros((num_groups, 8))
                np.add.at(sums, self.place, value_terms(labels, predicted))
                found = value_scores(self.times @ sums)
            for metric, values in found.items():
                totals[metric] += values / len(predictions)
        looked_for = wanted(task, labels)
        if looked_for is not None and looked_for.any():
            sure = [certainty(task, *pair) for pair in zip(predictions, certain or [None] * len(predictions))]
            totals[AVERAGE_PRECISION] = np.array([
                np.mean([average_precision(looked_for, values, draw[self.place]) for values in sure])
                for draw in self.times[:PRECISION_RESAMPLES] if draw[self.place][looked_for].any()])
        return totals


def confidence_intervals(task: Task, labels: np.ndarray, predictions: Sequence[np.ndarray], groups: np.ndarray, *,
                         scores: Sequence[np.ndarray | None] = (), seed: int = 0, num_resamples: int = 1000,
                         level: float = 0.95) -> dict[str, tuple[float, float]]:
    """Percentile bootstrap over groups: what the score might be on other dialogues (or actors) of the same kind.

    Args:
        task: what was predicted.
        labels: (N,).
        predictions: (N,) of each seed.
        groups: (N,) group of each clip; "" means that the clip stands alone.
        scores: (N,) of each seed, how likely the class that is looked for is.
        seed: of the draws.
        num_resamples: draws.
        level: share of the draws that lie inside.

    Returns:
        Low and high by metric, all from the same draws.

    >>> task = Task("emotion", ("calm", "angry"))
    >>> confidence_intervals(task, np.array([0, 1]), [np.array([0, 1])], np.array(["a", "b"]))["uar"]
    (1.0, 1.0)
    """
    draws = Draws.of(groups, seed=seed, num_resamples=num_resamples)
    return {metric: _edges(values, level) for metric, values in draws.scores(
        task, labels, predictions, scores).items()}


@dataclass(frozen=True)
class Difference:
    """How much better a second run is than a first, on one score.

    Args:
        first, second: their scores, the means over seeds.
        low, high: where the difference lies in so many of the draws.
        p_value: two-sided: how often a draw, moved so that its mean difference is 0, differs by at least as much.
    """

    first: float
    second: float
    low: float
    high: float
    p_value: float

    @property
    def difference(self) -> float:
        return self.second - self.first


def paired_difference(task: Task, labels: np.ndarray, first: Sequence[np.ndarray], second: Sequence[np.ndarray],
                      groups: np.ndarray, *, certain: Sequence[Sequence[np.ndarray | None]] = ((), ()), seed: int = 0,
                      num_resamples: int = 2000, level: float = 0.95) -> dict[str, Difference]:
    """Paired bootstrap over groups: both runs are scored on the same draws (Efron and Tibshirani 1993, chapter 16).

    Args:
        task: what both predicted.
        labels: (N,), none missing.
        first, second: (N,) of each seed of either run; they may have other numbers of seeds.
        groups: (N,) group of each clip; "" means that the clip stands alone.
        certain: of either run as in :meth:`Draws.scores`.
        seed: of the draws.
        num_resamples: draws.
        level: share of the draws that lie inside.

    Returns:
        By metric.
    """
    draws = Draws.of(groups, seed=seed, num_resamples=num_resamples)
    every = Draws(draws.place, np.ones((1, draws.times.shape[1]), np.int64))
    whole = [every.scores(task, labels, *pair) for pair in ((first, certain[0]), (second, certain[1]))]
    drawn = [draws.scores(task, labels, *pair) for pair in ((first, certain[0]), (second, certain[1]))]
    found = {}
    for metric, values in drawn[0].items():
        apart = drawn[1][metric] - values
        observed = whole[1][metric][0] - whole[0][metric][0]
        as_far = np.count_nonzero(np.abs(apart - apart.mean()) >= abs(observed) - 1e-12)
        found[metric] = Difference(float(whole[0][metric][0]), float(whole[1][metric][0]), *_edges(apart, level),
                                   (1 + as_far) / (1 + len(apart)))
    return found


def _edges(values: np.ndarray, level: float) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
