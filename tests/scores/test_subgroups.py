"""Scores by speaker and gender, on answers that can be counted by hand."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from pipeline.clip import Clip, Corpus, Task
from pipeline.errors import TrainingError
from pipeline.joined import JoinedStores, open_stores
from pipeline.scores.subgroups import OTHERS, subgroups
from pipeline.storage.packing import write_store

EMOTION, GENDER = Task("emotion", ("calm", "angry")), Task("gender", ("male", "female"))
SPEAKERS = ["Ann"] * 24 + ["Bob"] * 20 + ["Cat"] * 3 + [""] * 2


@pytest.fixture
def stores(tmp_path: Path) -> JoinedStores:
    clips = [Clip(f"test/{place}", split="test", speaker=name, group=f"scene{place // 8}" if name != "Bob" else "his",
                  labels={"emotion": "calm", "gender": "male" if name == "Bob" else "female"} if name else {})
             for place, name in enumerate(SPEAKERS)]
    return open_stores(write_store(tmp_path / "a.h5", corpus=Corpus("made-up", (EMOTION, GENDER)), clips=clips,
                                   features={}))


def answers(**wrong: int) -> pd.DataFrame:
    """Two seeds; of each speaker so many are wrong, twice as many for the second seed."""
    rows = []
    for seed in (0, 1):
        left = {name: number * (1 + seed) for name, number in wrong.items()}
        for place, name in enumerate(SPEAKERS):
            left[name] = left.get(name, 0) - 1
            rows.append({"clip_id": f"test/{place}", "split": "test", "seed": seed, "task": "emotion", "label": "calm",
                         "prediction": "angry" if left[name] >= 0 else "calm"})
    return pd.DataFrame(rows)


def test_speakers_with_enough_clips_stand_alone_and_the_rest_together(stores: JoinedStores) -> None:
    found = subgroups(answers(Ann=6, Bob=5), EMOTION, "test", "accuracy", stores)
    assert [(part.kind, part.name, part.num_answers, part.num_groups) for part in found] == [
        ("speaker", "Ann", 24, 3), ("speaker", "Bob", 20, 1), ("speaker", OTHERS, 3, 1),
        ("gender", "male", 20, 1), ("gender", "female", 27, 4)]
    assert [part.mean for part in found[:3]] == pytest.approx([1 - 9 / 24, 1 - 7.5 / 20, 1.0])
    assert found[1].sd == pytest.approx(0.25 / 2 ** 0.5) and found[2].low == found[2].high == 1.0
    assert found[1].low < found[1].mean < found[1].high, "clips are drawn where all lie in one group"


def test_what_is_answered_is_no_subgroup_and_a_score_that_says_nothing_is_left_out(stores: JoinedStores) -> None:
    rows = answers().assign(task="gender", label="male", prediction="male")
    assert {part.kind for part in subgroups(rows, GENDER, "test", "accuracy", stores)} == {"speaker"}
    looked_for = Task("emotion", ("calm", "angry"), positive="angry")
    rows = answers().assign(probability_angry="0.5")
    assert subgroups(rows, looked_for, "test", "average_precision", stores) == []
    assert subgroups(answers(), EMOTION, "dev", "accuracy", stores) == []


def test_answers_that_do_not_fit_the_store_are_refused(stores: JoinedStores) -> None:
    with pytest.raises(TrainingError, match="has an answer for 'emotion' that the store does not know .'furious'"):
        subgroups(answers().assign(prediction="furious"), EMOTION, "test", "accuracy", stores)
    with pytest.raises(TrainingError, match="not as many answers of every seed for 'emotion'"):
        subgroups(answers().iloc[:-1], EMOTION, "test", "accuracy", stores)
