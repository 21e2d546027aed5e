"""Face tracks as published: a folder of small pictures named by their times and a WAV, and corpora made of them."""

from __future__ import annotations

import wave
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from skimage.data import astronaut

from pipeline.clip import Clip, Corpus, FrameLabels, Task, Track
from pipeline.datasets import Dataset

SPEAKING = Task("speaking", ("NOT_SPEAKING", "SPEAKING_AUDIBLE"), level="frame", positive="SPEAKING_AUDIBLE")
RATE_HZ = 25.0


def write_wav(path: Path, samples: np.ndarray, *, rate_hz: int = 16_000, channels: int = 1) -> Path:
    """Samples in [-1, 1] as 16 bits."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return path


def tone(seconds: float, hertz: float = 300.0) -> np.ndarray:
    """Half of full scale, at 16 kHz."""
    return np.sin(2 * np.pi * hertz * np.arange(round(seconds * 16_000)) / 16_000) / 2


def make_track(folder: Path, name: str, *, num_frames: int = 6, side: int = 90, seed: int = 0, start: float = 7.0,
               sound_seconds: float | None = None) -> Clip:
    """A face track with its files: crops of a real face that moves, its sound as long as the track."""
    times = start + np.arange(num_frames) / RATE_HZ
    pictures = tuple(folder / "clips_videos" / name / f"{time:.2f}.jpg" for time in times)
    for row, path in enumerate(pictures):
        path.parent.mkdir(parents=True, exist_ok=True)
        left = 130 + 7 * seed + 2 * row
        Image.fromarray(astronaut()[0:240, left:left + 240]).resize((side, side + 10)).save(path, quality=90)
    length = num_frames / RATE_HZ if sound_seconds is None else sound_seconds
    sound = write_wav(folder / "clips_audios" / f"{name}.wav", tone(length, 200.0 + 100 * seed))
    labels = np.arange(num_frames) % 3 - 1
    return Clip(f"train/{name}", source=pictures[0].parent, split="train", group=name,
                track=Track(pictures, times - start, sound, RATE_HZ),
                frame_labels=FrameLabels(times - start, {"speaking": labels}, RATE_HZ))


class TrackCorpus(Dataset):
    """A corpus of the clips it is given."""

    default_root = Path("nowhere")

    def __init__(self, clips: Sequence[Clip], tasks: tuple[Task, ...] = (SPEAKING,)) -> None:
        super().__init__()
        self._clips, self._corpus = tuple(clips), Corpus("tracks", tasks)

    @property
    def corpus(self) -> Corpus:
        return self._corpus

    def clips(self) -> Iterator[Clip]:
        return iter(self._clips)
