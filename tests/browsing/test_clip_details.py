"""What is shown of a clip: labels in words, stretches of frames, features in order, the dialogue around it."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.browsing.clip_details import (around, describe_lines, failures, features_of, labels_of, lanes,
                                            tracks_of)
from pipeline.browsing.opened_store import OpenedStore
from pipeline.clip import Clip, Corpus
from pipeline.storage.packing import write_store
from tests.browsing.stores import make_store


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> OpenedStore:
    return OpenedStore(make_store(tmp_path_factory.mktemp("details") / "s.h5", redistribute="no", tracks=2))


def test_lines_hold_labels_lengths_and_counts(opened: OpenedStore) -> None:
    first, _, third = describe_lines(opened, [0, 1, 2])
    assert first.labels == {"emotion": "calm", "arousal": "0", "speaking": "yes\u00a033\u00a0%"}
    assert first.cells["audio_logmel"] == ("failed", 0) and third.cells["audio_logmel"] == ("done", 50)
    assert first.cells["speaking"] == ("missing", 0) and third.seconds == pytest.approx(1.0)
    assert labels_of(opened, 4)["emotion"] == ""


def test_frames_of_one_class_are_one_stretch(opened: OpenedStore) -> None:
    lane, = lanes(opened, 2)
    assert (lane.task, lane.seconds, list(lane.classes)) == ("speaking", 1.0, [(0, "no"), (1, "yes")])
    assert list(lane.stretches) == [(0, .5, 0, "no, 0.00–0.50 s"), (.5, .75, 1, "yes, 0.50–0.75 s"),
                                    (.75, 1, -1, "unknown, 0.75–1.00 s")]


def test_features_begin_with_the_spectrogram_and_leave_labels_out(opened: OpenedStore) -> None:
    found = features_of(opened, 2)
    assert found[0].name == "audio_logmel" and found[0].is_spectrogram
    assert [rows.name for rows in found[1:]] == ["asd_faces", "face_identity", "faces", "speaking", "text_bert",
                                                 "text_words"]
    by_name = {rows.name: rows for rows in found}
    assert by_name["asd_faces"].why_hidden and not by_name["asd_faces"].ticks
    assert by_name["face_identity"].why_hidden and by_name["faces"].is_scaled_alone
    assert by_name["text_bert"].times == "none" and by_name["text_bert"].ticks[0][1] == "row 1"


def test_failures_are_told_with_their_features(opened: OpenedStore) -> None:
    reason = ("decode", "permanent", "half the file is gone")
    found = {rows.name: rows for rows in features_of(opened, 0)}
    assert list(found["faces"].failures) == [reason] and found["faces"].status == "failed"
    assert not found["text_bert"].failures
    assert failures(opened) == [("train/c0", "audio_logmel", *reason), ("train/c0", "faces", *reason)]


def test_tracks_come_with_their_speaking_scores(opened: OpenedStore, tmp_path: Path) -> None:
    tracks = tracks_of(opened, 3)
    assert tracks is not None and [track.number for track in tracks] == [0, 1]
    assert [track.speaking for track in tracks] == pytest.approx([.9, .1])
    assert tracks_of(opened, 1) == []
    bare = write_store(tmp_path / "s.h5", corpus=Corpus("c"), clips=[Clip("all/a")], features={})
    assert tracks_of(OpenedStore(bare), 0) is None


def test_a_dialogue_is_in_the_order_of_its_turns_and_cut_around_the_clip(opened: OpenedStore, tmp_path: Path) -> None:
    assert around(opened, 4) == [3, 4, 5] and around(opened, 3, most=1) == [3, 4]
    clips = [Clip("all/late", dialogue="d", turn=9), Clip("all/alone"), Clip("all/early", dialogue="d", turn=1),
             Clip("dev/other", dialogue="d", turn=3, split="dev")]
    store = OpenedStore(write_store(tmp_path / "s.h5", corpus=Corpus("c"), clips=clips, features={}))
    assert around(store, 0) == [2, 0] and around(store, 1) == [] and around(store, 3) == [3]
