"""Extraction of corpora of face tracks: complete, resumed, tried again, and never a row that was made up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.clip import Clip, Task, Track
from pipeline.datasets.manifest import Manifest
from pipeline.errors import UsageError
from pipeline.extraction import ExtractConfig, ExtractionReport, extract
from pipeline.media import PictureRequest
from pipeline.running.planning import plan_extraction
from pipeline.speaking.track_media import read_files, read_track
from pipeline.store import FeatureStore
from tests.face_tracks import SPEAKING, TrackCorpus, make_track, tone, write_wav
from tests.makers import make_video, write_manifest

FEATURES = ("asd_faces", "asd_audio")


@pytest.fixture
def clips(tmp_path: Path) -> list[Clip]:
    """Three tracks of two videos."""
    return [make_track(tmp_path / "corpus", name, num_frames=5 + number, seed=number)
            for number, name in enumerate(("video_1", "video_2", "other:1"))]


def run(clips: list[Clip], out: Path, *features: str, tasks: tuple[Task, ...] = (SPEAKING,),
        settings: dict[str, dict[str, str]] | None = None, **config: object) -> ExtractionReport:
    return extract(TrackCorpus(clips, tasks), out, extractors=features or FEATURES, settings=settings,
                   config=ExtractConfig(jobs=1, **config))  # type: ignore[arg-type]


def track_of(clip: Clip) -> Track:
    assert clip.track is not None
    return clip.track


def statuses(out: Path) -> dict[str, list[str]]:
    store = FeatureStore(out)
    return {name: store.status(name).tolist() for name in store.features}


def test_pictures_sound_and_labels_have_the_same_rows_and_times(clips: list[Clip], tmp_path: Path) -> None:
    report = run(clips, tmp_path / "store.h5")
    store = FeatureStore(report.store)
    assert sorted(store.features) == ["asd_audio", "asd_faces", "frame_labels"] and report.failures == ()
    assert store.array("asd_faces").dtype == np.uint8 and store.array("asd_audio").shape == (18, 4, 13)
    for clip in clips:
        faces, audio, labels = (store.read(clip.clip_id, name) for name in ("asd_faces", "asd_audio", "frame_labels"))
        media = read_track(clip, read_files(track_of(clip)), (PictureRequest(112),), waveform=False)
        assert media.track is not None and clip.frame_labels is not None
        np.testing.assert_array_equal(faces.values, media.track.pictures[PictureRequest(112)])
        np.testing.assert_array_equal(labels.values[:, 0], clip.frame_labels.labels["speaking"])
        np.testing.assert_array_equal(faces.times, audio.times)
        np.testing.assert_array_equal(faces.times, labels.times)


def test_two_workers_give_the_same_bytes_as_one(clips: list[Clip], tmp_path: Path) -> None:
    one, two = (extract(TrackCorpus(clips), tmp_path / f"{jobs}.h5", extractors=FEATURES,
                        config=ExtractConfig(jobs=jobs)).store for jobs in (1, 2))
    assert [FeatureStore(one).digest(name) for name in FEATURES] == [FeatureStore(two).digest(name)
                                                                     for name in FEATURES]


def test_labels_of_frames_come_without_being_asked_for_and_without_any_file(clips: list[Clip], tmp_path: Path) -> None:
    for clip in clips:
        for path in track_of(clip).pictures:
            path.unlink()
    store = FeatureStore(run(clips, tmp_path / "store.h5", "frame_labels").store)
    assert store.features == ("frame_labels",) and store.head("frame_labels")["columns"] == ("speaking",)
    assert not store.head("frame_labels")["is_input"]
    assert run(clips, tmp_path / "more.h5", "audio_logmel").num_done == 3
    assert statuses(tmp_path / "more.h5")["frame_labels"] == ["done"] * 3


def test_the_columns_are_the_tasks_that_the_corpus_labels_frame_by_frame(clips: list[Clip], tmp_path: Path) -> None:
    tasks = (Task("mood", ("a", "b")), SPEAKING, Task("gaze", ("on", "off"), level="frame"))
    store = FeatureStore(run(clips, tmp_path / "a.h5", "frame_labels", tasks=tasks).store)
    assert store.head("frame_labels")["columns"] == ("speaking", "gaze")
    assert (store.array("frame_labels")[:, 1] == -1).all()
    chosen = run(clips, tmp_path / "b.h5", "frame_labels", tasks=tasks, settings={"frame_labels": {"tasks": "gaze"}})
    assert FeatureStore(chosen.store).head("frame_labels")["columns"] == ("gaze",)


def test_missing_sound_fails_and_is_never_read_as_zeros(clips: list[Clip], tmp_path: Path) -> None:
    sound = track_of(clips[1]).sound
    assert sound is not None
    sound.unlink()
    report = run(clips, tmp_path / "store.h5")
    assert statuses(report.store)["asd_audio"] == ["done", "failed", "done"]
    assert len(FeatureStore(report.store).read(clips[1].clip_id, "asd_audio").values) == 0
    assert {clip_id for clip_id, _, _ in report.failures} == {clips[1].clip_id}
    assert "the sound is not there" in report.failures[0][2].message
    assert run(clips, report.store).num_done == 0, "what fails for good is not tried again for nothing"


def test_a_missing_picture_fails_with_its_row_until_it_is_there(clips: list[Clip], tmp_path: Path) -> None:
    lost = track_of(clips[2]).pictures[3]
    content = lost.read_bytes()
    lost.unlink()
    out = run(clips, tmp_path / "store.h5").store
    assert "row 4 of 7 has no picture" in FeatureStore(out).failures["message"][0]
    assert run(clips, out, retry_failed=True).num_done == 1
    lost.write_bytes(content)
    assert run(clips, out, retry_failed=True).failures == ()
    assert run(clips, tmp_path / "whole.h5").num_done == 3
    assert FeatureStore(out).digest("asd_faces") == FeatureStore(tmp_path / "whole.h5").digest("asd_faces")


def test_a_cut_picture_fails_and_a_whole_one_in_its_place_is_noticed(clips: list[Clip], tmp_path: Path) -> None:
    path = track_of(clips[0]).pictures[4]
    whole = path.read_bytes()
    path.write_bytes(whole[:500])
    out = run(clips, tmp_path / "store.h5").store
    assert statuses(out)["asd_faces"] == ["failed", "done", "done"]
    assert "row 5 of 5, 7.16.jpg, is cut off" in FeatureStore(out).failures["message"][0]
    assert run(clips, out).num_done == 0
    path.write_bytes(whole)
    assert run(clips, out).num_done == 1 and statuses(out)["asd_faces"] == ["done"] * 3


def test_what_changed_is_done_again_and_nothing_else(clips: list[Clip], tmp_path: Path) -> None:
    out = run(clips, tmp_path / "store.h5").store
    assert run(clips, out).num_done == 0
    sound = track_of(clips[0]).sound
    assert sound is not None
    write_wav(sound, tone(0.2, 900))
    assert run(clips, out).num_done == 1
    labels = clips[1].frame_labels
    assert labels is not None
    others = {"speaking": 1 - labels.labels["speaking"] ** 2}
    relabelled = replace(clips[1], frame_labels=replace(labels, labels=others))
    assert run([clips[0], relabelled, clips[2]], out).num_done == 1
    assert FeatureStore(out).read(clips[1].clip_id, "frame_labels").values[:, 0].tolist() == [0, 1, 0, 0, 1, 0]
    track = track_of(clips[2])
    retimed = replace(clips[2], track=replace(track, times=track.times + 0.01))
    assert run([clips[0], relabelled, retimed], out).num_done == 1


def test_a_track_without_sound_has_pictures_and_no_rows_of_sound(clips: list[Clip], tmp_path: Path) -> None:
    silent = [replace(clip, track=replace(track_of(clip), sound=None)) for clip in clips]
    found = statuses(run(silent, tmp_path / "store.h5").store)
    assert found["asd_faces"] == ["done"] * 3 and found["asd_audio"] == ["empty"] * 3


def test_extractors_of_sound_and_text_work_on_tracks(clips: list[Clip], tmp_path: Path) -> None:
    store = FeatureStore(run(clips, tmp_path / "store.h5", "audio_logmel").store)
    assert store.status("audio_logmel").tolist() == ["done"] * 3


@pytest.mark.parametrize("feature", ["faces", "video_r3d18", "face_r3d18", "speaking"])
def test_extractors_of_videos_are_refused_for_tracks(clips: list[Clip], tmp_path: Path, feature: str) -> None:
    with pytest.raises(UsageError, match=f"clips of tracks are face tracks, .*{feature}.* need.* a video; choose"
                                         " others, for instance --extractors asd_faces,asd_audio"):
        run(clips, tmp_path / "store.h5", feature)


@pytest.mark.parametrize("feature", FEATURES)
def test_videos_are_not_taken_for_tracks(tmp_path: Path, feature: str) -> None:
    make_video(tmp_path / "a.mp4", seconds=0.3)
    corpus = Manifest(Manifest.Config(manifest=write_manifest(tmp_path / "clips.csv", [{"path": "a.mp4"}])))
    with pytest.raises(UsageError, match=f"{feature}.clips=tracks: clips of .* are no face tracks; leave that setting"):
        plan_extraction(corpus, tmp_path / "out.h5", [feature], {feature: {"clips": "tracks"}}, ExtractConfig())


def test_labels_of_frames_that_a_corpus_does_not_have_are_refused(clips: list[Clip], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="frame_labels is to hold mood; tracks has labels of frames for speaking"):
        run(clips, tmp_path / "store.h5", "frame_labels", settings={"frame_labels": {"tasks": "mood"}})
    with pytest.raises(UsageError, match="frame_labels is to hold speaking; .* for no task: leave it out"):
        run(clips, tmp_path / "store.h5", "frame_labels", tasks=(Task("mood", ("a", "b")),))


def test_faces_of_a_video_and_their_sound_have_the_same_rows(tmp_path: Path) -> None:
    make_video(tmp_path / "a.mp4", seconds=1.0)
    corpus = Manifest(Manifest.Config(manifest=write_manifest(tmp_path / "clips.csv", [{"path": "a.mp4"}])))
    store = FeatureStore(extract(corpus, tmp_path / "out.h5", extractors=FEATURES, config=ExtractConfig(jobs=1)).store)
    assert sorted(store.features) == ["asd_audio", "asd_faces", "faces"]
    faces, audio = (store.read("all/a", name) for name in FEATURES)
    assert len(faces.values) == 25 and faces.values.std() > 20
    np.testing.assert_array_equal(faces.times, audio.times)
    assert store.recipe("asd_faces")["upstream"] == {"faces": store.fingerprint("faces")}
