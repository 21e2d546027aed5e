"""UniTalk's form of the sample dataset: files, tables, and that neither sound nor pictures alone tell who speaks."""

from __future__ import annotations

import csv
import filecmp
import wave
from collections import defaultdict
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.cli import main
from pipeline.decoding.probe import probe
from pipeline.rendering.conversation import frame_labels
from pipeline.rendering.corpus import is_finished, render_corpus, rendered_layout
from pipeline.rendering.layouts.unitalk import COLUMNS, SUB_CATEGORIES, choose_videos


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two videos of train and one of val, made in this process."""
    return render_corpus(tmp_path_factory.mktemp("rendered") / "talk", layout="unitalk", num_clips=3, seed=1, jobs=1)


def rows_of(small: Path, split: str) -> dict[str, list[dict[str, str]]]:
    tracks: dict[str, list[dict[str, str]]] = defaultdict(list)
    with (small / "csv" / f"{split}_orig.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            tracks[row["entity_id"]].append(row)
    return tracks


@pytest.mark.parametrize("split", ["train", "val"])
def test_every_row_has_its_picture_and_every_track_its_sound(small: Path, split: str) -> None:
    sizes = set()
    for entity, rows in rows_of(small, split).items():
        video = rows[0]["video_id"]
        assert tuple(rows[0]) == COLUMNS and entity.split(":")[0] == video
        assert {path.stem for path in (small / "clips_videos" / split / video / entity).iterdir()} == {
            row["frame_timestamp"] for row in rows}
        times = np.array([float(row["frame_timestamp"]) for row in rows])
        assert np.diff(times) == pytest.approx(.04)
        with wave.open(str(small / "clips_audios" / split / video / f"{entity}.wav")) as sound:
            assert (sound.getframerate(), sound.getnchannels()) == (16000, 1)
            assert sound.getnframes() == 640 * len(rows)
        whole = probe(small / "videos" / split / f"{video}.mp4")
        height, width = whole.size
        for row in rows[::20]:
            left, top, right, bottom = (float(row[name]) for name in COLUMNS[2:6])
            assert 0 <= left < right <= 1 and 0 <= top < bottom <= 1
            with Image.open(small / "clips_videos" / split / video / entity / f"{row['frame_timestamp']}.jpg") as face:
                assert face.width == pytest.approx((right - left) * width, abs=1.01)
                assert face.height == pytest.approx((bottom - top) * height, abs=1.01)
                sizes.add(face.size)
    assert len(sizes) > 10, "boxes of a detector are of all sizes"


def test_the_sound_of_a_track_is_its_stretch_of_the_videos_sound(small: Path) -> None:
    heard = {}
    for entity, rows in rows_of(small, "val").items():
        with wave.open(str(small / "clips_audios" / "val" / rows[0]["video_id"] / f"{entity}.wav")) as sound:
            heard[round(float(rows[0]["frame_timestamp"]) * 16000)] = np.frombuffer(sound.readframes(10 ** 9), "<i2")
    begin = max(heard)
    stop = min(start + len(samples) for start, samples in heard.items())
    first, *others = (samples[begin - start:stop - start] for start, samples in heard.items())
    assert others and all((first == other).all() for other in others)


def test_labels_label_ids_and_instances_agree(small: Path) -> None:
    for rows in rows_of(small, "train").values():
        assert all(row["label_id"] == str(int(row["label"] == "SPEAKING_AUDIBLE")) for row in rows)
        runs = [[row["label_id"] for row in run] for _, run in groupby(rows, lambda row: row["instance_id"])]
        assert all(len(set(run)) == 1 for run in runs)
        assert all(one[0] != other[0] for one, other in zip(runs, runs[1:]))


def test_every_video_has_two_tracks_that_speak_and_fall_silent(small: Path) -> None:
    for video in choose_videos(24, 0):
        acts, frames = video.conversation.performances, video.conversation.num_frames
        turns = [{label == "SPEAKING_AUDIBLE" for label in
                  frame_labels(acts, place, frames)[face.first_frame:face.stop_frame]}
                 for place, face in enumerate(video.conversation.faces)]
        assert sum(found == {True, False} for found in turns) >= 2 and 2 <= len(turns) <= 4
        assert 2 < frames / 25 < 8


def test_neither_sound_nor_pictures_alone_tell_who_speaks() -> None:
    """Of frames with a voice few are the track's own, and of mouths that speak or mime only half are heard."""
    counts = {name: 0 for name in ("SPEAKING_AUDIBLE", "SPEAKING_NOT_AUDIBLE", "NOT_SPEAKING")}
    with_voice = 0
    for video in choose_videos(24, 0):
        acts, frames = video.conversation.performances, video.conversation.num_frames
        labels = np.array([frame_labels(acts, place, frames) for place in range(len(video.conversation.faces))])
        voice = (np.array([frame_labels([act], act.person, frames) for act in acts]) == "SPEAKING_AUDIBLE").any(0)
        with_voice += int(voice.sum()) * len(labels)
        for name in counts:
            counts[name] += int((labels == name).sum())
    assert .2 < counts["SPEAKING_AUDIBLE"] / with_voice < .4
    assert .35 < counts["SPEAKING_AUDIBLE"] / (counts["SPEAKING_AUDIBLE"] + counts["SPEAKING_NOT_AUDIBLE"]) < .65


def test_people_of_val_are_in_no_train_video() -> None:
    people = {split: {face.speaker.name for video in choose_videos(24, 0) if video.split == split
                      for face in video.conversation.faces} for split in ("train", "val")}
    assert not people["train"] & people["val"] and all(len(names) > 1 for names in people.values())


def test_sub_categories_take_turns_and_make_their_videos_hard() -> None:
    val = [video for video in choose_videos(24, 0) if video.split == "val"]
    assert [video.sub_category for video in val] == [*SUB_CATEGORIES] * 2
    for video in val:
        hard, talk = video.sub_category, video.conversation
        assert (talk.snr_db is not None) == (hard in ("noise", "mixed"))
        assert (talk.zoom < .8) == (hard in ("visual", "mixed")) and (len(talk.faces) == 4 or hard != "visual")
        english = any("the" in act.text.split() or "I" in act.text.split() for act in talk.performances)
        assert not english or hard not in ("language", "mixed")


def test_lists_of_sub_categories_have_the_published_form(small: Path) -> None:
    assert [path.name for path in (small / "sub_categories").iterdir()] == ["test_language.csv"]
    assert (small / "sub_categories" / "test_language.csv").read_bytes() == b"made_va_000"
    assert rendered_layout(small) == "unitalk"


def test_two_processes_give_the_same_bytes_as_one_and_another_seed_other_words(small: Path, tmp_path: Path) -> None:
    again = render_corpus(tmp_path / "again", layout="unitalk", num_clips=3, seed=1, jobs=2)
    names = sorted(path.relative_to(small).as_posix() for path in small.rglob("*") if path.is_file())
    assert filecmp.cmpfiles(small, again, names, shallow=False)[1:] == ([], [])
    assert is_finished(again, layout="unitalk", num_clips=3, seed=1)
    (again / "csv" / "val_orig.csv").unlink()
    assert not is_finished(again, layout="unitalk", num_clips=3, seed=1)
    assert choose_videos(3, 1) == choose_videos(3, 1) != choose_videos(3, 2)


def test_the_command_says_how_many_videos_are_needed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sample", "--layout", "unitalk", "--clips", "2", "--out", str(tmp_path / "t")]) == 2
    assert "2 is not in the range x>=3" in capsys.readouterr().err
    with pytest.raises(ValueError, match="at least 3 videos, asked for 2"):
        choose_videos(2, 0)
