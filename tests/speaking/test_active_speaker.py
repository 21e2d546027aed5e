"""Scores of face tracks by a trained network: each track for itself, all seeds together, and what is no such run."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.frame_stores import MOOD, grid
from tests.speaker_runs import SETTINGS, VERSIONS, make_speaker_run

from pipeline.devices import torch_threads
from pipeline.errors import TrainingError, UsageError
from pipeline.media import FeatureSequence
from pipeline.runs import Checkpoint, build_model
from pipeline.speaking.active_speaker import SpeakerRun, scenes_of, score_tracks, spans_of

RECIPES = {name: {"version": VERSIONS[name], "settings": {**settings, "clips": "videos"}}
           for name, settings in SETTINGS.items()}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    with torch_threads(1):
        yield


def make_tracks(lengths: tuple[int, ...] = (4, 6)) -> dict[str, FeatureSequence]:
    """Tracks that begin at the same time."""
    chance = np.random.default_rng(0)
    times = np.concatenate([grid(length, start=0.2) for length in lengths])
    return {"asd_faces": FeatureSequence(chance.integers(0, 256, (len(times), 112, 112)).astype(np.uint8), times),
            "asd_audio": FeatureSequence(chance.normal(0, 9, (len(times), 4, 13)).astype(np.float32), times)}


def part(features: dict[str, FeatureSequence], rows: slice) -> dict[str, FeatureSequence]:
    return {name: FeatureSequence(values.values[rows], values.times[rows]) for name, values in features.items()}


def test_every_track_is_scored_for_itself(tmp_path: Path) -> None:
    run, tracks = SpeakerRun.open(make_speaker_run(tmp_path / "run")), make_tracks()
    found = score_tracks(run, tracks["asd_faces"], tracks["asd_audio"])
    assert found.shape == (10,) and found.dtype == np.float32 and ((found > 0) & (found < 1)).all()
    for rows in (slice(0, 4), slice(4, 10)):
        alone = part(tracks, rows)
        np.testing.assert_allclose(score_tracks(run, alone["asd_faces"], alone["asd_audio"]), found[rows], atol=1e-5)
    scorer = run.scorer(torch.device("cpu"))
    assert not np.allclose(scorer.scores(tracks, [slice(0, 10)])[:4], found[:4]), "as one track they see each other"
    np.testing.assert_array_equal(scorer.scores(tracks, [slice(0, 4), slice(4, 10)]), found)


def looking_around(path: Path) -> SpeakerRun:
    """A run whose faces look at one another."""
    file = make_speaker_run(path) / "seed0" / "best.pt"
    made = Checkpoint.load(file)
    settings = {**made.model_config, "context_faces": True}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = build_model(made.model, settings, made.row_shapes, made.tasks)
    replace(made, model_config=settings, state=network.state_dict()).save(file)
    return SpeakerRun.open(path)


def test_faces_that_are_in_view_together_are_scored_together_where_the_run_learnt_so(tmp_path: Path) -> None:
    run, tracks = looking_around(tmp_path / "run"), make_tracks((4, 6, 5))
    late = np.concatenate([tracks["asd_faces"].times[:10], grid(5, start=9.0)])
    tracks = {name: FeatureSequence(values.values, late) for name, values in tracks.items()}
    found = score_tracks(run, tracks["asd_faces"], tracks["asd_audio"])
    apart = np.concatenate([score_tracks(run, *part(tracks, rows).values()) for rows in (
        slice(0, 4), slice(4, 10), slice(10, 15))])
    assert (np.abs(found - apart)[:8] > 1e-5).all(), "both are there for the first four rows"
    np.testing.assert_allclose(found[8:], apart[8:], atol=1e-5)
    turned = [4, 5, 6, 7, 8, 9, 0, 1, 2, 3]
    other = {name: FeatureSequence(values.values[turned], values.times[turned]) for name, values in tracks.items()}
    np.testing.assert_allclose(score_tracks(run, *other.values()), found[turned], atol=1e-5)


def test_a_scene_ends_where_all_have_gone_or_where_it_would_be_too_large() -> None:
    times = np.concatenate([grid(5, start=1.1), grid(10), grid(20, start=0.2), grid(5, start=0.8)])
    last, *spans = spans_of(times)
    assert scenes_of([last, *spans], times) == [spans, [last]]
    assert scenes_of([last, *spans], times, most_rows=40) == [spans[:2], spans[2:], [last]], "two of 20 rows are 40"
    assert scenes_of([last, *spans], times, most_rows=1) == [*([span] for span in spans), [last]]


def test_all_seeds_answer_together(tmp_path: Path) -> None:
    tracks = make_tracks()
    first, second, both = (SpeakerRun.open(path) for path in (
        make_speaker_run(tmp_path / "one"), make_speaker_run(tmp_path / "other", seeds=2), tmp_path / "other"))
    assert len(both.checkpoints) == 2 and second.digest == both.digest != first.digest
    shutil.copytree(tmp_path / "other" / "seed1", tmp_path / "second" / "seed1")
    scores = [score_tracks(run, tracks["asd_faces"], tracks["asd_audio"])
              for run in (first, SpeakerRun.open(tmp_path / "second"), both)]
    np.testing.assert_allclose(scores[2], (scores[0] + scores[1]) / 2, atol=1e-6)


def test_without_sound_pictures_alone_are_scored(tmp_path: Path) -> None:
    run, tracks = SpeakerRun.open(make_speaker_run(tmp_path / "run")), make_tracks()
    silent = score_tracks(run, tracks["asd_faces"], FeatureSequence.empty((4, 13)))
    both = score_tracks(run, tracks["asd_faces"], tracks["asd_audio"])
    assert np.isfinite(silent).all() and not np.allclose(silent, both)
    seeing = SpeakerRun.open(make_speaker_run(tmp_path / "seeing", inputs=("asd_faces",)))
    assert seeing.inputs == ("asd_faces",) and run.inputs == ("asd_faces", "asd_audio")
    assert score_tracks(seeing, tracks["asd_faces"], tracks["asd_audio"]).shape == (10,)
    nothing = score_tracks(run, FeatureSequence.empty((112, 112), "uint8"), FeatureSequence.empty((4, 13)))
    assert nothing.shape == (0,)


def test_tracks_end_where_time_falls_back_or_jumps() -> None:
    times = np.concatenate([grid(3), grid(2, start=0.08), grid(2, start=3.0)])
    times[-1, 1] -= 0.01  # the last frame is cut at the clip's end
    assert spans_of(times) == [slice(0, 3), slice(3, 5), slice(5, 7)]
    assert spans_of(times[:0]) == []


def test_what_is_no_run_of_an_active_speaker_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="holds no trained network"):
        SpeakerRun.open(tmp_path / "nothing")
    with pytest.raises(UsageError, match="answers mood from asd_faces; .*train one with: .* --model active_speaker"):
        SpeakerRun.open(make_speaker_run(tmp_path / "mood", tasks=(MOOD,), inputs=("asd_faces",)))
    (tmp_path / "start").mkdir()
    (tmp_path / "start" / "start.pt").write_bytes(b"")
    with pytest.raises(UsageError, match="a start for training; train it first: .* --init"):
        SpeakerRun.open(tmp_path / "start")


def test_features_made_otherwise_are_refused(tmp_path: Path) -> None:
    run = SpeakerRun.open(make_speaker_run(tmp_path / "run"))
    run.check_recipes(RECIPES)
    other = {**RECIPES, "asd_audio": {"version": VERSIONS["asd_audio"], "settings": {"spectra": "logmel"}}}
    expected = "learnt from another asd_audio: spectra was mfcc and is logmel; say --set asd_audio.spectra=mfcc"
    with pytest.raises(UsageError, match=re.escape(expected)):
        run.check_recipes(other)
    tracks = make_tracks()
    wide = FeatureSequence(np.zeros((10, 4, 64), np.float32), tracks["asd_faces"].times)
    with pytest.raises(TrainingError, match=r"rows of asd_audio of shape \(4, 13\), found \(4, 64\)"):
        score_tracks(run, tracks["asd_faces"], wide)
