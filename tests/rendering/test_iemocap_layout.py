"""IEMOCAP's form of the sample dataset: its reader finds all in place, and the side that a rule names does speak."""

from __future__ import annotations

import csv
import filecmp
import wave
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from pipeline.cli import main
from pipeline.datasets.iemocap import SESSIONS, Iemocap
from pipeline.decode import read_media
from pipeline.decoding.probe import probe
from pipeline.media import FrameRequest
from pipeline.rendering import layouts
from pipeline.rendering.corpus import is_finished, render_corpus, rendered_layout
from pipeline.rendering.layouts.iemocap import write_dialogues

ALL = FrameRequest(rate_hz=30, lines=200)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two turns in the first five dialogues, one in the others, made in this process."""
    return render_corpus(tmp_path_factory.mktemp("rendered") / "talk", layout="iemocap", num_clips=15, seed=1, jobs=1)


def test_the_reader_of_iemocap_reads_what_is_rendered(small: Path) -> None:
    dataset = Iemocap(Iemocap.Config(root=small))
    clips = list(dataset.clips())
    assert len(clips) == 15 and {clip.group for clip in clips} == set(SESSIONS)
    assert {clip.dialogue for clip in clips} == {path.stem for path in small.rglob("*.avi")}
    for clip in clips[:4]:
        assert clip.source is not None and clip.stop_seconds is not None and clip.text and len(clip.labels) >= 3
        found = probe(clip.source)
        assert found.size == (144, 288) and found.fps == pytest.approx(30000 / 1001, abs=.001)
        assert found.audio_span[1] > clip.stop_seconds
    sounds = list(Iemocap(Iemocap.Config(root=small, media="wav")).clips())
    for clip, sound in zip(clips, sounds):
        assert sound.source is not None and clip.stop_seconds is not None
        with wave.open(str(sound.source)) as file:
            assert file.getnframes() / 16000 == pytest.approx(clip.stop_seconds - clip.start_seconds, abs=.001)


def test_a_rendered_corpus_says_that_it_is_none_of_iemocap(small: Path, tmp_path: Path) -> None:
    rendered, real = Iemocap(Iemocap.Config(root=small)), Iemocap(Iemocap.Config(root=tmp_path))
    assert rendered_layout(small) == "iemocap" and rendered.corpus.redistribute == "yes" and not rendered.published
    assert real.corpus.redistribute == "no" and "Busso" in real.corpus.citation and real.published
    assert "nobody said or felt any of this" in (small / "README.txt").read_text()


def test_the_half_that_is_read_is_the_one_whose_mouth_moves(small: Path) -> None:
    moved = []
    for clip in list(Iemocap(Iemocap.Config(root=small)).clips())[:6]:
        assert clip.view is not None
        movement = []
        for other in (False, True):
            left = (clip.view[0] + .5 * other) % 1
            half = read_media(type(clip)(clip.clip_id, clip.source, clip.start_seconds, clip.stop_seconds,
                                         view=(left, 0.0, left + .5, 1.0)), (ALL,), waveform=False).frames[ALL]
            mouths = half.take(slice(None))[:, 100:125, 55:90].astype(float)
            movement.append(float(np.abs(np.diff(mouths, axis=0)).mean()))
        moved.append(movement[0] > movement[1])
    assert all(moved)


def test_truth_says_the_side_that_the_reader_takes(small: Path) -> None:
    views = {clip.clip_id[4:]: clip.view for clip in Iemocap(Iemocap.Config(root=small)).clips()}
    with (small / "truth.csv").open() as file:
        truth = {row["turn"]: row["side"] for row in csv.DictReader(file)}
    assert {stem: "left" if view and view[0] == 0 else "right" for stem, view in views.items()} == truth
    assert set(truth.values()) == {"left", "right"}


def test_two_processes_give_the_same_bytes_as_one_and_another_seed_others(small: Path, tmp_path: Path) -> None:
    again = render_corpus(tmp_path / "again", layout="iemocap", num_clips=15, seed=1, jobs=2)
    names = sorted(path.relative_to(small).as_posix() for path in small.rglob("*") if path.is_file())
    assert filecmp.cmpfiles(small, again, names, shallow=False)[1:] == ([], [])
    assert is_finished(again, layout="iemocap", num_clips=15, seed=1)
    assert [one.people for one in write_dialogues(10, 1)] != [one.people for one in write_dialogues(10, 2)]


def test_scripts_are_the_same_in_every_session_and_improvisations_are_not() -> None:
    dialogues = write_dialogues(60, 0)
    texts = {one.recording: tuple((turn.text, turn.code) for turn in one.turns) for one in dialogues}
    assert len({said for name, said in texts.items() if "script" in name}) == 1
    assert len({said for name, said in texts.items() if "impro" in name}) == 5


def test_every_session_has_every_emotion_of_four_and_both_wear_markers() -> None:
    dialogues = write_dialogues(layouts.find("iemocap").num_clips, 0)
    for session in range(1, 6):
        mine = [one for one in dialogues if one.session == session]
        assert {"neu", "hap", "sad", "ang"} <= {turn.code for one in mine for turn in one.turns}
        assert {one.recording[5] for one in mine} == {"F", "M"}


@pytest.mark.parametrize("num_clips", [10, 13, 60, 81, 200])
def test_there_are_as_many_turns_as_asked_for_and_none_overlap(num_clips: int) -> None:
    dialogues = write_dialogues(num_clips, 0)
    turns = [turn.stem for one in dialogues for turn in one.turns]
    assert len(turns) == len(set(turns)) == num_clips
    assert len({one.recording for one in dialogues}) == len(dialogues)
    assert max(Counter(turn.rsplit("_", 1)[0] for turn in turns).values()) <= 8
    for one in dialogues:
        assert all(before.stop_seconds < turn.start_seconds for before, turn in zip(one.turns, one.turns[1:]))
        assert one.turns[-1].stop_seconds < one.num_frames * 1001 / 30000


def test_fewer_than_ten_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="IEMOCAP's form has at least 10 clips, two dialogues in each of five"):
        write_dialogues(9, 0)
    assert main(["sample", "--layout", "iemocap", "--clips", "9", "--out", str(tmp_path / "x")]) == 2
    assert "at least 10 clips" in capsys.readouterr().err
