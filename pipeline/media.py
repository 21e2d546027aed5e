"""The values between decoding and storing: what an extractor asks for, what it gets and what it gives."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from pipeline.clip import FrameLabels
from pipeline.clip import Spoken as Spoken
from pipeline.decoding.frame_files import FrameFile
from pipeline.windows import Snippets

SAMPLE_RATE_HZ = 16_000
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
        context: how many utterances of its dialogue before it and how many after it.
    """

    frames: tuple[FrameRequest, ...] = ()
    waveform: bool = False
    text: bool = False
    speaker: bool = False
    features: tuple[str, ...] = ()
    pictures: tuple[PictureRequest, ...] = ()
    frame_labels: bool = False
    context: tuple[int, int] = (0, 0)

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
        before, after: what is said before and after it in its dialogue, in order; as many as were asked for.
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
    before: tuple[Spoken, ...] = ()
    after: tuple[Spoken, ...] = ()

    def cut(self, times: np.ndarray) -> np.ndarray:
        """Times (T, 2) in seconds, cut at the end of the clip, float32: a grid's last frame may reach past it."""
        return np.asarray(np.maximum(np.minimum(times, self.duration_seconds), times[:, :1]), np.float32)
