from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pipeline.clip import Clip, Track
from pipeline.datasets.manifest import Manifest
from pipeline.doctor import media
from tests.makers import write_manifest
from tests.test_doctor import film


def test_a_file_that_the_disk_does_not_give_is_no_damaged_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film(tmp_path / "a.mp4", seconds=1)
    manifest = write_manifest(tmp_path / "clips.csv", [{"path": "a.mp4"}])
    clip, = Manifest(Manifest.Config(manifest=manifest)).clips()
    slow = media.DecodeLimits(timeout_seconds=1e-6)
    assert (media.look(clip, decode=True, limits=slow).trouble or "")[0] == "unreadable file"

    def refuse(_self: Path, **_options: object) -> bool:
        raise PermissionError(13, "Permission denied")
    monkeypatch.setattr(Path, "exists", refuse)
    assert media.look(clip, decode=False, limits=slow).trouble == (
        "unreadable file", "Permission denied; expected a file that can be read")


@pytest.mark.parametrize(("text", "seconds", "fits"), [
    ("Well, I think we should.", 2.0, True), ("Well, I think we should.", 0.5, False),
    ("Well, I think we should.", 60.0, False), ("Hi!", 0.1, True), ("", 600.0, True), ("word " * 200, 100.0, True),
    ("漢" * 120, 25.0, True)])
def test_words_need_their_time_and_not_minutes(text: str, seconds: float, fits: bool) -> None:
    assert (list(media.words_against(text, seconds)) == []) == fits


def test_a_file_with_a_header_and_nothing_else_is_seen_without_decoding(tmp_path: Path) -> None:
    whole = film(tmp_path / "a.wav", picture="", seconds=1).read_bytes()
    hollow = tmp_path / "b.wav"
    hollow.write_bytes(whole[:whole.index(b"data") + 4] + bytes(4))
    for decode in (False, True):
        trouble = media.look(Clip("all/b", source=hollow), decode=decode, limits=media.DecodeLimits()).trouble
        assert trouble is not None and trouble[0] == "damaged file" and "not one packet" in trouble[1]


def test_a_track_is_its_pictures_and_its_sound(tmp_path: Path) -> None:
    pictures = [tmp_path / f"{number}.png" for number in range(3)]
    for path in pictures:
        Image.new("RGB", (20, 30)).save(path)
    sound = film(tmp_path / "a.wav", picture="", seconds=1)
    times = np.arange(3) / 25
    clip = Clip("all/a:1", source=tmp_path, track=Track(tuple(pictures), times, sound))
    limits = media.DecodeLimits()
    assert media.look(clip, decode=True, limits=limits).trouble is None
    pictures[1].write_bytes(pictures[1].read_bytes()[:50])
    assert media.look(clip, decode=False, limits=limits).trouble is None
    kind, said = media.look(clip, decode=True, limits=limits).trouble or ("", "")
    assert kind == "damaged file" and said.startswith("row 2 of 3")
    sound.unlink()
    assert media.look(clip, decode=False, limits=limits).trouble == (
        "missing file", "the sound a.wav is not there; expected sound for each track")
    pictures[1].unlink()
    assert media.look(clip, decode=False, limits=limits).trouble == (
        "missing file", "1 of 3 pictures are not there, the first is 1.png; expected a picture for each row")
