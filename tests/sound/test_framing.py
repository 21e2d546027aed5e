"""Windows lie about the middles of steps of 10 ms."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.sound import framing
from pipeline.sound.framing import num_windows, windows


@pytest.mark.parametrize("size", [160, 512, 960])
def test_the_middle_of_window_k_is_the_middle_of_step_k(size: int) -> None:
    ramp = np.arange(1, 16_001, dtype=np.float32)
    block, = windows(ramp, size)
    middles = (block[5:-5, size // 2 - 1] + block[5:-5, size // 2]) / 2
    np.testing.assert_allclose(middles, (np.arange(5, 95) + 0.5) * 160 + 0.5, atol=0.5)


def test_what_reaches_past_the_ends_is_silence() -> None:
    block, = windows(np.ones(161, np.float32), 480)
    assert block.shape == (2, 480)
    assert block[0].tolist() == [0] * 160 + [1] * 161 + [0] * 159
    assert not list(windows(np.zeros(0, np.float32), 480))


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    wave = np.random.default_rng(0).normal(size=5_001).astype(np.float32)
    whole, = windows(wave, 512)
    monkeypatch.setattr(framing, "BLOCK_WINDOWS", 7)
    parts = list(windows(wave, 512))
    assert len(parts) == 5 and len(whole) == num_windows(5_001) == 32
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize(("shape", "size", "message"), [((2, 9), 480, "a waveform is"), ((900,), 159, "at least 160")])
def test_stereo_and_gaps_are_refused(shape: tuple[int, ...], size: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        list(windows(np.zeros(shape, np.float32), size))
