"""Media that break decoders in one run with good clips; and what a long clip may take of memory and disk."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest

from pipeline.clip import Clip
from pipeline.decode import DecodeLimits, read_media
from pipeline.decoding.frame_files import FrameBuffer, FrameFile
from pipeline.errors import ClipError
from pipeline.media import FrameRequest, Frames
from tests.makers import make_video
from tests.odd_media import digests, extract_files, outcomes

EXTRACTORS = "audio_logmel,faces"
BROKEN = {"1001_DFA_ANG_XX.wav", "corrupted.mp4", "cut_in_half.mp4", "empty.wav", "result.webm",
          "test-44100Hz-le-1ch-4bytes-early-eof.wav", "test-44100Hz-le-1ch-4bytes-incomplete-chunk.wav"}


def test_odd_files_give_features_or_one_reason_and_leave_the_good_clips_as_they_are(shared_data: Path,
                                                                                    tmp_path: Path) -> None:
    good = [make_video(tmp_path / f"good{number}.mp4", seconds=0.6, tone_hz=200.0 + 50 * number)
            for number in range(3)]
    odd = sorted((shared_data / "odd").iterdir())
    mixed = [part for pair in zip(odd, good) for part in pair] + odd[len(good):]
    assert extract_files(mixed, tmp_path / "mixed.h5", extractors=EXTRACTORS) == 3
    assert extract_files(good, tmp_path / "good.h5", extractors=EXTRACTORS) == 0
    names = [file.name for file in good]
    assert digests(tmp_path / "mixed.h5", names) == digests(tmp_path / "good.h5", names)
    found = outcomes(tmp_path / "mixed.h5")
    assert len(found) == len(mixed) == len(odd) + len(good)
    for name, (rows, reasons) in found.items():
        assert (set(rows), len(reasons)) == ((set(), 1) if name in BROKEN else ({"audio_logmel", "faces"}, 0)), name
        assert all(reason.isprintable() and name in reason and (";" in reason or ":" in reason) for reason in reasons)


def frame_file(folder: Path, count: int = 50) -> tuple[FrameFile, np.ndarray]:
    """Frames in a file and the same in memory."""
    values = np.random.default_rng(0).integers(0, 256, (count, 3, 5, 3), dtype=np.uint8)
    buffer = FrameBuffer(count, 3, 5, memory_bytes=0)
    data = memoryview(values.reshape(-1)).cast("B")
    while len(room := buffer.room()):
        step = min(len(room), 100)
        room[:step] = data[buffer.num_filled:buffer.num_filled + step]
        buffer.advance(step)
    found = buffer.finish()
    assert isinstance(found, FrameFile) and not list(folder.iterdir())
    return found, values


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_frames_in_a_file_are_read_as_those_in_memory(temporary: Path) -> None:
    stored, values = frame_file(temporary)
    frames = Frames(stored, np.arange(50), rate_hz=15, num_frames=50, source_size=(3, 5))
    for rows in (slice(None), slice(7, 12), slice(60, 70), np.array([3, 4, 5, 40, 2, 2]), np.zeros(0, np.int64)):
        np.testing.assert_array_equal(frames.take(rows), values[rows])
    np.testing.assert_array_equal(np.concatenate([block for _, block in frames.blocks(16)]), values)


def test_frames_in_a_file_that_the_disk_loses_are_a_passing_error(temporary: Path) -> None:
    stored, _ = frame_file(temporary)
    os.ftruncate(stored._file.number, 10)
    with pytest.raises(ClipError, match=f"while reading decoded frames from {temporary}; check that disk") as caught:
        stored.read(slice(None))
    assert caught.value.kind == "passing"


def test_a_disk_that_fills_up_midway_is_a_passing_error_that_names_the_folder(temporary: Path,
                                                                              monkeypatch: pytest.MonkeyPatch) -> None:
    video = make_video(temporary.parent / "clip.mp4")

    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(os, "pwrite", refuse)
    with pytest.raises(ClipError, match=f"No space left on device while .* the room in {temporary}") as caught:
        read_media(Clip("all/x", video), (FrameRequest(lines=48),), waveform=False, limits=DecodeLimits(memory_bytes=0))
    assert caught.value.kind == "passing"


def test_a_killed_run_leaves_no_temporary_file(temporary: Path) -> None:
    code = ("import time; from pipeline.decoding.frame_files import FrameBuffer;"
            " buffer = FrameBuffer(100, 99, 99, memory_bytes=0);"
            " buffer.advance(len(buffer.room())); print('ready', flush=True); time.sleep(60)")
    with subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "TMPDIR": str(temporary)},
                          stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        files = [os.readlink(link) for link in Path(f"/proc/{process.pid}/fd").iterdir() if link.is_symlink()]
        assert any(name.startswith(str(temporary)) for name in files) and not list(temporary.iterdir())
        process.send_signal(signal.SIGKILL)
    assert not list(temporary.iterdir())


def test_frames_of_a_long_clip_take_no_memory(temporary: Path) -> None:
    code = """if True:
        import resource, sys
        from pathlib import Path
        from pipeline.clip import Clip
        from pipeline.decode import DecodeLimits, read_media
        from pipeline.media import FrameRequest
        def peak():
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        before = peak()
        request = FrameRequest(60.0, size=(720, 720))
        frames = read_media(Clip("all/x", Path(sys.argv[1])), (request,), waveform=True,
                            limits=DecodeLimits(memory_bytes=0)).frames[request]
        for _, block in frames.blocks(16):
            pass
        print(len(frames) * 720 * 720 * 3 // 2 ** 20, peak() - before)
    """
    video = make_video(temporary.parent / "clip.mp4", seconds=3.0)
    said = subprocess.run([sys.executable, "-c", code, str(video)], capture_output=True, check=True, text=True).stdout
    decoded, taken = map(int, said.split())
    assert decoded > 250 and taken < 100
