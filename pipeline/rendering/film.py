"""Films written frame by frame as they are drawn, with the sound of another file."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from pipeline.decoding.pipes import ByteSink, run_reading
from pipeline.decoding.probe import (MESSAGE_BYTES, PROCESS_BYTES, child_environment, complaints, ffmpeg_path,
                                     first_words, input_options, source_url)
from pipeline.errors import PipelineError

_QUIET = ("-hide_banner", "-loglevel", "repeat+level+warning", "-nostdin", "-y")


@contextlib.contextmanager
def writing_film(out: Path, *, height: int, width: int, rate_hz: float) -> Iterator[Callable[[np.ndarray], None]]:
    """Write H.264 without sound: yields a function that takes the next frames, uint8 RGB (N, height, width, 3).

    Memory stays flat however many frames come. On an error what was written goes.

    Args:
        out: ``.mp4``, replaced where it is there.
        height, width: of the frames, even.
        rate_hz: frames a second.

    Raises:
        PipelineError: ffmpeg cannot write the file.
        ValueError: a size that is not even.
    """
    if height % 2 or width % 2:
        raise ValueError(f"height and width of a film are even, found {height} and {width}")
    command = [ffmpeg_path(), *(word for word in _QUIET if word != "-nostdin"), "-f", "rawvideo", "-pixel_format",
               "rgb24", "-video_size", f"{width}x{height}", "-framerate", f"{rate_hz:.9g}", "-i", "pipe:0",
               "-c:v", "libx264", "-preset", "veryfast", "-crf", "21", "-pix_fmt", "yuv420p", "-threads", "2",
               "-movflags", "+faststart", source_url(out)]
    with tempfile.TemporaryFile() as words:
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=words,
                                   env=child_environment())
        assert process.stdin is not None
        pipe, done = process.stdin, False
        try:
            with contextlib.suppress(BrokenPipeError):  # ffmpeg has ended, and says below why
                yield lambda frames: _write(pipe, frames, height, width)
                pipe.close()
            if process.wait() != 0:
                words.seek(0)
                said = complaints(words.read(MESSAGE_BYTES).decode(errors="replace"))
                raise PipelineError(f"ffmpeg cannot write {out}: it says {first_words(said)}; check the disk")
            done = True
        finally:
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
            if not done:
                process.kill()
                process.wait()
                out.unlink(missing_ok=True)


def _write(pipe: object, frames: np.ndarray, height: int, width: int) -> None:
    if frames.dtype != np.uint8 or frames.shape[1:] != (height, width, 3):
        raise ValueError(f"frames are uint8 (N, {height}, {width}, 3), found {frames.dtype} {frames.shape}")
    pipe.write(np.ascontiguousarray(frames).data)  # type: ignore[attr-defined]


def add_sound(film: Path, source: Path, stream: int, out: Path, *, timeout_seconds: float) -> str:
    """Put a file's sound to a film.

    Args:
        film: without sound.
        source: a stranger's file, opened as :func:`pipeline.decode.read_media` does.
        stream: its sound's index.
        out: ``.mp4``, replaced where it is there.
        timeout_seconds: how long ffmpeg may take.

    Returns:
        What hindered it, for people; "" where the sound is there. ``out`` is then not written.
    """
    options: list[str] = []
    for name, value in input_options(max_pixels=2 ** 26).items():
        options += [f"-{name}", str(value)]
    command = [ffmpeg_path(), *_QUIET, "-i", source_url(film), *options, "-i", source_url(source), "-map", "0:v:0",
               "-map", f"1:{stream}", "-c:v", "copy", "-af", "aresample=async=1:first_pts=0", "-c:a", "aac", "-ac", "2",
               "-b:a", "128k", "-map_metadata", "-1", "-map_chapters", "-1", "-movflags", "+faststart",
               source_url(out)]
    said = ByteSink(MESSAGE_BYTES)
    try:
        code = run_reading(lambda _pipes: command, [], said, timeout_seconds=timeout_seconds,
                           environment=child_environment(), memory_bytes=PROCESS_BYTES)
    except TimeoutError:
        out.unlink(missing_ok=True)
        return f"ffmpeg gave no end within {timeout_seconds:g} s"
    if code:
        out.unlink(missing_ok=True)
        return f"ffmpeg says {first_words(complaints(said.finish().decode(errors='replace')))}"
    return ""
