"""The values between decoding and storing: what an extractor asks for, what it gets and what it gives."""

from __future__ import annotations

import copy
import errno
import math
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from pipeline.clip import FrameLabels
from pipeline.errors import ClipError
from pipeline.windows import Snippets

SAMPLE_RATE_HZ = 16_000
_PART_BYTES = 2 ** 20  # of frames that go to a file, in memory at a time
TimesKind = Literal["measured", "proportional", "none"]


@dataclass(frozen=True)
class FrameRequest:
    """Which frames of a clip an extractor wants, and how large.

    Frames are taken on a grid of ``rate_hz`` from the clip's start: frame ``k`` shows the picture at ``k / rate_hz``.
    Equal requests share one output of ffmpeg; different ones never change each other's pixels.

    Args:
        rate_hz: grid of the frames.
        lines: scale down to this many lines at most, keeping the shape; never enlarges. None with ``size``.
        size: scale to exactly (height, width).
        crop: cut this (height, width) from the middle afterwards.
        snippets: only frames that these snippets use; None means all.
    """

    rate_hz: float = 15.0
    lines: int | None = None
    size: tuple[int, int] | None = None
    crop: tuple[int, int] | None = None
    snippets: Snippets | None = None

    def __post_init__(self) -> None:
        if self.rate_hz <= 0:
            raise ValueError(f"rate_hz is above 0, found {self.rate_hz}")
        if (self.lines is None) == (self.size is None):
            raise ValueError("a frame request has either lines or size")


@dataclass(frozen=True)
class PictureRequest:
    """How an extractor wants the pictures of a face track: grey, scaled to ``size`` pixels high and wide whatever their
    shape; of these the middle ``crop`` (None: all).
    """

    size: int
    crop: int | None = None


@dataclass(frozen=True)
class Needs:
    """Everything an extractor wants to be given for each clip.

    Args:
        frames: frame requests; empty for none.
        waveform: mono sound at ``SAMPLE_RATE_HZ``.
        text: the words.
        speaker: who says them.
        features: names of other features of the same clip.
        pictures: of a clip that is a face track.
        frame_labels: what its frames are labelled with.
    """

    frames: tuple[FrameRequest, ...] = ()
    waveform: bool = False
    text: bool = False
    speaker: bool = False
    features: tuple[str, ...] = ()
    pictures: tuple[PictureRequest, ...] = ()
    frame_labels: bool = False

    @property
    def media(self) -> bool:
        """Does the clip's file have to be opened?"""
        return bool(self.frames) or self.waveform or bool(self.pictures)


class Frames:
    """Frames of one clip, in memory or, when there are many, in an unnamed file.

    Args:
        values: uint8 RGB (T, H, W, 3).
        indices: place of each frame on the request's grid, int64 (T,), rising.
        rate_hz: the grid.
        num_frames: length of the whole grid, of which ``indices`` may be a part.
        source_size: (height, width) of the upright source picture.
    """

    def __init__(self, values: np.ndarray | FrameFile, indices: np.ndarray, *, rate_hz: float, num_frames: int,
                 source_size: tuple[int, int]) -> None:
        if len(values.shape) != 4 or values.shape[3] != 3 or getattr(values, "dtype", np.uint8) != np.uint8:
            raise ValueError(f"frames are uint8 (T, H, W, 3), found {getattr(values, 'dtype', '')} {values.shape}")
        if indices.shape != (len(values),):
            raise ValueError(f"{len(values)} frames with indices of shape {indices.shape}")
        self._values = values
        self.indices = indices
        self.rate_hz = rate_hz
        self.num_frames = num_frames
        self.source_size = source_size

    def __len__(self) -> int:
        return len(self.indices)

    def __repr__(self) -> str:
        return f"Frames({self.shape}, {self.rate_hz:g} Hz, {len(self)} of {self.num_frames})"

    @property
    def shape(self) -> tuple[int, ...]:
        """(T, H, W, 3)."""
        return tuple(self._values.shape)

    @property
    def times(self) -> np.ndarray:
        """Start and stop of each frame in seconds from the clip's start, float32 (T, 2), half-open."""
        return (np.stack([self.indices, self.indices + 1], axis=1) / self.rate_hz).astype(np.float32)

    def take(self, rows: np.ndarray | slice) -> np.ndarray:
        """Some frames by their row in this object, uint8 (N, H, W, 3).

        Raises:
            ClipError: passing, the disk that holds them does not give them back.
        """
        return self._values.read(rows) if isinstance(self._values, FrameFile) else np.asarray(self._values[rows])

    def at(self, grid_indices: np.ndarray) -> np.ndarray:
        """Rows (T of this object) that show the given places of the grid, int64; past the end the last is held."""
        return np.clip(np.searchsorted(self.indices, grid_indices), 0, len(self) - 1)

    def blocks(self, size: int) -> Iterator[tuple[int, np.ndarray]]:
        """All frames in order, ``size`` at a time: first row and uint8 (≤ size, H, W, 3)."""
        for start in range(0, len(self), size):
            yield start, self.take(slice(start, start + size))


class _Descriptor:
    """An open file that is closed with the last object that holds it."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        os.close(self.number)


class FrameFile:
    """Frames in an unnamed file, read a few at a time, so that they never fill memory; a map's pages would.

    The file's name is gone as soon as it is made: nothing of it outlives the process, however that ends.

    Args:
        shape: (T, H, W, 3).

    Raises:
        OSError: the disk has no room for all frames.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape
        with tempfile.TemporaryFile(prefix="frames-") as file:
            self._file = _Descriptor(os.dup(file.fileno()))
        if hasattr(os, "posix_fallocate"):  # a full disk shows now and not after an hour of decoding
            os.posix_fallocate(self._file.number, 0, math.prod(shape))

    def __len__(self) -> int:
        return self.shape[0]

    def write(self, data: memoryview, offset: int) -> None:
        """Put bytes at a place.

        Raises:
            OSError: the disk is full.
        """
        while data:
            written = os.pwrite(self._file.number, data, offset)
            data, offset = data[written:], offset + written

    def first(self, count: int) -> FrameFile:
        """The same file, seen as its first frames."""
        part = copy.copy(self)
        part.shape = (count, *self.shape[1:])
        return part

    def read(self, rows: np.ndarray | slice) -> np.ndarray:
        """Some frames, uint8 (N, H, W, 3).

        Raises:
            ClipError: passing, the disk does not give them back.
        """
        places = np.arange(len(self))[rows]
        frames = np.empty((len(places), *self.shape[1:]), np.uint8)
        frame_bytes = math.prod(self.shape[1:])
        edges = np.flatnonzero(np.diff(places, prepend=-2, append=-2) != 1)  # of runs of neighbours
        try:
            for begin, end in zip(edges[:-1], edges[1:], strict=True):
                self._fill(frames[begin:end].reshape(-1).data, int(places[begin]) * frame_bytes)
        except OSError as error:
            raise ClipError(f"{error.strerror} while reading decoded frames from {tempfile.gettempdir()}; check that"
                            " disk, or name another folder by TMPDIR", stage="decode", kind="passing") from error
        return frames

    def _fill(self, room: memoryview, offset: int) -> None:
        while room:
            count = os.preadv(self._file.number, [room], offset)
            if not count:
                raise OSError(errno.EIO, "the file is shorter than it was")
            room, offset = room[count:], offset + count


class FrameBuffer:
    """Room for a known number of frames, filled as they arrive.

    Args:
        num_frames: most frames that will come.
        height, width: of each.
        memory_bytes: larger buffers go to a :class:`FrameFile`.

    Raises:
        OSError: the disk has no room for the file.
    """

    def __init__(self, num_frames: int, height: int, width: int, *, memory_bytes: int) -> None:
        shape = (num_frames, height, width, 3)
        self.num_bytes = math.prod(shape)
        self.in_memory = self.num_bytes <= memory_bytes
        self.num_filled = 0
        self._frames = np.empty(shape, np.uint8) if self.in_memory else FrameFile(shape)
        self._part = memoryview(bytearray(0 if self.in_memory else _PART_BYTES))

    def room(self) -> memoryview:
        """Bytes that can be filled next; none when all frames are there."""
        if isinstance(self._frames, np.ndarray):
            return self._frames.reshape(-1)[self.num_filled:].data
        return self._part[:self.num_bytes - self.num_filled]

    def advance(self, num_bytes: int) -> None:
        """Take over bytes that were written to the front of :meth:`room`.

        Raises:
            OSError: the disk is full.
        """
        if isinstance(self._frames, FrameFile):
            self._frames.write(self._part[:num_bytes], self.num_filled)
        self.num_filled += num_bytes

    def finish(self) -> np.ndarray | FrameFile:
        """The whole frames that came, uint8 (T, H, W, 3)."""
        frame_bytes = math.prod(self._frames.shape[1:])
        count = self.num_filled // frame_bytes if frame_bytes else 0
        return self._frames[:count] if isinstance(self._frames, np.ndarray) else self._frames.first(count)


@dataclass(frozen=True)
class FeatureSequence:
    """What an extractor gives for one clip: rows of numbers with times.

    Args:
        values: (T, *row_shape), float32, or uint8 where rows are pixels; T = 0 when there was nothing.
        times: start and stop of each row in seconds from the clip's start, float32 (T, 2), half-open.
        times_kind: ``"measured"``, ``"proportional"`` (guessed from lengths) or ``"none"`` (then NaN).

    Raises:
        ValueError: shapes, types or times that do not agree, or values that are not finite.
    """

    values: np.ndarray
    times: np.ndarray
    times_kind: TimesKind = "measured"

    def __post_init__(self) -> None:
        if self.values.ndim < 2 or self.values.dtype not in (np.float32, np.uint8):
            raise ValueError(f"values are float32 or uint8 (T, ...), found {self.values.dtype} {self.values.shape}")
        if self.times.shape != (len(self.values), 2) or self.times.dtype != np.float32:
            raise ValueError(f"times are float32 ({len(self.values)}, 2), found {self.times.dtype} {self.times.shape}")
        if self.times_kind == "none":
            if not np.isnan(self.times).all():
                raise ValueError("rows without times have NaN there")
        elif not (np.isfinite(self.times).all() and (self.times[:, 0] <= self.times[:, 1]).all()):
            raise ValueError("every row's times are finite and its start is not after its stop")
        if self.values.dtype == np.float32 and not np.isfinite(self.values).all():
            raise ValueError("values are finite; found NaN or infinity")

    def __repr__(self) -> str:
        return f"FeatureSequence(values={self.values.dtype}{self.values.shape}, times={self.times_kind})"

    @classmethod
    def empty(cls, row_shape: tuple[int, ...], dtype: str = "float32") -> FeatureSequence:
        """Zero rows of the right width: nothing was there."""
        return cls(np.zeros((0, *row_shape), dtype), np.zeros((0, 2), np.float32))


@dataclass(frozen=True)
class TrackMedia:
    """What was read of a face track.

    Args:
        times: start and stop of each frame in seconds from the clip's start, float32 (T, 2), half-open, rising.
        rate_hz: frames a second.
        pictures: by request, grey, uint8 (T, side, side).
    """

    times: np.ndarray
    rate_hz: float
    pictures: Mapping[PictureRequest, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Media:
    """One clip, decoded: what was asked for and nothing else.

    Args:
        clip_id: whose it is.
        frames: by request; a clip without picture has zero frames.
        waveform: float32 mono (S,) in [-1, 1] at ``SAMPLE_RATE_HZ``; S = 0 without sound; None if not asked for.
        text: the words, "" where there are none.
        duration_seconds: length of the clip as decoded; 0 if only text was asked for.
        features: other features of this clip by name.
        notes: harmless oddities that decoding met.
        speaker: who says the words, "" where that is not known.
        track: of a clip that is a face track; None for others.
        frame_labels: None where there are none.
    """

    clip_id: str
    frames: Mapping[FrameRequest, Frames] = field(default_factory=dict)
    waveform: np.ndarray | None = None
    text: str = ""
    duration_seconds: float = 0.0
    features: Mapping[str, FeatureSequence] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    speaker: str = ""
    track: TrackMedia | None = None
    frame_labels: FrameLabels | None = None

    def cut(self, times: np.ndarray) -> np.ndarray:
        """Times (T, 2) in seconds, cut at the end of the clip, float32: a grid's last frame may reach past it."""
        return np.asarray(np.maximum(np.minimum(times, self.duration_seconds), times[:, :1]), np.float32)
