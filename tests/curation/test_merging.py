"""Several stores become one as if one run had made it, and what contradicts is named."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.cli import main
from pipeline.clip import Clip, Corpus, Fold, Protocol, Task
from pipeline.curation.merging import merge
from pipeline.curation.verification import verify
from pipeline.datasets.manifest import Manifest
from pipeline.errors import StoreError, UsageError
from pipeline.extraction import ExtractConfig, extract
from pipeline.storage.lock import locked
from pipeline.storage.packing import (Cell, Failure, FeatureData, SourceRecord, rows_digest, stored_clips,
                                      stored_sources, write_store)
from pipeline.store import FeatureStore
from tests.makers import make_bert, write_manifest
from tests.storage.test_packing import CLIPS, CORPUS, sequence

FAILURE = Failure("decode", "passing", "disk\nfell over")


def recipe(**settings: object) -> dict[str, Any]:
    return {"extractor": "toy", "settings": {"stride": 4, **settings}, "fingerprint": repr(sorted(settings.items()))}


def rows(place: int) -> Cell:
    return Cell.of(sequence(1 + place, seed=place), input=f"{place:032x}")


def make(path: Path, places: list[int], *, features: tuple[str, ...] = ("toy",), corpus: Corpus = CORPUS,
         clips: list[Clip] | None = None, cells: dict[int, Cell] | None = None, made: dict[str, Any] | None = None,
         sources: dict[str, SourceRecord] | None = None, **more: Any) -> Path:
    """A store of some of seven clips."""
    data = {name: FeatureData("audio", (4,), made or recipe(), cells={
        CLIPS[place].clip_id: (cells or {}).get(place) or rows(place) for place in places}) for name in features}
    return write_store(path, corpus=corpus, clips=clips or [CLIPS[place] for place in places], features=data,
                       sources=sources, **more)


def test_stores_of_different_clips_and_features_become_what_one_run_makes(tmp_path: Path) -> None:
    sources = {clip.clip_id: SourceRecord(9, 8, f"{place:032x}") for place, clip in enumerate(CLIPS)}
    whole = make(tmp_path / "whole.h5", [*range(7)], features=("text", "toy"), sources=sources)
    merged = merge([make(tmp_path / "a.h5", [0, 1, 2], sources=sources, requests=[{"shard": "1/2"}]),
                    make(tmp_path / "b.h5", [3, 4, 5, 6], sources=sources, requests=[{"shard": "2/2"}]),
                    make(tmp_path / "text.h5", [*range(7)], features=("text",), attributes={"note": "kept"})],
                   tmp_path / "c.h5")
    store, expected = FeatureStore(merged.path), FeatureStore(whole)
    assert stored_clips(store) == CLIPS and stored_sources(store) == sources
    for name in ("text", "toy"):
        assert store.digest(name) == expected.digest(name) and store.recipe(name) == expected.recipe(name)
        np.testing.assert_array_equal(store.array(name), expected.array(name))
        np.testing.assert_array_equal(store.times(name), expected.times(name))
    assert store.attributes["note"] == "kept" and store.requests == [{"shard": "1/2"}, {"shard": "2/2"}]
    assert verify(merged.path).findings == []
    assert merged.inputs == ((tmp_path / "a.h5", 3, 3), (tmp_path / "b.h5", 4, 4), (tmp_path / "text.h5", 7, 0))
    assert merged.features == {"text": 7, "toy": 7}


def test_clips_keep_the_order_of_the_inputs(tmp_path: Path) -> None:
    merge([make(tmp_path / "a.h5", [5, 1]), make(tmp_path / "b.h5", [0, 5, 6])], tmp_path / "c.h5")
    store = FeatureStore(tmp_path / "c.h5")
    assert store.column("clip_id").tolist() == [CLIPS[place].clip_id for place in (5, 1, 0, 6)]
    for place in (5, 1, 0, 6):
        assert rows_digest(store.read(CLIPS[place].clip_id, "toy")) == rows(place).digest


def test_done_wins_over_failed_and_failed_over_missing(tmp_path: Path) -> None:
    failed = Cell.failed(FAILURE, input="c" * 32)
    one = make(tmp_path / "a.h5", [0, 1, 2], cells={0: failed, 1: Cell(), 2: failed})
    other = make(tmp_path / "b.h5", [0, 1, 2], cells={1: failed, 2: Cell.of(sequence(0))})
    for number, inputs in enumerate(([one, other], [other, one])):
        store = FeatureStore(merge(inputs, tmp_path / f"{number}.h5").path)
        assert store.status("toy").tolist() == ["done", "failed", "empty"]
        assert store.failures.to_dict("records") == [
            {"clip_id": CLIPS[1].clip_id, "feature": "toy", **dataclasses.asdict(FAILURE)}]


def test_of_two_failures_the_first_is_kept(tmp_path: Path) -> None:
    inputs = [make(tmp_path / f"{stage}.h5", [0], cells={0: Cell.failed(Failure(stage, "permanent", "bad"))})
              for stage in ("decode", "toy")]
    store = FeatureStore(merge(inputs, tmp_path / "c.h5").path)
    assert store.failures["stage"].tolist() == ["decode"]


def test_an_input_may_be_what_is_written(tmp_path: Path) -> None:
    one = make(tmp_path / "a.h5", [0, 1])
    merge([one, make(tmp_path / "b.h5", [2])], one)
    assert FeatureStore(one).num_clips == 3 and verify(one).findings == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5", "b.h5"]


def test_a_task_that_only_one_store_has_is_taken_from_there(tmp_path: Path) -> None:
    plain = [dataclasses.replace(clip, labels={}) for clip in CLIPS]
    one = make(tmp_path / "a.h5", [0, 1, 2], corpus=dataclasses.replace(CORPUS, tasks=()), clips=plain[:3])
    merge([one, make(tmp_path / "b.h5", [1, 2, 3], features=("other",))], tmp_path / "c.h5")
    assert [dict(clip.labels) for clip in stored_clips(FeatureStore(tmp_path / "c.h5"))] == [
        {}, *(dict(CLIPS[place].labels) for place in (1, 2, 3))]


def changed(place: int, **values: Any) -> list[Clip]:
    return [dataclasses.replace(clip, **values) if number == place else clip for number, clip in enumerate(CLIPS)]


@pytest.mark.parametrize(("clips", "found"), [
    (changed(1, text="other"), "clip train/1: text is 'words 1' in .*a.h5 and 'other' in .*b.h5"),
    (changed(1, split="dev"), "clip train/1: split is 'train' in .* and 'dev' in"),
    (changed(2, labels={"mood": "glad"}), "clip train/2: mood is 'sad' in .* and 'glad' in"),
    (changed(2, labels={"mood": "sad"}), "clip train/2: level is 0.5 in .* and nan in"),
    (changed(3, labels={"mood": "sad"}), "clip train/3: mood is missing in .* and 'sad' in"),
    (changed(1, stop_seconds=None), "clip train/1: stop seconds is 9.5 in .* and nan in"),
])
def test_a_clip_that_two_stores_know_differently_is_refused(tmp_path: Path, clips: list[Clip], found: str) -> None:
    one, other = make(tmp_path / "a.h5", [*range(7)]), make(tmp_path / "b.h5", [*range(7)], clips=clips)
    with pytest.raises(StoreError, match=rf"contradict each other(.|\n)*{found}(.|\n)*one reading of the annotations"):
        merge([one, other], tmp_path / "c.h5")
    assert not (tmp_path / "c.h5").exists()


def test_files_may_lie_elsewhere_but_must_be_the_same(tmp_path: Path) -> None:
    clip = CLIPS[1].clip_id
    moved = changed(1, source=Path("/elsewhere/1.mp4"))
    one = make(tmp_path / "a.h5", [0, 1])
    looked = make(tmp_path / "b.h5", [*range(7)], clips=moved, sources={clip: SourceRecord(5, 6, "d" * 32)})
    merge([one, looked], tmp_path / "c.h5")
    store = FeatureStore(tmp_path / "c.h5")
    assert stored_sources(store)[clip] == SourceRecord(5, 6, "d" * 32), "a file that was read is known better"
    assert store.column("source")[1] == "/elsewhere/1.mp4"
    other = make(tmp_path / "o.h5", [1], sources={clip: SourceRecord(5, 6, "e" * 32)})
    with pytest.raises(StoreError, match=f"clip train/1: source digest is '{'d' * 32}' in .* and '{'e' * 32}' in"):
        merge([looked, other], tmp_path / "d.h5")


def test_features_made_in_different_ways_are_refused_with_the_difference(tmp_path: Path) -> None:
    one, other = make(tmp_path / "a.h5", [0]), make(tmp_path / "b.h5", [1], made=recipe(stride=2))
    with pytest.raises(StoreError, match=r"toy: made in another way in .*b.h5 than in .*a.h5: settings.stride 4 there,"
                                         r" 2 here(.|\n)*FEATURE@NAME"):
        merge([one, other], tmp_path / "c.h5")


def test_finished_rows_that_differ_are_refused(tmp_path: Path) -> None:
    one = make(tmp_path / "a.h5", [0, 1])
    other = make(tmp_path / "b.h5", [0, 1], cells={1: Cell.of(sequence(2, seed=99))})
    with pytest.raises(StoreError, match=rf"conflicts: 1(.|\n)*toy of train/1: rows with digest {rows(1).digest} in"
                                         rf" .*a.h5 and \w+ in .*b.h5(.|\n)*one recipe gave other rows"):
        merge([one, other], tmp_path / "c.h5")


@pytest.mark.parametrize(("corpus", "found"), [
    (dataclasses.replace(CORPUS, name="meld"), "corpus: name is 'toy' in .* and 'meld' in"),
    (dataclasses.replace(CORPUS, licence="CC BY"), "corpus: licence is 'unknown' in .* and 'CC BY' in"),
    (dataclasses.replace(CORPUS, tasks=(Task("mood", ("sad", "glad")), CORPUS.tasks[1])),
     "task mood: it is the classes glad, sad in .* and the classes sad, glad in"),
    (dataclasses.replace(CORPUS, tasks=(CORPUS.tasks[0], Task("level", value_range=(0.0, 2.0)))),
     r"task level: it is a number from \(0.0, 1.0\) in .* and a number from \(0.0, 2.0\) in"),
])
def test_other_corpora_and_tasks_are_refused(tmp_path: Path, corpus: Corpus, found: str) -> None:
    with pytest.raises(StoreError, match=found):
        merge([make(tmp_path / "a.h5", [0]), make(tmp_path / "b.h5", [1], corpus=corpus)], tmp_path / "c.h5")


def test_protocols_of_all_stores_are_kept_and_one_that_is_told_in_two_ways_is_refused(tmp_path: Path) -> None:
    actors, halves = (Protocol(name, (Fold("1", ("a",), ("b",)), Fold("2", ("b",), ("a",))), "Doe (2020)", "small")
                      for name in ("actors", "halves"))
    one = make(tmp_path / "a.h5", [0], corpus=dataclasses.replace(CORPUS, protocols=(actors,)))
    two = make(tmp_path / "b.h5", [1], corpus=dataclasses.replace(CORPUS, protocols=(halves, actors)))
    assert FeatureStore(merge([one, two], tmp_path / "c.h5").path).corpus.protocols == (actors, halves)
    other = dataclasses.replace(actors, folds=actors.folds[:1])
    three = make(tmp_path / "d.h5", [2], corpus=dataclasses.replace(CORPUS, protocols=(other,)))
    with pytest.raises(StoreError, match="protocol actors: .*d.h5 divides the clips otherwise than .*a.h5"):
        merge([one, three], tmp_path / "e.h5")


def test_many_conflicts_are_counted_and_some_are_shown(tmp_path: Path) -> None:
    clips = [dataclasses.replace(clip, text="other") for clip in CLIPS]
    with pytest.raises(StoreError, match=r"conflicts: 7(.|\n)*train/4(.|\n)*… and 2 more") as error:
        merge([make(tmp_path / "a.h5", [*range(7)]), make(tmp_path / "b.h5", [*range(7)], clips=clips)],
              tmp_path / "c.h5")
    assert "train/5" not in str(error.value) and str(error.value).count("To do:") == 1


def test_what_cannot_be_merged_is_said(tmp_path: Path) -> None:
    one, other = make(tmp_path / "a.h5", [0]), make(tmp_path / "b.h5", [1])
    with pytest.raises(UsageError, match="merge joins at least two stores, each named once"):
        merge([one], tmp_path / "c.h5")
    with pytest.raises(UsageError, match="each named once"):
        merge([one, tmp_path / ".." / tmp_path.name / "a.h5"], tmp_path / "c.h5")
    with pytest.raises(UsageError, match="is there already and is none of the stores to merge"):
        merge([one, other], make(tmp_path / "c.h5", [2]))
    with pytest.raises(StoreError, match="there is no store .*none.h5"):
        merge([one, tmp_path / "none.h5"], tmp_path / "d.h5")
    with locked(tmp_path / "d.h5"), pytest.raises(StoreError, match="is being written by"):
        merge([one, other], tmp_path / "d.h5")
    with pytest.raises(StoreError, match="cannot write"):
        merge([one, other], tmp_path / "a.h5" / "d.h5")


def test_parts_of_a_real_extraction_become_the_same_as_one_run(tmp_path: Path,
                                                               capsys: pytest.CaptureFixture[str]) -> None:
    make_bert(tmp_path / "bert")
    texts = ("Oh no!", "Well, you know what?", "…", "Yes.", "What?", "You know, yes!")
    write_manifest(tmp_path / "clips.csv", [
        {"path": "", "id": f"c{number}", "text": text, "split": ("train", "dev")[number % 2], "mood": "ab"[number // 3]}
        for number, text in enumerate(texts)])
    model = {"model": str(tmp_path / "bert")}
    for name, splits in (("whole", ()), ("train", ("train",)), ("dev", ("dev",))):
        extract(Manifest(Manifest.Config(manifest=tmp_path / "clips.csv", splits=splits)), tmp_path / f"{name}.h5",
                extractors=("text_bert", "text_bert@cls"), config=ExtractConfig(jobs=1),
                settings={"text_bert": model, "text_bert@cls": {**model, "rows": "cls"}})
    arguments = [str(tmp_path / "train.h5"), str(tmp_path / "dev.h5"), "--out", str(tmp_path / "c.h5")]
    assert main(["merge", *arguments]) == 0
    said = capsys.readouterr()
    assert said.out == f"{tmp_path / 'c.h5'}\n" and "6 clips" in said.err
    for name in ("text_bert", "text_bert@cls"):
        assert FeatureStore(tmp_path / "c.h5").digest(name) == FeatureStore(tmp_path / "whole.h5").digest(name)
    assert main(["merge", *arguments]) == 2
    assert "is there already" in capsys.readouterr().err
