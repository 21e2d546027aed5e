"""MELD-Dyadic: the real files' counts, ids that never meet MELD's, and videos by the old ids."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.datasets import Dataset
from pipeline.datasets.meld import VIDEO_FOLDERS, Meld
from pipeline.datasets.meld_dyadic import MeldDyadic
from pipeline.errors import DatasetError
from tests.datasets.test_meld import touch, write_csv

HEADER = ("Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID", "Old_Dialogue_ID",
          "Old_Utterance_ID", "Season", "Episode", "StartTime", "EndTime")


def dyadic_row(dialogue: int, utterance: int, old: tuple[int, int], emotion: str = "joy") -> tuple[str, ...]:
    return ("Hi!", "Ross", emotion, "positive", str(dialogue), str(utterance), *map(str, old), "8", "21",
            "00:16:16,059", "0:16:21,731")


def dyadic_tree(name: str, root: Path) -> Dataset:
    """Three splits of two conversations cut from one dialogue, which share an utterance; its videos are empty files."""
    for split, folder in VIDEO_FOLDERS.items():
        write_csv(root / MeldDyadic.annotations[split],
                  [dyadic_row(0, 0, (7, 2)), dyadic_row(0, 1, (7, 3), "anger"), dyadic_row(1, 0, (7, 3), "anger")],
                  HEADER)
        touch(root / folder, "dia7_utt2.mp4", "dia7_utt3.mp4")
    return MeldDyadic(MeldDyadic.Config(root=root))


def test_the_official_files_give_their_counts_and_repeat_utterances(shared_data: Path) -> None:
    reader = MeldDyadic(MeldDyadic.Config(root=shared_data / "meld", splits=("train", "dev")))
    clips = [clip for clip in reader.clips() if clip.split == "train"]
    assert len(clips) == 12_840 and len({clip.dialogue for clip in clips}) == 2_160
    assert len({(clip.group, clip.text, clip.speaker) for clip in clips}) < len(clips)
    assert reader.notes[0] == "train: 12,840 clips of 9,766 utterances in 2,160 conversations of two"
    assert "dev: 1,462 clips of 1,103 utterances in 270 conversations of two" in reader.notes


def test_every_conversation_has_two_speakers_and_melds_labels(shared_data: Path) -> None:
    config = dict(root=shared_data / "meld", splits=("dev",), speakers="as_published")
    clips = list(MeldDyadic(MeldDyadic.Config(**config)).clips())
    speakers: dict[str, set[str]] = {}
    for clip in clips:
        speakers.setdefault(clip.dialogue, set()).add(clip.speaker)
    assert {len(names) for names in speakers.values()} == {2}
    meld = {(clip.group, clip.text, clip.speaker, *clip.labels.values())
            for clip in Meld(Meld.Config(**config)).clips()}
    assert {(clip.group, clip.text, clip.speaker, *clip.labels.values()) for clip in clips} <= meld


def test_ids_never_meet_those_of_meld(shared_data: Path) -> None:
    dyadic, meld = ({clip.clip_id for clip in kind(kind.Config(root=shared_data / "meld", splits=("dev",))).clips()}
                    for kind in (MeldDyadic, Meld))
    assert dyadic and not dyadic & meld


def test_videos_and_groups_are_those_of_the_old_ids(tmp_path: Path) -> None:
    clips = list(dyadic_tree("meld_dyadic", tmp_path).clips())
    assert [clip.clip_id for clip in clips[:3]] == ["train/dya0_utt0", "train/dya0_utt1", "train/dya1_utt0"]
    assert [clip.source.name for clip in clips[:3] if clip.source] == ["dia7_utt2.mp4", "dia7_utt3.mp4",
                                                                       "dia7_utt3.mp4"]
    assert {clip.group for clip in clips[:3]} == {"train/dia7"}
    assert [clip.dialogue for clip in clips[:3]] == ["train/dya0", "train/dya0", "train/dya1"]


def test_without_videos_clips_have_text_alone(shared_data: Path) -> None:
    reader = MeldDyadic(MeldDyadic.Config(root=shared_data / "meld", splits=("dev",)))
    assert all(clip.source is None and clip.text for clip in reader.clips())
    assert reader.notes[-1] == "dev: no folder dev_splits_complete, so its clips have text alone"


def test_melds_own_file_is_not_of_the_form(tmp_path: Path, shared_data: Path) -> None:
    (tmp_path / "dev_sent_emo_dya.csv").write_bytes((shared_data / "meld" / "dev_sent_emo.csv").read_bytes())
    with pytest.raises(DatasetError, match="no column 'Old_Dialogue_ID'"):
        list(MeldDyadic(MeldDyadic.Config(root=tmp_path, splits=("dev",))).clips())
