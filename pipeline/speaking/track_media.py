"""The media of a face track: one picture file a frame, and the sound of the same stretch.

Every picture and the sound must be there and whole: what is missing is the track's failure and is never made up.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import struct
import wave
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile

from pipeline.clip import Clip, Track
from pipeline.decode import Damage, DecodeLimits, read_media
from pipeline.decoding.probe import clip_error, quoted
from pipeline.media import SAMPLE_RATE_HZ, Media, PictureRequest, TrackMedia
from pipeline.storage.packing import SourceRecord

PICTURE_BYTES = 2 ** 26  # a larger file is no crop of a face
# Published sound often ends when the last frame begins, and times of frames are printed with two digits.
SHORT_SECONDS = 0.1
_FORMATS = {b"\xff\xd8\xff": JpegImageFile, b"\x89PNG\r\n\x1a\n": PngImageFile}
_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr")  # of eight bits or less
# What Pillow raises on bytes that are no picture or half of one; and Python's own reader on bytes that are no WAV.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, struct.error, zlib.error)
_NO_WAV = (wave.Error, EOFError, RuntimeError, struct.error)


class _Unfit(ValueError):
    """A picture that is not taken, whole as it may be."""


@dataclass(frozen=True)
class TrackFiles:
    """The bytes of a track's files.

    Args:
        pictures: of each frame.
        sound: None where the corpus has none.
        record: size and digest of them all.
    """

    pictures: tuple[bytes, ...]
    sound: bytes | None
    record: SourceRecord


def track_record(track: Track, known: SourceRecord = SourceRecord()) -> SourceRecord:
    """Size and digest of a track's files; their bytes are not read again where sizes and times are as ``known``.

    Raises:
        ClipError: as :func:`read_files`.
    """
    if known.digest and _listing(track) == (known.size, known.mtime_ns):
        return known
    return read_files(track).record


def read_files(track: Track, *, limits: DecodeLimits = DecodeLimits()) -> TrackFiles:
    """Read a track's files, each once.

    Args:
        track: the track.
        limits: all its files together may take ``memory_bytes``.

    Raises:
        ClipError: a picture or the sound is not there, is no file or larger than the limit; passing, where it cannot be
            read. The message names the row, counted from 1.
    """
    size, changed = _listing(track)
    if size > limits.memory_bytes:
        raise clip_error(f"the files of the track have {size / 2 ** 20:.0f} MiB, over the limit of"
                         f" {limits.memory_bytes / 2 ** 20:.0f}; --set decode.memory_bytes=MORE")
    contents: list[bytes] = []
    state = hashlib.sha256()
    for name, path in _named(track):
        try:
            content = path.read_bytes()
        except OSError as error:
            raise clip_error(f"{name} cannot be read: {path} ({error.strerror})", kind="passing") from error
        state.update(len(content).to_bytes(8, "little"))
        state.update(content)
        contents.append(content)
    pictures = contents[:len(track.pictures)]
    return TrackFiles(tuple(pictures), None if track.sound is None else contents[-1],
                      SourceRecord(size, changed, state.hexdigest()[:32]))


def read_track(clip: Clip, files: TrackFiles, requests: Sequence[PictureRequest], *, waveform: bool,
               on_damage: Damage = "skip", limits: DecodeLimits = DecodeLimits()) -> Media:
    """Decode what is asked for of a clip that is a face track.

    Args:
        clip: with a track.
        files: of the track.
        requests: how the pictures are wanted.
        waveform: is the sound wanted?
        on_damage: what to do with damaged sound; a damaged picture is always the clip's failure, for no row may go
            missing from the middle of a track.
        limits: how much the clip may cost.

    Returns:
        Pictures by request, uint8 (T, side, side), with times; float32 mono sound at 16 kHz, cut where the track ends.
        Sound that ends early has no samples added: where it does by more than 0.1 s before the last frame is shown, the
        clip fails.

    Raises:
        ClipError: a picture is empty, cut off, neither JPEG nor PNG, of more than eight bits or over the limit of
            pixels; the sound cannot be decoded or is too short.
    """
    track = clip.track
    assert track is not None, "a clip with a track"
    starts = track.times
    stop = float(starts[-1]) + 1 / track.rate_hz if len(starts) else 0.0
    sound = _sound(clip, track, files.sound, stop, on_damage, limits) if waveform else None
    pictures = {request: _pictures(track, files.pictures, request, limits.max_frame_pixels) for request in requests}
    times = np.stack([starts, starts + 1 / track.rate_hz], axis=1).astype(np.float32)
    return Media(clip.clip_id, waveform=sound, text=clip.text, duration_seconds=stop, speaker=clip.speaker,
                 track=TrackMedia(times, track.rate_hz, pictures), frame_labels=clip.frame_labels)


def grey_picture(content: bytes, request: PictureRequest, *, max_pixels: int) -> np.ndarray:
    """A JPEG or PNG as grey pixels, averaged where it is made smaller.

    Raises:
        ValueError: it is none, has more than eight bits a channel or too many pixels.
        OSError: it is cut off or damaged; further exceptions of Pillow where its head is.
    """
    if not content:
        raise _Unfit("is empty (0 bytes)")
    kind = next((kind for magic, kind in _FORMATS.items() if content.startswith(magic)), None)
    if kind is None:
        raise _Unfit("is neither JPEG nor PNG")
    picture = kind(io.BytesIO(content))
    if picture.width * picture.height > max_pixels:
        raise _Unfit(f"has {picture.width * picture.height:,} pixels, over the limit of {max_pixels:,}")
    if picture.mode not in _MODES:
        raise _Unfit(f"has more than eight bits a channel (mode {picture.mode})")
    picture.draft("L", (request.size, request.size))  # JPEG: brightness alone, at a half, quarter or eighth if it can
    grey = picture.convert("L").resize((request.size, request.size), Image.Resampling.BILINEAR)
    if request.crop is not None:
        low = (request.size - request.crop) // 2
        grey = grey.crop((low, low, low + request.crop, low + request.crop))
    return np.asarray(grey)


def plain_samples(content: bytes) -> np.ndarray | None:
    """Samples of a WAV file of 16 bits, mono, at 16 kHz, float32 (S,) in [-1, 1), just as ffmpeg gives them.

    None for anything else: that is for ffmpeg. A track's sound is short, and a process for each would take longer than
    all its pictures.
    """
    try:
        with wave.open(io.BytesIO(content)) as file:
            count = file.getnframes()
            data = file.readframes(count)
            form = file.getnchannels(), file.getsampwidth(), file.getframerate(), len(data)
    except _NO_WAV:
        return None
    return np.frombuffer(data, "<i2") / np.float32(32768) if form == (1, 2, SAMPLE_RATE_HZ, 2 * count) else None


def _pictures(track: Track, contents: Sequence[bytes], request: PictureRequest, max_pixels: int) -> np.ndarray:
    side = request.crop or request.size
    pixels = np.empty((len(contents), side, side), np.uint8)
    for row, (content, (name, path)) in enumerate(zip(contents, _named(track))):
        try:
            pixels[row] = grey_picture(content, request, max_pixels=max_pixels)
        except _DAMAGE as error:
            said = str(error) if isinstance(error, _Unfit) else f"is cut off or damaged ({error})"
            raise clip_error(f"{name}, {quoted(path)}, {said}; expected a whole picture of at most eight bits (JPEG,"
                             " PNG): fetch it again") from error
    return pixels


def _sound(clip: Clip, track: Track, content: bytes | None, stop: float, on_damage: Damage,
           limits: DecodeLimits) -> np.ndarray:
    """Sound of a track up to its end, float32 (S,)."""
    if track.sound is None or content is None:
        return np.zeros(0, np.float32)
    samples = plain_samples(content)
    if samples is None:
        whole = replace(clip, source=track.sound, start_seconds=0.0, stop_seconds=None)
        samples = read_media(whole, (), waveform=True, on_damage=on_damage, limits=limits).waveform
        assert samples is not None, "waveform=True"
    if len(track.times) and len(samples) / SAMPLE_RATE_HZ < track.times[-1] - SHORT_SECONDS:
        raise clip_error(f"the sound {quoted(track.sound)} lasts {len(samples) / SAMPLE_RATE_HZ:.2f} s, and the last of"
                         f" the track's {len(track.times)} pictures is shown at {track.times[-1]:.2f} s; expected sound"
                         " for all of them: fetch it again")
    return samples[:round(stop * SAMPLE_RATE_HZ)]


def _named(track: Track) -> Iterator[tuple[str, Path]]:
    """What each file is, for messages: pictures in order, then the sound."""
    for row, path in enumerate(track.pictures, 1):
        yield f"row {row} of {len(track.pictures)}", path
    if track.sound is not None:
        yield "the sound", track.sound


def _listing(track: Track) -> tuple[int, int]:
    """Size of all files together, and a number that changes when the size or the time of change of any does."""
    found = [_status(name, path) for name, path in _named(track)]
    listing = np.array([(status.st_size, status.st_mtime_ns) for status in found], "<i8").reshape(-1, 2)
    return int(listing[:, :1].sum()), int.from_bytes(hashlib.sha256(listing.tobytes()).digest()[:8], "little") >> 1


def _status(name: str, path: Path) -> os.stat_result:
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        missing = "the sound is not there" if name == "the sound" else f"{name} has no picture"
        raise clip_error(f"{missing}: {path}; put it there and run again with --retry-failed") from None
    except OSError as error:
        raise clip_error(f"{name} cannot be read: {path} ({error.strerror})", kind="passing") from error
    if not stat.S_ISREG(found.st_mode) or found.st_size > PICTURE_BYTES and name != "the sound":
        raise clip_error(f"{name} is no picture: {path} is"
                         f" {'no file' if not stat.S_ISREG(found.st_mode) else f'{found.st_size:,} bytes'}"
                         f"; expected a file of at most {PICTURE_BYTES:,} bytes")
    return found
