"""MELD: the real annotation files, every layout that unpacking leaves, and every way the files can be wrong."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.datasets.meld import ANNOTATIONS, KNOWN_DEFECTS, VIDEO_FOLDERS, Meld
from pipeline.errors import DatasetError, UsageError

HEADER = ("Sr No.", "Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID", "Season", "Episode",
          "StartTime", "EndTime")
ROW = ("1", "Oh, you’re here!", "Ross ", "joy", "positive", "0", "0", "8", "21", "00:16:16,059", "0:16:21,731")


def row(dialogue: int, utterance: int, **changes: str) -> tuple[str, ...]:
    values = dict(zip(HEADER, ROW)) | {"Dialogue_ID": str(dialogue), "Utterance_ID": str(utterance)} | changes
    return tuple(values.values())


def write_csv(path: Path, rows: Sequence[Sequence[str]], header: Sequence[str] = HEADER) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def touch(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()


def read(root: Path, *splits: str) -> Meld:
    return Meld(Meld.Config(root=root, splits=splits))


@pytest.fixture()
def train_csv(tmp_path: Path) -> Path:
    return write_csv(tmp_path / ANNOTATIONS["train"], [row(0, 0), row(0, 2), row(1, 0)])


def test_the_official_files_give_their_published_counts(shared_data: Path) -> None:
    clips = list(read(shared_data / "meld", "train", "dev").clips())
    by_split = {split: [clip for clip in clips if clip.split == split] for split in ("train", "dev")}
    assert [clip.split for clip in clips] == ["train"] * 9989 + ["dev"] * 1109
    assert {split: len({clip.dialogue for clip in of}) for split, of in by_split.items()} == {"train": 1038, "dev": 114}
    assert Counter(clip.labels["emotion"] for clip in by_split["train"]) == {
        "neutral": 4710, "joy": 1743, "surprise": 1205, "anger": 1109, "sadness": 683, "disgust": 271, "fear": 268}
    assert Counter(clip.labels["sentiment"] for clip in by_split["train"]) == {
        "neutral": 4710, "positive": 2334, "negative": 2945}
    assert len({clip.clip_id for clip in clips}) == len(clips)
    assert len({clip.clip_id.split("/")[1] for clip in clips}) < len(clips), "stems repeat across splits"


def test_the_official_files_keep_order_holes_and_words(shared_data: Path) -> None:
    reader = read(shared_data / "meld", "train")
    clips = list(reader.clips())
    assert clips[0].text == "also I was the point person on my company’s transition from the KL-5 to GR-6 system."
    assert (clips[0].speaker, clips[0].dialogue, clips[0].turn) == ("Chandler", "train/dia0", 0)
    assert [clip.turn for clip in clips if clip.dialogue == "train/dia1"] == [0, 1, 2, 3, 4, 5, 8]
    assert all(clip.group == clip.dialogue and clip.source is None for clip in clips)
    assert reader.notes == ["train: no folder train_splits, so its 9989 clips have text alone"]


def test_a_missing_csv_is_named_with_the_way_around_it(shared_data: Path) -> None:
    with pytest.raises(DatasetError, match=r"no test_sent_emo.csv in .*declare-lab/MELD.*--splits train,dev$"):
        list(read(shared_data / "meld").clips())


@pytest.mark.parametrize("base", ["", "MELD.Raw", "MELD-RAW/MELD.Raw"])
@pytest.mark.parametrize("annotations", ["", "{split}"])
@pytest.mark.parametrize("videos", ["", "{split}", "{split}/{split}"])
def test_every_layout_that_unpacking_leaves_is_found(tmp_path: Path, base: str, annotations: str, videos: str) -> None:
    for split in ANNOTATIONS:
        write_csv(tmp_path / base / annotations.format(split=split) / ANNOTATIONS[split], [row(3, 7)])
        touch(tmp_path / base / videos.format(split=split) / VIDEO_FOLDERS[split], "dia3_utt7.mp4")
    reader = read(tmp_path)
    clips = list(reader.clips())
    assert [clip.clip_id for clip in clips] == ["train/dia3_utt7", "dev/dia3_utt7", "test/dia3_utt7"]
    assert all(clip.source is not None and clip.source.is_file() for clip in clips)
    assert [clip.source.parent.name for clip in clips if clip.source] == list(VIDEO_FOLDERS.values())
    assert reader.notes == []


def test_csvs_and_videos_may_lie_in_different_places(tmp_path: Path, train_csv: Path) -> None:
    touch(tmp_path / "MELD.Raw" / "train" / "train_splits", "dia0_utt0.mp4", "dia0_utt2.mp4", "dia1_utt0.mp4")
    assert all(clip.source and clip.source.is_file() for clip in read(tmp_path, "train").clips())


def test_labelled_clips_without_video_keep_their_place_and_are_noted(tmp_path: Path) -> None:
    write_csv(tmp_path / ANNOTATIONS["dev"], [row(110, 6), row(110, 7)])
    touch(tmp_path / "dev_splits_complete", "dia110_utt6.mp4", "._dia110_utt7.mp4")
    reader = read(tmp_path, "dev")
    clips = list(reader.clips())
    assert clips[1].source == tmp_path / "dev_splits_complete" / "dia110_utt7.mp4"
    assert reader.notes == ["dev: 1 clip has no video: dev/dia110_utt7"]


def test_videos_without_annotation_are_noted_and_give_no_clip(tmp_path: Path) -> None:
    write_csv(tmp_path / ANNOTATIONS["dev"], [row(66, 0)])
    touch(tmp_path / "dev_splits_complete", "dia66_utt0.mp4", "dia66_utt10.mp4", "dia66_utt9.mp4", "dia49_utt4.mp4",
          "dia49_utt5.mp4", "._dia66_utt10.mp4", "notes.txt")
    reader = read(tmp_path, "dev")
    assert [clip.clip_id for clip in reader.clips()] == ["dev/dia66_utt0"]
    assert reader.notes == ["dev_splits_complete holds 4 videos without annotation: dia49_utt4, dia49_utt5, dia66_utt9,"
                            " dia66_utt10"]
    assert all(f"dev/{stem}" in KNOWN_DEFECTS for stem in ("dia49_utt4", "dia66_utt10"))


def test_long_lists_in_notes_are_cut(tmp_path: Path) -> None:
    write_csv(tmp_path / ANNOTATIONS["test"], [row(0, turn) for turn in range(12)])
    touch(tmp_path / "output_repeated_splits_test")
    reader = read(tmp_path, "test")
    assert len(list(reader.clips())) == 12
    assert reader.notes[0].startswith("test: 12 clips have no video: test/dia0_utt0, ")
    assert reader.notes[0].endswith("test/dia0_utt7 and 4 more")


def test_known_bad_videos_are_noted_and_still_given(tmp_path: Path) -> None:
    write_csv(tmp_path / ANNOTATIONS["train"], [row(125, 3)])
    touch(tmp_path / "train_splits", "dia125_utt3.mp4")
    reader = read(tmp_path, "train")
    assert [clip.clip_id for clip in reader.clips()] == ["train/dia125_utt3"]
    assert reader.notes == ["train/dia125_utt3 is known to be bad: its video is corrupt"]


def test_spans_are_the_times_in_the_episode_which_splits_share(shared_data: Path) -> None:
    spans = read(shared_data / "meld", "train", "dev").recorded_spans()
    assert spans["train/dia0_utt0"] == ("season 8, episode 21", 976.059, 981.731) and len(spans) == 9989 + 1109
    recordings = {split: {span.recording for clip_id, span in spans.items() if clip_id.startswith(split)}
                  for split in ("train", "dev")}
    assert len(recordings["dev"] & recordings["train"]) == 81 and len(recordings["dev"]) == 82


def test_a_copy_without_times_has_no_spans(tmp_path: Path) -> None:
    write_csv(tmp_path / ANNOTATIONS["dev"], [row(0, 0)[:9]], HEADER[:9])
    assert read(tmp_path, "dev").recorded_spans() == {}


def test_media_folders_are_those_of_the_splits_asked_for(tmp_path: Path) -> None:
    for folder in VIDEO_FOLDERS.values():
        touch(tmp_path / "MELD.Raw" / folder)
    assert read(tmp_path, "dev").media_folders() == {"dev": tmp_path / "MELD.Raw" / "dev_splits_complete"}
    assert list(read(tmp_path).media_folders()) == ["train", "dev", "test"]


def test_reading_twice_gives_the_same_clips_and_notes(tmp_path: Path, train_csv: Path) -> None:
    reader = read(tmp_path, "train")
    first, notes = list(reader.clips()), list(reader.notes)
    assert list(reader.clips()) == first and reader.notes == notes and len(notes) == 1


@pytest.mark.parametrize("how", ["cp1252", "as latin-1", "utf-8-sig"])
def test_words_of_old_copies_are_mended(tmp_path: Path, how: str) -> None:
    path = write_csv(tmp_path / ANNOTATIONS["train"], [row(0, 0, Utterance="“It’s a café…” — no")])
    text = path.read_text(encoding="utf-8")
    path.write_bytes({
        "cp1252": text.encode("cp1252"),
        "as latin-1": text.encode("cp1252").decode("latin-1").encode("utf-8"),
        "utf-8-sig": text.encode("utf-8-sig"),
    }[how])
    reader = read(tmp_path, "train")
    assert [clip.text for clip in reader.clips()] == ["“It’s a café…” — no"]
    assert ("text in CP1252 was mended" in reader.notes[0]) == (how != "utf-8-sig")


def test_speakers_are_stripped_and_text_is_not(tmp_path: Path) -> None:
    write_csv(tmp_path / ANNOTATIONS["train"], [row(0, 0, Utterance=" Oh. ")])
    clip, = read(tmp_path, "train").clips()
    assert (clip.speaker, clip.text) == ("Ross", " Oh. ")


def test_a_missing_root_says_where_to_get_the_corpus(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no folder .*gone; expected the dataset meld .*affective-meld.*--root"):
        list(read(tmp_path / "gone").clips())


def test_an_empty_root_offers_no_split_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no train_sent_emo.csv in [^;]*data/MELD in \S+declare-lab/MELD$"):
        list(read(tmp_path).clips())


def test_an_unknown_split_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no split of meld named 'tset'; did you mean 'test'"):
        list(read(tmp_path, "train", "tset").clips())


@pytest.mark.parametrize(("changes", "message"), [
    ({"Emotion": "bored"}, r"csv, row 3: Emotion is 'bored'; expected one of neutral, surprise, fear"),
    ({"Sentiment": ""}, r"csv, row 3: Sentiment is ''; expected one of neutral, positive, negative"),
    ({"Dialogue_ID": "1.0"}, r"csv, row 3: Dialogue_ID is '1.0'; expected a whole number"),
    ({"Utterance_ID": "-1"}, r"csv, row 3: Utterance_ID is '-1'; expected a whole number"),
    ({"StartTime": "noon"}, r"csv, row 3: StartTime 'noon' is not a time"),
    ({"EndTime": ""}, r"csv, row 3: EndTime '' is not a time"),
    ({"Dialogue_ID": "0", "Utterance_ID": "0"}, r"csv: rows 2 and 3 are both dia0_utt0; expected each utterance once"),
])
def test_a_row_that_makes_no_sense_is_named(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    write_csv(tmp_path / ANNOTATIONS["train"], [row(0, 0), row(1, 0, **changes)])
    with pytest.raises(DatasetError, match=message):
        list(read(tmp_path, "train").clips())


def test_a_missing_column_is_named_beside_those_found(tmp_path: Path) -> None:
    write_csv(tmp_path / ANNOTATIONS["train"], [("Hi", "Ross", "joy")], ("Utterance", "Speaker", "Emotion"))
    with pytest.raises(DatasetError, match=r"train_sent_emo.csv has no column 'Sentiment' and no column 'Dialogue_ID'"
                                           r".*its columns are: Utterance, Speaker, Emotion$"):
        list(read(tmp_path, "train").clips())


def test_the_dyadic_file_under_melds_name_is_refused(tmp_path: Path, shared_data: Path) -> None:
    (tmp_path / ANNOTATIONS["dev"]).write_bytes((shared_data / "meld" / "dev_sent_emo_dya.csv").read_bytes())
    with pytest.raises(DatasetError, match="is of MELD-Dyadic"):
        list(read(tmp_path, "dev").clips())


def test_a_csv_cut_in_the_middle_of_a_row_is_an_error(tmp_path: Path, train_csv: Path) -> None:
    train_csv.write_bytes(train_csv.read_bytes()[:-40])
    with pytest.raises(DatasetError, match=r"train_sent_emo.csv, (row 4 has \d cells|after row 3)"):
        list(read(tmp_path, "train").clips())
