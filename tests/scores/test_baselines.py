"""Baselines learn from the training clips, choose on dev, and say when they did not converge."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.clip import Task
from pipeline.scores import baselines
from pipeline.scores.baselines import Clips, score_baselines

EMOTION = Task("emotion", ("calm", "glad", "angry"))
AROUSAL = Task("arousal", value_range=(0.0, 1.0))
WORDS = ("quiet evening", "sunny party", "STOP shouting")


def make_clips(num: int = 240, *, texts: bool = True, width: int = 5) -> Clips:
    random = np.random.default_rng(0)
    labels = random.choice(3, num, p=(0.5, 0.3, 0.2))
    arousal = random.random(num).astype(np.float32)
    features = random.normal(size=(num, width)).astype(np.float32)
    features[np.arange(num), labels] += 1.5
    features[:, 3] += 4 * arousal
    unlabelled = np.arange(num) % 10 == 9
    return Clips(features, np.array([f"{WORDS[label]} {place % 13}" if texts else "" for place, label in
                                     enumerate(labels)], object),
                 {"emotion": np.where(unlabelled, -1, labels), "arousal": arousal},
                 {"train": np.arange(120), "dev": np.arange(120, 180), "test": np.arange(180, 240)},
                 np.arange(120), "dev")


def test_each_baseline_scores_every_split_and_beats_the_one_below() -> None:
    found = score_baselines(make_clips(), [EMOTION, AROUSAL])
    assert set(found.scores) == {"majority", "logistic_regression", "ridge", "tfidf"} and found.notes == []
    accuracy = {name: found.scores[name]["test"]["emotion"]["accuracy"]["mean"]
                for name in ("majority", "logistic_regression", "tfidf")}
    assert accuracy["majority"] + 0.1 < accuracy["logistic_regression"] < accuracy["tfidf"] == 1.0
    assert found.scores["ridge"]["test"]["arousal"]["ccc"]["mean"] > 0.4
    assert found.scores["majority"]["test"]["arousal"]["ccc"] == {"mean": 0.0, "sd": 0.0, "seeds": [0.0]}


def test_the_majority_is_that_of_the_training_clips() -> None:
    clips = make_clips()
    clips.labels["emotion"][clips.splits["test"]] = 2
    scores = score_baselines(clips, [EMOTION]).scores["majority"]
    assert scores["test"]["emotion"]["accuracy"]["mean"] == 0.0
    train = clips.labels["emotion"][:120]
    assert scores["train"]["emotion"]["accuracy"]["mean"] == pytest.approx((train[train >= 0] == 0).mean())


def test_test_labels_have_no_say_in_what_is_fitted() -> None:
    clips, other = make_clips(), make_clips()
    other.labels["emotion"][other.splits["test"]] = 1
    first, second = (score_baselines(part, [EMOTION]).scores for part in (clips, other))
    for name in first:
        assert first[name]["dev"] == second[name]["dev"] and first[name]["train"] == second[name]["train"]


def test_without_words_there_is_no_baseline_on_words() -> None:
    assert set(score_baselines(make_clips(texts=False), [EMOTION]).scores) == {"majority", "logistic_regression"}


def test_a_fit_that_was_stopped_early_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "MAX_ITERATIONS", 2)
    notes = score_baselines(make_clips(), [EMOTION]).notes
    assert any("logistic_regression for emotion with C=1 was stopped after 2 iterations" in note for note in notes)


def test_rows_too_wide_for_a_linear_model_are_said_to_be_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "MAX_COLUMNS", 4)
    found = score_baselines(make_clips(), [EMOTION])
    assert "logistic_regression" not in found.scores
    assert found.notes == ["no linear baseline: 5 columns are more than 4"]


def test_a_split_without_labels_is_left_out_and_a_class_absent_from_training_is_no_obstacle() -> None:
    clips = make_clips()
    clips.labels["emotion"][clips.splits["test"]] = -1
    train = clips.labels["emotion"][clips.train]
    clips.labels["emotion"][clips.train] = np.where(train == 2, 1, train)
    scores = score_baselines(clips, [EMOTION]).scores
    assert set(scores["logistic_regression"]) == set(scores["tfidf"]) == {"train", "dev"}
