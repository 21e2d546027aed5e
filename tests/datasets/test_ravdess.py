"""RAVDESS: every name of the specification, every way a name can be wrong, the layouts of its archives, its folds."""

from __future__ import annotations

import doctest
import re
from collections import Counter
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import with_settings
from pipeline.datasets import ravdess
from pipeline.datasets.ravdess import EMOTIONS, STATEMENTS, Ravdess, Recording, every_recording, parse_name
from pipeline.errors import DatasetError, UsageError
from pipeline.extraction import ExtractConfig, extract
from pipeline.store import FeatureStore
from tests.datasets.test_meld import touch

WORDS = {"01": "neutral", "02": "calm", "03": "happy", "04": "sad", "05": "angry", "06": "fearful", "07": "disgust",
         "08": "surprised"}
ODD = {f"{actor:02d}" for actor in range(1, 25, 2)}
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 72862\n"


def specified(channel: str, modality: str = "03") -> list[str]:
    """Names as the corpus's page specifies them, made without the reader's tables."""
    return [f"{modality}-{channel}-{emotion}-{intensity}-{statement}-{repetition}-{actor:02d}"
            for actor, emotion, intensity, statement, repetition in product(
                range(1, 25), WORDS, ("01", "02"), ("01", "02"), ("01", "02"))
            if (emotion, intensity) != ("01", "02") and (channel == "01" or (emotion < "07" and actor != 18))]


def read(root: Path, **settings: str) -> Ravdess:
    return Ravdess(with_settings(Ravdess.Config(root=root), settings, owner="ravdess"))


def ids(dataset: Ravdess) -> list[str]:
    return [clip.clip_id.removeprefix("all/") for clip in dataset.clips()]


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(ravdess) == (0, 2)


@pytest.mark.parametrize(("channel", "number"), [("01", 1440), ("02", 1012)])
def test_every_name_of_the_specification_is_read(channel: str, number: int) -> None:
    names = [name for modality in ("01", "02", "03") for name in specified(channel, modality)]
    assert len(set(names)) == 3 * number
    for name in names:
        fields, found = name.split("-"), parse_name(name)
        assert found.stem == name and found.take == name[3:]
        assert found == Recording(
            {"01": "av", "02": "video", "03": "audio"}[fields[0]], {"01": "speech", "02": "song"}[fields[1]],
            WORDS[fields[2]], {"01": "normal", "02": "strong"}[fields[3]],
            {"01": "Kids are talking by the door", "02": "Dogs are sitting by the door"}[fields[4]], int(fields[5]),
            int(fields[6]))
        assert (found.group, found.gender) == (fields[6], "male" if fields[6] in ODD else "female")


@pytest.mark.parametrize(("channel", "code"), [("speech", "01"), ("song", "02")])
def test_the_readers_own_list_is_the_specification(channel: str, code: str) -> None:
    assert [one.stem for one in every_recording(channel, modality="audio")] == specified(code)


@pytest.mark.parametrize(("name", "reason"), [
    ("", "1 field; expected seven, modality-channel-emotion-intensity-statement-repetition-actor"),
    ("holiday", "1 field; expected seven"),
    ("03-01-06-01-02-01", "6 fields; expected seven"),
    ("03-01-06-01-02-01-12-01", "8 fields; expected seven"),
    ("03_01_06_01_02_01_12", "1 field; expected seven"),
    ("04-01-06-01-02-01-12", "modality is 04; expected 01 to 03"),
    ("00-01-06-01-02-01-12", "modality is 00; expected 01 to 03"),
    ("03-03-06-01-02-01-12", "channel is 03; expected 01 to 02"),
    ("03-01-09-01-02-01-12", "emotion is 09; expected 01 to 08"),
    ("03-01-06-03-02-01-12", "intensity is 03; expected 01 to 02"),
    ("03-01-06-01-03-01-12", "statement is 03; expected 01 to 02"),
    ("03-01-06-01-02-03-12", "repetition is 03; expected 01 to 02"),
    ("03-01-06-01-02-01-25", "actor is 25; expected 01 to 24"),
    ("03-01-06-01-02-01-00", "actor is 00; expected 01 to 24"),
    ("3-01-06-01-02-01-12", "modality is '3'; expected two digits"),
    ("03-01-06-01-02-01-012", "actor is '012'; expected two digits"),
    ("03-01-xx-01-02-01-12", "emotion is 'xx'; expected two digits"),
    ("03-01-06-01-02-01-12 (1)", "actor is '12 (1)'; expected two digits"),
    ("03-01-06-01-02-01-¹²", r"actor is '\xb9\xb2'; expected two digits"),
    ("03-01-06-01-02-01-٠١", r"actor is '\u0660\u0661'; expected two digits"),
    ("03-01-01-02-02-01-12", "neutral (emotion 01) is never strong (intensity 02)"),
    ("03-02-07-01-02-01-12", "a song (channel 02) is never disgust; expected emotion 01 to 06"),
    ("03-02-08-01-02-01-12", "a song (channel 02) is never surprised"),
    ("03-02-06-01-02-01-18", "actor 18 sings no song (channel 02)"),
])
def test_a_wrong_name_says_what_is_wrong_with_it(name: str, reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        parse_name(name)


def test_a_recording_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="emotion is 'bored'; expected one of neutral, calm"):
        Recording("av", "speech", "bored", "normal", STATEMENTS[0], 1, 1)


def test_a_whole_corpus_has_the_published_counts(tmp_path: Path) -> None:
    for actor in range(1, 25):
        touch(tmp_path / f"Actor_{actor:02d}", *(f"{one}.wav" for channel in ("01", "02")
                                                 for one in specified(channel) if one.endswith(f"-{actor:02d}")))
    for channel in ("speech", "song", "both"):
        dataset = read(tmp_path, channel=channel)
        clips, published = list(dataset.clips()), dataset.published["all"]
        assert len(clips) == published.num_clips and (len({clip.group for clip in clips}),) == published.num_groups
        for task in dataset.corpus.tasks:
            counts = Counter(clip.labels[task.name] for clip in clips)
            assert {name: counts[name] for name in task.classes} == published.labels[task.name]
        assert not any("not here" in note for note in dataset.notes)


@pytest.mark.parametrize("folders", [
    ("Actor_01", "Actor_02"), ("Audio_Speech_Actors_01-24/Actor_01", "Audio_Speech_Actors_01-24/Actor_02"),
    ("Video_Speech_Actor_01/Actor_01", "Video_Speech_Actor_02/Actor_02"), ("", ""), ("a/b/c", "d")])
@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp4", ".WAV"])
def test_files_are_found_wherever_they_lie(tmp_path: Path, folders: tuple[str, str], suffix: str) -> None:
    names = ("03-01-05-01-01-01-01", "03-01-03-02-02-01-02")
    for folder, name in zip(folders, names):
        touch(tmp_path / folder, f"{name}{suffix}", f"._{name}{suffix}", ".DS_Store")
    clips = list(read(tmp_path).clips())
    assert [clip.clip_id for clip in clips] == [f"all/{name}" for name in names]
    assert all(clip.source is not None and clip.source.is_file() for clip in clips)
    assert [(clip.speaker, clip.group, clip.text, dict(clip.labels)) for clip in clips] == [
        ("01", "01", STATEMENTS[0], {"emotion": "angry", "intensity": "normal", "gender": "male"}),
        ("02", "02", STATEMENTS[1], {"emotion": "happy", "intensity": "strong", "gender": "female"})]


def test_a_folder_that_is_a_link_is_followed_once(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere", "03-01-05-01-01-01-01.wav")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "Actor_01").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "loop").symlink_to(tmp_path / "root")
    assert ids(read(tmp_path / "root")) == ["03-01-05-01-01-01-01"]


def twins(root: Path) -> None:
    """Two performances, one in all three files and one as 02 and 03, and a song."""
    touch(root / "Actor_03", "01-01-05-01-01-01-03.mp4", "02-01-05-01-01-01-03.mp4", "03-01-05-01-01-01-03.wav",
          "02-01-05-01-01-02-03.mp4", "03-01-05-01-01-02-03.wav", "03-02-05-01-01-02-03.wav")


@pytest.mark.parametrize(("modality", "expected"), [
    ("best", ["01-01-05-01-01-01-03", "03-01-05-01-01-02-03"]),
    ("av", ["01-01-05-01-01-01-03"]),
    ("video", ["02-01-05-01-01-01-03", "02-01-05-01-01-02-03"]),
    ("audio", ["03-01-05-01-01-01-03", "03-01-05-01-01-02-03"]),
    ("all", ["01-01-05-01-01-01-03", "02-01-05-01-01-01-03", "02-01-05-01-01-02-03", "03-01-05-01-01-01-03",
             "03-01-05-01-01-02-03"])])
def test_one_file_of_each_performance_is_read_unless_all_are_asked_for(tmp_path: Path, modality: str,
                                                                       expected: list[str]) -> None:
    twins(tmp_path)
    dataset = read(tmp_path, modality=modality)
    clips = list(dataset.clips())
    assert [clip.clip_id.removeprefix("all/") for clip in clips] == expected
    assert {clip.group for clip in clips} == {"03"}, "files of one performance never part"
    takes = [parse_name(name).take for name in expected]
    assert modality == "all" or len(set(takes)) == len(takes)
    assert any("one file of each performance is read" in note for note in dataset.notes) == (modality != "all")
    assert bool(dataset.published) == (modality != "all")


@pytest.mark.parametrize(("channel", "number"), [("speech", 2), ("song", 1), ("both", 3)])
def test_songs_are_read_when_asked_for(tmp_path: Path, channel: str, number: int) -> None:
    twins(tmp_path)
    dataset = read(tmp_path, channel=channel)
    assert len(ids(dataset)) == number
    assert len(dataset.corpus.task("emotion").classes) == (6 if channel == "song" else 8)
    assert any("left out; --set ravdess.channel=both" in note for note in dataset.notes) == (channel != "both")


def test_wrong_names_are_left_out_and_told_with_their_reasons(tmp_path: Path) -> None:
    touch(tmp_path / "Actor_01", "03-01-05-01-01-01-01.wav", "03-01-09-01-01-01-01.wav", "holiday\n.mp4",
          "01-01-05-01-01-01-01.wav", "03-01-05-01-01-01-02.wav", "notes.txt")
    dataset = read(tmp_path)
    assert ids(dataset) == ["03-01-05-01-01-01-01"]
    note, = (note for note in dataset.notes if "by their names" in note)
    assert note.startswith("4 files left out") and note.isprintable()
    for reason in ("emotion is 09; expected 01 to 08", "'holiday\\n.mp4' (1 field; expected seven",
                   "a wav file holds no picture, its name says picture with sound (01); name sound alone 03-",
                   "its name says actor 02, its folder Actor_01"):
        assert reason in note


def test_a_second_copy_is_read_once(tmp_path: Path) -> None:
    touch(tmp_path / "Actor_01", "03-01-05-01-01-01-01.wav")
    touch(tmp_path / "audio_speech_actors_01-24" / "Actor_01", "03-01-05-01-01-01-01.wav", "03-01-05-01-01-01-01.flac")
    dataset = read(tmp_path)
    clip, = dataset.clips()
    assert clip.source == tmp_path / "Actor_01" / "03-01-05-01-01-01-01.wav"
    assert any(note.startswith("2 files left out as second copies") for note in dataset.notes)


def test_missing_performances_are_told_by_actor(tmp_path: Path) -> None:
    touch(tmp_path, *(f"{name}.wav" for name in specified("01") if not name.endswith(("-24", "01-01-01-02"))))
    dataset = read(tmp_path)
    assert len(ids(dataset)) == 1440 - 60 - 8
    assert "68 of 1,440 performances are not here; by actor: 02 (8), 24 (60)" in dataset.notes


def test_git_lfs_pointers_are_counted(tmp_path: Path) -> None:
    touch(tmp_path, "03-01-05-01-01-01-01.wav", "03-01-05-01-01-02-01.wav")
    (tmp_path / "03-01-05-01-01-01-01.wav").write_text(POINTER)
    dataset = read(tmp_path)
    assert len(ids(dataset)) == 2
    assert any(note.startswith("1 of 2 files are git-LFS pointers") and "git lfs pull" in note
               for note in dataset.notes)


@pytest.mark.parametrize(("files", "settings", "message"), [
    ((), {}, "holds no mp4, wav or flac file, and nothing that could be unpacked; expected Actor_01/03-01"),
    (("Audio_Speech_Actors_01-24.zip",), {}, "but 1 zip archive; expected .* unpack there"),
    (("a.wav", "b.mp4"), {}, r"none of 2 files below .* 'a.wav' \(1 field; .*; 'b.mp4' \(1 field"),
    (("03-02-05-01-01-01-01.wav",), {}, "holds no speech but 1 file of song; .*channel=both"),
    (("03-01-05-01-01-01-01.wav",), {"channel": "song"}, "holds no song but 1 file of speech"),
    (("03-01-05-01-01-01-01.wav",), {"modality": "av"},
     r"holds no picture with sound \(01\); .* sound alone \(03\): 1: read them without"),
])
def test_a_folder_without_the_corpus_is_one_clear_error(tmp_path: Path, files: tuple[str, ...],
                                                        settings: dict[str, str], message: str) -> None:
    touch(tmp_path, *files)
    with pytest.raises(DatasetError, match=message):
        list(read(tmp_path, **settings).clips())


def test_a_folder_that_cannot_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "03-01-05-01-01-01-01.wav")

    def refuse(path: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(path))
    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(DatasetError, match="cannot be read: Permission denied; check the disk"):
        list(read(tmp_path).clips())


def test_settings_that_mean_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="ravdess.modality=sound: expected one of best, av, video, audio, all"):
        read(tmp_path, modality="sound")
    touch(tmp_path, "03-01-05-01-01-01-01.wav")
    with pytest.raises(UsageError, match="no split of ravdess named 'train'"):
        list(Ravdess(Ravdess.Config(root=tmp_path, splits=("train",))).clips())


def test_every_protocol_divides_the_actors(tmp_path: Path) -> None:
    actors = {f"{actor:02d}" for actor in range(1, 25)}
    protocols = {protocol.name: protocol for protocol in read(tmp_path).corpus.protocols}
    assert set(protocols) == {"five-actor-folds", "leave-one-actor-out", "fixed-20-2-2"}
    for name, protocol in protocols.items():
        tested = [actor for fold in protocol.folds for actor in fold.test]
        assert len(tested) == len(set(tested)) and set(tested) <= actors and protocol.source
        assert all(set(fold.dev) <= actors for fold in protocol.folds)
        assert (set(tested) == actors) == (name != "fixed-20-2-2") == (not protocol.warning)
    five = protocols["five-actor-folds"].folds
    assert [set(map(int, fold.test)) for fold in five] == [
        {2, 5, 14, 15, 16}, {3, 6, 7, 13, 18}, {10, 11, 12, 19, 20}, {8, 17, 21, 23, 24}, {1, 4, 9, 22}]
    assert all(fold.dev == five[(place + 1) % 5].test for place, fold in enumerate(five))
    for fold in protocols["leave-one-actor-out"].folds:
        assert {int(actor) % 2 for actor in fold.dev} == {0, 1}, "dev is a man and a woman"


def test_the_real_files_are_read(shared_data: Path) -> None:
    dataset = read(shared_data / "ravdess")
    clips = list(dataset.clips())
    assert len(clips) == 960 and {clip.group for clip in clips} == {f"{actor:02d}" for actor in range(1, 17)}
    assert Counter(clip.labels["emotion"] for clip in clips) == {name: 64 if name == "neutral" else 128
                                                                 for name in EMOTIONS}
    assert [note.partition(";")[0] for note in dataset.notes] == ["480 of 1,440 performances are not here"]


def test_the_real_twins_are_a_known_defect(shared_data: Path) -> None:
    folder = shared_data / "ravdess" / "Actor_07"
    one, other = (folder / f"03-01-03-01-02-{repetition}-07.flac" for repetition in ("01", "02"))
    assert one.read_bytes() == other.read_bytes()


def test_features_of_real_files_are_stored_with_folds_and_labels(shared_data: Path, tmp_path: Path) -> None:
    for actor in ("01", "02"):
        (tmp_path / "root" / f"Actor_{actor}").mkdir(parents=True)
        name = f"Actor_{actor}/03-01-05-02-01-01-{actor}.flac"
        (tmp_path / "root" / name).symlink_to(shared_data / "ravdess" / name)
    report = extract(read(tmp_path / "root"), tmp_path / "r.h5", extractors=("audio_logmel",),
                     config=ExtractConfig(jobs=1))
    store = FeatureStore(tmp_path / "r.h5")
    assert not report.failures and store.clips["group"].tolist() == ["01", "02"]
    assert store.read("all/03-01-05-02-01-01-01", "audio_logmel").values.shape[1] == 64
    assert store.corpus.protocols == Ravdess().corpus.protocols
