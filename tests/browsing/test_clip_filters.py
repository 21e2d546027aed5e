"""Filters find the clips that they say, in the order that is asked for, and refuse what is not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.browsing.clip_filters import MOST_CHOICES, Filters, choices, matching, read_filters
from pipeline.browsing.opened_store import OpenedStore
from pipeline.clip import Clip, Corpus
from pipeline.errors import UsageError
from pipeline.storage.packing import write_store
from tests.browsing.stores import make_store


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> OpenedStore:
    return OpenedStore(make_store(tmp_path_factory.mktemp("filters") / "s.h5"))


def found(opened: OpenedStore, **query: str) -> list[str]:
    return [opened.clips[place].clip_id for place in matching(opened, read_filters(opened, query)).tolist()]


@pytest.mark.parametrize(("query", "expected"), [
    ({"split": "dev"}, ["dev/c6", "dev/c7", "dev/c8"]),
    ({"speaker": "speaker0", "split": "train"}, ["train/c0", "train/c3"]),
    ({"label.emotion": "2"}, ["train/c2", "train/c5", "dev/c8", "test/c11"]),
    ({"label.emotion": "-1"}, ["train/c4", "test/c9"]),
    ({"status": "failed"}, ["train/c0"]),
    ({"status": "empty"}, ["train/c1"]),
    ({"status": "missing", "of": "speaking"}, ["train/c0", "train/c1"]),
    ({"status": "failed", "of": "text_bert"}, []),
    ({"words": " WHAT? 5"}, ["train/c5"]),
    ({"words": "c11"}, ["test/c11"]),
    ({"words": "speaker1", "split": "test"}, ["test/c10"]),
    ({"where": "arousal > 0.45"}, ["test/c10", "test/c11"]),
    ({"where": "emotion == 'glad' and turn == 1", "split": "dev"}, ["dev/c7"]),
    ({"split": "nowhere"}, []),
    ({"split": "dev", "colour": "speaker"}, ["dev/c6", "dev/c7", "dev/c8"]),
], ids=str)
def test_filters_let_through_what_they_say(opened: OpenedStore, query: dict[str, str], expected: list[str]) -> None:
    assert found(opened, **query) == expected


def test_nothing_asked_is_everything_in_the_order_of_the_store(opened: OpenedStore) -> None:
    assert found(opened) == [clip.clip_id for clip in opened.clips] and not read_filters(opened, {}).asks


def test_orders(opened: OpenedStore) -> None:
    assert found(opened, order="id")[:3] == ["dev/c6", "dev/c7", "dev/c8"]
    seconds = opened.lengths[matching(opened, Filters(order="longest"))]
    assert (np.diff(seconds) <= 0).all() and seconds[0] > seconds[-1]
    assert (np.diff(opened.lengths[matching(opened, Filters(order="shortest"))]) >= 0).all()


@pytest.mark.parametrize(("query", "message"), [
    ({"label.mood": "1"}, "no task 'mood' with classes"),
    ({"label.arousal": "1"}, "no task 'arousal' with classes"),
    ({"label.emotion": "3"}, "'3' is no class of emotion; expected a number from -1"),
    ({"label.emotion": "²"}, "is no class of emotion"),
    ({"label.emotion": "9" * 5000}, "is no class of emotion"),
    ({"status": "lost"}, "no status 'lost'; expected one of missing, done"),
    ({"order": "up"}, "no order 'up'; expected one of longest"),
])
def test_what_is_not_there_is_refused(opened: OpenedStore, query: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_filters(opened, query)


def test_an_unknown_feature_and_a_refused_query_say_so(opened: OpenedStore) -> None:
    with pytest.raises(UsageError, match="no feature named 'smell'"):
        read_filters(opened, {"of": "smell"})
    with pytest.raises(UsageError, match="is refused|is not allowed"):
        matching(opened, Filters(where="text.__class__ == 1"))


def test_filters_and_their_address_say_the_same(opened: OpenedStore) -> None:
    query = {"split": "dev", "label.emotion": "1", "words": "yes", "order": "id", "status": "done", "of": "faces"}
    assert read_filters(opened, query).query() == query


def test_choices_count_clips(opened: OpenedStore) -> None:
    offered = choices(opened)
    assert list(offered.splits) == [("train", 6), ("dev", 3), ("test", 3)]
    assert dict(offered.tasks) == {"emotion": [(-1, "unlabelled", 2), (0, "calm", 3), (1, "glad", 3), (2, "angry", 4)]}
    assert offered.speakers[0] == ("speaker0", 4) and not offered.more_speakers


def test_of_very_many_speakers_the_commonest_are_offered(tmp_path: Path) -> None:
    clips = [Clip(f"all/{number}", speaker=f"s{number // 2}") for number in range(2 * MOST_CHOICES + 20)]
    offered = choices(OpenedStore(write_store(tmp_path / "s.h5", corpus=Corpus("c"), clips=clips, features={})))
    assert len(offered.speakers) == MOST_CHOICES and offered.more_speakers == 10
