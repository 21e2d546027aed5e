"""Hidden states of a speech encoder on the raw sound (wav2vec 2.0, HuBERT, WavLM …): all layers pooled, or rows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.config import setting
from pipeline.errors import WeightsError
from pipeline.media import SAMPLE_RATE_HZ, FeatureSequence, Media, Needs
from pipeline.networks.encoders import Encoder, EncoderConfig
from pipeline.networks.hidden_states import default_architecture


class AudioEncoder(Encoder):
    """Any encoder of transformers that begins with convolutions over the waveform.

    A clip goes through alone and unpadded, so that no mask is needed: models with a group norm over time
    (``feat_extract_norm="group"``: wav2vec2-base, hubert-base, wavlm-base) were trained without one and hear padding,
    and the others give the same with a mask as without padding. Sound longer than ``window_seconds`` is cut on the
    encoder's own grid of frames into overlapping windows of that length, of whose overlap each keeps the half that is
    nearer its middle; the last is moved forward to end with the clip. A row's times are the samples that its frame is
    made from (400 every 320 for the models above). A clip shorter than one frame is filled up with silence; one
    without sound has no rows.
    """

    modality = "audio"
    name = "audio_encoder"
    subject = "speech on the waveform"
    input_name = "input_values"
    signature = ("hidden_size", "num_hidden_layers", "conv_kernel", "conv_stride")
    hint = "one that shortens its output at the end (an adapter) is none"
    known = {"facebook/wav2vec2-base-960h": ("wav2vec 2.0 base, trained on LibriSpeech", "Apache-2.0", 377.6,
                                             "22aad52d435eb6dbaf354bdad9b0da84ce7d6156")}

    @dataclass(frozen=True)
    class Config(EncoderConfig):
        model: str = setting("facebook/wav2vec2-base-960h",
                             "name on the Hugging Face hub, or a folder with config and weights (safetensors)")
        window_seconds: float = setting(20.0, "longer sound is cut into windows of this length, so that memory stays"
                                              " as it is; encoders learnt on about 15 s")
        overlap_seconds: float = setting(2.0, "of neighbouring windows; half of it at each end is context alone")
        batch_size: int = setting(1, "windows of a clip at a time", machine=True)

        def __post_init__(self) -> None:
            super().__post_init__()
            if not 1 <= self.window_seconds <= 600:
                raise ValueError(f"window_seconds is 1 to 600, found {self.window_seconds:g}")
            if not 0 <= self.overlap_seconds <= self.window_seconds / 2:
                raise ValueError(f"overlap_seconds is 0 to half of window_seconds, found {self.overlap_seconds:g}")

    @property
    def needs(self) -> Needs:
        return Needs(waveform=True)

    @property
    def random_architecture(self) -> dict[str, Any]:
        return default_architecture("wav2vec2")

    @property
    def random_preprocessor(self) -> dict[str, Any]:
        return {"do_normalize": True, "sampling_rate": SAMPLE_RATE_HZ}

    @property
    def trial(self) -> tuple[Tensor, range]:
        length = self.grid.field + 3 * self.grid.stride
        return torch.sin(torch.arange(length) / 10)[None], range(4, 5)

    def settings(self) -> dict[str, Any]:
        self.grid  # refuses convolutions that do not fit, before any clip is touched
        return {**super().settings(), "normalise": self.normalise}

    @cached_property
    def grid(self) -> FrameGrid:
        """The encoder's frames over samples.

        Raises:
            WeightsError: the convolutions in its config do not fit each other.
        """
        kernels, strides = self.architecture["conv_kernel"], self.architecture["conv_stride"]
        if not isinstance(kernels, (list, tuple)) or not isinstance(strides, (list, tuple)) \
                or len(kernels) != len(strides):
            raise WeightsError(f"{self.folder}/config.json: conv_kernel and conv_stride are lists of one length, found"
                               f" {kernels} and {strides}")
        return FrameGrid(tuple(kernels), tuple(strides))

    @property
    def normalise(self) -> bool:
        """Is the whole clip brought to mean 0 and variance 1 before it is cut?

        Raises:
            WeightsError: the model does not say, or was trained on another sampling rate than sound is decoded at.
        """
        rate, normalise = self.preprocessor.get("sampling_rate"), self.preprocessor.get("do_normalize")
        if rate != SAMPLE_RATE_HZ:
            raise WeightsError(f"{self.folder} was trained on sound at {rate} Hz by its preprocessor_config.json;"
                               f" expected {SAMPLE_RATE_HZ}, at which sound is decoded")
        if not isinstance(normalise, bool):
            raise WeightsError(f"{self.folder}: preprocessor_config.json has do_normalize={normalise}; expected true or"
                               " false, as its publisher's file says")
        return normalise

    def extract(self, media: Sequence[Media]) -> list[FeatureSequence]:
        return [self._extract_one(clip) for clip in media]

    def _extract_one(self, clip: Media) -> FeatureSequence:
        assert clip.waveform is not None
        num_samples = len(clip.waveform)
        if not num_samples:
            return FeatureSequence.empty(self.row_shape)
        sound = normalised(clip.waveform) if self.normalise else clip.waveform
        sound = np.pad(sound, (0, max(0, self.grid.field - num_samples)))
        num_frames, end = self.grid.num_frames(len(sound)), num_samples / SAMPLE_RATE_HZ
        if self.config.layers == "all":
            total = sum(states.sum(1, dtype=np.float64) for states in self._windows(sound))
            values = np.asarray(total / num_frames, np.float32)[None]                 # (1, L + 1, D)
            return FeatureSequence(values, np.array([[0, end]], np.float32))
        states = np.concatenate(list(self._windows(sound)), axis=1)                   # (K, T, D)
        values = np.ascontiguousarray(states.swapaxes(0, 1)).reshape(num_frames, *self.row_shape)
        return FeatureSequence(values, np.minimum(self.grid.times(num_frames), np.float32(end)))

    def _windows(self, sound: np.ndarray) -> Iterator[np.ndarray]:
        """What each window adds to the frames, float32 (K, T, D), in order."""
        size, overlap = (round(seconds * SAMPLE_RATE_HZ / self.grid.stride)
                         for seconds in (self.config.window_seconds, self.config.overlap_seconds))
        windows = cut_windows(self.grid.num_frames(len(sound)), max(1, size), overlap)
        for start in range(0, len(windows), self.config.batch_size):
            batch = windows[start:start + self.config.batch_size]
            parts = [sound if len(windows) == 1 else sound[self.grid.samples(first, first + size)]
                     for first, _, _ in batch.tolist()]
            states = self.states(torch.from_numpy(np.stack(parts))).cpu().numpy()     # (B, K, T, D)
            for part, (first, keep, stop) in zip(states, batch.tolist(), strict=True):
                yield part[:, keep - first:stop - first]


@dataclass(frozen=True)
class FrameGrid:
    """How convolutions make frames of samples.

    Args:
        kernels, strides: of each convolution, from the sound up.

    >>> grid = FrameGrid((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2))
    >>> grid.field, grid.stride, grid.num_frames(16_000)
    (400, 320, 49)
    """

    kernels: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def stride(self) -> int:
        """Samples between the starts of frames."""
        return math.prod(self.strides)

    @property
    def field(self) -> int:
        """Samples that a frame is made from."""
        before = (math.prod(self.strides[:place]) for place in range(len(self.strides)))
        return 1 + sum((kernel - 1) * step for kernel, step in zip(self.kernels, before, strict=True))

    def num_frames(self, num_samples: int) -> int:
        """Frames of a sound; 0 below :attr:`field`."""
        return max(0, (num_samples - self.field) // self.stride + 1)

    def samples(self, first: int, stop: int) -> slice:
        """The samples that frames ``first`` to ``stop`` (half-open) are made from."""
        return slice(first * self.stride, (stop - 1) * self.stride + self.field)

    def times(self, num_frames: int) -> np.ndarray:
        """Start and stop in seconds of the samples of each frame, float32 (T, 2); neighbours overlap."""
        starts = np.arange(num_frames) * self.stride
        return (np.stack([starts, starts + self.field], axis=1) / SAMPLE_RATE_HZ).astype(np.float32)


def cut_windows(num_frames: int, size: int, overlap: int) -> np.ndarray:
    """Windows over frames, and which of its frames each keeps, so that each frame is kept once.

    Args:
        num_frames: of the clip, at least 1.
        size: frames of a window, at least 1.
        overlap: frames that neighbours have in common, below ``size``; the last two may have more.

    Returns:
        First frame of each window, first frame that it keeps, and the one behind the last that it keeps, int64 (N, 3).

    >>> cut_windows(10, 5, 2).tolist()
    [[0, 0, 4], [3, 4, 6], [5, 6, 10]]
    """
    starts = np.arange(0, max(1, num_frames - overlap), size - overlap)
    starts = np.minimum(starts, max(0, num_frames - size))
    between = (starts[1:] + starts[:-1] + size) // 2
    return np.stack([starts, np.concatenate([[0], between]), np.concatenate([between, [num_frames]])], axis=1)


def normalised(waveform: np.ndarray) -> np.ndarray:
    """Mean 0 and variance 1, as transformers' feature extractor for wav2vec 2.0 has it; silence stays silence."""
    return np.asarray((waveform - waveform.mean()) / np.sqrt(waveform.var() + 1e-7), np.float32)
