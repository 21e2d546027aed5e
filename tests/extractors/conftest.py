"""Decoded clips made by hand: a real face, a tone, a sentence; and a tiny BERT in a folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage.data import astronaut
from skimage.transform import resize

from pipeline.clip import FrameLabels
from pipeline.media import SAMPLE_RATE_HZ, FeatureSequence, FrameRequest, Frames, Media, Needs
from pipeline.plugins import names, plugin_class
from tests.makers import make_bert, make_speech_encoder, make_vision_encoder

NUM_FRAMES = 20
SOURCE = 240, 320  # height and width
Build = Callable[..., Media]


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bert(tmp_path_factory.mktemp("bert") / "tiny")


@pytest.fixture(scope="session")
def tiny_speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_speech_encoder(tmp_path_factory.mktemp("speech") / "tiny")


@pytest.fixture(scope="session")
def tiny_vision(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_vision_encoder(tmp_path_factory.mktemp("vision") / "tiny")


def picture_at(number: int, *, shift: int, face: bool) -> np.ndarray:
    """A face that wanders over a grey wall; or the wall."""
    picture = np.full((*SOURCE, 3), 120, np.uint8)
    if face:
        left = 20 + shift + number
        picture[20:200, left:left + 180] = astronaut()[:180, 130:310]
    return picture


def frames_for(request: FrameRequest, pictures: list[np.ndarray]) -> Frames:
    """What decoding gives for a request."""
    height, width = SOURCE
    if request.size is not None:
        size = request.size
    else:
        lines = min(request.lines or height, height)
        size = lines, round(width * lines / height)
    wanted = np.arange(len(pictures)) if request.snippets is None else request.snippets.frames(len(pictures))
    rows = [resize(pictures[place], size, order=1, preserve_range=True).astype(np.uint8) for place in wanted]
    values = np.stack(rows) if rows else np.zeros((0, *size, 3), np.uint8)
    if request.crop is not None:
        top, left = ((whole - part) // 2 for whole, part in zip(size, request.crop, strict=True))
        values = values[:, top:top + request.crop[0], left:left + request.crop[1]]
    return Frames(values, wanted.astype(np.int64), rate_hz=request.rate_hz, num_frames=len(pictures),
                  source_size=SOURCE if rows else (0, 0))


@pytest.fixture(scope="session")
def build_media() -> Build:
    """Media that hold what is needed; features of other extractors are computed by them."""
    def build(needs: Needs, *, clip_id: str = "a", num_frames: int = NUM_FRAMES, shift: int = 0, face: bool = True,
              hertz: float = 300.0, num_samples: int = SAMPLE_RATE_HZ, text: str = "oh no, you know!") -> Media:
        pictures = [picture_at(number, shift=shift, face=face) for number in range(num_frames)]
        duration = max(num_frames / 15, num_samples / SAMPLE_RATE_HZ)
        features: dict[str, FeatureSequence] = {}
        for name in needs.features:
            upstream = plugin_class("extractor", name)()
            media = build(upstream.needs, clip_id=clip_id, num_frames=num_frames, shift=shift, face=face)
            features[name] = upstream.extract([media])[0]
        wave = np.sin(2 * np.pi * hertz * np.arange(num_samples) / SAMPLE_RATE_HZ).astype(np.float32) / 2
        grid = np.arange(num_frames)
        return Media(clip_id, {request: frames_for(request, pictures) for request in needs.frames},
                     wave if needs.waveform else None, text if needs.text else "", duration, features,
                     frame_labels=FrameLabels(grid / 15, {"speaking": grid % 3 - 1}, 15.0))
    return build


@pytest.fixture(scope="session")
def extractors(tiny_bert: Path, tiny_speech: Path, tiny_vision: Path) -> dict[str, object]:
    """Every extractor with weights that need no network, loaded once."""
    built = {}
    tiny = {"text_bert": tiny_bert, "audio_encoder": tiny_speech, "face_encoder": tiny_vision}
    for name in names("extractor"):
        kind = plugin_class("extractor", name)
        settings: dict[str, Any] = {"weights": "random"} if "weights" in kind.Config.__dataclass_fields__ else {}
        if name.endswith("r3d101"):
            settings["side"] = 32  # a tenth of the work
        if name in tiny:
            settings = {"model": str(tiny[name])}
        built[name] = kind(kind.Config(**settings))
    return built
