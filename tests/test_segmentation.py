"""Turns of dialogues that are known, and of recordings without any."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import wavfile

from pipeline.cli import main
from pipeline.diarisation import pooled, score
from pipeline.errors import ClipError, StoreError, UsageError
from pipeline.media import FeatureSequence
from pipeline.segmentation import SegmentConfig, rows_of_windows, segment, segment_wave, stored_rows
from pipeline.segmenting.recordings import recordings_in, segment_all
from pipeline.segmenting.speakers import supervectors
from pipeline.segmenting.turns import Turns, read_turns
from pipeline.store import FeatureStore
from tests.dialogues import dialogue
from tests.makers import make_video, write_manifest

TWO = "low", "high", "low", "high", "low", "high"


def save(path: Path, sound: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    wavfile.write(path, 16_000, np.round(sound * 32767).astype(np.int16))
    return path


@pytest.mark.parametrize("people, speakers", [(TWO, 2), (TWO, None), (("low", "middle", "high") * 3, 3)])
def test_speakers_are_told_apart(people: tuple[str, ...], speakers: int | None) -> None:
    sound, turns = dialogue(people)
    found = segment_wave(sound, "talk", speakers=speakers)
    assert len(found.speakers) == len(set(people)) and found.speakers[0] == "speaker1"
    errors = score({"talk": Turns("talk", turns)}, {"talk": found})
    assert (pooled(errors.recordings).der or 0) < 0.1 < (pooled(errors.one_speaker).der or 0)


def test_one_speaker_is_one() -> None:
    for speakers in (None, 1):
        found = segment_wave(dialogue(["low"] * 6)[0], "talk", speakers=speakers)
        assert found.speakers == ("speaker1",)


def test_the_same_recording_gives_the_same_turns() -> None:
    sound, _ = dialogue(TWO)
    assert segment_wave(sound, "talk", speakers=2) == segment_wave(sound.copy(), "talk", speakers=2)


def test_damaged_recordings_are_left_out_or_read_as_far_as_they_go(tmp_path: Path,
                                                                   capsys: pytest.CaptureFixture[str]) -> None:
    whole = save(tmp_path / "whole.wav", dialogue(TWO)[0])
    cut = tmp_path / "cut.wav"
    cut.write_bytes(whole.read_bytes()[:whole.stat().st_size // 2])
    with pytest.raises(ClipError, match="cut.wav is damaged: .*--on-damage partial"):
        segment(cut)
    assert main(["segment", str(cut), "--speakers", "2"]) == 1
    assert "--on-damage partial" in " ".join(capsys.readouterr().err.split())
    assert main(["segment", str(cut), "--speakers", "2", "--on-damage", "partial", "--format", "json"]) == 0
    found = segment(cut, speakers=2, config=SegmentConfig(on_damage="partial"))
    assert len(found.turns) >= 2 and found.notes
    assert found.duration_seconds == pytest.approx((segment(whole, speakers=2).duration_seconds or 0) / 2, abs=0.01)
    assert found.notes[0][:12] in capsys.readouterr().err


@pytest.mark.parametrize("sound, note", [
    (np.zeros(0, np.float32), "there is no sound"), (np.zeros(1, np.float32), "nobody speaks"),
    (np.zeros(48_000, np.float32), "nobody speaks"),
    (np.random.default_rng(0).normal(0, 0.1, 160_000).astype(np.float32), "nobody speaks")],
    ids=["nothing", "one sample", "silence", "hiss"])
def test_where_nobody_speaks_there_are_no_turns(sound: np.ndarray, note: str) -> None:
    found = segment_wave(sound, "talk", speakers=2)
    assert found.turns == () and found.notes == (note,) and found.duration_seconds == len(sound) / 16_000


@pytest.mark.parametrize("seconds", [0.5, 1.0, 2.0])
def test_short_recordings_pass(seconds: float) -> None:
    sound, _ = dialogue(["low"], turn_seconds=seconds)
    for speakers in (None, 4):
        found = segment_wave(sound, "talk", speakers=speakers)
        assert all(turn.stop_seconds <= len(sound) / 16_000 for turn in found.turns)
        if speakers and found.turns and len(found.speakers) < speakers:
            assert "of the 4 speakers; there is too little" in found.notes[0]


@pytest.mark.parametrize("speakers", [2, None])
def test_windows_are_no_more_than_are_allowed(speakers: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    described = []

    def counted(frames: np.ndarray, speech: np.ndarray, windows: np.ndarray) -> np.ndarray:
        described.append(len(windows))
        return supervectors(frames, speech, windows)

    monkeypatch.setattr("pipeline.segmentation.supervectors", counted)
    sound, turns = dialogue(TWO * 3)  # four times as many windows as are allowed, as in an hour by default
    found = segment_wave(sound, "talk", speakers=speakers, config=SegmentConfig(most_windows=36))
    assert described[0] <= 72 and len(found.speakers) == 2
    assert (pooled(score({"talk": Turns("talk", turns)}, {"talk": found}).recordings).der or 0) < 0.1


def test_stored_rows_tell_speakers_apart() -> None:
    sound, turns = dialogue(TWO)
    starts = np.arange(0, len(sound) / 16_000 - 0.1, 0.1)
    person = np.array([next((turn.speaker for turn in turns if turn.start_seconds <= at < turn.stop_seconds), "low")
                       for at in starts])
    values = np.where((person == "low")[:, None], [[1.0, 0, 0]], [[0, 1.0, 0]]).astype(np.float32)
    rows = FeatureSequence(values, np.stack([starts, starts + 0.1], 1).astype(np.float32))
    found = segment_wave(sound, "talk", speakers=2, rows=rows)
    assert (pooled(score({"talk": Turns("talk", turns)}, {"talk": found}).recordings).der or 0) < 0.1


def test_a_window_without_rows_has_the_nearest() -> None:
    rows = FeatureSequence(np.array([[0], [2], [4]], np.float32), np.array([[0, 1], [1, 2], [2, 3]], np.float32))
    found = rows_of_windows(rows, np.array([[0, 200], [200, 300], [400, 500]]))[:, 0]
    assert found[0] == found.min() and found[1] == found[2] > 0


def test_settings_and_numbers_that_cannot_be_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="1 to 20 speakers, found 0"):
        segment_wave(np.zeros(160, np.float32), "talk", speakers=0)
    for wrong in ({"least_activity": 0.0}, {"hop_seconds": 0.0}, {"switch_cost": -1.0}, {"max_speakers": 50},
                  {"least_speaker_seconds": 0.0}):
        values: dict[str, Any] = wrong
        with pytest.raises(ValueError, match="and|above"):
            SegmentConfig(**values)
    with pytest.raises(ClipError, match="nowhere.wav"):
        segment(tmp_path / "nowhere.wav")


def test_a_file_and_its_wave_give_the_same(tmp_path: Path) -> None:
    sound, _ = dialogue(TWO)
    path = save(tmp_path / "my talk.wav", np.round(sound * 32767) / 32767)
    found = segment(path, speakers=2)
    assert found.recording == "my_talk" and len(found.speakers) == 2
    stereo = tmp_path / "stereo.wav"
    wavfile.write(stereo, 16_000, np.stack([np.round(sound * 32767).astype(np.int16)] * 2, 1))
    assert segment(stereo, speakers=2, name="my_talk").turns == found.turns


def test_a_folder_is_read_as_a_whole(tmp_path: Path) -> None:
    sound, _ = dialogue(TWO)
    save(tmp_path / "in" / "a.wav", sound)
    save(tmp_path / "in" / "deep" / "b.wav", np.zeros(16_000))
    (tmp_path / "in" / "broken.mp4").write_bytes(b"no media")
    (tmp_path / "in" / "notes.txt").write_text("no media either")
    assert list(recordings_in(tmp_path / "in")) == ["a", "broken", "deep/b"]
    done = segment_all(recordings_in(tmp_path / "in"), speakers=2, pictures=tmp_path / "pictures")
    assert [found.recording for found in done.recordings] == ["a", "deep/b"] and list(done.failures) == ["broken"]
    assert {path.name for path in (tmp_path / "pictures").iterdir()} == {"a.png", "deep_b.png"}
    with pytest.raises(UsageError, match="is one picture, and there are 3 recordings"):
        segment_all(recordings_in(tmp_path / "in"), pictures=tmp_path / "one.png")
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        segment_all({"a": tmp_path / "in" / "a.wav"}, pictures=tmp_path / "file" / "a.png")


def test_folders_without_recordings_are_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no recordings; expected files that end in"):
        recordings_in(tmp_path)
    with pytest.raises(UsageError, match="is not there"):
        recordings_in(tmp_path / "nowhere")
    for name in ("a b.wav", "a_b.wav"):
        save(tmp_path / name, np.zeros(160))
    with pytest.raises(UsageError, match="have one name as recordings, 'a_b'"):
        recordings_in(tmp_path)


def test_the_command_writes_what_the_function_finds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = save(tmp_path / "talk.wav", dialogue(TWO)[0]), tmp_path / "talk.rttm"
    assert main(["segment", str(path), "--speakers", "2", "--out", str(out), "--picture",
                 str(tmp_path / "talk.png")]) == 0
    shown = capsys.readouterr()
    assert shown.out == f"{out}\n" and "Who speaks when" in shown.err
    assert (tmp_path / "talk.png").read_bytes().startswith(b"\x89PNG")
    expected = segment(path, speakers=2)
    for told, turn in zip(read_turns(out)["talk"].turns, expected.turns, strict=True):
        assert told.speaker == turn.speaker and told.start_seconds == pytest.approx(turn.start_seconds, abs=1e-3)
    assert main(["segment", str(path), "--speakers", "2", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["talk"]["speakers"] == ["speaker1", "speaker2"]


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quiet, video = save(tmp_path / "quiet.wav", np.zeros(16_000)), make_video(tmp_path / "video.mp4", sound=False)
    assert main(["segment", str(quiet)]) == 0 and main(["segment", str(video)]) == 0
    shown = capsys.readouterr()
    assert shown.out == "" and "nobody speaks" in shown.err and "there is no sound" in shown.err
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    for arguments, code, message in (
            ([str(quiet), "--speakers", "two"], 2, "neither auto nor a whole number"),
            ([str(quiet), "--speakers", "0"], 2, "1 to 20 speakers, found 0"),
            ([str(quiet), "--max-speakers", "99"], 2, "max_speakers is 1 to 20"),
            ([str(quiet), "--feature", "x"], 2, "go together"),
            ([str(quiet), "--set", "hop"], 2, "expected NAME=VALUE"),
            ([str(quiet), "--out", str(tmp_path / "a.doc")], 2, "expected a file that ends in"),
            ([str(tmp_path / "bad.wav")], 1, "Error: bad: "), ([str(tmp_path)], 3, "Error: bad: ")):
        assert main(["segment", *arguments]) == code
        assert message in capsys.readouterr().err


def test_rows_are_found_by_their_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = save(tmp_path / "talk.wav", dialogue(TWO)[0])
    other = save(tmp_path / "other.wav", dialogue(TWO, seed=1)[0])
    manifest, store = write_manifest(tmp_path / "clips.csv", [{"path": str(path)}]), tmp_path / "talk.h5"
    assert main(["extract", "--dataset", "manifest", "--manifest", str(manifest), "--extractors",
                 "audio_functionals,audio_functionals@windows", "--set", "audio_functionals@windows.per=window",
                 "--jobs", "1", "--out", str(store)]) == 0
    feature = next(name for name in FeatureStore(store).features if "windows" in name)
    assert len(stored_rows(FeatureStore(store), feature, path).values) > 10
    capsys.readouterr()
    assert main(["segment", str(path), "--features", str(store), "--feature", feature, "--speakers", "2"]) == 0
    assert "speaker2" in capsys.readouterr().out
    with pytest.raises(StoreError, match="has no clip of the whole of"):
        stored_rows(FeatureStore(store), feature, other)
    with pytest.raises(StoreError, match="has no feature 'nothing'"):
        stored_rows(FeatureStore(store), "nothing", path)


def test_two_people_in_a_real_recording_are_told_apart(shared_data: Path) -> None:
    truth = read_turns(shared_data / "speech" / "sample.rttm")
    found = score(truth, {"sample": segment(shared_data / "speech" / "sample.wav", speakers=2)})
    assert (pooled(found.recordings).der or 0) < 0.15 < 0.4 < (pooled(found.one_speaker).der or 0)
