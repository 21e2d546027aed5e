"""Films are written frame by frame and get the sound of another file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.clip import Clip
from pipeline.decode import read_media
from pipeline.decoding.probe import probe
from pipeline.errors import PipelineError
from pipeline.media import FrameRequest
from pipeline.rendering.film import add_sound, writing_film
from tests.makers import make_video


def write(out: Path, *, count: int = 20) -> Path:
    """Frames whose grey rises by ten."""
    with writing_film(out, height=64, width=96, rate_hz=10.0) as take:
        for number in range(count):
            take(np.full((1, 64, 96, 3), 10 + 10 * number, np.uint8))
    return out


def test_every_frame_is_there_in_order(tmp_path: Path) -> None:
    request = FrameRequest(10.0, lines=64)
    media = read_media(Clip("all/a", write(tmp_path / "a film.mp4")), (request,), waveform=False)
    greys = media.frames[request].take(slice(None)).mean((1, 2, 3))
    np.testing.assert_allclose(greys, 10 + 10 * np.arange(20), atol=3)


def test_the_sound_of_another_file_is_added(tmp_path: Path) -> None:
    source = make_video(tmp_path / "source.mp4", seconds=2.0)
    film = write(tmp_path / "film.mp4")
    stream = probe(source).audio_stream
    assert stream is not None and add_sound(film, source, stream, tmp_path / "out.mp4", timeout_seconds=60) == ""
    found = probe(tmp_path / "out.mp4")
    assert found.video_span[1] == pytest.approx(2.0, abs=0.1) and found.audio_span[1] == pytest.approx(2.0, abs=0.1)
    assert found.size == (64, 96)


def test_what_hinders_the_sound_is_said(tmp_path: Path) -> None:
    film = write(tmp_path / "film.mp4", count=2)
    (tmp_path / "bad.mp4").write_bytes(b"nothing")
    assert "ffmpeg says" in add_sound(film, tmp_path / "bad.mp4", 1, tmp_path / "out.mp4", timeout_seconds=60)
    assert "no end within 1e-06 s" in add_sound(film, film, 0, tmp_path / "out.mp4", timeout_seconds=1e-6)
    assert not (tmp_path / "out.mp4").exists()


def test_frames_of_another_size_or_a_folder_that_is_not_there_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="even"):
        with writing_film(tmp_path / "a.mp4", height=63, width=96, rate_hz=10.0):
            pass
    with pytest.raises(ValueError, match="frames are uint8"):
        with writing_film(tmp_path / "a.mp4", height=64, width=96, rate_hz=10.0) as take:
            take(np.zeros((1, 64, 64, 3), np.uint8))
    with pytest.raises(PipelineError, match="ffmpeg cannot write .*nowhere"):
        with writing_film(tmp_path / "nowhere/a.mp4", height=64, width=96, rate_hz=10.0) as take:
            for _ in range(100):
                take(np.zeros((4, 64, 96, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []
