"""Small stores of face tracks that an active-speaker network can learn from, and runs of networks that never learnt."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch

from models.active_speaker import ActiveSpeaker
from pipeline.clip import Clip, Corpus, Task
from pipeline.config import to_json
from pipeline.extractors.asd_audio import AsdAudio
from pipeline.extractors.asd_faces import AsdFaces
from pipeline.media import FeatureSequence
from pipeline.runs import Checkpoint
from pipeline.storage.packing import FeatureData, write_store
from tests.frame_stores import SPEAKING, grid

SHAPES = {"asd_faces": (112, 112), "asd_audio": (4, 13)}
SETTINGS = {"asd_faces": {"clips": "tracks", "part": "whole"}, "asd_audio": {"clips": "tracks", "spectra": "mfcc"}}
VERSIONS = {"asd_faces": AsdFaces.version, "asd_audio": AsdAudio.version}
SIDE = 16


def make_speaker_store(path: Path, sizes: Mapping[str, int] = MappingProxyType({"train": 10, "dev": 4, "test": 4}),
                       frames: int = 15) -> Path:
    """Tracks of 0.6 seconds, two to a video, of which a face speaks where its picture is bright and the sound loud."""
    chance = np.random.default_rng(0)
    data: dict[str, dict[str, FeatureSequence]] = {"asd_faces": {}, "asd_audio": {}, "frame_labels": {}}
    clips = [Clip(f"{split}/{place}", split=split, group=f"{split}-video{place // 2}")
             for split, number in sizes.items() for place in range(number)]
    for clip in clips:
        bright, loud = (np.repeat(chance.integers(0, 2, 3), -(-frames // 3))[:frames] for _ in range(2))
        pixels = 110 + 60 * bright[:, None, None] + chance.normal(0, 5, (frames, SIDE, SIDE))
        sound = 4 * loud[:, None, None] + chance.normal(0, 0.3, (frames, 4, 13))
        for name, rows in (("asd_faces", pixels.astype(np.uint8)), ("asd_audio", sound.astype(np.float32)),
                           ("frame_labels", (bright * loud).astype(np.float32)[:, None])):
            data[name][clip.clip_id] = FeatureSequence(rows, grid(frames))
    write_store(path, corpus=Corpus("bright and loud", (SPEAKING,)), clips=clips, features={
        "asd_faces": FeatureData("face", (SIDE, SIDE), {"extractor": "asd_faces"}, data["asd_faces"], dtype="uint8"),
        "asd_audio": FeatureData("audio", (4, 13), {"extractor": "asd_audio"}, data["asd_audio"]),
        "frame_labels": FeatureData("face", (1,), {"extractor": "frame_labels"}, data["frame_labels"],
                                    columns=("speaking",), is_input=False)})
    return path


def make_speaker_run(path: Path, *, inputs: tuple[str, ...] = tuple(SHAPES), seeds: int = 1, tasks: tuple[Task, ...] = (
        SPEAKING,), settings: Mapping[str, Mapping[str, Any]] = MappingProxyType(SETTINGS)) -> Path:
    """A run with networks of random weights, one a seed."""
    config = ActiveSpeaker.Config(picture_size=28)
    for seed in range(seeds):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = ActiveSpeaker(config, {name: SHAPES[name] for name in inputs},
                                    {task.name: task.num_outputs for task in tasks})
        described = {name: {"modality": "face", "row_shape": list(SHAPES[name]), "fingerprint": "x",
                            "recipe": {"version": VERSIONS[name], "settings": settings[name]}} for name in inputs}
        scaler = {name: {"mean": torch.zeros(SHAPES[name]),
                         "sd": torch.full(SHAPES[name], 255.0 if name == "asd_faces" else 9.0)} for name in inputs}
        Checkpoint("active_speaker", to_json(config), described, {name: SHAPES[name] for name in inputs}, scaler, tasks,
                   {task.name: (0.0, 1.0) for task in tasks}, {}, seed, 1, 0.5, network.state_dict()
                   ).save(path / f"seed{seed}" / "best.pt")
    return path
