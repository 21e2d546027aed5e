"""Who speaks, from decoded clips to rows."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.datasets.manifest import Manifest
from pipeline.errors import StoreError, TrainingError, UsageError
from pipeline.extraction import ExtractConfig, extract
from pipeline.extractors.speaking import Speaking
from pipeline.faces import SPEAKING_COLUMNS
from pipeline.media import FeatureSequence, Frames, Media
from pipeline.speaking.active_speaker import SpeakerRun, score_tracks
from pipeline.store import FeatureStore
from tests.faces.counterfactuals import (portrait_faces, read_film, shifted_sound, silent, syllables, talking_portrait,
                                         vowel, watch, write_film)
from tests.frame_stores import MOOD
from tests.makers import make_video, write_manifest
from tests.speaker_runs import make_speaker_run

SCORE = SPEAKING_COLUMNS.index("speaking")
SECONDS = 4.0
CURVE = syllables(SECONDS, 1)


@pytest.fixture(scope="module")
def clip() -> Media:
    """Two of the same person: the left one talks, the right one listens."""
    times = np.arange(100) / 25
    opening = np.interp(times + 0.04, np.arange(len(CURVE)) / 100, CURVE)
    pictures = np.concatenate([talking_portrait(opening), talking_portrait(0 * opening)], axis=2)
    starts = np.tile(np.arange(60) / 15, 2)
    rows = np.concatenate([portrait_faces(starts[:60]), portrait_faces(starts[:60], track=1, left=180)])
    order = np.argsort(starts, kind="stable")
    spans = np.stack([starts[order], starts[order] + 1 / 15], axis=1).astype(np.float32)
    frames = Frames(pictures, np.arange(100), rate_hz=25, num_frames=100, source_size=pictures.shape[1:3])
    return Media("a", {Speaking().request: frames}, vowel(CURVE), duration_seconds=SECONDS,
                 features={"faces": FeatureSequence(rows[order], spans)})


def scores_of(clip: Media) -> tuple[float, float]:
    found, = Speaking().extract([clip])
    return tuple(float(found.values[found.values[:, 0] == track, SCORE].mean()) for track in (0, 1))  # type: ignore


def test_each_row_is_a_row_of_faces(clip: Media) -> None:
    found, = Speaking().extract([clip])
    faces = clip.features["faces"]
    np.testing.assert_array_equal(found.values[:, :5], faces.values[:, :5])
    np.testing.assert_array_equal(found.times, faces.times)
    assert SPEAKING_COLUMNS[:5] == ("track", "x1", "y1", "x2", "y2")


def test_the_one_who_talks_is_found(clip: Media) -> None:
    talking, listening = scores_of(clip)
    assert talking > 0.7 and listening < 0.1


def test_without_sound_or_with_a_still_picture_nobody_talks(clip: Media) -> None:
    assert max(scores_of(replace(clip, waveform=np.zeros(0, np.float32)))) == 0
    assert clip.waveform is not None
    frames = clip.frames[Speaking().request]
    still = Frames(np.repeat(frames.take([0]), 100, axis=0), frames.indices, rate_hz=25, num_frames=100,
                   source_size=frames.source_size)
    assert max(scores_of(replace(clip, frames={Speaking().request: still}))) < 0.1


def test_sound_of_another_clip_lowers_the_score(clip: Media) -> None:
    foreign = replace(clip, waveform=vowel(syllables(SECONDS, 9)))
    assert scores_of(foreign)[0] < scores_of(clip)[0] - 0.2


def test_a_still_photograph_is_one_row_that_does_not_speak(clip: Media) -> None:
    frames = clip.frames[Speaking().request]
    one = Frames(frames.take([0]), np.array([0]), rate_hz=25, num_frames=1, source_size=frames.source_size)
    faces = FeatureSequence(portrait_faces(np.zeros(1)), np.array([[0, 1 / 25]], np.float32))
    photo = replace(clip, frames={Speaking().request: one}, features={"faces": faces})
    found, = Speaking().extract([photo])
    assert found.values.shape == (1, 6) and found.values[0, SCORE] < 0.5


def test_lines_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="lines is at least 1, found 0"):
        Speaking.Config(lines=0)


def test_the_man_at_the_lectern_speaks_and_the_man_beside_him_does_not(shared_data: Path, tmp_path: Path) -> None:
    video = shared_data / "video" / "obama_speech.mp4"
    film = read_film(video, rate_hz=12)
    means = []
    for path in (video, write_film(tmp_path / "late.mp4", shifted_sound(film)),
                 write_film(tmp_path / "silent.mp4", silent(film))):
        _, scores, _ = watch(path)
        right = scores.values[:, 1] > 120
        later = scores.times[:, 0] > 1  # before that nobody is heard
        means.append([float(scores.values[side & later, SCORE].mean()) for side in (right, ~right)])
    (own, beside), (late, _), (hush, _) = means
    assert own > 0.8 and beside < 0.2
    assert late < 0.5 and hush < 0.1


@pytest.fixture(scope="module")
def two_clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A face with a tone, and an empty wall."""
    folder = tmp_path_factory.mktemp("clips")
    for name in ("face", "wall"):
        make_video(folder / f"{name}.mp4", seconds=0.6, face=name == "face")
    return write_manifest(folder / "clips.csv", [{"path": f"{name}.mp4"} for name in ("face", "wall")])


def extract_speaking(manifest: Path, out: Path, run: Path | None, **settings: dict[str, str]) -> FeatureStore:
    extract(Manifest(Manifest.Config(manifest=manifest)), out, extractors=["speaking"], settings=settings,
            config=ExtractConfig(jobs=1, speaking_run=str(run) if run else None))
    return FeatureStore(out)


def test_a_run_scores_each_row_of_faces_as_its_networks_do(two_clips: Path, tmp_path: Path) -> None:
    run = make_speaker_run(tmp_path / "run")
    store = extract_speaking(two_clips, tmp_path / "store.h5", run)
    found, faces = store.read("all/face", "speaking"), store.read("all/face", "faces")
    assert len(faces.values) and len(found.values) == len(faces.values)
    np.testing.assert_array_equal(found.values[:, :5], faces.values[:, :5])
    np.testing.assert_array_equal(found.times, faces.times)
    assert store.read("all/wall", "speaking").values.shape == (0, 6)
    pictures, sound = (store.read("all/face", name) for name in ("asd_faces", "asd_audio"))
    scores = score_tracks(SpeakerRun.open(run), pictures, sound)
    nearest = np.abs(pictures.times[:, 0] - faces.times[:, :1]).argmin(1)   # one track
    np.testing.assert_allclose(found.values[:, SCORE], scores[nearest], atol=1e-4)
    assert store.recipe("speaking")["settings"] == {"speaking_run": SpeakerRun.open(run).digest}
    assert set(store.recipe("speaking")["upstream"]) == {"faces", "asd_faces", "asd_audio"}


def test_another_run_is_another_feature_and_a_moved_one_the_same(two_clips: Path, tmp_path: Path) -> None:
    run = make_speaker_run(tmp_path / "run")
    extract_speaking(two_clips, tmp_path / "store.h5", run)
    moved = shutil.copytree(run, tmp_path / "moved")
    extract_speaking(two_clips, tmp_path / "store.h5", moved)
    with pytest.raises(StoreError, match="holds speaking made in another way .*speaking_run"):
        extract_speaking(two_clips, tmp_path / "store.h5", make_speaker_run(tmp_path / "more", seeds=2))
    with pytest.raises(StoreError, match="holds speaking made in another way"):
        extract_speaking(two_clips, tmp_path / "store.h5", None)
    assert Speaking().settings() == {"lines": 360}, "without a run the recipe is what it was"


def test_runs_that_do_not_fit_are_refused_before_anything_is_decoded(two_clips: Path, tmp_path: Path) -> None:
    out, run = tmp_path / "store.h5", make_speaker_run(tmp_path / "run")
    with pytest.raises(TrainingError, match="holds no trained network"):
        extract_speaking(two_clips, out, tmp_path / "nothing")
    with pytest.raises(UsageError, match="is no run of an active-speaker network: it answers mood"):
        extract_speaking(two_clips, out, make_speaker_run(tmp_path / "mood", inputs=("asd_faces",), tasks=(MOOD,)))
    with pytest.raises(UsageError, match="part was whole and is middle; say --set asd_faces.part=whole"):
        extract_speaking(two_clips, out, run, asd_faces={"part": "middle"})
    assert not out.exists()
