"""The forms of the sample dataset: RAVDESS's names, actors and emotions, read back by its own reader."""

from __future__ import annotations

import csv
import filecmp
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.cli import main
from pipeline.datasets.ravdess import EMOTIONS, STATEMENTS, Ravdess, every_recording, parse_name
from pipeline.decoding.probe import probe
from pipeline.errors import UsageError
from pipeline.rendering import layouts
from pipeline.rendering.acting import LOOKS
from pipeline.rendering.corpus import is_finished, render_corpus, rendered_layout
from pipeline.rendering.layouts.ravdess import choose_takes, film, look, manner


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two emotions of two actors in RAVDESS's form, made in this process."""
    return render_corpus(tmp_path_factory.mktemp("rendered") / "sample", layout="ravdess", num_clips=4, seed=1, jobs=1)


def test_layouts_are_found_by_their_files() -> None:
    assert layouts.names() == ("iemocap", "meld", "ravdess", "unitalk")
    assert [layouts.find(name).name for name in layouts.names()] == ["iemocap", "meld", "ravdess", "unitalk"]
    with pytest.raises(UsageError, match="no layout named 'ravdes'"):
        layouts.find("ravdes")


def test_the_reader_of_ravdess_reads_what_is_rendered(small: Path) -> None:
    dataset = Ravdess(Ravdess.Config(root=small))
    clips = list(dataset.clips())
    assert [clip.group for clip in clips] == ["01", "01", "02", "02"] and dataset.notes == []
    assert [clip.labels["emotion"] for clip in clips] == ["neutral", "calm"] * 2
    for clip in clips:
        assert clip.source is not None and clip.source.parent.name == f"Actor_{clip.group}"
        found = probe(clip.source)
        assert found.size == (180, 320) and found.audio_span[1] > 1
        assert found.fps == pytest.approx(30000 / 1001, abs=.001)


def test_a_rendered_corpus_says_that_it_is_none_of_ravdess(small: Path, tmp_path: Path) -> None:
    rendered, real = Ravdess(Ravdess.Config(root=small)), Ravdess(Ravdess.Config(root=tmp_path))
    assert rendered_layout(small) == "ravdess" and rendered_layout(tmp_path) == ""
    assert rendered.corpus.redistribute == "yes" and "rendered by this pipeline" in rendered.corpus.citation
    assert real.corpus.licence == "CC BY-NC-SA 4.0" and "Livingstone" in real.corpus.citation
    assert (rendered.corpus.tasks, rendered.corpus.protocols) == (real.corpus.tasks, real.corpus.protocols)
    assert real.published and not rendered.published


def test_truth_and_words_stand_beside_the_videos(small: Path) -> None:
    with (small / "truth.csv").open() as file:
        truth = {row["clip"]: row for row in csv.DictReader(file)}
    with (small / "words.csv").open() as file:
        words = list(csv.DictReader(file))
    assert set(truth) == {path.stem for path in small.rglob("*.mp4")}
    for stem, row in truth.items():
        assert parse_name(stem).group == row["actor"] and len(row["speaking_box"].split()) == 4
        assert " ".join(word["word"] for word in words if word["clip"] == stem) == parse_name(stem).statement


def test_two_processes_give_the_same_bytes_as_one_and_another_seed_others(small: Path, tmp_path: Path) -> None:
    again = render_corpus(tmp_path / "again", layout="ravdess", num_clips=4, seed=1, jobs=2)
    names = sorted(path.relative_to(small).as_posix() for path in small.rglob("*") if path.is_file())
    assert filecmp.cmpfiles(small, again, names, shallow=False)[1:] == ([], [])
    assert is_finished(again, layout="ravdess", num_clips=4, seed=1)
    assert not is_finished(again, layout="meld", num_clips=4, seed=1)
    assert [take.person for take in choose_takes(16, 1)] != [take.person for take in choose_takes(16, 2)]


def test_one_layout_may_take_anothers_place(small: Path, tmp_path: Path) -> None:
    render_corpus(tmp_path / "out", layout="meld", num_clips=3, jobs=1)
    render_corpus(tmp_path / "out", layout="ravdess", num_clips=3, jobs=1)
    assert rendered_layout(tmp_path / "out") == "ravdess" and not (tmp_path / "out" / "train_splits").exists()


@pytest.mark.parametrize("num_clips", [16, 80, 192])
def test_every_actor_shows_every_emotion(num_clips: int) -> None:
    shown = {(take.recording.actor, take.recording.emotion) for take in choose_takes(num_clips, 0)}
    actors = range(1, num_clips // 8 + 1)
    assert shown == {(actor, emotion) for actor in actors for emotion in EMOTIONS}


def test_the_default_has_somebody_to_test_in_each_fold() -> None:
    actors = {take.recording.group for take in choose_takes(layouts.find("ravdess").num_clips, 0)}
    for protocol in Ravdess().corpus.protocols[:1]:
        assert all(actors & set(fold.test) and actors & set(fold.dev) for fold in protocol.folds)


def test_all_recordings_come_once_and_no_more_can_be_had() -> None:
    takes = choose_takes(1440, 0)
    assert {take.recording for take in takes} == set(every_recording("speech")) and len(takes) == 1440
    for number in (2, 1441):
        with pytest.raises(ValueError, match="has 3 to 1,440 clips, asked for"):
            choose_takes(number, 0)


def test_the_sentence_says_nothing_of_the_emotion() -> None:
    counts = Counter((take.recording.emotion, take.recording.statement) for take in choose_takes(80, 0))
    assert all(4 <= counts[emotion, statement] <= 6 for emotion in EMOTIONS for statement in STATEMENTS)


def test_some_voices_and_faces_hide_the_emotion() -> None:
    takes = [take for take in choose_takes(1440, 0) if take.recording.emotion != "neutral"]
    for shown in ("voice_emotion", "face_emotion"):
        assert .05 < np.mean([getattr(take, shown) != take.recording.emotion for take in takes]) < .12


def test_men_have_lower_voices_than_women() -> None:
    pitches = {take.recording.actor: take.person.pitch_hz for take in choose_takes(192, 0)}
    men, women = ([pitch for actor, pitch in pitches.items() if actor % 2 == odd] for odd in (1, 0))
    assert len(men) == len(women) == 12 and max(men) < min(women)


def test_voice_and_face_carry_the_emotion_each_by_itself() -> None:
    take = next(take for take in choose_takes(160, 0)
                if (take.recording.emotion, take.recording.intensity) == ("angry", "strong"))
    both, still, flat = (film(replace(take, voice_emotion=voice, face_emotion=face), np.random.default_rng(0))
                         for voice, face in (("angry", "angry"), ("angry", "neutral"), ("neutral", "neutral")))
    assert (both.waveform == still.waveform).all() and both.speaking_box == still.speaking_box
    loud, soft = (10 * np.log10(np.mean(np.square(scene.waveform))) for scene in (both, flat))
    assert loud > soft + 6, "dB; an angry voice is loud"
    left, top, right, bottom = map(int, both.speaking_box)
    changed = np.abs(both.frames.astype(float) - still.frames.astype(float)).mean(axis=(0, 3))
    assert changed[top:bottom, left:right].mean() > 5 > 10 * changed[:, :20].mean(), "levels of 255, face and margin"


def test_a_strong_emotion_is_further_from_neutral() -> None:
    for emotion in ("angry", "happy"):
        loud = [manner(emotion, intensity, np.random.default_rng(0)).gain_db for intensity in ("normal", "strong")]
        wide = [look(emotion, intensity).articulation for intensity in ("normal", "strong")]
        assert 0 < loud[0] < loud[1] and 1 < wide[0] < wide[1]
    assert look("neutral", "normal") == LOOKS["neutral"]


def test_the_command_renders_the_layout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sample", "--layout", "ravdess", "--clips", "3", "--out", str(tmp_path / "r")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "r")
    assert len(list(Ravdess(Ravdess.Config(root=tmp_path / "r")).clips())) == 3
    assert main(["sample", "--layout", "ravdess", "--clips", "2000", "--out", str(tmp_path / "r")]) == 2
    assert "RAVDESS's form has 3 to 1,440 clips, asked for 2,000" in capsys.readouterr().err
