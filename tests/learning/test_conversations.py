"""Who spoke before whom: conversations are told apart, ordered, and never joined over splits."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tests.frame_stores import SPEAKING, make_frame_store

from models.active_speaker import ActiveSpeaker
from pipeline import training
from pipeline.batch import whole_dialogues
from pipeline.evaluation import evaluate
from pipeline.joined import open_stores
from pipeline.learning.conversations import contexts, scenes
from pipeline.learning.examples import lay_out
from pipeline.learning.train_config import TrainConfig
from pipeline.learning.units import Units
from pipeline.runs import Checkpoint


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


def test_conversations_with_much_to_hold_come_alone() -> None:
    dialogue, lengths = np.array([0, 0, 1, 2, 2]), np.array([30, 50, 40, 1000, 10])
    batches = list(whole_dialogues(dialogue, np.arange(10, 15), 4, None, lengths, 150))
    assert [batch.tolist() for batch in batches] == [[10, 11, 12], [13, 14]], "three of 50 rows are 150"
    fewer = list(whole_dialogues(dialogue, np.arange(10, 15), 4, None, lengths, 149))
    assert [batch.tolist() for batch in fewer] == [[10, 11], [12], [13, 14]]


def test_tracks_of_a_video_are_of_one_scene_while_they_are_in_view_together() -> None:
    clips = table(*(("train", "v", "v", -1, "") for _ in range(5)), ("train", "w", "w", -1, ""))
    lengths = np.array([50, 50, 25, 0, 25, 50])                             # at 25 rows a second
    owner = np.repeat(np.arange(6), lengths)
    starts = np.cumsum(lengths) - lengths
    begins = (np.arange(len(owner)) - starts[owner]) / 25
    units = Units("asd_faces", owner, starts, lengths, {}, np.stack([begins, begins + 0.04], 1).astype(np.float32))
    context = contexts(clips.assign(start_seconds=[10.0, 11.0, 3.0, 10.0, 12.5, 10.0]))
    found = scenes(context, units).dialogue.tolist()
    assert found[0] == found[1] == found[4], "the first and the fifth through the second"
    assert len({found[0], found[2], found[3], found[5]}) == 4, "earlier, without rows, and of another video"


def test_a_frame_model_is_given_whole_scenes_and_the_times_of_their_rows(tmp_path: Path) -> None:
    stores = open_stores(make_frame_store(tmp_path / "tracks.h5"))          # two tracks a video, a second apart
    laid = lay_out(stores, ["asd_faces", "asd_audio"], [SPEAKING], kind=ActiveSpeaker, pools=(), context=True)
    lengths = stores.rows("frame_labels").lengths
    places = list(laid.batches.places(np.arange(8), 2))
    together = {tuple(part.tolist()) for part in places}
    for first in (0, 2, 4, 6):
        in_view = lengths[first] > 25                                       # of the first, when the second begins
        batch = laid.batches.take(np.array([first, first + 1]))
        assert batch.context is not None and batch.context.times is not None
        assert bool(batch.context.dialogue[0] == batch.context.dialogue[1]) == in_view
        assert not in_view or (first, first + 1) in together
        for track, start in ((0, 0.0), (1, 1.0)):
            length, times = lengths[first + track], batch.context.times[track]
            np.testing.assert_allclose(times[:length], start + (np.arange(length) + 0.5) / 25, atol=1e-5)
            assert times[length:].isinf().all()
    assert set((lengths[:8:2] > 25).tolist()) == {False, True}, "the store has both"
    without = lay_out(stores, ["asd_faces", "asd_audio"], [SPEAKING], kind=ActiveSpeaker, pools=())
    assert without.batches.take(np.array([0])).context is None


def test_a_run_whose_faces_look_at_one_another_is_evaluated_as_it_was_trained(tmp_path: Path) -> None:
    store = make_frame_store(tmp_path / "tracks.h5")
    run = training.train(store, model="active_speaker", inputs=["asd_faces", "asd_audio"], tasks=["speaking"],
                         settings={"context_faces": "yes"}, config=TrainConfig(epochs=1, baselines=False),
                         out=tmp_path / "run")
    trained = json.loads((run / "metrics.json").read_text())["test"]["speaking"]["average_precision"]["mean"]
    found = evaluate(run, store, split="test")["test"]["speaking"]["average_precision"]["mean"]
    assert found == pytest.approx(trained, abs=1e-6)
    alone = Checkpoint.load(run / "seed0" / "best.pt")
    assert alone.network().context and alone.model_config["context_faces"] is True
