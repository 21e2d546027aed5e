"""What was said around a clip: of its own dialogue and split, whoever else is in work, and part of what rows are of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.clip import Clip, Spoken
from pipeline.config import with_settings
from pipeline.datasets.manifest import Manifest
from pipeline.extraction import extract
from pipeline.extractors.text_bert import TextBert
from pipeline.recipes import PlannedFeature, plan_features
from pipeline.running.inputs import input_digest
from pipeline.running.neighbours import context_of, with_neighbours
from pipeline.running.planning import ExtractConfig
from pipeline.store import FeatureStore
from tests.makers import make_bert, write_manifest


def clip(name: str, turn: int, *, dialogue: str = "d", split: str = "train", text: str = "") -> Clip:
    return Clip(f"{split}/{name}", text=text or name, speaker=name.upper(), dialogue=dialogue, turn=turn, split=split)


def feature(before: int, after: int, speakers: str = "name") -> PlannedFeature:
    settings = {"weights": "random", "before": str(before), "after": str(after), "speakers": speakers}
    found, = plan_features({"text_bert": TextBert(with_settings(TextBert.Config(), settings, owner="text_bert"))})
    return found


def around(clips: list[Clip], before: int, after: int) -> dict[str, tuple[str, str]]:
    """Names of the neighbours before and after, by clip."""
    return {one.text: ("".join(said.text for said in one.before), "".join(said.text for said in one.after))
            for one in with_neighbours(clips, [feature(before, after)])}


def test_neighbours_are_by_turn_and_no_further_than_asked() -> None:
    clips = [clip("c", 2), clip("a", 0), clip("b", 1), clip("e", 7)]
    assert around(clips, 2, 1) == {"a": ("", "b"), "b": ("a", "c"), "c": ("ab", "e"), "e": ("bc", "")}


def test_neither_dialogues_nor_splits_meet() -> None:
    clips = [clip("a", 0), clip("b", 1, dialogue="other"), clip("c", 1, split="dev"), clip("f", 1)]
    assert around(clips, 3, 3) == {"a": ("", "f"), "b": ("", ""), "c": ("", ""), "f": ("a", "")}


def test_clips_without_a_dialogue_stand_alone() -> None:
    assert around([clip("a", 0, dialogue=""), clip("b", 1, dialogue="")], 3, 3) == {"a": ("", ""), "b": ("", "")}


def test_who_says_nothing_is_no_neighbour() -> None:
    assert around([clip("a", 0), clip("b", 1, text=" "), clip("c", 2)], 1, 0)["c"] == ("a", "")


def test_nothing_is_attached_where_nothing_asks() -> None:
    clips = (clip("a", 0), clip("b", 1))
    assert with_neighbours(clips, [feature(0, 0)]) == clips


def test_each_feature_sees_as_much_as_it_asks_for() -> None:
    clips = [clip("a", 0), clip("b", 1), clip("c", 2)]
    last = with_neighbours(clips, [feature(2, 0), feature(1, 1)])[2]
    assert last.before == (Spoken("A", "a"), Spoken("B", "b"))
    assert context_of(last, feature(1, 1)) == ((Spoken("B", "b"),), ())
    assert context_of(last, feature(1, 1, "none")) == ((Spoken("", "b"),), ()), "names only for who reads them"
    assert context_of(last, feature(0, 0)) == ((), ())


def test_a_clips_digest_changes_with_what_its_feature_reads_and_only_then() -> None:
    one, wide, plain, unnamed = (feature(1, 0), feature(2, 0), feature(0, 0), feature(1, 0, "none"))
    clips = with_neighbours([clip("a", 0), clip("b", 1), clip("c", 2)], [wide])
    other = with_neighbours([clip("a", 0, text="x"), clip("b", 1), clip("c", 2)], [wide])
    assert input_digest(one, clips[2], "") == input_digest(one, other[2], "")
    assert input_digest(wide, clips[2], "") != input_digest(wide, other[2], "")
    assert input_digest(plain, clips[1], "") == input_digest(plain, other[1], "")
    renamed = replace(clips[2], before=(Spoken("Z", "b"),))
    assert input_digest(one, clips[2], "") != input_digest(one, renamed, "")
    assert input_digest(unnamed, clips[2], "") == input_digest(unnamed, renamed, "")


@pytest.fixture()
def corpus(tmp_path: Path) -> Path:
    """Twenty-four lines of three dialogues, listed in turn."""
    make_bert(tmp_path / "bert")
    write(tmp_path, {})
    return tmp_path


def write(folder: Path, changed: dict[int, str]) -> None:
    write_manifest(folder / "clips.csv", [
        {"path": "", "id": f"c{number:02}", "text": changed.get(number, "oh you " * (1 + number % 5)),
         "speaker": ("Ann", "Bob")[number % 2], "dialogue": f"d{number % 3}", "turn": str(number // 3),
         "split": "train", "group": f"d{number % 3}"} for number in range(24)])


def made(corpus: Path, out: str, **config: object) -> FeatureStore:
    settings = {"text_bert": {"model": str(corpus / "bert"), "before": "2", "after": "1", "speakers": "name"}}
    report = extract(Manifest(Manifest.Config(manifest=corpus / "clips.csv")), corpus / out, extractors=("text_bert",),
                     settings=settings, config=ExtractConfig(**{"jobs": 1, **config}))  # type: ignore[arg-type]
    assert not report.failures
    return FeatureStore(corpus / out)


def rows(store: FeatureStore) -> dict[str, bytes]:
    return {clip_id: store.read(clip_id, "text_bert").values.tobytes() for clip_id in store.clips["clip_id"]}


def test_a_part_of_the_corpus_reads_the_same_neighbours_as_the_whole(corpus: Path) -> None:
    whole = rows(made(corpus, "whole.h5"))
    parts = [rows(made(corpus, f"part{number}.h5", shard=f"{number}/3")) for number in (1, 2, 3)]
    found = {clip_id: values for part in parts for clip_id, values in part.items() if values}
    assert found == whole and all(whole.values())


def test_changed_words_redo_the_clip_and_who_reads_it_and_no_other(corpus: Path) -> None:
    before = rows(made(corpus, "store.h5"))
    write(corpus, {9: "what! what!"})  # turn 3 of dialogue d0
    after = rows(made(corpus, "store.h5"))
    assert {clip_id for clip_id in before if before[clip_id] != after[clip_id]} == {
        f"train/c{number:02}" for number in (6, 9, 12, 15)}
    assert after == rows(made(corpus, "fresh.h5"))


def test_neighbours_change_the_rows_and_not_their_number(corpus: Path) -> None:
    store = made(corpus, "store.h5")
    plain = TextBert(TextBert.Config(model=str(corpus / "bert")))
    from pipeline.media import Media
    alone = plain.extract([Media("a", text="oh you " * 5)])[0].values
    found = store.read("train/c04", "text_bert").values
    assert found.shape == alone.shape and not np.allclose(found, alone, atol=1e-3)
