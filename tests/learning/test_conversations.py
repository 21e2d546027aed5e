"""Who spoke before whom: conversations are told apart, ordered, and never joined over splits."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from pipeline.batch import whole_dialogues
from pipeline.learning.conversations import contexts


def table(*rows: tuple[str, str, str, int, str]) -> pd.DataFrame:
    """Clips as (split, group, dialogue, turn, speaker)."""
    found = pd.DataFrame(rows, columns=["split", "group", "dialogue", "turn", "speaker"], dtype=object)
    made: pd.DataFrame = found.assign(turn=found["turn"].astype(int), start_seconds=np.arange(len(rows), dtype=float))
    return made


def test_turns_are_counted_in_order_and_speakers_by_their_first_words() -> None:
    found = contexts(table(("train", "d0", "0", 7, "Ross"), ("train", "d0", "0", 2, "Joey"),
                           ("train", "d0", "0", 9, "Joey"), ("train", "d1", "1", 0, "Ross")))
    assert found.turn.tolist() == [1, 0, 2, 0]
    assert found.speaker.tolist() == [1, 0, 0, 0]
    assert found.dialogue[0] == found.dialogue[1] == found.dialogue[2] != found.dialogue[3]


def test_one_name_in_two_splits_or_groups_is_two_conversations_and_no_name_is_none() -> None:
    found = contexts(table(("train", "a", "0", 0, "x"), ("test", "a", "0", 1, "x"), ("train", "b", "0", 2, "x"),
                           ("train", "a", "", 0, "x"), ("train", "a", "", 1, "")))
    assert len(set(found.dialogue.tolist())) == 5
    assert found.turn.tolist() == [0] * 5 and found.speaker.tolist() == [0, 0, 0, 0, -1]


def test_clips_without_a_turn_are_ordered_by_their_time() -> None:
    clips = table(("train", "a", "0", -1, "x"), ("train", "a", "0", -1, "y"))
    assert contexts(clips.assign(start_seconds=[3.0, 1.0])).turn.tolist() == [1, 0]


@pytest.mark.parametrize("shuffled", [False, True])
def test_batches_hold_whole_conversations(shuffled: bool) -> None:
    dialogue = np.array([4, 4, 1, 4, 2, 2, 1, 9])
    generator = torch.Generator().manual_seed(0) if shuffled else None
    batches = list(whole_dialogues(dialogue, np.arange(10, 18), 4, generator))
    assert sorted(np.concatenate(batches).tolist()) == list(range(10, 18))
    assert all(len(batch) <= 4 for batch in batches)
    for batch in batches:
        inside = set(dialogue[batch - 10])
        assert {place + 10 for place in np.flatnonzero(np.isin(dialogue, list(inside)))} == set(batch.tolist())
    if not shuffled:
        assert [batch.tolist() for batch in batches] == [[10, 11, 13], [12, 16, 14, 15], [17]]
