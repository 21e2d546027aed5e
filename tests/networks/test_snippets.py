"""R3D-18 on snippets: known weights give torchvision's own numbers, in whichever way it is run."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.models.video import R3D_18_Weights, r3d_18

from pipeline import weights
from pipeline.devices import native_bfloat16
from pipeline.networks.backbones import build
from pipeline.networks.snippets import LAYOUTS, MEAN, RATE_HZ, R3D18, SD, SnippetConfig, snippet_times

CPU = torch.device("cpu")


def moving_picture(num_frames: int, side: int = 112) -> np.ndarray:
    rows, columns = np.mgrid[:side, :side]
    return np.stack([np.stack([rows + 3 * n, columns, rows + columns - 5 * n], -1) % 256
                     for n in range(num_frames)]).astype(np.uint8)


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return moving_picture(24)


@pytest.fixture(scope="module")
def float32() -> R3D18:
    torch.set_num_threads(1)
    return R3D18("random", dtype="float32", device=CPU)


ROWS = np.stack([np.arange(16), np.arange(8, 24)])


@pytest.fixture(scope="module")
def embeddings(float32: R3D18, frames: np.ndarray) -> np.ndarray:
    return float32(frames, ROWS, batch_size=2)


def test_constants_are_those_that_the_weights_were_trained_with() -> None:
    preset = R3D_18_Weights.KINETICS400_V1.transforms()
    assert (MEAN, SD) == (tuple(preset.mean), tuple(preset.std))


def test_embeddings_are_torchvisions_own(frames: np.ndarray, embeddings: np.ndarray) -> None:
    network = build(r3d_18, "random", weights.R3D18)
    network.fc = nn.Identity()
    pixels = torch.from_numpy(frames[:16]).permute(0, 3, 1, 2)                                # (T, C, H, W)
    preset = R3D_18_Weights.KINETICS400_V1.transforms(crop_size=(112, 112), resize_size=(112, 112))
    with torch.inference_mode():
        expected = network(preset(pixels)[None])[0].numpy()
    assert embeddings.shape == (2, 512) and embeddings.dtype == np.float32
    assert np.linalg.norm(embeddings[0] - expected) / np.linalg.norm(expected) < 1e-4
    assert np.linalg.norm(embeddings[0] - embeddings[1]) / np.linalg.norm(expected) > 1e-3


def test_snippets_at_a_time_change_nothing_that_counts(float32: R3D18, frames: np.ndarray,
                                                       embeddings: np.ndarray) -> None:
    np.testing.assert_allclose(float32(frames, ROWS[1:], batch_size=1)[0], embeddings[1], rtol=1e-3, atol=1e-4)


def test_bfloat16_is_close_to_float32_and_not_the_same(float32: R3D18) -> None:
    # Emulated bfloat16 takes minutes for a whole snippet: without the hardware a small one stands for it.
    num_frames, side = (16, 112) if native_bfloat16(CPU) else (4, 24)
    frames, rows = moving_picture(num_frames, side), np.arange(num_frames)[None]
    expected = float32(frames, rows, batch_size=1)[0]
    found = R3D18("random", dtype="bfloat16", device=CPU)(frames, rows, batch_size=1)[0]
    assert found @ expected / (np.linalg.norm(found) * np.linalg.norm(expected)) >= 0.9999
    assert 0 < np.linalg.norm(found - expected) / np.linalg.norm(expected) < 0.015


def test_no_snippets_give_no_rows(float32: R3D18, frames: np.ndarray) -> None:
    assert float32(frames, np.zeros((0, 16), np.int64), batch_size=2).shape == (0, 512)


def test_times_of_snippets_end_with_the_clip() -> None:
    spans = LAYOUTS["sliding"].spans(10)
    assert snippet_times(spans, 10).tolist() == [[0, 10 / RATE_HZ]]
    times = snippet_times(LAYOUTS["six_by_sixteen"].spans(90), 90)
    assert times.shape == (6, 2) and times[0, 0] == 0 and times[-1, 1] == 6


def test_a_batch_without_snippets_is_refused() -> None:
    with pytest.raises(ValueError, match="batch_size is at least 1, found 0"):
        SnippetConfig(batch_size=0)
