from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np

from pipeline.clip import Clip
from pipeline.decode import DecodeLimits, ffmpeg_path
from pipeline.doctor import media
from pipeline.doctor.alike import Print, alike, fingerprint
from tests.test_doctor import film


def test_the_same_words_and_pictures_are_recognised_after_another_encoding(tmp_path: Path) -> None:
    """The print of a clip against its copy at half the size, a low bit rate and another container, and others."""
    def made(path: Path) -> Print:
        found = media.look(Clip("all/x", source=path), decode=True, limits=DecodeLimits()).looks
        assert found is not None
        return found
    one, other = film(tmp_path / "1.mp4", seed=1), film(tmp_path / "2.mp4", seed=2)
    copy = tmp_path / "copy.mkv"
    subprocess.run([ffmpeg_path(), "-v", "error", "-i", str(one), "-vf", "scale=32:24", "-crf", "38", "-c:a",
                    "libmp3lame", "-b:a", "48k", str(copy)], check=True)
    sound = tmp_path / "sound.flac"
    subprocess.run([ffmpeg_path(), "-v", "error", "-i", str(one), "-vn", str(sound)], check=True)
    assert alike([made(path) for path in (one, other, copy, sound)]) == [[0, 2, 3]]


def test_silence_and_darkness_are_like_nothing() -> None:
    dark, quiet = np.zeros((8, 8, 9, 3), np.uint8), np.zeros(16000, np.float32)
    assert fingerprint(1.0, dark, quiet) == Print(1.0, None, None)
    assert fingerprint(0.1, dark[:0], quiet[:1600] + 1).sound is None
    assert alike([fingerprint(1.0, dark, quiet)] * 3) == alike([]) == []
