"""What every corpus reader promises, over all of them: a new one is added to ``MAKERS`` and passes, or is not done."""

from __future__ import annotations

import dataclasses
import pickle
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import plugins
from pipeline.config import result_settings, with_settings
from pipeline.datasets import Dataset
from pipeline.datasets.ava import Ava
from pipeline.datasets.cremad import Cremad
from pipeline.datasets.iemocap import Iemocap
from pipeline.datasets.manifest import Manifest
from pipeline.datasets.meld import ANNOTATIONS, VIDEO_FOLDERS
from pipeline.datasets.ravdess import Ravdess
from pipeline.datasets.unitalk import Unitalk
from pipeline.errors import PipelineError, UsageError
from tests.datasets.test_emorynlp import emory_tree
from tests.datasets.test_iemocap import iemocap_tree
from tests.datasets.test_meld import row, touch, write_csv
from tests.datasets.test_meld_dyadic import dyadic_tree
from tests.datasets.test_unitalk import unitalk_tree

DATASETS = plugins.names("dataset")


def meld_tree(name: str, root: Path) -> Dataset:
    """Three splits of two dialogues with files where videos should be."""
    for split, file_name in ANNOTATIONS.items():
        write_csv(root / file_name, [row(0, 0), row(0, 1, Emotion="anger", Sentiment="negative"), row(1, 0)])
        touch(root / VIDEO_FOLDERS[split], "dia0_utt0.mp4", "dia0_utt1.mp4", "dia1_utt0.mp4")
    kind = plugins.plugin_class("dataset", name)
    made: Dataset = kind(kind.Config(root=root))  # type: ignore[attr-defined]
    return made


def manifest_tree(name: str, root: Path) -> Dataset:
    """Three splits, a class and a dimension, one label missing."""
    path = root / "clips.csv"
    path.write_text("path,split,dialogue,mood,valence\na.wav,train,d1,joy,0.5\nb.wav,dev,d2,,-1\nc.wav,test,d3,sad,\n")
    touch(root, "a.wav", "b.wav", "c.wav")
    return Manifest(Manifest.Config(manifest=path))


def ravdess_tree(name: str, root: Path) -> Dataset:
    """Three recordings of two actors, one of them in all its files."""
    touch(root / "Actor_01", "01-01-01-01-01-01-01.mp4", "02-01-01-01-01-01-01.mp4", "03-01-01-01-01-01-01.wav",
          "03-01-05-02-02-01-01.wav")
    touch(root / "Actor_02", "03-01-08-01-02-02-02.flac")
    return Ravdess(Ravdess.Config(root=root))


def cremad_tree(name: str, root: Path) -> Dataset:
    """Three clips of two actors with votes, one of them a tie."""
    touch(root / "AudioWAV", "1001_DFA_ANG_XX.wav", "1001_IEO_HAP_LO.wav", "1002_DFA_NEU_XX.wav")
    (root / "processedResults").mkdir()
    (root / "processedResults" / "summaryTable.csv").write_text(
        '"","FileName","VoiceVote","FaceVote","MultiModalVote"\n"1","1001_DFA_ANG_XX","A","A","A"\n'
        '"2","1001_IEO_HAP_LO","N","H","H:N"\n"3","1002_DFA_NEU_XX","N","N","S"\n')
    return Cremad(Cremad.Config(root=root))


def tracks_tree(name: str, root: Path) -> Dataset:
    """Twelve tracks of six videos in two splits, with every picture and sound an empty file."""
    kind = {"ava": Ava, "unitalk": Unitalk}[name]
    return kind(kind.Config(root=unitalk_tree(root)))


def dialogue_tree(name: str, root: Path) -> Dataset:
    """Fifteen utterances of two sessions, each in a film and as a sound."""
    return Iemocap(Iemocap.Config(root=iemocap_tree(root)))


MAKERS: dict[str, Callable[[str, Path], Dataset]] = {
    "ava": tracks_tree, "cremad": cremad_tree, "emorynlp": emory_tree, "iemocap": dialogue_tree,
    "manifest": manifest_tree, "meld": meld_tree, "meld_dyadic": dyadic_tree, "ravdess": ravdess_tree,
    "sample": meld_tree, "unitalk": tracks_tree,
}


@pytest.fixture(params=DATASETS)
def dataset(request: pytest.FixtureRequest, tmp_path: Path) -> Dataset:
    return MAKERS[request.param](request.param, tmp_path)


def test_every_dataset_is_under_contract() -> None:
    assert set(MAKERS) == set(DATASETS)


@pytest.mark.parametrize("name", DATASETS)
def test_a_dataset_says_in_one_line_what_it_is(name: str) -> None:
    assert 20 <= len(plugins.summary("dataset", name)) <= 120


@pytest.mark.parametrize("name", DATASETS)
def test_settings_are_frozen_explained_and_set_from_text(name: str) -> None:
    kind = plugins.plugin_class("dataset", name).Config  # type: ignore[attr-defined]
    assert issubclass(kind, Dataset.Config) and kind.__dataclass_params__.frozen
    assert all(field.metadata.get("help") for field in dataclasses.fields(kind))
    changed = with_settings(kind(), {"root": "x", "splits": "train,dev"}, owner=name)
    assert (changed.root, changed.splits) == (Path("x"), ("train", "dev"))
    assert result_settings(changed)["splits"] == ["train", "dev"]


def test_the_corpus_is_described(dataset: Dataset) -> None:
    corpus = dataset.corpus
    assert corpus.name in DATASETS and type(dataset) is plugins.plugin_class("dataset", corpus.name)
    assert corpus.tasks and corpus.licence != "unknown"
    assert len({task.name for task in corpus.tasks}) == len(corpus.tasks)
    assert isinstance(dataset.default_root, Path)


def test_ids_are_split_and_stem_and_unique(dataset: Dataset) -> None:
    clips = list(dataset.clips())
    assert len(clips) >= 3 and len({clip.clip_id for clip in clips}) == len(clips)
    assert all(clip.clip_id.startswith(f"{clip.split}/") for clip in clips)


def test_labels_are_of_the_tasks(dataset: Dataset) -> None:
    tasks = {task.name: task for task in dataset.corpus.tasks}
    labels = [(tasks[name], label) for clip in dataset.clips() for name, label in clip.labels.items()]
    frames = [clip.frame_labels for clip in dataset.clips() if clip.frame_labels is not None]
    of_frames = {name for known in frames for name in known.labels}
    assert {task.name for task, _ in labels} | of_frames == set(tasks)
    assert of_frames == {name for name, task in tasks.items() if task.level == "frame"}
    for name, codes in ((name, codes) for known in frames for name, codes in known.labels.items()):
        assert tasks[name].classes and codes.min() >= -1 and codes.max() < len(tasks[name].classes)
    for task, label in labels:
        if task.value_range is None:
            assert label in task.classes
        else:
            assert isinstance(label, float) and task.value_range[0] <= label <= task.value_range[1]


def test_clips_come_in_the_same_order_each_time_and_travel(dataset: Dataset) -> None:
    first, corpus = list(dataset.clips()), dataset.corpus
    assert list(dataset.clips()) == first and dataset.corpus == corpus
    assert pickle.loads(pickle.dumps(first)) == first


def test_no_group_stands_in_two_splits(dataset: Dataset) -> None:
    places = {(clip.group, clip.split) for clip in dataset.clips() if clip.group}
    assert len({group for group, _ in places}) == len(places) > 0


def test_what_is_declared_for_the_doctor_fits_the_clips(dataset: Dataset) -> None:
    clips = {clip.clip_id: clip for clip in dataset.clips()}
    notes, splits, tasks = list(dataset.notes), {clip.split for clip in clips.values()}, dataset.corpus.tasks
    assert dataset.recorded_spans().keys() <= clips.keys() and dataset.notes == notes
    for split, folder in dataset.media_folders().items():
        assert folder.is_dir() and {clip.source.parent for clip in clips.values()  # type: ignore[union-attr]
                                    if clip.split == split} == {folder}
    assert all(what and name.split("/")[0] in splits for name, what in dataset.known_defects.items())
    for split, published in dataset.published.items():
        assert split in splits and published.num_clips > 0
        classes = {task.name: set(task.classes) for task in tasks}
        for task, counts in published.labels.items():
            assert counts.keys() == classes[task] and 0 < sum(counts.values()) <= published.num_clips


def test_protocols_name_groups_once_and_their_source(dataset: Dataset) -> None:
    protocols = dataset.corpus.protocols
    assert len({protocol.name for protocol in protocols}) == len(protocols)
    groups = {clip.group for clip in dataset.clips()}
    for protocol in protocols:
        tested = [group for fold in protocol.folds for group in fold.test]
        assert len(set(tested)) == len(tested) and len({fold.name for fold in protocol.folds}) == len(protocol.folds)
        assert protocol.source and (len(protocol.folds) == 1 or groups <= set(tested))


def test_splits_choose_whole_splits_in_order(dataset: Dataset) -> None:
    everything = list(dataset.clips())
    there = tuple(dict.fromkeys(clip.split for clip in everything))
    for splits in (there[1:2] or there, (*there[:1], *there[2:])[::-1]):
        config = dataclasses.replace(dataset.config, splits=splits)
        assert list(type(dataset)(config).clips()) == [clip for clip in everything if clip.split in splits]


def test_an_unknown_split_is_a_usage_error(dataset: Dataset) -> None:
    reader = type(dataset)(dataclasses.replace(dataset.config, splits=("trial",)))
    with pytest.raises(UsageError, match="no split of .* named 'trial'"):
        list(reader.clips())


@pytest.mark.parametrize("name", DATASETS)
def test_a_corpus_that_is_not_there_is_one_clear_error(name: str, tmp_path: Path) -> None:
    kind = plugins.plugin_class("dataset", name)
    reader = kind(kind.Config(root=tmp_path / "gone"))  # type: ignore[attr-defined]
    with pytest.raises(PipelineError, match="expected|needs"):
        list(reader.clips())


def test_listing_clips_opens_no_media(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise AssertionError("a reader of annotations started a process or a connection")
    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    for clip in dataset.clips():
        if clip.source is not None and clip.source.is_file():
            assert clip.source.stat().st_size == 0, "the files of these trees are empty: nothing could be read in them"
