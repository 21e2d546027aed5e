"""What a browser keeps of a store: worked out once, new when the file is."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from pipeline.browsing.opened_store import OpenedStore, stamp
from pipeline.errors import StoreError
from tests.browsing.stores import make_store


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("opened") / "s.h5", redistribute="no")


def test_what_several_ask_for_is_worked_out_once(path: Path) -> None:
    opened, made, together = OpenedStore(path), list[int](), threading.Barrier(4)

    def ask() -> None:
        together.wait()
        opened.once("key", lambda: made.append(1))
    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [1]


def test_lengths_are_the_corpus_s_or_else_how_far_measured_rows_reach(path: Path) -> None:
    opened = OpenedStore(path)
    assert opened.lengths[1] == 0.55            # the corpus says so
    assert opened.lengths[2] == pytest.approx(1.0)  # 50 rows of 20 ms
    assert not np.isnan(opened.lengths).any()


def test_a_store_that_is_replaced_has_another_stamp(path: Path, tmp_path: Path) -> None:
    copy = make_store(tmp_path / "s.h5")
    before = stamp(copy)
    make_store(copy, count=3)
    assert stamp(copy) != before and stamp(tmp_path / "gone.h5") == ()


def test_faces_of_a_restricted_corpus_are_hidden_and_identities_always(path: Path, tmp_path: Path) -> None:
    shy, bold = OpenedStore(path), OpenedStore(path, thumbnails=True)
    assert not shy.shows_faces and bold.shows_faces and OpenedStore(make_store(tmp_path / "free.h5")).shows_faces
    assert "--thumbnails" in shy.why_hidden("asd_faces") and bold.why_hidden("asd_faces") == ""
    assert "who people are" in shy.why_hidden("face_identity") and "who people" in bold.why_hidden("face_identity")
    assert shy.why_hidden("audio_logmel") == "" and "face_identity" not in bold.inputs


def test_labels_of_frames_are_read_from_their_rows(path: Path) -> None:
    labels, times = OpenedStore(path).frame_labels(3, "speaking")
    assert labels.tolist() == [0, 0, 1, -1] and times[2].tolist() == [0.5, 0.75]


def test_no_store_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store"):
        OpenedStore(tmp_path / "none.h5")
