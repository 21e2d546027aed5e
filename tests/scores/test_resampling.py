"""Redrawn scores against slow ones that copy clips; differences of two runs."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.clip import Task
from pipeline.metrics import score
from pipeline.scores.average_precision import average_precision
from pipeline.scores.resampling import Draws, confidence_intervals, paired_difference

EMOTION = Task("emotion", ("calm", "glad", "angry", "never"))
AROUSAL = Task("arousal", value_range=(0.0, 1.0))
SPEAKING = Task("speaking", ("no", "yes"), level="frame", positive="yes")


def made_up(num: int = 300, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, num)
    return labels, np.where(random.random(num) < 0.6, labels, random.integers(0, 3, num)), random.integers(0, 40, num)


@pytest.mark.parametrize(("task", "metric"), [(EMOTION, "weighted_f1"), (EMOTION, "uar"), (AROUSAL, "ccc"),
                                              (AROUSAL, "mae")])
def test_the_bootstrap_equals_a_slow_one_that_copies_clips(task: Task, metric: str) -> None:
    labels, predicted, groups = made_up(80)
    if not task.classes:
        labels, predicted = labels.astype(np.float32), (predicted + 0.1 * groups).astype(np.float32)
    names = np.array([f"dialogue{group}" for group in groups], object)
    low, high = confidence_intervals(task, labels, [predicted], names, seed=3, num_resamples=200)[metric]
    order = np.unique(names.astype(str))
    members = [np.flatnonzero(names == name) for name in order]
    draws = np.random.default_rng(3).multinomial(len(order), np.full(len(order), 1 / len(order)), 200)
    slow = []
    for draw in draws:
        clips = np.concatenate([np.tile(part, times) for part, times in zip(members, draw) if times])
        slow.append(score(task, labels[clips], predicted[clips])[metric])
    assert (low, high) == pytest.approx(tuple(np.quantile(slow, [0.025, 0.975])), abs=1e-9)
    assert low < score(task, labels, predicted)[metric] < high


def test_clips_of_one_group_make_the_interval_wider() -> None:
    labels, predicted, _ = made_up(60)
    labels, predicted = np.repeat(labels, 10), np.repeat(predicted, 10)
    groups = np.repeat(np.arange(60), 10).astype(str).astype(object)
    alone = np.full(600, "", object)
    grouped = confidence_intervals(EMOTION, labels, [predicted], groups)["accuracy"]
    single = confidence_intervals(EMOTION, labels, [predicted], alone)["accuracy"]
    assert grouped[1] - grouped[0] > 2 * (single[1] - single[0])


def test_average_precision_is_redrawn_by_counting_clips_several_times() -> None:
    random = np.random.default_rng(0)
    labels, sure, groups = random.integers(0, 2, 60), random.random(60), random.integers(0, 9, 60).astype(str)
    draws = Draws.of(groups.astype(object), seed=1, num_resamples=20)
    found = draws.scores(SPEAKING, labels, [(sure > 0.5).astype(int)], [sure])["average_precision"]
    order = np.unique(groups)
    for place, times in enumerate(draws.times):
        copies = [np.tile(np.flatnonzero(groups == name), number) for name, number in zip(order, times)]
        clips = np.sort(np.concatenate(copies).astype(int))
        assert found[place] == pytest.approx(average_precision(labels[clips] == 1, sure[clips]))


def test_a_run_differs_from_itself_by_nothing_and_from_a_better_one_by_what_it_lacks() -> None:
    labels, predicted, groups = made_up(400)
    names = np.array([f"dialogue{group}" for group in groups], object)
    same = paired_difference(EMOTION, labels, [predicted], [predicted], names)["accuracy"]
    assert (same.difference, same.low, same.high, same.p_value) == (0.0, 0.0, 0.0, 1.0)
    better = np.where(np.arange(400) % 4 == 0, labels, predicted)
    found = paired_difference(EMOTION, labels, [predicted], [better], names)["accuracy"]
    assert found.difference == pytest.approx((better == labels).mean() - (predicted == labels).mean())
    assert 0 < found.low < found.difference < found.high and found.p_value < 0.01
    back = paired_difference(EMOTION, labels, [better], [predicted], names)["accuracy"]
    assert (back.low, back.high) == pytest.approx((-found.high, -found.low))


def test_runs_that_differ_by_chance_alone_are_told_apart_about_as_often_as_the_level_says() -> None:
    random, low = np.random.default_rng(0), 0
    for _ in range(60):
        labels = random.integers(0, 3, 120)
        first, second = (np.where(random.random(120) < 0.6, labels, random.integers(0, 3, 120)) for _ in range(2))
        names = np.array([f"d{group}" for group in random.integers(0, 30, 120)], object)
        found = paired_difference(EMOTION, labels, [first], [second], names, num_resamples=300)
        low += found["accuracy"].p_value < 0.05
    assert low <= 8
