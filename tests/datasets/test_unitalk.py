"""Face tracks as clips: UniTalk's and AVA's folders as published, converted, trimmed, and with things missing."""

from __future__ import annotations

import os
import pickle
import re
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from pipeline.clip import Clip
from pipeline.datasets._speaker_tracks import Pictures
from pipeline.datasets.ava import Ava
from pipeline.datasets.unitalk import Unitalk, sub_categories
from pipeline.errors import ClipError, DatasetError, UsageError
from pipeline.speaking.speaker_tables import SpeakerTable
from pipeline.speaking.track_media import read_files
from tests.speaking.test_speaker_tables import HEADER, ava_row, unitalk_row, write

VIDEOS = {"train": ("one", "two-videos_x"), "val": ("three", "4", "five", "six")}
KINDS = dict(zip(("language", "noise", "visual", "mixed"), VIDEOS["val"]))
STARTS = {"1": 0.0, "10": 100.36}  # a track from the first frame, and one later on
FRAMES = 4


def times_of(number: str) -> list[float]:
    return [round(STARTS[number] + frame / 25, 6) for frame in range(FRAMES)]


def labels_of(video: str) -> list[str]:
    """Two tracks of a video: the first speaks in its second half, the other speaks unheard."""
    rows = []
    for number in STARTS:
        for frame, time in enumerate(times_of(number)):
            label = ("SPEAKING_AUDIBLE" if frame >= FRAMES // 2 else "NOT_SPEAKING") if number == "1" else \
                "SPEAKING_NOT_AUDIBLE"
            rows.append(unitalk_row(f"{time:g}", label, f"{video}:{number}", video))
    return rows


def unitalk_tree(root: Path, *, colon: str = ":", flat: bool = False, form: str = "{:.2f}.jpg") -> Path:
    """Both splits as the authors' download leaves them, with empty files where media should be."""
    for published, videos in VIDEOS.items():
        (root / "csv").mkdir(parents=True, exist_ok=True)
        write(root / "csv" / f"{published}_orig.csv", HEADER, *(row for video in videos for row in labels_of(video)))
        for video in videos:
            for number in STARTS:
                entity, below = f"{video}{colon}{number}", "" if flat else video
                (root / "clips_videos" / published / below / entity).mkdir(parents=True)
                (root / "clips_audios" / published / below).mkdir(parents=True, exist_ok=True)
                (root / "clips_audios" / published / below / f"{entity}.wav").touch()
                for time in times_of(number):
                    (root / "clips_videos" / published / below / entity / form.format(time)).touch()
    (root / "sub_categories").mkdir()
    for kind, video in KINDS.items():
        write(root / "sub_categories" / f"test_{kind}.csv", video, end="")
    return root


def read(root: Path, **settings: object) -> tuple[list[Clip], list[str]]:
    dataset = Unitalk(Unitalk.Config(root=root, **settings))  # type: ignore[arg-type]
    return list(dataset.clips()), dataset.notes


def files_of(clip: Clip) -> list[Path]:
    assert clip.track is not None and clip.track.sound is not None
    return [*clip.track.pictures, clip.track.sound]


def test_tracks_are_clips_with_times_labels_pictures_and_sound(tmp_path: Path) -> None:
    clips, notes = read(unitalk_tree(tmp_path))
    assert notes == [] and Counter(clip.split for clip in clips) == {"train": 4, "test": 8}
    clip = next(clip for clip in clips if clip.clip_id == "test/three:10")
    assert clip.speaker == "three:10" and clip.group == clip.dialogue == "three" and clip.labels == {}
    assert (clip.start_seconds, round(clip.stop_seconds or 0, 6)) == (100.36, 100.52)
    assert clip.track is not None and clip.frame_labels is not None and clip.track.rate_hz == 25.0
    assert np.allclose(clip.track.times, [0, 0.04, 0.08, 0.12]) and clip.track.times.dtype == np.float64
    assert np.array_equal(clip.frame_labels.times, clip.track.times)
    assert clip.source == tmp_path / "clips_videos" / "val" / "three" / "three:10"
    assert [path.name for path in clip.track.pictures] == ["100.36.jpg", "100.40.jpg", "100.44.jpg", "100.48.jpg"]
    assert clip.track.sound == tmp_path / "clips_audios" / "val" / "three" / "three:10.wav"
    assert all(path.is_file() for one in clips for path in files_of(one))


def test_a_frame_is_positive_if_it_speaks_and_is_heard(tmp_path: Path) -> None:
    for clip in read(unitalk_tree(tmp_path))[0]:
        assert clip.frame_labels is not None
        labels = clip.frame_labels.labels["speaking"]
        assert labels.dtype == np.int64
        assert labels.tolist() == ([0, 0, 1, 1] if clip.speaker.endswith(":1") else [0, 0, 0, 0])
    [task] = Unitalk().corpus.tasks
    assert (task.name, task.level, task.positive, task.classes[1]) == ("speaking", "frame", "speaking", "speaking")


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("colon", [":", "_"])
@pytest.mark.parametrize("form", ["{:.2f}.jpg", "{:g}.jpg", "{:.2f}.png"])
def test_every_way_of_laying_out_the_files_is_found(tmp_path: Path, flat: bool, colon: str, form: str) -> None:
    clips, notes = read(unitalk_tree(tmp_path, flat=flat, colon=colon, form=form))
    assert notes == [] and len(clips) == 12
    assert all(path.is_file() for clip in clips for path in files_of(clip))


def test_labels_may_lie_by_video_as_the_hub_has_them(tmp_path: Path) -> None:
    known, _ = read(unitalk_tree(tmp_path))
    for published, videos in VIDEOS.items():
        (tmp_path / "csv" / f"{published}_orig.csv").unlink()
        (tmp_path / "csv" / published).mkdir()
        for video in videos:
            write(tmp_path / "csv" / published / f"{video}.csv", *labels_of(video))
    clips, notes = read(tmp_path)
    assert notes == [] and sorted(clips, key=lambda clip: clip.clip_id) == sorted(known, key=lambda clip: clip.clip_id)
    (tmp_path / "csv" / "val" / "._4.csv").write_bytes(b"left by another system")
    assert len(read(tmp_path)[0]) == 12


def test_what_is_missing_keeps_its_path_and_is_said(tmp_path: Path) -> None:
    """Silence is never made up: a track without its sound still asks for it."""
    known, _ = read(unitalk_tree(tmp_path))
    videos, sound = tmp_path / "clips_videos" / "train" / "one", tmp_path / "clips_audios" / "train"
    (videos / "one:10" / "100.40.jpg").unlink()
    shutil.rmtree(videos / "one:1")
    (sound / "one" / "one:10.wav").unlink()
    clips, notes = read(tmp_path)
    assert [files_of(clip) for clip in clips] == [files_of(clip) for clip in known]
    assert notes == [f"train: 1 of 4 tracks have no folder of pictures in {videos.parent}: one:1",
                     f"train: 1 of 4 tracks have no sound in {sound}: one:10"]
    unheard = next(clip.track for clip in clips if clip.clip_id == "train/one:10")
    (videos / "one:10" / "100.40.jpg").touch()
    with pytest.raises(ClipError, match=r"the sound is not there: .*one:10\.wav"):
        read_files(unheard)  # type: ignore[arg-type]
    shutil.rmtree(sound)
    assert read(tmp_path)[1][1] == \
        f"train: 4 of 4 tracks have no sound in {sound}: one:1, one:10, two-videos_x:1, two-videos_x:10"
    assert [files_of(clip) for clip in read(tmp_path)[0]] == [files_of(clip) for clip in known]


def test_a_corpus_without_any_sound_has_tracks_of_pictures_alone(tmp_path: Path) -> None:
    shutil.rmtree(unitalk_tree(tmp_path) / "clips_audios")
    clips, notes = read(tmp_path)
    assert all(clip.track is not None and clip.track.sound is None for clip in clips)
    assert notes[0] == "train: no folder clips_audios, so its tracks have pictures alone"


def test_no_picture_is_looked_at_to_list_the_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unitalk_tree(tmp_path)
    looked: list[str] = []
    listing, status = os.scandir, os.stat

    def scandir(path: str) -> object:
        looked.append(f"in {path}")
        return listing(path)

    def stat(path: str, **options: bool) -> object:
        looked.append(str(path))
        return status(path, **options)

    monkeypatch.setattr(os, "scandir", scandir)
    monkeypatch.setattr(os, "stat", stat)
    assert len(read(tmp_path)[0]) == 12
    folders = [what for what in looked if what.startswith("in ") and "clips_" in what]
    assert len(folders) <= 2 * (2 + len(VIDEOS["train"]) + len(VIDEOS["val"])) + 2 * 3
    assert not [what for what in looked if what.endswith((".jpg", ".wav"))]


def test_only_the_test_videos_of_a_sub_category_are_read(tmp_path: Path) -> None:
    unitalk_tree(tmp_path)
    for kind, video in KINDS.items():
        clips, notes = read(tmp_path, sub_category=kind)
        assert {clip.group for clip in clips if clip.split == "test"} == {video} and notes == []
        assert {clip.group for clip in clips if clip.split == "train"} == set(VIDEOS["train"])
    write(tmp_path / "sub_categories" / "test_mixed.csv", "another")
    clips, notes = read(tmp_path, sub_category="noise", splits=("test",))
    assert len(clips) == 2 and notes == ["test: 1 video in no list of a sub-category, left out: six"]
    with pytest.raises(DatasetError, match="labels none of the 1 video of the sub-category mixed"):
        read(tmp_path, sub_category="mixed")
    (tmp_path / "sub_categories" / "test_visual.csv").unlink()
    with pytest.raises(DatasetError, match=r"no .*test_visual.csv; expected the authors' list .*--parts lists"):
        read(tmp_path, sub_category="noise")


def test_every_test_video_is_of_one_sub_category(shared_data: Path, tmp_path: Path) -> None:
    found = sub_categories(shared_data / "unitalk")
    assert Counter(found.values()) == {"language": 7, "noise": 3, "visual": 3, "mixed": 9}
    shutil.copytree(shared_data / "unitalk" / "sub_categories", tmp_path / "sub_categories")
    twice = next(iter(found))
    (tmp_path / "sub_categories" / "test_mixed.csv").chmod(0o600)
    write(tmp_path / "sub_categories" / "test_mixed.csv", twice)
    with pytest.raises(DatasetError, match=f"the video {twice} is in the list of language as well"):
        sub_categories(tmp_path)


def test_a_split_without_labels_is_said_or_refused(tmp_path: Path) -> None:
    (unitalk_tree(tmp_path) / "csv" / "train_orig.csv").unlink()
    clips, notes = read(tmp_path)
    assert {clip.split for clip in clips} == {"test"} and notes == ["train: no labels here, left out"]
    with pytest.raises(DatasetError, match=r"no labels of train in .*expected csv/train_orig.csv or csv/train:"
                                           ".*download --dataset unitalk.*--splits test"):
        read(tmp_path, splits=("train",))
    (tmp_path / "csv" / "val_orig.csv").unlink()
    with pytest.raises(DatasetError, match="no labels of train in .*expected csv/train_orig.csv"):
        read(tmp_path)
    with pytest.raises(UsageError, match="no split of unitalk named 'val'.*what is published as val is the split test"):
        read(tmp_path, splits=("val",))


def test_damaged_labels_fail_unless_asked_otherwise(tmp_path: Path) -> None:
    path = unitalk_tree(tmp_path) / "csv" / "val_orig.csv"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DatasetError, match="val_orig.csv, row 33: the file was cut in the middle of this row"):
        read(tmp_path)
    clips, notes = read(tmp_path, on_damage="partial")
    assert clips[-1].track is not None and len(clips[-1].track.pictures) == FRAMES - 1
    assert len(notes) == 1 and "row 33" in notes[0] and notes[0].endswith("left out")


def test_pictures_travel_as_names_and_are_paths(tmp_path: Path) -> None:
    pictures = Pictures(tmp_path, np.array(["1.jpg", "2.jpg", "3.jpg"], object))
    assert list(pickle.loads(pickle.dumps(pictures))) == [tmp_path / f"{number}.jpg" for number in (1, 2, 3)]
    assert pictures[-1] == tmp_path / "3.jpg" and list(pictures[1:]) == [tmp_path / "2.jpg", tmp_path / "3.jpg"]
    assert len(pictures) == 3 and tmp_path / "2.jpg" in pictures
    with pytest.raises(IndexError):
        pictures[3]


def test_real_labels_of_ava_are_tracks_at_the_rate_of_their_film(shared_data: Path) -> None:
    dataset = Ava(Ava.Config(root=shared_data / "ava"))
    clips = list(dataset.clips())
    assert len(clips) == 401 and {clip.split for clip in clips} == {"train"}
    rates = {clip.group: round(clip.track.rate_hz, 2) for clip in clips if clip.track}
    assert rates == {"-5KQ66BBWC4": 29.97, "-FaXLcSFjUI": 29.97, "KVq6If6ozMY": 25.0, "TzaVHtLXOzY": 25.0}
    positive = sum(int(clip.frame_labels.labels["speaking"].sum()) for clip in clips if clip.frame_labels)
    text = "".join(path.read_text() for path in sorted((shared_data / "ava" / "train").iterdir()))
    assert positive == text.count(",SPEAKING_AUDIBLE,") == 7917
    assert "test: no labels here, left out" in dataset.notes


def test_ava_as_talknet_cuts_it_is_read(tmp_path: Path) -> None:
    for published in ("train", "val"):
        rows = [ava_row(f"{900 + frame / 24:.6g}", number=number) for number in (1, 2) for frame in range(30)]
        rows = [row.replace("v", published) for row in rows if not row.startswith("v,900.5,")] + \
            [f"{published}-2,5,0,0,1,1,NOT_SPEAKING,{published}-2:1"]
        (tmp_path / published).mkdir()
        write(tmp_path / published / f"{published}-activespeaker.csv", *rows)
        place = tmp_path / "clips_videos" / published / f"{published}_0_60:1"
        place.mkdir(parents=True)
        (place / "900.04.jpg").touch()
    dataset = Ava(Ava.Config(root=tmp_path))
    clips = {clip.clip_id: clip for clip in dataset.clips()}
    assert list(clips) == [f"{split}/{name}" for split, video in (("train", "train"), ("test", "val"))
                           for name in (f"{video}_0_60:1", f"{video}_0_60:2", f"{video}-2:1")]
    tracks = [clip.track for clip in clips.values() if clip.track]
    assert [track.rate_hz for track in tracks] == [24.0, 24.0, 25.0] * 2 and len(tracks[0].pictures) == 29
    assert clips["test/val_0_60:1"].source == tmp_path / "clips_videos" / "val" / "val_0_60:1"
    assert clips["test/val_0_60:2"].source == tmp_path / "clips_videos" / "val" / "val" / "val_0_60:2"


def test_the_guide_shows_code_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "unitalk.md").read_text(encoding="utf-8")
    unitalk_tree(tmp_path / "data" / "UniTalk")
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    code = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)[1]
    exec(compile(code, "unitalk.md", "exec"), names)
    first = names["first"]
    assert isinstance(first, SpeakerTable) and first.entity.tolist() == ["three:1"] * FRAMES
    assert names["kinds"] == {video: kind for kind, video in KINDS.items()}
