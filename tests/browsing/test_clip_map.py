"""The map: a point for each clip that is asked for, colours that mean the same whichever clips are shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.browsing import clip_map
from pipeline.browsing.clip_map import HEIGHT, MARGIN, NOTHING, OTHERS, WIDTH, draw_map
from pipeline.browsing.opened_store import OpenedStore
from pipeline.clip import Clip, Corpus, Task
from pipeline.errors import UsageError
from pipeline.storage.packing import FeatureData, write_store
from tests.browsing.stores import make_store, spaced
from tests.browsing.test_projections import three_groups


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> OpenedStore:
    return OpenedStore(make_store(tmp_path_factory.mktemp("map") / "s.h5"))


def looks(opened: OpenedStore, colour: str, places: list[int]) -> dict[str, str]:
    return {point.clip_id: point.look for point in draw_map(opened, "text_bert", "pca", colour, places).points}


def test_each_clip_that_is_asked_for_is_a_point_within_the_map(opened: OpenedStore) -> None:
    drawn = draw_map(opened, "text_bert", "pca", "split", list(range(12)))
    assert [point.clip_id for point in drawn.points] == [clip.clip_id for clip in opened.clips]
    assert all(MARGIN <= point.x <= WIDTH - MARGIN and MARGIN <= point.y <= HEIGHT - MARGIN for point in drawn.points)
    assert len({(point.x, point.y) for point in drawn.points}) == 12
    assert [(group.name, group.count, group.fields) for group in drawn.groups] == [
        (name, count, {"split": name}) for name, count in (("dev", 3), ("test", 3), ("train", 6))]
    assert "Oh no! 0" in drawn.points[0].words and "train/c0" in drawn.points[0].words


def test_a_clip_stays_in_its_place_and_colour_when_others_are_hidden(opened: OpenedStore) -> None:
    everything = draw_map(opened, "text_bert", "pca", "label.emotion", list(range(12)))
    few = draw_map(opened, "text_bert", "pca", "label.emotion", [2, 8])
    assert [point for point in everything.points if point.clip_id in ("train/c2", "dev/c8")] == list(few.points)
    assert [(group.name, group.look) for group in few.groups] == [("angry", "k2")] and few.asked == 2


def test_clips_without_a_label_have_no_colour_and_numbers_have_steps(opened: OpenedStore) -> None:
    assert looks(opened, "label.emotion", [4]) == {"train/c4": NOTHING}
    assert looks(opened, "label.arousal", [0, 11]) == {"train/c0": "s0", "test/c11": "s5"}
    steps = draw_map(opened, "text_bert", "pca", "label.arousal", list(range(12))).groups
    assert steps[0].name == "0 to 0.0917" and sum(group.count for group in steps) == 12


def test_clips_without_rows_are_not_on_the_map(opened: OpenedStore) -> None:
    drawn = draw_map(opened, "audio_logmel", "pca", "split", [0, 1, 2])
    assert [point.clip_id for point in drawn.points] == ["train/c1", "train/c2"] and drawn.of == 11


def test_the_rarest_groups_share_a_colour(tmp_path: Path) -> None:
    names = [f"s{min(number, 9)}" for number in range(12)]
    task = Task("t", ("others", "x"))
    clips = [Clip(f"all/{number}", speaker=name, labels={"t": "others"}) for number, name in enumerate(names)]
    rows = {clip.clip_id: spaced(values.astype("float32"), 1.0)
            for clip, values in zip(clips, three_groups(12), strict=True)}
    opened = OpenedStore(write_store(tmp_path / "s.h5", corpus=Corpus("c", (task,)), clips=clips, features={
        "f": FeatureData("audio", (12,), {}, rows)}))
    groups = draw_map(opened, "f", "pca", "speaker", list(range(12))).groups
    assert len(groups) == 9 and (groups[-1].name, groups[-1].look, groups[-1].count) == (OTHERS, OTHERS, 2)
    assert ("s9", "k7", 3) in [(group.name, group.look, group.count) for group in groups]
    named = draw_map(opened, "f", "pca", "label.t", list(range(12))).groups
    assert [(group.name, group.look) for group in named] == [("others", "k0")]  # a class of that name is one


def test_of_very_many_clips_some_are_drawn(opened: OpenedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip_map, "MOST_POINTS", 4)
    drawn = draw_map(opened, "text_bert", "pca", "split", list(range(12)))
    assert len(drawn.points) == 4 and drawn.asked == 12


def test_an_unknown_colour_is_refused(opened: OpenedStore) -> None:
    with pytest.raises(UsageError, match="coloured by split, speaker or label.TASK, found 'mood'"):
        draw_map(opened, "text_bert", "pca", "mood", [0])
