"""A small run on text and sound, and made-up findings, for the tests of prediction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipeline.clip import Task
from pipeline.datasets.manifest import Manifest
from pipeline.extraction import ExtractConfig, extract
from pipeline.faces import COLUMNS
from pipeline.learning.train_config import TrainConfig
from pipeline.predicting.findings import Prediction
from pipeline.predicting.stretches import Recording, Stretch
from pipeline.speaking.tracks import Faces
from pipeline.training import train
from tests.makers import make_bert, make_video, write_manifest

TEXTS = {"calm": "oh well, you know.", "glad": "yes, yes!", "angry": "no! no!"}
CONFIG = TrainConfig(epochs=3, seeds=2, device="cpu")
EXTRACTING = ExtractConfig(jobs=1, device="cpu")


def make_corpus(folder: Path, *, bert: str = "bert") -> Path:
    """A store of two dozen clips of one video: a tiny BERT and log-mel."""
    make_bert(folder / bert)
    make_video(folder / "corpus.mp4", seconds=12.0, face=False)
    names = sorted(TEXTS)
    write_manifest(folder / "clips.csv", [
        {"path": "corpus.mp4", "id": f"c{number}", "start": number / 2, "end": number / 2 + 0.5,
         "text": TEXTS[names[number % 3]], "split": ("train", "train", "dev", "test")[number // 3 % 4],
         "group": f"g{number // 3}", "mood": names[number % 3], "power:regression:0:1": (number % 5) / 4}
        for number in range(24)])
    extract(Manifest(Manifest.Config(manifest=folder / "clips.csv")), folder / "store.h5",
            extractors=["text_bert", "audio_logmel"], settings={"text_bert": {"model": str(folder / bert)}},
            config=EXTRACTING)
    return folder / "store.h5"


def make_run(store: Path, out: Path, config: TrainConfig = CONFIG) -> Path:
    return train(store, config=config, settings={"hidden": "16"}, out=out)


def made_up(*, tasks: Sequence[Task] = (Task("mood", ("calm", "glad")), Task("power", value_range=(0.0, 1.0))),
            duration: float = 4.0, text: str = "Oh no!", name: str = "talk", faces: bool = True,
            source: Path = Path("talk.mp4")) -> Prediction:
    """Findings of one recording: two utterances, three windows, a face that speaks in its second half."""
    half = duration / 2
    stretches = (Stretch("utterance", 0, half, text, "Ann"), Stretch("utterance", half, duration, "", ""),
                 Stretch("window", 0, half, text), Stretch("window", half / 2, 1.5 * half, text),
                 Stretch("window", half, duration))
    random = np.random.default_rng(0)
    answers, spread = {}, {}
    for task in tasks:
        values = random.random((5, task.num_outputs)).astype(np.float32)
        answers[task.name] = values / values.sum(1, keepdims=True) if task.classes else values
        spread[task.name] = np.full_like(values, 0.05)
    rows, times = [], []
    for frame in range(round(duration * 15)):
        for track in range(2):
            rows.append([track, 10 + 40 * track, 10, 40 + 40 * track, 50, 0.99, *[20.0] * 10])
            times.append((frame / 15, (frame + 1) / 15))
    assert len(rows[0]) == len(COLUMNS)
    speaking = np.array([0.9 if row[0] == 0 and time[0] >= half else 0.1 for row, time in zip(rows, times)], np.float32)
    found = Faces(np.array(rows, np.float32), np.array(times, np.float32), speaking)
    recording = Recording(source, name, duration, (96, 128), 15.0, None, stretches)
    return Prediction(recording, Path("runs/mine"), "intermediate", 2, tuple(tasks), answers, spread,
                      (("text_bert",), (), *(("text_bert",),) * 3), {"text_bert": "ab" * 16, "audio_logmel": "cd" * 16},
                      found if faces else None)


def hostile(text: str) -> Prediction:
    """The same with a stranger's words everywhere that words can stand."""
    found = made_up(text=text, tasks=(Task(text, (text, f"{text}2")),))
    file = text.replace("/", "_")
    recording = replace(found.recording, name=text, source=Path(file), notes=(text,))
    return replace(found, recording=recording, stamps=(text,), notes=(text,), files=(Path(f"{file}.mp4"),), model=text)
