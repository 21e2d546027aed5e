"""What a media file holds, asked of ffmpeg before anything is decoded, and how a stranger's file is opened safely.

Looking costs one process that reads the file's packets and decodes none of them, so the end of each stream is known to
the frame even where the container states no duration, a wrong one, or is cut short.
"""

from __future__ import annotations

import functools
import math
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg

from pipeline.decoding.packets import PacketSink, Span
from pipeline.decoding.pipes import ByteSink, run_reading
from pipeline.errors import ClipError, FailureKind, PipelineError

# Real containers and single pictures only. What is left out can name other files and addresses (concat, hls, dash, sdp,
# imf, image2's patterns), draws from text (lavfi, svg, tty, subtitles) or reads devices.
FORMATS = ("mov", "matroska", "webm", "avi", "flv", "mpegts", "mpeg", "mpegvideo", "asf", "ogg", "mxf", "nut", "ivf",
           "rm", "dv", "h264", "hevc", "m4v", "obu", "yuv4mpegpipe", "gif", "wav", "w64", "aiff", "au", "caf", "flac",
           "mp3", "aac", "ac3", "eac3", "amr", "amrnb", "amrwb", "ape", "wv", "tta", "nistsphere", "voc",
           "jpeg_pipe", "png_pipe", "bmp_pipe", "webp_pipe", "tiff_pipe", "ppm_pipe", "pgm_pipe")

# First bytes of a single picture and the demuxer to force: by its name ffmpeg would take image2, where %d is a pattern.
_PICTURES = ((b"\xff\xd8\xff", "jpeg_pipe"), (b"\x89PNG\r\n\x1a\n", "png_pipe"), (b"BM", "bmp_pipe"),
             (b"II*\0", "tiff_pipe"), (b"MM\0*", "tiff_pipe"), (b"P6", "ppm_pipe"), (b"P5", "pgm_pipe"))
_LFS_POINTER = b"version https://git-lfs"
MESSAGE_BYTES = 2 ** 18  # kept of the beginning of ffmpeg's messages, and as much of their end
PROCESS_BYTES = 2 ** 31  # memory that ffmpeg may take; an 8192 x 8192 video needs a quarter of it

_LEVEL = r"^(?:\[[^\]]* @ [^\]]*\] )*\[info\] "
_INPUT = re.compile(_LEVEL + r"Input #0, (\S+), from", re.MULTILINE)
_DURATION = re.compile(_LEVEL + r"  Duration: (\d+):(\d\d):(\d\d(?:\.\d+)?),", re.MULTILINE)
_STREAM = re.compile(_LEVEL + r"  (?:  )?Stream #0:(\d+)(?:\[\w+\])?(?:\([^)]*\))?: (\w+): (.*)$", re.MULTILINE)
_OUTPUT = re.compile(_LEVEL + r"(?:Stream mapping:|Output #0)", re.MULTILINE)
_SIZE = re.compile(r", (\d{1,6})x(\d{1,6})(?=[, \[]|$)")
_SHAPE = re.compile(r"SAR (\d+):(\d+)")
_FPS = re.compile(r", ([\d.]+)(k?) fps")
_ROTATION = re.compile(r"rotation of (-?[\d.]+) degrees")
_GUESS = "detected only with low score"
_REASONS = {
    "Format not on whitelist": "it is a playlist, a script, a drawing or of a rare format; convert it to MP4 or WAV",
    _GUESS: "its content looks like no recording, whatever its name says; fetch it again",
    "moov atom not found": "its index is missing (moov atom not found): it is cut short; fetch it again"}
_COMPLAINT = re.compile(r"^((?:\[[^\]]* @ [^\]]*\] )*)\[(warning|error|fatal|panic)\] (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Probe:
    """What a file holds: its first real video stream (cover art is none) and its first audio stream.

    Args:
        demuxer: ffmpeg's name of the format, ``"mov,mp4,m4a,3gp,3g2,mj2"``.
        duration_seconds: what the container states for the whole file; None when it states nothing or a guess.
        video_stream, audio_stream: index in the file; None without.
        fps: mean frames a second of the video; 0 where none is stated.
        size: (height, width) of the upright picture with square pixels; (0, 0) without a picture.
        rotation_degrees: how far the stored picture must be turned, as the container states it.
        is_still: one picture that has no duration.
        video_span, audio_span: start and end of the packets in seconds from the start of the file or of the stretch
            looked at; the end is at most the stretch's, (0, 0) without packets.
        audio_decoder: names by which ffmpeg's messages call the sound's decoder.
        num_other_streams: subtitles, data, cover art and further pictures and sounds.
        complaints: what ffmpeg said at warning level and above.
    """

    demuxer: str
    duration_seconds: float | None = None
    video_stream: int | None = None
    audio_stream: int | None = None
    fps: float = 0.0
    size: tuple[int, int] = (0, 0)
    rotation_degrees: float = 0.0
    is_still: bool = False
    video_span: tuple[float, float] = (0.0, 0.0)
    audio_span: tuple[float, float] = (0.0, 0.0)
    audio_decoder: tuple[str, ...] = ()
    num_other_streams: int = 0
    complaints: tuple[str, ...] = ()

    @property
    def end_seconds(self) -> float:
        """Where the longer of picture and sound ends."""
        return max(self.video_span[1], self.audio_span[1])


def ffmpeg_path() -> str:
    """The ffmpeg that is used: ``PIPELINE_FFMPEG``, else the one on PATH, else the one inside imageio-ffmpeg.

    Raises:
        PipelineError: ``PIPELINE_FFMPEG`` names no program, or there is no ffmpeg at all.
    """
    return _find_ffmpeg(os.environ.get("PIPELINE_FFMPEG", ""), os.environ.get("PATH", ""))


@functools.lru_cache(maxsize=8)
def _find_ffmpeg(asked: str, search_path: str) -> str:
    if asked:
        found = shutil.which(asked, path=search_path)
        if found is None:
            raise PipelineError(f"PIPELINE_FFMPEG={asked} is not a program; name an ffmpeg binary or unset it")
        return found
    on_path = shutil.which("ffmpeg", path=search_path)
    if on_path is not None:
        return on_path
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise PipelineError("no ffmpeg on PATH and none in imageio-ffmpeg; install ffmpeg or set PIPELINE_FFMPEG"
                            ) from error


@functools.lru_cache(maxsize=8)
def _version_of(binary: str) -> str:
    said = subprocess.run([binary, "-version"], capture_output=True, stdin=subprocess.DEVNULL, timeout=60, check=False,
                          env=child_environment()).stdout.decode(errors="replace")
    match = re.match(r"ffmpeg version (\S+)", said)
    if match is None:
        raise PipelineError(f"{binary} -version does not answer as ffmpeg does; name another with PIPELINE_FFMPEG")
    return match[1]


def ffmpeg_version() -> str:
    """Version of the ffmpeg that is used, as it names itself.

    Raises:
        PipelineError: there is no ffmpeg, or what there is does not answer as ffmpeg does.
    """
    return _version_of(ffmpeg_path())


def child_environment() -> dict[str, str]:
    """The environment for ffmpeg: no colours in its messages, no report files."""
    kept = {name: value for name, value in os.environ.items() if name not in ("FFREPORT", "AV_LOG_FORCE_COLOR")}
    return {**kept, "AV_LOG_FORCE_NOCOLOR": "1"}


def picture_format(head: bytes) -> str | None:
    """The demuxer for a file that is one still picture, known by its first bytes; None for all else.

    >>> picture_format(b"\\xff\\xd8\\xff\\xe0"), picture_format(b"RIFF0000WAVE")
    ('jpeg_pipe', None)
    """
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp_pipe"
    return next((demuxer for magic, demuxer in _PICTURES if head.startswith(magic)), None)


def check_source(path: Path) -> bytes:
    """The first bytes of a file that can be media.

    Raises:
        ClipError: the path is missing, no file, empty, unreadable or a git-LFS pointer.
    """
    try:
        if path.is_symlink() and not path.exists():
            raise clip_error(f"{quoted(path)} is a link to nothing, or to itself; expected a link to a media file: make"
                             " it anew and run again with --retry-failed")
        if path.is_dir():
            raise clip_error(f"{quoted(path)} is a folder; expected a video, audio or picture file")
        if not path.exists():
            raise clip_error(f"{quoted(path)} is not there; expected a media file: put it there and run again with"
                             " --retry-failed")
        if not path.is_file():
            raise clip_error(f"{quoted(path)} is not an ordinary file; expected a video, audio or picture file")
        with path.open("rb") as file:
            head = file.read(64)
    except OSError as error:
        raise clip_error(f"{quoted(path)} cannot be read: {error.strerror}; check the disk and the permissions",
                         kind="passing") from error
    if not head:
        raise clip_error(f"{quoted(path)} is empty (0 bytes); expected a media file: fetch it again")
    if head.startswith(_LFS_POINTER):
        raise clip_error(f"{quoted(path)} is a git-LFS pointer, not the file itself; run `git lfs pull` in its"
                         " repository")
    return head


def clip_error(message: str, *, kind: FailureKind = "permanent") -> ClipError:
    """A clip's trouble at the stage of decoding, on one line."""
    return ClipError(" ".join(message.split()), stage="decode", kind=kind)


def quoted(path: Path) -> str:
    """A file's name for messages: on one line whatever stands in it."""
    return path.name if path.name.isprintable() else ascii(path.name)


def source_url(path: Path) -> str:
    """How ffmpeg is told of a file: dashes, colons, percent signs and line breaks in it mean nothing."""
    return f"file:{path.resolve()}"


def input_options(*, max_pixels: int, demuxer: str | None = None) -> dict[str, object]:
    """Options before ``-i`` that keep a stranger's file from opening others or exhausting memory."""
    options: dict[str, object] = {"protocol_whitelist": "file", "format_whitelist": ",".join(FORMATS),
                                  "max_pixels": max_pixels, "threads": 1}
    return {**options, "f": demuxer} if demuxer else options


def probe(path: Path, *, start_seconds: float = 0.0, stop_seconds: float | None = None, max_pixels: int = 2 ** 26,
          max_seconds: float = math.inf, timeout_seconds: float = 600.0, memory_bytes: int = PROCESS_BYTES) -> Probe:
    """Look at a file, or at a stretch of it.

    Args:
        path: the file.
        start_seconds, stop_seconds: the stretch, half-open; stop None is the file's end.
        max_pixels: larger pictures are refused.
        max_seconds: soon after this much of the stretch it is not read on.
        timeout_seconds: how long ffmpeg may take.
        memory_bytes: that ffmpeg may take.

    Raises:
        ClipError: the file is missing, empty, a folder, a git-LFS pointer, no media file, or has neither picture nor
            sound; or, passing, ffmpeg takes too long or cannot be started.
    """
    still = picture_format(check_source(path))
    command = [ffmpeg_path(), "-hide_banner", "-nostdin", "-nostats", "-loglevel", "repeat+level+info"]
    if start_seconds:
        command += ["-ss", f"{start_seconds:.6f}"]
    for name, value in input_options(max_pixels=max_pixels, demuxer=still).items():
        command += [f"-{name}", str(value)]
    command += ["-i", source_url(path), "-map", "0:V:0?", "-map", "0:a:0?"]
    # A still is decoded: whether its EXIF turns it shows only then.
    command += ["-frames:v", "1", "-c:v", "rawvideo"] if still else ["-c", "copy", "-copyinkf"]
    span = math.inf if stop_seconds is None else stop_seconds - start_seconds
    if min(span, max_seconds) < math.inf:
        command += ["-t", f"{min(span, max_seconds) + 1:.6f}"]
    packets, words = PacketSink(span), ByteSink(MESSAGE_BYTES, tail_bytes=MESSAGE_BYTES)
    try:
        run_reading(lambda pipes: [*command, "-f", "framecrc", f"pipe:{pipes[0]}"], [packets], words,
                    timeout_seconds=timeout_seconds, environment=child_environment(), memory_bytes=memory_bytes)
    except TimeoutError as error:
        raise clip_error(f"{quoted(path)}: ffmpeg was still reading it after {timeout_seconds:g} s; try again, or --set"
                         " decode.timeout_seconds=MORE", kind="passing") from error
    except OSError as error:
        raise clip_error(f"{quoted(path)}: {error.strerror} while starting ffmpeg; check memory and open files",
                         kind="passing") from error
    said = messages(words, path)
    found = parse_probe(said, packets.spans, is_picture=still is not None)
    if found is None or (found.video_stream is None and found.audio_stream is None):
        raise clip_error(f"{quoted(path)} is no video, sound or picture that can be read: {_why(complaints(said))}")
    return found


def _why(words: tuple[str, ...]) -> str:
    """Why a file is no media, and what to do."""
    known = (reason for mark, reason in _REASONS.items() if any(mark in word for word in words))
    return next(known, f"ffmpeg says {first_words(words)}; fetch or convert it again")


def messages(words: ByteSink, path: Path) -> str:
    """What ffmpeg said of a file, without the file's name: a line break in that could forge a message."""
    name = bytes(63 if byte < 8 or 13 < byte < 32 else byte for byte in os.fsencode(source_url(path)))  # as ffmpeg does
    return words.finish().replace(name, b"the file").decode(errors="replace")


def parse_probe(said: str, spans: Mapping[str, Span], *, is_picture: bool = False) -> Probe | None:
    """Read ffmpeg's messages.

    Args:
        said: its messages at ``level+info``.
        spans: of the packets of ``"video"`` and ``"audio"``.
        is_picture: the file is a single picture, and its one frame was decoded.

    Returns:
        What the file holds; None when it could not be opened or is so little like media that ffmpeg only guesses.
    """
    opened, words = _INPUT.search(said), complaints(said)
    if opened is None or any(_GUESS in word for word in words):
        return None
    output = _OUTPUT.search(said, opened.end())
    head = said[opened.start():output.start() if output else len(said)]
    streams = list(_STREAM.finditer(head))
    video = next((match for match in streams if match[2] == "Video" and not _is_cover(match[3])), None)
    audio = next((match for match in streams if match[2] == "Audio"), None)
    rotation = _rotation(head, video)
    drawn = next((match for match in _STREAM.finditer(said, output.start()) if match[2] == "Video"), None
                 ) if is_picture and output else None
    picture, sound = (spans.get(kind, Span(0.0, 0.0, 0)) for kind in ("video", "audio"))
    rate = _FPS.search(video[3]) if video else None
    stated = _stated_seconds(head, words)
    return Probe(
        demuxer=opened[1].rstrip(","), duration_seconds=stated,
        video_stream=int(video[1]) if video else None, audio_stream=int(audio[1]) if audio else None,
        fps=float(rate[1]) * (1000 if rate[2] else 1) if rate else 0.0,
        size=upright_size(drawn[3], 0.0) if drawn else upright_size(video[3], rotation) if video else (0, 0),
        rotation_degrees=rotation,
        is_still=is_picture or (video is not None and audio is None and stated is None and picture.num_packets == 1),
        video_span=picture[:2], audio_span=sound[:2],
        audio_decoder=tuple(re.findall(r"\b[a-z]\w{2,}", audio[3].split(",")[0])) if audio else (),
        num_other_streams=len(streams) - (video is not None) - (audio is not None), complaints=words)


def _is_cover(description: str) -> bool:
    return any(mark in description for mark in ("(attached pic)", "(timed thumbnails)"))


def _rotation(head: str, video: re.Match[str] | None) -> float:
    """Degrees from the side data between this stream's line and the next stream's."""
    if video is None:
        return 0.0
    following = _STREAM.search(head, video.end())
    turned = _ROTATION.search(head, video.end(), following.start() if following else len(head))
    return float(turned[1]) if turned else 0.0


def _stated_seconds(head: str, words: tuple[str, ...]) -> float | None:
    stated = _DURATION.search(head)
    if stated is None or any("Estimating duration from bitrate" in word for word in words):
        return None
    return int(stated[1]) * 3600 + int(stated[2]) * 60 + float(stated[3])


def upright_size(description: str, rotation_degrees: float) -> tuple[int, int]:
    """(height, width) of the picture as a player shows it: pixels square, turned upright; (0, 0) when not stated.

    >>> upright_size("h264 (High), yuv420p, 720x576 [SAR 16:15 DAR 4:3], 25 fps", -90.0)
    (768, 576)
    """
    stored = _SIZE.search(description)
    if stored is None:
        return 0, 0
    width, height = int(stored[1]), int(stored[2])
    shapes = _SHAPE.findall(description)
    # The container's shape of a pixel is printed after the codec's and holds; past 4 it is taken for an error.
    across, down = map(int, shapes[-1]) if shapes else (1, 1)
    if across and down and 1 / 4 <= across / down <= 4:
        width = max(1, round(width * across / down))
    return (width, height) if round(rotation_degrees / 90) % 2 else (height, width)


def complaints(said: str) -> tuple[str, ...]:
    """What ffmpeg said at warning level and above: who says it, in brackets, and the words; repeats dropped."""
    lines = (f"{match[1]}{match[3]}".strip() for match in _COMPLAINT.finditer(said))
    return tuple(dict.fromkeys(re.sub(r" @ 0x[0-9a-f]+\]", "]", line) for line in lines))


def first_words(words: tuple[str, ...]) -> str:
    """The first two complaints in quotes, for a message; what only repeats the file's name is left out."""
    telling = [word for word in words if not word.startswith(("Error opening input file", "Error opening output file"))]
    return "; ".join(f'"{word}"' for word in telling[:2]) or "nothing"
