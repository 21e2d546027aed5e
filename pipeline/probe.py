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
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg

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

_LEVEL = r"^(?:\[[^\]]* @ [^\]]*\] )*\[info\] "
_INPUT = re.compile(_LEVEL + r"Input #0, (\S+), from", re.MULTILINE)
_DURATION = re.compile(_LEVEL + r"  Duration: (\d+):(\d\d):(\d\d(?:\.\d+)?),", re.MULTILINE)
_STREAM = re.compile(_LEVEL + r"  (?:  )?Stream #0:(\d+)(?:\[\w+\])?(?:\([^)]*\))?: (\w+): (.*)$", re.MULTILINE)
_OUTPUT = re.compile(_LEVEL + r"(?:Stream mapping:|Output #0)", re.MULTILINE)
_SIZE = re.compile(r", (\d{1,6})x(\d{1,6})(?=[, \[]|$)")
_SHAPE = re.compile(r"SAR (\d+):(\d+)")
_FPS = re.compile(r", ([\d.]+)(k?) fps")
_ROTATION = re.compile(r"rotation of (-?[\d.]+) degrees")
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
    options: dict[str, object] = {"protocol_whitelist": "file,pipe", "format_whitelist": ",".join(FORMATS),
                                  "max_pixels": max_pixels, "threads": 1}
    return {**options, "f": demuxer} if demuxer else options


def probe(path: Path, *, start_seconds: float = 0.0, stop_seconds: float | None = None,
          max_pixels: int = 2 ** 26, timeout_seconds: float = 600.0) -> Probe:
    """Look at a file, or at a stretch of it.

    Args:
        path: the file.
        start_seconds, stop_seconds: the stretch, half-open; stop None is the file's end.
        max_pixels: larger pictures are refused.
        timeout_seconds: how long ffmpeg may take.

    Raises:
        ClipError: the file is missing, empty, a folder, a git-LFS pointer, no media file, or has neither picture nor
            sound; or ffmpeg takes too long.
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
    if stop_seconds is not None:
        command += ["-t", f"{stop_seconds - start_seconds + 1:.6f}"]
    try:
        done = subprocess.run([*command, "-f", "framecrc", "pipe:1"], stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=timeout_seconds, check=False, env=child_environment())
    except subprocess.TimeoutExpired as error:
        raise clip_error(f"{quoted(path)}: ffmpeg was still reading it after {timeout_seconds:g} s; try again or raise"
                         " the time-out", kind="passing") from error
    said = done.stderr.decode(errors="replace")
    span = math.inf if stop_seconds is None else stop_seconds - start_seconds
    found = parse_probe(said, done.stdout.decode(errors="replace"), span_seconds=span, is_picture=still is not None)
    if found is None or (found.video_stream is None and found.audio_stream is None):
        raise clip_error(f"{quoted(path)} is no video, sound or picture that can be read; ffmpeg says:"
                         f" {first_words(complaints(said))}; expected a media file: fetch or convert it again")
    return found


def parse_probe(said: str, packets: str, *, span_seconds: float = math.inf, is_picture: bool = False) -> Probe | None:
    """Read ffmpeg's messages and its list of packets.

    Args:
        said: its messages at ``level+info``.
        packets: output of the ``framecrc`` muxer.
        span_seconds: length of the stretch looked at.
        is_picture: the file is a single picture, and its one frame was decoded.

    Returns:
        What the file holds; None when it could not be opened or is so little like media that ffmpeg only guesses.
    """
    opened, words = _INPUT.search(said), complaints(said)
    if opened is None or any("detected only with low score" in word for word in words):
        return None
    output = _OUTPUT.search(said, opened.end())
    head = said[opened.start():output.start() if output else len(said)]
    streams = list(_STREAM.finditer(head))
    video = next((match for match in streams if match[2] == "Video" and not _is_cover(match[3])), None)
    audio = next((match for match in streams if match[2] == "Audio"), None)
    rotation = _rotation(head, video)
    drawn = next((match for match in _STREAM.finditer(said, output.start()) if match[2] == "Video"), None
                 ) if is_picture and output else None
    spans = packet_spans(packets, span_seconds)
    rate = _FPS.search(video[3]) if video else None
    stated = _stated_seconds(head, words)
    return Probe(
        demuxer=opened[1].rstrip(","), duration_seconds=stated,
        video_stream=int(video[1]) if video else None, audio_stream=int(audio[1]) if audio else None,
        fps=float(rate[1]) * (1000 if rate[2] else 1) if rate else 0.0,
        size=upright_size(drawn[3], 0.0) if drawn else upright_size(video[3], rotation) if video else (0, 0),
        rotation_degrees=rotation,
        is_still=is_picture or (video is not None and audio is None and stated is None
                                and spans.get("video", (0, 0, 0))[2] == 1),
        video_span=spans.get("video", (0.0, 0.0, 0))[:2], audio_span=spans.get("audio", (0.0, 0.0, 0))[:2],
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


def packet_spans(packets: str, span_seconds: float = math.inf) -> dict[str, tuple[float, float, int]]:
    """First start, last end (seconds, at most ``span_seconds``) and number of packets by ``"video"`` and ``"audio"``.

    Packets that end before 0, ahead of the stretch, do not count.

    >>> packet_spans("#tb 0: 1/25\\n#media_type 0: video\\n0, 0, 0, 1, 99, 0x0\\n0, 1, 1, 1, 99, 0x0\\n")
    {'video': (0.0, 0.08, 2)}
    """
    units = {int(index): int(top) / int(bottom)
             for index, top, bottom in re.findall(r"^#tb (\d+): (\d+)/(\d+)", packets, re.MULTILINE)}
    kinds = {int(index): kind for index, kind in re.findall(r"^#media_type (\d+): (\w+)", packets, re.MULTILINE)}
    starts, ends, counts = dict.fromkeys(units, math.inf), dict.fromkeys(units, 0.0), dict.fromkeys(units, 0)
    for line in packets.splitlines():
        if line.startswith("#") or line.count(",") < 4:
            continue
        index, _, shown, length, _ = (int(part) for part in line.split(",", 5)[:5])
        start, end = shown * units[index], (shown + length) * units[index]
        if end <= 0 < length or start >= span_seconds:
            continue
        starts[index], ends[index] = min(starts[index], start), max(ends[index], end)
        counts[index] += 1
    return {kinds[index]: (max(0.0, starts[index]), min(ends[index], span_seconds), counts[index])
            for index in units if counts[index]}


def complaints(said: str) -> tuple[str, ...]:
    """What ffmpeg said at warning level and above: who says it, in brackets, and the words; repeats dropped."""
    lines = (f"{match[1]}{match[3]}".strip() for match in _COMPLAINT.finditer(said))
    return tuple(dict.fromkeys(re.sub(r" @ 0x[0-9a-f]+\]", "]", line) for line in lines))


def first_words(words: tuple[str, ...]) -> str:
    """The first two complaints in quotes, for a message; what only repeats the file's name is left out."""
    telling = [word for word in words if not word.startswith(("Error opening input file", "Error opening output file"))]
    return "; ".join(f'"{word}"' for word in telling[:2]) or "nothing"
