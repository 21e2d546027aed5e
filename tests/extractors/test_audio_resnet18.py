"""ResNet-18 on log-mel patches."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torchvision.models import ResNet18_Weights, resnet18

from pipeline import weights
from pipeline.extractors.audio_resnet18 import MEAN, SD, AudioResnet18
from pipeline.media import FeatureSequence, Media
from pipeline.networks import build


def media(seconds: float, *, seed: int = 0) -> Media:
    wave = np.random.default_rng(seed).normal(0, 0.1, round(16_000 * seconds)).astype(np.float32)
    return Media("a", waveform=wave, duration_seconds=seconds)


@pytest.fixture(scope="module")
def extractor() -> AudioResnet18:
    torch.set_num_threads(1)
    return AudioResnet18(AudioResnet18.Config(weights="random", dtype="float32", most=6, side=64))


def extract(extractor: Any, seconds: float) -> FeatureSequence:
    return extractor.extract([media(seconds)])[0]  # type: ignore[no-any-return]


def test_constants_are_those_that_the_weights_were_trained_with() -> None:
    preset = ResNet18_Weights.IMAGENET1K_V1.transforms()
    assert (MEAN, SD) == (tuple(preset.mean), tuple(preset.std))


@pytest.mark.parametrize(("seconds", "num_rows"), [(0.001, 1), (0.5, 1), (0.975, 1), (1.46, 2), (2.9, 4), (60.0, 6)])
def test_as_few_patches_as_cover_the_clip(extractor: AudioResnet18, seconds: float, num_rows: int) -> None:
    found = extract(extractor, seconds)
    assert found.values.shape == (num_rows, 512)
    assert found.times[0, 0] == 0 and found.times[-1, 1] <= np.float32(seconds)


def test_patches_of_a_long_clip_reach_from_its_start_to_its_end(extractor: AudioResnet18) -> None:
    times = extract(extractor, 60.0).times
    assert times[-1, 1] > 59.4 and np.ptp(np.diff(times[:, 0])) < 1


def test_times_of_patches(extractor: AudioResnet18) -> None:
    np.testing.assert_allclose(extract(extractor, 2.0).times, [[0, 0.975], [0.52, 1.495], [1.03, 2.0]], atol=1e-6)


def test_a_row_is_the_spatial_average_of_torchvisions_network(extractor: AudioResnet18) -> None:
    network = build(resnet18, "random", weights.RESNET18)
    network.fc = torch.nn.Identity()
    from pipeline.spectrogram import log_mel
    clip = media(0.975)
    assert clip.waveform is not None
    patch = torch.from_numpy(((log_mel(clip.waveform) + 80) / 80).clip(0, 1).T.copy())        # (bands, windows)
    picture = torch.nn.functional.interpolate(patch[None, None], (64, 64), mode="bilinear").repeat(1, 3, 1, 1)
    inputs = (picture - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(SD).view(3, 1, 1)
    with torch.inference_mode():
        expected = network(inputs)[0].numpy()
    found = extractor.extract([clip])[0].values[0]
    assert np.linalg.norm(found - expected) / np.linalg.norm(expected) < 1e-4


def test_silence_and_sound_differ(extractor: AudioResnet18) -> None:
    silence = extractor.extract([Media("a", waveform=np.zeros(14_400, np.float32), duration_seconds=0.9)])[0]
    assert silence.values.shape == (1, 512)
    assert np.linalg.norm(silence.values[0] - extract(extractor, 0.9).values[0]) > 0.1


@pytest.mark.parametrize("name", ["patch_windows", "most", "side", "batch_size"])
def test_a_count_below_one_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is at least 1, found 0"):
        AudioResnet18.Config(**{name: 0})
