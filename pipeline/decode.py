"""From a media file to frames and sound: one ffmpeg process per clip gives all that its extractors need.

Picture and sound share the container's zero. Frame ``k`` of a grid shows what is on screen at ``k / rate_hz``; the
first picture is held back to the start where it comes late. A grid is as long as the picture's packets last, known
before decoding, so that the frames of snippets can be chosen inside ffmpeg and the rest never leave it.
"""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import ffmpeg
import numpy as np

from pipeline.clip import Clip
from pipeline.config import setting
from pipeline.decoding.damage import Decoded, damages
from pipeline.decoding.frame_files import FrameBuffer
from pipeline.decoding.pipes import BufferSink, ByteSink, SampleBuffer, run_reading
from pipeline.decoding.probe import (MESSAGE_BYTES, PROCESS_BYTES, Probe, child_environment, clip_error, ffmpeg_path,
                                     ffmpeg_version, input_options, messages, probe, quoted, source_url)
from pipeline.media import SAMPLE_RATE_HZ, FrameRequest, Frames, Media

__all__ = ["DECODE_VERSION", "Damage", "DecodeLimits", "Probe", "ffmpeg_path", "ffmpeg_version", "frame_count",
           "output_size", "picture_size", "probe", "read_media", "selection", "view_box"]

DECODE_VERSION = 1  # raise it when the same file would give other pixels or samples
Damage = Literal["skip", "partial", "fail"]

# Exact integer paths: the same pixels from every CPU's assembler code. Measured: +0.04 s a clip at full size, nothing
# when scaling down.
_SCALE_FLAGS = "bilinear+accurate_rnd+bitexact"
# A picture that starts this share of a grid step late still counts as on time: containers round times to 1 ms.
_LATE_SHARE = 0.1
# Decoding starts this long before a cut, so that sound codecs have settled when it comes.
_PREROLL_SECONDS = 1.0
# Seeking in these lands beside the mark: they are decoded from their start.
_UNSEEKABLE = ("mpegts", "mpeg", "mpegvideo", "h264", "hevc", "m4v", "aac", "ac3", "eac3")
# The resampler gives nothing for sounds shorter than its filter: they are lengthened and cut again.
_SHORT_SAMPLES = SAMPLE_RATE_HZ // 10
# Stands for the file while ffmpeg-python builds the command: it refuses names that are not UTF-8.
_PLACE = "file:source"
_REFUSED_SIZE = re.compile(r"Picture size (\d+)x(\d+) (?:is invalid|exceeds)")


@dataclass(frozen=True)
class DecodeLimits:
    """How much one clip may cost; none of these changes what a clip within them gives."""

    timeout_seconds: float = setting(600.0, "longest time ffmpeg may take for one clip", machine=True)
    max_duration_seconds: float = setting(4 * 3600.0, "longer clips are refused; cut them with start and end",
                                          machine=True)
    max_frame_pixels: int = setting(2 ** 26, "larger pictures are refused (8192 x 8192)", machine=True)
    memory_bytes: int = setting(2 ** 29, "decoded frames of one clip beyond this go to a temporary file", machine=True)
    max_bytes: int = setting(2 ** 35, "clips whose decoded frames need more than this are refused", machine=True)
    process_bytes: int = setting(PROCESS_BYTES, "memory that ffmpeg may take (Linux)", machine=True)


def frame_count(end_seconds: float, rate_hz: float) -> int:
    """How many frames a grid has before a picture's end: at least 1 where there is a picture, else 0.

    >>> frame_count(2.0, 15.0), frame_count(0.01, 15.0), frame_count(0.0, 15.0)
    (30, 1, 0)
    """
    return max(1, math.ceil(end_seconds * rate_hz - _LATE_SHARE)) if end_seconds > 0 else 0


def picture_size(request: FrameRequest, source_size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) that a picture is scaled to, before the crop.

    >>> picture_size(FrameRequest(lines=180), (360, 640)), picture_size(FrameRequest(lines=180), (5, 3))
    ((180, 320), (5, 3))
    """
    if request.size is not None:
        return request.size
    height = min(request.lines or source_size[0], source_size[0])
    return height, max(1, round(source_size[1] * height / source_size[0])) if source_size[0] else 0


def output_size(request: FrameRequest, source_size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of the frames that a request gives; a crop never reaches past the picture."""
    height, width = picture_size(request, source_size)
    return (min(request.crop[0], height), min(request.crop[1], width)) if request.crop else (height, width)


def view_box(view: tuple[float, float, float, float] | None, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """(top, left, height, width) in pixels of the part that a clip shows of an upright picture of (height, width).

    Edges inside the picture are even: colour is stored for pairs of pixels.

    >>> view_box((0.5, 0.0, 1.0, 1.0), (480, 720)), view_box(None, (5, 3))
    ((0, 360, 480, 360), (0, 0, 5, 3))
    """
    height, width = size
    left, top, right, bottom = view or (0.0, 0.0, 1.0, 1.0)
    edges = [length if share == 1 else 2 * round(share * length / 2)
             for share, length in ((top, height), (bottom, height), (left, width), (right, width))]
    return edges[0], edges[2], max(0, edges[1] - edges[0]), max(0, edges[3] - edges[2])


def selection(indices: np.ndarray) -> str:
    """The frames of rising ``indices`` as an expression for ffmpeg's filter ``select``.

    >>> selection(np.array([0, 1, 2, 7]))
    'between(n,0,2)+between(n,7,7)'
    """
    runs = np.split(indices, np.flatnonzero(np.diff(indices) != 1) + 1)
    return "+".join(f"between(n,{run[0]},{run[-1]})" for run in runs)


@dataclass(frozen=True)
class _Wanted:
    """One output of pictures: which frames of the grid, which part of them (top, left, height, width), how large."""

    request: FrameRequest
    indices: np.ndarray
    num_frames: int
    part: tuple[int, int, int, int]
    scaled: tuple[int, int]
    size: tuple[int, int]


def read_media(clip: Clip, frames: tuple[FrameRequest, ...], *, waveform: bool, on_damage: Damage = "skip",
               limits: DecodeLimits = DecodeLimits()) -> Media:
    """Decode what is asked for of one clip.

    A file without picture gives zero frames, one without sound zero samples; so does a clip without a file.

    Args:
        clip: whose source is read, between its start and stop.
        frames: distinct requests; equal ones share one output.
        waveform: is the sound wanted?
        on_damage: ``"skip"`` and ``"fail"`` raise on damaged media (the caller goes on or stops); ``"partial"`` uses
            what came and says so in the notes.
        limits: how much the clip may cost.

    Returns:
        Frames by request, float32 mono sound (S,) in [-1, 1] at 16 kHz, text, duration and notes.

    Raises:
        ClipError: the file is missing, no media, without any picture or sound, over a limit or damaged; the clip lies
            behind the file's end, or its view holds no pixel; or, passing, ffmpeg takes too long, or the disk is full
            or unreadable.
    """
    requests = tuple(dict.fromkeys(frames))
    if clip.source is None or not (requests or waveform):
        empty = {request: _no_frames(request) for request in requests}
        return Media(clip.clip_id, empty, np.zeros(0, np.float32) if waveform else None, clip.text,
                     speaker=clip.speaker)
    found = probe(clip.source, start_seconds=clip.start_seconds, stop_seconds=clip.stop_seconds,
                  max_pixels=limits.max_frame_pixels, max_seconds=limits.max_duration_seconds,
                  timeout_seconds=limits.timeout_seconds, memory_bytes=limits.process_bytes)
    _check_limits(clip, found, limits)
    part = view_box(clip.view, found.size)
    wanted = [_wanted(request, found, part) for request in requests if found.video_span[1] > 0]
    num_samples = round(found.audio_span[1] * SAMPLE_RATE_HZ) if waveform and found.audio_span[1] > 0 else 0
    decoded = _run(clip, found, wanted, num_samples, limits) if wanted or num_samples else Decoded()
    hurt = damages(found, clip, decoded)
    usable = any(len(rows) for rows in decoded.frames) or len(decoded.sound) > 0
    if hurt and (on_damage != "partial" or not usable):
        advice = "" if on_damage == "partial" else ", or keep what can be read with --on-damage partial"
        raise clip_error(f"{quoted(clip.source)} is damaged: {'; '.join(hurt)}; expected a whole file: fetch it"
                         f" again{advice}")
    pictures = {want.request: Frames(rows, want.indices[:len(rows)], rate_hz=want.request.rate_hz,
                                     num_frames=want.num_frames if len(rows) else 0, source_size=part[2:])
                for want, rows in zip(wanted, decoded.frames)}
    # Where the sound starts anew midway, what follows stands at wrong times: it lies behind the promised end.
    sound = (decoded.sound[:num_samples] if hurt else decoded.sound) if waveform else None
    if sound is not None:
        np.clip(sound, -1, 1, out=sound)
        if len(sound) and np.isnan(sound.min()):
            raise clip_error(f"{quoted(clip.source)} holds samples that are no numbers (NaN); expected sound in"
                             " [-1, 1]: write the file again")
    return Media(clip.clip_id, {request: pictures.get(request) or _no_frames(request) for request in requests}, sound,
                 clip.text, duration_seconds=found.end_seconds, notes=(*hurt, *_notes(found)), speaker=clip.speaker)


def _no_frames(request: FrameRequest) -> Frames:
    """Zero frames; where the request leaves the shape to the picture, they are square."""
    height, width = output_size(request, (request.lines or 0, request.lines or 0))
    return Frames(np.zeros((0, height, width, 3), np.uint8), np.zeros(0, np.int64), rate_hz=request.rate_hz,
                  num_frames=0, source_size=(0, 0))


def _wanted(request: FrameRequest, found: Probe, part: tuple[int, int, int, int]) -> _Wanted:
    num_frames = 1 if found.is_still else frame_count(found.video_span[1], request.rate_hz)
    indices = np.arange(num_frames) if request.snippets is None else request.snippets.frames(num_frames)
    return _Wanted(request, indices, num_frames, part, picture_size(request, part[2:]), output_size(request, part[2:]))


def _check_limits(clip: Clip, found: Probe, limits: DecodeLimits) -> None:
    name = quoted(clip.source or Path())
    # So large that ffmpeg refuses to look on: then the probe has no size to tell.
    refused = next((match for word in found.complaints if (match := _REFUSED_SIZE.search(word))), None)
    pixels = int(refused[1]) * int(refused[2]) if refused else found.size[0] * found.size[1]
    if pixels > limits.max_frame_pixels:
        raise clip_error(f"{name} has pictures of {pixels:,} pixels, over the limit of {limits.max_frame_pixels:,};"
                         " scale them down or --set decode.max_frame_pixels=MORE")
    if found.end_seconds <= 0:
        raise clip_error(f"{name} has a stream but not one packet of picture or sound; expected a recording: fetch"
                         " it again" if clip.start_seconds == 0 else f"{name} has nothing from"
                         f" {clip.start_seconds:g} s on, where clip {clip.clip_id} starts; expected a start inside the"
                         " file: check the clip's times")
    if found.end_seconds > limits.max_duration_seconds:
        raise clip_error(f"{name} lasts longer than the limit of {limits.max_duration_seconds:g} s; cut it into clips"
                         " with start and end, or --set decode.max_duration_seconds=MORE")
    if found.video_span[1] > 0 and not pixels:
        raise clip_error(f"{name} is damaged: its video stream states no picture size; fetch it again")
    if found.video_span[1] > 0 and not all(view_box(clip.view, found.size)[2:]):
        raise clip_error(f"{name} has pictures of {found.size[1]} x {found.size[0]} pixels, of which the view"
                         f" {clip.view} of clip {clip.clip_id} leaves none; expected a larger picture or view")


def _run(clip: Clip, found: Probe, wanted: Sequence[_Wanted], num_samples: int, limits: DecodeLimits) -> Decoded:
    """Start ffmpeg and take what it gives."""
    assert clip.source is not None
    name = quoted(clip.source)
    total = sum(len(want.indices) * want.size[0] * want.size[1] * 3 for want in wanted)
    if total > limits.max_bytes:
        raise clip_error(f"{name} decodes to {total / 2 ** 30:.1f} GiB of frames, over the limit of"
                         f" {limits.max_bytes / 2 ** 30:.1f} GiB; cut it into clips with start and end, or"
                         " --set decode.max_bytes=MORE")
    memory, buffers = limits.memory_bytes, list[FrameBuffer]()
    try:
        for want in wanted:
            buffer = FrameBuffer(len(want.indices), *want.size, memory_bytes=memory)
            memory -= buffer.num_bytes if buffer.in_memory else 0
            buffers.append(buffer)
        # A second of room beyond what the packets promise shows sound that comes out too long.
        sound = SampleBuffer(num_samples + SAMPLE_RATE_HZ if num_samples else 0)
        words = ByteSink(MESSAGE_BYTES, tail_bytes=MESSAGE_BYTES)
        exit_code = run_reading(
            lambda pipes: command(clip, found, wanted, num_samples, pipes, limits=limits),
            [*map(BufferSink, buffers), *([BufferSink(sound)] if num_samples else [])], words,
            timeout_seconds=limits.timeout_seconds, environment=child_environment(), memory_bytes=limits.process_bytes)
    except TimeoutError as error:
        raise clip_error(f"{name}: ffmpeg gave no end within {limits.timeout_seconds:g} s and was stopped; try again,"
                         " or --set decode.timeout_seconds=MORE", kind="passing") from error
    except OSError as error:
        raise clip_error(f"{name}: {error.strerror} while decoding {total / 2 ** 30:.1f} GiB of frames; check memory,"
                         f" open files and the room in {tempfile.gettempdir()}, or name another folder by TMPDIR",
                         kind="passing") from error
    return Decoded(tuple(buffer.finish() for buffer in buffers), tuple(len(want.indices) for want in wanted),
                   sound.finish(), num_samples, messages(words, clip.source), exit_code)


def command(clip: Clip, found: Probe, wanted: Sequence[_Wanted], num_samples: int, pipes: Sequence[int], *,
            limits: DecodeLimits) -> list[str]:
    """The command line that writes every output to its pipe, the sound to the last."""
    assert clip.source is not None
    still = found.demuxer if found.demuxer.endswith("_pipe") else None
    options = input_options(max_pixels=limits.max_frame_pixels, demuxer=still)
    if clip.start_seconds:
        seekable = not set(found.demuxer.split(",")) & set(_UNSEEKABLE)
        seek = max(0.0, clip.start_seconds - _PREROLL_SECONDS) if seekable else 0.0
        # Not ffmpeg's accurate seek: it drops the picture that is still on screen when the clip starts.
        options |= {"noaccurate_seek": None, "ss": f"{seek:.6f}", "itsoffset": f"{seek - clip.start_seconds:.6f}"}
    if wanted:
        # A change of the picture's size then reaches the scaler; otherwise the frame grid would start again.
        options["reinit_filter:v"] = 0
    source = ffmpeg.input(_PLACE, **options)
    outputs = []
    if wanted:
        parts = source[str(found.video_stream)].filter_multi_output("split", len(wanted))
        for place, want in enumerate(wanted):
            shown = _filters(parts[place], want, found)
            outputs.append(ffmpeg.output(shown, f"pipe:{pipes[place]}", f="rawvideo", pix_fmt="rgb24"))
    if num_samples:
        chain = _sound_filters(clip, num_samples)
        outputs.append(ffmpeg.output(source[str(found.audio_stream)], f"pipe:{pipes[-1]}", f="f32le", af=chain))
    settings = ("-hide_banner", "-nostdin", "-nostats", "-loglevel", "repeat+level+verbose",
                "-filter_complex_threads", "1")
    words = ffmpeg.merge_outputs(*outputs).global_args(*settings).compile(cmd=ffmpeg_path())
    return [source_url(clip.source) if word == _PLACE else word for word in words]


def _sound_filters(clip: Clip, num_samples: int) -> str:
    # Without rematrix_maxval two equal channels would add up to 1.41 of each, and clip.
    chain = [f"aresample={SAMPLE_RATE_HZ}:first_pts=0:rematrix_maxval=1", "aformat=flt:channel_layouts=mono"]
    if clip.start_seconds:
        chain.insert(0, "atrim=start=0")
    if num_samples < _SHORT_SAMPLES:
        chain = ["apad=pad_dur=0.1", *chain, f"atrim=end_sample={num_samples}"]
    elif clip.stop_seconds is not None:
        length = round((clip.stop_seconds - clip.start_seconds) * SAMPLE_RATE_HZ)
        chain.append(f"atrim=end_sample={length}")
    return ",".join(chain)


def _filters(stream: Any, want: _Wanted, found: Probe) -> Any:
    """Grid, selection, view, scale and crop of one output."""
    if not found.is_still:  # fps gives no frame for a picture without duration
        rate = want.request.rate_hz
        late = _LATE_SHARE / rate
        stream = stream.filter("setpts", f"round(PTS-{late:.9f}/TB)")
        stream = stream.filter("fps", fps=f"{rate:.9g}", start_time=0, round="up")
    stream = stream.filter("trim", end_frame=int(want.indices[-1]) + 1)
    if len(want.indices) < want.num_frames:
        stream = stream.filter("select", selection(want.indices)).filter("setpts", "N")  # no gaps for ffmpeg to fill
    top, left, height, width = want.part
    if (height, width) != found.size:
        # Scaled first, which does nothing to most files: pixels become square, and all frames as large as the first.
        stream = stream.filter("scale", found.size[1], found.size[0], flags=_SCALE_FLAGS)
        stream = stream.filter("crop", width, height, left, top)
    stream = stream.filter("scale", want.scaled[1], want.scaled[0], flags=_SCALE_FLAGS)
    if want.size != want.scaled:
        (height, width), (top, left) = want.size, ((a - b) // 2 for a, b in zip(want.scaled, want.size))
        # In RGB: with chroma at half size a crop would fall on even places only.
        stream = stream.filter("format", "rgb24").filter("crop", width, height, left, top)
    return stream.filter("setsar", 1)


def _notes(found: Probe) -> list[str]:
    """Oddities that hurt nothing."""
    notes = []
    if found.video_span[0] > 0.1:
        notes.append(f"the picture starts at {found.video_span[0]:.2f} s; its first frame is held before")
    if found.audio_span[0] > 0.1:
        notes.append(f"the sound starts at {found.audio_span[0]:.2f} s; silence before")
    return notes
