"""Small stores with labels on frames, for the tests of what is answered row by row."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pipeline.clip import Clip, Corpus, Task
from pipeline.media import FeatureSequence
from pipeline.storage.packing import FeatureData, write_store

SPEAKING = Task("speaking", ("not_speaking", "speaking"), level="frame", positive="speaking")
MOOD = Task("mood", ("calm", "angry"))
RATE_HZ = 25.0
SIZES = {"train": 30, "dev": 12, "test": 12}


def grid(num_rows: int, rate_hz: float = RATE_HZ, start: float = 0.0) -> np.ndarray:
    """Times of rows one after the other, float32 (T, 2)."""
    first = start + np.arange(num_rows) / rate_hz
    return np.stack([first, first + 1 / rate_hz], axis=1).astype(np.float32)


def make_track_clips(*, sizes: dict[str, int] | None = None) -> list[Clip]:
    """Face tracks, two to a video; the mood is that of the track."""
    return [Clip(f"{split}/video{place // 2}:{place}", split=split, group=f"{split}-video{place // 2}",
                 dialogue=f"video{place // 2}", speaker=f"{split}{place}", start_seconds=float(place % 2),
                 labels={"mood": MOOD.classes[place // 2 % 2]})
            for split, number in (sizes or SIZES).items() for place in range(number)]


def make_frame_store(path: Path, *, noise: float = 1.0, without_faces: int = 7) -> Path:
    """Write a store of tracks: pixels and sound that both tell who speaks, and labels of frames.

    Args:
        path: of the store.
        noise: of the sound, in units of what tells.
        without_faces: every so many-th track has no pixels.
    """
    random = np.random.default_rng(0)
    clips, pixels, sound, labels = make_track_clips(), {}, {}, {}
    for place, clip in enumerate(clips):
        times = grid(int(random.integers(5, 30)))
        speaks = (random.random(len(times)) > 0.6).astype(np.float32)
        bright = np.clip(random.normal(100 + 40 * speaks[:, None, None], 60, (len(times), 4, 4)), 0, 255)
        mood = float(clip.labels["mood"] == "angry")
        heard = random.normal(size=(len(times), 6)) * noise + speaks[:, None]
        heard[:, 5] = random.normal(size=len(times)) + 2 * mood
        pixels[clip.clip_id] = FeatureSequence(bright.astype(np.uint8), times) if place % without_faces \
            else FeatureSequence.empty((4, 4), "uint8")
        sound[clip.clip_id] = FeatureSequence(heard.astype(np.float32), times)
        labels[clip.clip_id] = FeatureSequence(speaks[:, None], times)
    write_store(path, corpus=Corpus("made-up tracks", (SPEAKING, MOOD)), clips=clips, features={
        "asd_faces": FeatureData("face", (4, 4), {"extractor": "asd_faces"}, pixels, dtype="uint8"),
        "asd_audio": FeatureData("audio", (6,), {"extractor": "asd_audio"}, sound),
        "frame_labels": FeatureData("face", (1,), {"extractor": "frame_labels"}, labels, columns=("speaking",),
                                    is_input=False)})
    return path
