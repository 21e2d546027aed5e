"""Labels of one corpus as another calls them: the maps that are shipped, and those of users."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.cli import main
from pipeline.clip import Clip, Corpus, Task
from pipeline.datasets.cremad import EMOTIONS as CREMAD
from pipeline.datasets.meld import EMOTIONS as MELD
from pipeline.datasets.ravdess import EMOTIONS as RAVDESS
from pipeline.errors import StoreError, UsageError
from pipeline.evaluation import evaluate
from pipeline.joined import open_stores
from pipeline.label_maps import MappedStores, find_map, shipped_maps
from pipeline.learning.train_config import TrainConfig
from pipeline.storage.packing import FeatureData, write_store
from pipeline.training import train
from tests.training_stores import MODALITIES, TASKS, make_clips, make_store, rows_of

NAMES = {"calm": "at ease", "glad": "gleeful", "angry": "cross"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    return train(make_store(folder / "own.h5"), config=TrainConfig(epochs=3, device="cpu"), out=folder / "run")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same clips, labelled in other words for another task, one of them unknown to the run."""
    clips = []
    for place, clip in enumerate(make_clips({"train": 120, "dev": 40, "test": 40})):
        emotion = str(clip.labels.get("emotion", ""))
        labels = {"mood": "bored" if place % 10 == 0 else NAMES[emotion]} if emotion else {}
        clips.append(replace(clip, labels=labels))
    task = Task("mood", ("cross", "gleeful", "at ease", "bored"))
    return store_of(tmp_path_factory.mktemp("other") / "other.h5", clips, (task,))


def store_of(path: Path, clips: list[Clip], tasks: tuple[Task, ...]) -> Path:
    """The rows of the run's own store under other labels."""
    own = make_clips({"train": 120, "dev": 40, "test": 40})
    features = {name: FeatureData(*MODALITIES[name], {"extractor": name},
                                  {clip.clip_id: rows_of(clip, name, seed=10 * index + place)
                                   for index, clip in enumerate(own)}) for place, name in enumerate(MODALITIES)}
    return write_store(path, corpus=Corpus("other", tasks), clips=clips, features=features)


def write(folder: Path, text: str) -> str:
    (folder / "map.csv").write_text(text, encoding="utf-8")
    return str(folder / "map.csv")


WHOLE = "label,answer,remark\nat ease,calm,\ngleeful,glad,\ncross,angry,\nbored,,nothing like it\n"


@pytest.mark.parametrize(("name", "labels", "answers"), [
    ("ravdess:meld", RAVDESS, MELD), ("cremad:meld", tuple(CREMAD.values()), MELD), ("meld:ravdess", MELD, RAVDESS),
    ("meld:cremad", MELD, tuple(CREMAD.values())), ("ravdess:cremad", RAVDESS, tuple(CREMAD.values()))])
def test_shipped_maps_speak_of_all_labels_in_the_readers_own_words(name: str, labels: tuple[str, ...],
                                                                   answers: tuple[str, ...]) -> None:
    found = find_map(name).answers
    assert set(found) == set(labels) and set(found.values()) <= {*answers, ""}


def test_no_map_is_from_a_corpus_to_itself_and_every_cell_is_a_label_there() -> None:
    maps = shipped_maps()
    labels = {name.partition(":")[0]: set(found.answers) for name, found in maps.items()}
    for name, found in maps.items():
        corpus, _, target = name.partition(":")
        assert corpus != target
        assert set(found.answers.values()) - {""} <= labels[target.rstrip("46")], name


def test_a_mapped_store_scores_as_the_same_clips_under_their_own_names(run: Path, other: Path, tmp_path: Path) -> None:
    own = open_stores(run.parent / "own.h5")
    expected = own.labels("emotion").copy()
    bored = np.array([place % 10 == 0 for place in range(len(own))])
    left = int((bored & (expected >= 0)).sum())
    expected[bored] = -1
    mapped = MappedStores(open_stores(other), find_map(write(tmp_path, WHOLE)), TASKS)
    assert (mapped.labels("emotion") == expected).all() and tuple(mapped.tasks) == ("emotion",)
    assert f"{left} clips are left out" in mapped.note and "bored as nothing" in mapped.note
    clips = [replace(clip, labels={} if expected[place] < 0 else clip.labels)
             for place, clip in enumerate(make_clips({"train": 120, "dev": 40, "test": 40}))]
    plain = evaluate(run, store_of(tmp_path / "plain.h5", clips, TASKS), device="cpu")
    scores = evaluate(run, other, map_labels=write(tmp_path, WHOLE), device="cpu")
    assert scores["all"]["emotion"] == plain["all"]["emotion"] and mapped.note in scores["notes"]
    assert scores["num_clips"]["all"]["scored"] == {"emotion": int((expected >= 0).sum())}


@pytest.mark.parametrize(("text", "error", "message"), [
    ("label\nx\n", UsageError, "has the columns label; expected a CSV file with the columns label and answer"),
    ("label,answer\ncross,angry\ncross,calm\n", UsageError, "line 3: 'cross' stands here twice"),
    ("label,answer\n,calm\n", UsageError, "line 2: no label"),
    ("label,answer\nfoo,bar\n", StoreError, "the run answers none of bar"),
    ("label,answer\nfoo,calm\n", StoreError, "no task of .* has labels such as foo"),
    (WHOLE.replace("angry", "wild"), StoreError, "the run's emotion has no wild, only calm, glad, angry"),
    (WHOLE.replace("bored,,nothing like it\n", ""), StoreError, "says nothing of bored"),
    (WHOLE + "foo,calm,\n", StoreError, "has no foo, only cross, gleeful, at ease, bored")])
def test_a_map_that_does_not_fit_is_refused(other: Path, tmp_path: Path, text: str, error: type[Exception],
                                            message: str) -> None:
    with pytest.raises(error, match=message):
        MappedStores(open_stores(other), find_map(write(tmp_path, text)), TASKS)


def test_maps_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no label map named 'ravdes:meld'; did you mean 'ravdess:meld'"):
        find_map("ravdes:meld")
    with pytest.raises(UsageError, match="cannot be read"):
        find_map(str(tmp_path / "nowhere.csv"))


def test_the_shipped_maps_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--list-label-maps"]) == 0
    assert "frustrated" in capsys.readouterr().out
