"""Protocols become places of clips: every group is tested by what never saw it, and dev is never test."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.training_stores import TASKS, make_actors, make_protocol, make_store

from pipeline.clip import Clip, Fold, Protocol
from pipeline.errors import StoreError, TrainingError, UsageError
from pipeline.joined import open_stores
from pipeline.learning.folds import LEAK, Folds, choose_folds, few, natural, read_folds
from pipeline.store import FeatureStore


def divide(path: Path, protocol: str, **options: object) -> Folds:
    stores = open_stores(path)
    labels = {task.name: stores.labels(task.name) for task in TASKS}
    return choose_folds(stores, protocol, TASKS, labels, **options)  # type: ignore[arg-type]


def groups_of(path: Path, places: np.ndarray) -> set[str]:
    return set(open_stores(path).clips["group"].to_numpy()[places])


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("folds") / "made.h5", clips=make_actors(12), features=["text_bert"],
                      protocols=[make_protocol(12, 4), make_protocol(24, 4, name="of-twice-as-many", warning="old")])


def test_protocols_come_back_from_a_store_as_they_were(store: Path) -> None:
    protocols = FeatureStore(store).corpus.protocols
    assert protocols == (make_protocol(12, 4), make_protocol(24, 4, name="of-twice-as-many", warning="old"))


@pytest.mark.parametrize("protocol", ["actor-folds", "leave-one-group-out", "2-group-folds", "5-group-folds"])
@pytest.mark.parametrize("dev", ["auto", "next", "carved"])
def test_every_group_is_tested_once_by_a_fold_that_never_saw_it(store: Path, protocol: str, dev: str) -> None:
    folds = divide(store, protocol, dev=dev)
    tested: list[str] = []
    for fold in folds.folds:
        parts = {name: groups_of(store, places) for name, places in fold.splits.places.items()}
        assert not parts["test"] & parts["dev"] and not parts["test"] & parts["train"]
        assert not parts["dev"] & parts["train"] and parts["dev"] and parts["train"]
        assert sorted([*parts["test"], *parts["dev"], *parts["train"]]) == sorted(folds.groups)
        assert (set(fold.test_groups), set(fold.dev_groups)) == (parts["test"], parts["dev"])
        tested += parts["test"]
    assert sorted(tested) == sorted(folds.groups) and not folds.leaks and folds.stamps == ()


def test_a_named_protocol_is_taken_as_it_is_printed(store: Path) -> None:
    folds = divide(store, "actor-folds")
    assert [(fold.name, fold.folder, fold.test_groups[0], fold.dev_groups[0]) for fold in folds.folds] \
        == [("1", "fold-1", "actor1", "actor5"), ("2", "fold-2", "actor5", "actor9"),
            ("3", "fold-3", "actor9", "actor1")]
    assert folds.source == "Doe (2020), table 2" and folds.notes == ()
    assert folds.folds[0].test_groups == ("actor1", "actor2", "actor3", "actor4")


def test_folds_without_clips_here_are_left_out_and_absent_groups_said(store: Path) -> None:
    folds = divide(store, "of-twice-as-many")
    assert [fold.folder for fold in folds.folds] == ["fold-1", "fold-2", "fold-3"]
    assert folds.stamps == ("of-twice-as-many: old",)
    assert folds.notes[0].startswith("groups that of-twice-as-many tests and the stores lack: actor13, actor14, ")
    assert folds.notes[0].endswith("actor20 and 4 more")
    assert "fold '6' is left out: none of its test clips is here and labelled" in folds.notes
    assert "dev of fold 3 is carved from its training clips by group, seed 0" in folds.notes


def test_a_fold_that_would_leave_nothing_to_learn_from_is_carved(tmp_path: Path) -> None:
    path = make_store(tmp_path / "a.h5", clips=make_actors(6), features=["text_bert"], protocols=[make_protocol(12, 3)])
    fold = divide(path, "actor-folds").folds[0]
    assert fold.splits.carved and len(fold.splits.places["train"]) and len(fold.splits.places["dev"])


def test_what_has_no_clips_here_at_all_is_refused(tmp_path: Path) -> None:
    alien = Protocol("alien", (Fold("1", ("x",), ("y",)), Fold("2", ("y",), ("x",))))
    path = make_store(tmp_path / "a.h5", clips=make_actors(4), features=["text_bert"], protocols=[alien])
    with pytest.raises(TrainingError, match="no fold of 'alien' has labelled clips to test: .* are actor1, actor2,"):
        divide(path, "alien")


def test_the_next_fold_chooses_where_groups_are_dealt_and_every_class_is_in_each_fold(store: Path) -> None:
    folds = divide(store, "3-group-folds", seed=3)
    tests = [fold.splits.places["test"] for fold in folds.folds]
    for place, fold in enumerate(folds.folds):
        np.testing.assert_array_equal(fold.splits.places["dev"], tests[(place + 1) % 3])
        assert set(open_stores(store).labels("emotion")[fold.splits.places["test"]]) >= {0, 1, 2}
    assert "groups dealt by seed 3" in folds.notes and not any(fold.splits.carved for fold in folds.folds)


def test_dealing_depends_on_the_seed_and_on_nothing_else(store: Path) -> None:
    dealt = [[fold.test_groups for fold in divide(store, "4-group-folds", seed=seed).folds] for seed in (0, 0, 1)]
    assert dealt[0] == dealt[1] != dealt[2]


@pytest.mark.parametrize(("protocol", "number"), [("random", 5), ("3-random-folds", 3)])
def test_clips_dealt_one_by_one_are_stamped_as_a_leak(store: Path, protocol: str, number: int) -> None:
    folds = divide(store, protocol)
    assert folds.leaks and folds.stamps == (LEAK,) and folds.groups == () and len(folds.folds) == number
    every = np.concatenate([fold.splits.places["test"] for fold in folds.folds])
    assert len(every) == len(set(every)) == (open_stores(store).labels("emotion") >= 0).sum()
    for fold in folds.folds:
        assert not set(fold.splits.places["test"]) & set(fold.splits.places["dev"])
        assert groups_of(store, fold.splits.places["test"]) & groups_of(store, fold.splits.places["train"])


def test_folds_of_ones_own_come_from_a_file(store: Path, tmp_path: Path) -> None:
    lines = "".join(f"{part},actor{actor}\n" for part, actors in (("one", (1, 2)), ("two", (3, 4)))
                    for actor in actors)
    (tmp_path / "mine.csv").write_text("\ufefffold, group\n" + lines, encoding="utf-8")
    folds = divide(store, str(tmp_path / "mine.csv"), seed=7)
    assert [(fold.name, fold.test_groups) for fold in folds.folds] == [("one", ("actor1", "actor2")),
                                                                       ("two", ("actor3", "actor4"))]
    assert folds.protocol == "mine.csv"
    assert folds.notes == ("dev of every fold is carved from its training clips by group, seed 7",
                           "96 of 144 labelled clips are tested by no fold: they only train")
    after = divide(store, str(tmp_path / "mine.csv"), dev="next").folds
    assert [fold.dev_groups for fold in after] == [("actor3", "actor4"), ("actor1", "actor2")]


@pytest.mark.parametrize(("text", "message"), [
    ("actor,fold\na,1\n", "cannot be read as folds .* columns group and fold"),
    ("", "cannot be read as folds"), ("group,fold\n", "has no lines, or an empty cell"),
    ("group,fold\na,\n", "has no lines, or an empty cell"), ("group,fold\na,1\na,2\n", "puts group 'a' in two folds")])
def test_a_file_that_is_none_of_folds_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine.csv").write_text(text)
    with pytest.raises(UsageError, match=message):
        read_folds(tmp_path / "mine.csv")
    with pytest.raises(UsageError, match="none.csv cannot be read as folds"):
        read_folds(tmp_path / "none.csv")


@pytest.mark.parametrize(("protocol", "message"), [
    ("actor-fold", "no protocol named 'actor-fold'; did you mean 'actor-folds'\\? There are: N-group-folds"),
    ("0-group-folds", "no protocol named '0-group-folds'"),
    ("13-group-folds", "13-group-folds: 12 groups have labels for 'emotion'; expected at least 3, and from 2 to as"),
    ("1-group-folds", "1-group-folds: 12 groups"), ("9999-random-folds", "9999-random-folds: 131 clips")])
def test_protocols_that_cannot_be_are_refused(store: Path, protocol: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        divide(store, protocol)


def test_too_few_groups_are_refused(tmp_path: Path) -> None:
    path = make_store(tmp_path / "a.h5", clips=make_actors(2), features=["text_bert"], protocols=[make_protocol(2, 1)])
    with pytest.raises(TrainingError, match="leave-one-group-out needs at least 3 groups with labels .* found 2"):
        divide(path, "leave-one-group-out")
    with pytest.raises(TrainingError, match="fold '1': 1 of the groups that it does not test have labels"):
        divide(path, "actor-folds")


def test_clips_without_a_group_stand_alone(tmp_path: Path) -> None:
    clips = [replace(clip, group="" if clip.group == "actor1" else clip.group) for clip in make_actors(4)]
    path = make_store(tmp_path / "a.h5", clips=clips, features=["text_bert"])
    folds = divide(path, "leave-one-group-out")
    assert [fold.name for fold in folds.folds] == ["actor2", "actor3", "actor4"]
    assert any("12 of 48 labelled clips are tested by no fold" in note for note in folds.notes)
    assert "" not in folds.groups


def test_clips_that_several_folds_test_are_counted(tmp_path: Path) -> None:
    twice = Protocol("twice", (Fold("a", ("actor1",), ("actor2",)), Fold("b", ("actor1",), ("actor3",))))
    path = make_store(tmp_path / "a.h5", clips=make_actors(4), features=["text_bert"], protocols=[twice])
    assert "12 clips are tested by several folds and count once for each" in divide(path, "twice").notes
    assert [fold.dev_groups for fold in divide(path, "twice", dev="next").folds] != [("actor1",), ("actor1",)]


def test_a_fold_whose_dev_clips_have_no_label_is_carved(tmp_path: Path) -> None:
    clips = [Clip(clip.clip_id, group=clip.group, labels={"arousal": 0.5} if clip.group == "actor2" else clip.labels)
             for clip in make_actors(4)]
    path = make_store(tmp_path / "a.h5", clips=clips, features=["text_bert"], protocols=[make_protocol(4, 1)])
    folds = divide(path, "actor-folds")
    assert folds.folds[0].dev_groups != ("actor2",) and folds.folds[0].splits.carved
    assert any(note.startswith("dev of fold 1 is carved") for note in folds.notes)


def test_two_stores_that_know_a_protocol_differently_are_refused(tmp_path: Path) -> None:
    paths = [make_store(tmp_path / f"{name}.h5", clips=make_actors(4), features=[name],
                        protocols=[make_protocol(4, size)]) for size, name in ((1, "text_bert"), (2, "audio_logmel"))]
    stores = open_stores(paths)
    with pytest.raises(StoreError, match="audio_logmel.h5 knows the protocol 'actor-folds' otherwise"):
        choose_folds(stores, "actor-folds", TASKS, {task.name: stores.labels(task.name) for task in TASKS})


def test_names_sort_by_their_numbers_and_long_lists_are_cut() -> None:
    assert sorted(["a10", "a9", "b1", "7" * 5000], key=natural)[1:] == ["a9", "a10", "b1"]
    assert few(list("abcdefgh")) == "a, b, c, d, e, f, g, h" and few(list("abcdefghij")).endswith("h and 2 more")
