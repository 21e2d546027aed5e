"""The published subsets: sizes, ids, how they lie in one another, and lists written and read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline.cli import main
from pipeline.datasets._meld_lists import SPLITS, SUBSETS, read_list, subset_lists, write_list
from pipeline.datasets.meld import Meld
from pipeline.errors import DatasetError, UsageError
from tests.datasets.test_meld import row, touch, write_csv


def read(root: Path, **settings: object) -> Meld:
    return Meld(Meld.Config(root=root, **settings))  # type: ignore[arg-type]


@pytest.mark.parametrize(("subset", "sizes"), [("large", (584, 97, 108)), ("medium", (297, 47, 31)),
                                               ("small", (173, 14, 17))])
def test_subsets_have_their_published_sizes(shared_data: Path, subset: str, sizes: tuple[int, ...]) -> None:
    reader = read(shared_data / "meld", subset=subset)
    clips = list(reader.clips())
    assert tuple(sum(clip.split == split for clip in clips) for split in SPLITS) == sizes
    assert tuple(reader.published[split].num_clips for split in SPLITS) == sizes
    assert reader.corpus.name == f"meld-{subset}" and len({clip.dialogue for clip in clips}) == SUBSETS[subset]
    assert all(clip.clip_id == f"{clip.split}/{clip.clip_id.split('/')[1]}" for clip in clips)
    assert {clip.group.split("/")[0] for clip in clips} == {"train"}, "all are of the official train split"


def test_the_small_test_split_is_two_known_dialogues(shared_data: Path) -> None:
    clips = read(shared_data / "meld", subset="small", splits=("test",)).clips()
    assert {clip.dialogue for clip in clips} == {"train/dia293", "train/dia335"}


def test_each_subset_lies_in_the_train_split_of_the_next(shared_data: Path) -> None:
    stems = read(shared_data / "meld").train_stems()
    small, medium, large = (subset_lists(stems, name) for name in ("small", "medium", "large"))
    for inner, outer in ((small, medium), (medium, large)):
        assert {stem for names in inner.values() for stem in names} < set(outer["train"])


def test_a_subset_keeps_words_labels_and_videos_of_train(shared_data: Path, tmp_path: Path) -> None:
    whole = {clip.clip_id: clip for clip in read(shared_data / "meld", splits=("train",)).clips()}
    part = list(read(shared_data / "meld", subset="small").clips())
    for clip in part:
        same = whole[f"train/{clip.clip_id.split('/')[1]}"]
        assert (clip.text, clip.labels, clip.turn, clip.speaker) == (same.text, same.labels, same.turn, same.speaker)
    (tmp_path / "train_sent_emo.csv").symlink_to(shared_data / "meld" / "train_sent_emo.csv")
    touch(tmp_path / "train_splits")
    assert all(clip.source and clip.source.parent == tmp_path / "train_splits"
               for clip in read(tmp_path, subset="small").clips())


def test_lists_are_written_as_published_and_read_as_the_same_clips(
        shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["meld", "lists", "--root", str(shared_data / "meld"), "--out", str(tmp_path / "lists")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "lists")
    path = tmp_path / "lists" / "dataset-medium.json"
    content = json.loads(path.read_text())
    assert list(content) == list(SPLITS) and content["test"][0].startswith("dia") and content["test"][0][-4:] == ".mp4"
    listed = read(shared_data / "meld", list=path)
    assert list(listed.clips()) == list(read(shared_data / "meld", subset="medium").clips())
    assert listed.corpus.name == "meld-medium"


def test_a_list_of_ones_own_is_a_corpus_of_its_own(tmp_path: Path) -> None:
    write_csv(tmp_path / "train_sent_emo.csv", [row(0, 0), row(0, 1), row(3, 0)])
    write_list(tmp_path / "mine.json", {"train": ("dia3_utt0",), "dev": ("dia0_utt1",), "test": ()})
    reader = read(tmp_path, list=tmp_path / "mine.json")
    assert [clip.clip_id for clip in reader.clips()] == ["train/dia3_utt0", "dev/dia0_utt1"]
    assert reader.corpus.name == "meld-mine" and reader.published == {} and reader.recorded_spans() == {}
    assert reader.media_folders() == {}


def test_a_list_with_another_clip_is_refused(tmp_path: Path) -> None:
    write_csv(tmp_path / "train_sent_emo.csv", [row(0, 0)])
    write_list(tmp_path / "mine.json", {"train": ("dia9_utt0",), "dev": (), "test": ()})
    with pytest.raises(DatasetError, match="mine.json names dia9_utt0 in train; expected clips of MELD's train split"):
        list(read(tmp_path, list=tmp_path / "mine.json").clips())


@pytest.mark.parametrize(("text", "message"), [
    ("[", r"is no list of clips \(.*expected \{\"train\""), ("[]", "another form"), ('{"train": []}', "another form"),
    ('{"train": [1], "dev": [], "test": []}', "another form"), ("[" * 100_000, "is no list of clips"),
    ('{"train": [], "dev": [], "test": []}', "names no clips"),
    ('{"train": ["../x.mp4"], "dev": [], "test": []}', "'../x' in train is no name of a clip"),
    ('{"train": ["dia0_utt0.mp4"], "dev": ["dia0_utt0.mp4"], "test": []}', "'dia0_utt0' in dev stands there twice")])
def test_a_list_of_another_form_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "list.json").write_text(text)
    with pytest.raises(DatasetError, match=message):
        read_list(tmp_path / "list.json")


def test_a_list_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="gone.json cannot be read"):
        read_list(tmp_path / "gone.json")


def test_a_list_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match="cannot be written"):
        write_list(tmp_path / "file" / "x.json", {"train": (), "dev": (), "test": ()})


def test_subsets_of_another_corpus_are_refused(tmp_path: Path) -> None:
    write_csv(tmp_path / "train_sent_emo.csv", [row(0, 0)])
    with pytest.raises(DatasetError, match="1 dialogues in train; expected MELD's own"):
        list(read(tmp_path, subset="small").clips())


def test_a_subset_and_a_list_together_are_refused() -> None:
    from pipeline.config import with_settings
    with pytest.raises(UsageError, match="both say which clips"):
        with_settings(Meld.Config(), {"subset": "small", "list": "x.json"}, owner="meld")
