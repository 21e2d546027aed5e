"""Strips of faces: each track in its line, at its moments, and in words why there is none."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.browsing import face_strips
from pipeline.browsing.face_strips import SIDE, FaceStrips, Strip
from pipeline.browsing.opened_store import OpenedStore
from pipeline.clip import Clip, Corpus
from pipeline.errors import StoreError
from pipeline.storage.packing import write_store
from tests.browsing.stores import make_store
from tests.makers import make_video


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_video(tmp_path_factory.mktemp("video") / "face.mp4", seconds=0.5)


def strip(path: Path, place: int = 3, *, thumbnails: bool = False) -> Strip:
    return FaceStrips(OpenedStore(path, thumbnails=thumbnails)).strip(place)


def picture(address: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2]))))


def test_each_track_has_a_line_with_its_crops(tmp_path: Path, video: Path) -> None:
    found = strip(make_store(tmp_path / "s.h5", source=video, tracks=2))
    assert [number for number, _ in found.tracks] == [0, 1] and not found.problem and not found.more
    for _, addresses in found.tracks:
        assert len(addresses) == len(found.seconds)
        # Five moments of a fifteenth each have faces; afterwards nobody is in view.
        assert [bool(address) for address in addresses] == [seconds < 5 / 15 - 1e-6 for seconds in found.seconds]
    shown = picture(found.tracks[0][1][0])
    assert shown.shape == (SIDE, SIDE, 3) and shown.std() > 20  # the face, not the grey wall


def test_the_longest_tracks_are_shown(tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(face_strips, "MOST_TRACKS", 1)
    found = strip(make_store(tmp_path / "s.h5", source=video, tracks=3))
    assert len(found.tracks) == 1 and found.more == 2


def test_why_there_is_no_strip_is_said(tmp_path: Path, video: Path) -> None:
    path = make_store(tmp_path / "s.h5", source=video)
    assert strip(path, 1).problem == "No face was found in this clip."
    assert "no longer there" in strip(make_store(path, source=tmp_path / "gone.mp4")).problem
    assert "without a file" in strip(make_store(path)).problem
    (tmp_path / "broken.mp4").write_bytes(b"no film")
    assert "broken.mp4" in strip(make_store(path, source=tmp_path / "broken.mp4")).problem


def test_a_restricted_corpus_shows_none_unless_asked_to(tmp_path: Path, video: Path) -> None:
    path = make_store(tmp_path / "s.h5", source=video, redistribute="no")
    assert "do not allow" in strip(path).problem and strip(path, thumbnails=True).tracks


def test_a_store_without_faces_has_no_strips(tmp_path: Path) -> None:
    path = write_store(tmp_path / "s.h5", corpus=Corpus("c"), clips=[Clip("all/a")], features={})
    with pytest.raises(StoreError, match="has no feature of faces"):
        strip(path, 0)
