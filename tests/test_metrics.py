"""Scores against worked examples and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score, recall_score

from pipeline.clip import Task
from pipeline.metrics import (CLASSIFICATION_METRICS, REGRESSION_METRICS, class_scores, main_metric, mean_and_sd,
                              metric_names, positive_scores, score)

EMOTION = Task("emotion", ("calm", "glad", "angry", "never"))
AROUSAL = Task("arousal", value_range=(0.0, 1.0))


def made_up(num: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, num)
    return labels, np.where(random.random(num) < 0.6, labels, random.integers(0, 3, num)), random.integers(0, 40, num)


def test_scores_of_four_clips_by_hand() -> None:
    scores = score(EMOTION, np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]))
    assert scores == pytest.approx({"accuracy": 0.75, "uar": (2 / 3 + 1) / 2, "macro_f1": (0.8 + 2 / 3) / 2,
                                    "weighted_f1": 0.75 * 0.8 + 0.25 * 2 / 3})


def test_always_the_commonest_class_gives_melds_known_floor() -> None:
    labels = np.repeat([0, 1], [1256, 2610 - 1256])
    assert score(EMOTION, labels, np.zeros(2610, int))["weighted_f1"] == pytest.approx(0.313, abs=5e-4)


def test_a_prediction_of_a_class_that_does_not_occur_counts_in_f1_and_not_in_recall() -> None:
    scores = score(EMOTION, np.array([0, 0]), np.array([0, 3]))
    assert scores["uar"] == 0.5 and scores["macro_f1"] == pytest.approx((2 / 3 + 0) / 2)


def test_scores_from_confusion_tables_equal_those_of_scikit_learn() -> None:
    labels, predicted, _ = made_up()
    table = np.zeros((4, 4))
    np.add.at(table, (labels, predicted), 1)
    assert {name: float(value) for name, value in class_scores(table).items()} == pytest.approx(
        score(EMOTION, labels, predicted))
    assert score(EMOTION, labels, predicted)["macro_f1"] == pytest.approx(f1_score(labels, predicted, average="macro"))
    assert score(EMOTION, labels, predicted)["uar"] == pytest.approx(recall_score(labels, predicted, average="macro"))


def test_scores_of_values_by_their_definitions() -> None:
    random = np.random.default_rng(0)
    x = random.normal(size=50)
    y = 0.5 * x + random.normal(size=50) + 1
    scores = score(AROUSAL, x.astype(np.float32), y.astype(np.float32))
    assert scores["pearson"] == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-6)
    apart = x.var() + y.var() + (x.mean() - y.mean()) ** 2
    assert scores["ccc"] == pytest.approx(2 * np.cov(x, y, ddof=0)[0, 1] / apart, abs=1e-6)
    assert scores["mae"] == pytest.approx(np.abs(x - y).mean(), abs=1e-6)
    assert scores["rmse"] == pytest.approx(np.sqrt(np.square(x - y).mean()), abs=1e-6)


def test_something_constant_correlates_with_nothing() -> None:
    for labels, predicted in (([0.1, 0.2, 0.3], [0.7, 0.7, 0.7]), ([0.7, 0.7, 0.7], [0.1, 0.2, 0.3])):
        scores = score(AROUSAL, np.array(labels, np.float32), np.array(predicted, np.float32))
        assert scores["ccc"] == scores["pearson"] == 0.0


def test_nothing_to_score_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one, found 0 and 0"):
        score(EMOTION, np.array([], int), np.array([], int))
    with pytest.raises(ValueError, match="found 1 and 2"):
        score(EMOTION, np.array([0, 1]), np.array([0]))


def test_every_task_has_its_metrics() -> None:
    assert (metric_names(EMOTION), main_metric(EMOTION)) == (CLASSIFICATION_METRICS, "weighted_f1")
    assert (metric_names(AROUSAL), main_metric(AROUSAL)) == (REGRESSION_METRICS, "ccc")


def test_deviation_is_that_of_a_sample_and_zero_for_one() -> None:
    assert mean_and_sd([1.0, 3.0]) == pytest.approx((2.0, 2 ** 0.5))
    assert mean_and_sd([0.5]) == (0.5, 0.0)


def test_where_one_class_is_looked_for_its_average_precision_is_the_main_score() -> None:
    task = Task("speaking", ("no", "yes"), level="frame", positive="yes")
    labels, sure = np.array([1, 0, 1, 0]), np.array([0.9, 0.8, 0.7, 0.1])
    assert main_metric(task) == metric_names(task)[0] == "average_precision"
    assert positive_scores(task, np.stack([1 - sure, sure], 1)) == pytest.approx(sure)
    assert score(task, labels, (sure > 0.5).astype(int), sure)["average_precision"] == pytest.approx((1 + 2 / 3) / 2)
    without = score(task, labels, np.array([0, 0, 0, 1]))["average_precision"]
    assert without == pytest.approx(1 / 2), "what is predicted stands for certain, in the order of the rows"
    assert "average_precision" not in score(task, np.zeros(3, int), np.zeros(3, int)), "nothing is there to be found"
