"""Splits: official ones are taken, dev is carved by group, leaks are refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline.clip import Task
from pipeline.errors import TrainingError, UsageError
from pipeline.learning.splits import Splits, carve, choose_splits, find_leaks, refuse_leaks

EMOTION = Task("emotion", ("calm", "glad", "angry"))
AROUSAL = Task("arousal", value_range=(0.0, 1.0))


def table(splits: dict[str, int], *, group_size: int = 4) -> tuple[pd.DataFrame, np.ndarray]:
    names = [split for split, number in splits.items() for _ in range(number)]
    clips = pd.DataFrame({
        "clip_id": [f"clip{place}" for place in range(len(names))], "split": names,
        "group": [f"{name}{place // group_size}" for place, name in enumerate(names)],
        "source": "", "start_seconds": 0.0, "stop_seconds": np.nan})
    return clips, np.random.default_rng(0).choice(3, len(names), p=(0.6, 0.3, 0.1))


def test_the_corpus_own_splits_are_taken() -> None:
    splits = choose_splits(*reorder(table({"train": 8, "dev": 4, "test": 4})))
    assert {name: places.tolist() for name, places in splits.places.items()} == {
        "train": list(range(8)), "dev": list(range(8, 12)), "test": list(range(12, 16))}
    assert (splits.carved, splits.test) == (False, "test")


def reorder(made: tuple[pd.DataFrame, np.ndarray]) -> tuple[pd.DataFrame, Task, np.ndarray]:
    return made[0], EMOTION, made[1]


@pytest.mark.parametrize("whole", ["train", "all"])
def test_dev_is_carved_by_group_and_keeps_the_share_of_each_class(whole: str) -> None:
    clips, labels = table({whole: 400})
    splits = choose_splits(clips, EMOTION, labels, seed=1)
    train, dev = splits.places["train"], splits.places["dev"]
    assert splits.carved and splits.test is None
    assert sorted([*train, *dev]) == list(range(400)) and 60 <= len(dev) <= 100
    assert not set(clips["group"][train]) & set(clips["group"][dev])
    for place in range(3):
        assert (labels[dev] == place).mean() == pytest.approx((labels == place).mean(), abs=0.04)


def test_carving_depends_on_the_seed_and_on_nothing_else() -> None:
    clips, labels = table({"train": 80})
    chosen = [choose_splits(clips, EMOTION, labels, seed=seed).places["dev"].tolist() for seed in (0, 0, 1)]
    assert chosen[0] == chosen[1] != chosen[2]


def test_test_stays_out_when_dev_is_carved() -> None:
    clips, labels = table({"train": 80, "test": 20})
    splits = choose_splits(clips, EMOTION, labels)
    assert splits.places["test"].tolist() == list(range(80, 100))
    assert max(splits.places["dev"]) < 80


def test_values_and_clips_without_groups_are_carved_too() -> None:
    groups = np.full(20, "", object)
    train, dev = carve(np.arange(20), groups, AROUSAL, np.linspace(0, 1, 20, dtype=np.float32), fraction=0.2, seed=0)
    assert len(dev) == 4 and len(train) == 16


def test_clips_without_a_label_stay_with_their_group() -> None:
    groups, labels = np.repeat(["a", "b", "c"], 4).astype(object), np.array([0, -1, -1, -1] * 3)
    train, dev = carve(np.arange(12), groups, EMOTION, labels, fraction=0.3, seed=0)
    assert len(dev) == 4 and len(set(groups[dev])) == 1 and len(train) == 8


def test_splits_that_cannot_be_are_refused() -> None:
    clips, labels = table({"train": 8, "dev": 4, "test": 4})
    with pytest.raises(UsageError, match="dev and test are both 'test'"):
        choose_splits(clips, EMOTION, labels, dev="test")
    with pytest.raises(UsageError, match="to train on and to score are both 'train'"):
        choose_splits(clips, EMOTION, labels, test="train")
    with pytest.raises(TrainingError, match="no split 'fold1' to train on; the clips are in dev, test, train"):
        choose_splits(clips, EMOTION, labels, train="fold1")
    with pytest.raises(TrainingError, match="no split 'exam', so it cannot choose"):
        choose_splits(clips, EMOTION, labels, test="exam", dev_is_test=True)
    with pytest.raises(TrainingError, match="no dev split and only 1 group with labels"):
        choose_splits(*reorder(table({"train": 4})))


def test_dev_may_be_test_when_the_user_says_so() -> None:
    clips, labels = table({"train": 8, "dev": 4, "test": 4})
    splits = choose_splits(clips, EMOTION, labels, dev_is_test=True)
    assert (splits.dev, splits.test) == ("test", None) and set(splits.places) == {"train", "test"}


def test_groups_that_cannot_be_divided_are_refused() -> None:
    groups, labels = np.array(["a", "a", "b", "b"], object), np.array([0, 1, -1, -1])
    with pytest.raises(TrainingError, match="only 1 group"):
        carve(np.arange(4), groups, EMOTION, labels, fraction=0.5, seed=0)


def leaky() -> tuple[pd.DataFrame, Splits]:
    clips, _ = table({"train": 8, "dev": 4})
    splits = Splits({"train": np.arange(8), "dev": np.arange(8, 12)}, "train", "dev", None, False)
    return clips, splits


def test_the_linter_passes_clean_splits_and_ignores_clips_outside_them() -> None:
    clips, splits = leaky()
    clips.loc[12] = {"clip_id": "x", "split": "extra", "group": "train0", "source": "", "start_seconds": 0.0}
    assert find_leaks(clips, splits) == []
    refuse_leaks(clips, splits)


def test_a_group_in_two_splits_is_a_leak() -> None:
    clips, splits = leaky()
    clips.loc[8, "group"] = "train1"
    assert find_leaks(clips, splits) == ["group 'train1' is in dev and train"]
    with pytest.raises(TrainingError, match="the splits leak: group 'train1' is in dev and train; .* allow_leaks=yes"):
        refuse_leaks(clips, splits)


def test_one_stretch_of_a_file_under_two_ids_is_a_leak_and_another_stretch_is_not() -> None:
    clips, splits = leaky()
    clips.loc[[0, 8, 9], "source"] = "a.mp4"
    clips.loc[9, "start_seconds"] = 2.0
    assert find_leaks(clips, splits) == ["a.mp4 (from 0 s) is in dev and train"]
