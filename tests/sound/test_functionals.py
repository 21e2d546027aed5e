"""Statistics of contours that are known."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import torch
import torchaudio

from pipeline.sound.functionals import NAMES, deltas, functionals, segment_lengths

STEP = 0.01
EVERY = np.ones(400, bool)
RANDOM = np.random.default_rng(0).gamma(2.0, size=(400, 3))


def test_means_and_percentiles_are_those_of_numpy_and_scipy() -> None:
    found = functionals(RANDOM, EVERY, STEP)
    assert tuple(found) == NAMES
    expected = {"amean": RANDOM.mean(0), "stddev": RANDOM.std(0), "stddevNorm": RANDOM.std(0) / RANDOM.mean(0),
                "percentile20.0": np.percentile(RANDOM, 20, axis=0), "skewness": scipy.stats.skew(RANDOM),
                "pctlrange0-2": np.subtract(*np.percentile(RANDOM, (80, 20), axis=0)),
                "kurtosis": scipy.stats.kurtosis(RANDOM, fisher=False),
                "slope": [scipy.stats.linregress(np.arange(400) * STEP, column).slope for column in RANDOM.T]}
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-4, err_msg=name)


def test_only_chosen_steps_count() -> None:
    chosen = np.random.default_rng(1).random(400) < 0.5
    found = functionals(RANDOM, chosen, STEP)
    np.testing.assert_allclose(found["percentile80.0"], np.percentile(RANDOM[chosen], 80, axis=0), rtol=1e-5)


def test_a_saw_has_the_slopes_of_its_sides_and_so_many_peaks_a_second() -> None:
    saw = np.concatenate([np.linspace(0, 1, 60, endpoint=False), np.linspace(1, 0, 40, endpoint=False)])
    found = functionals(np.tile(saw, 4)[:, None], EVERY, STEP)
    assert found["meanRisingSlope"][0] == pytest.approx(1 / 0.6, rel=0.1)
    assert found["meanFallingSlope"][0] == pytest.approx(1 / 0.4, rel=0.1)
    assert found["stddevRisingSlope"][0] < 0.5
    assert found["peaksPerSec"][0] == 1


def test_slopes_do_not_reach_over_what_was_not_chosen() -> None:
    values = np.where(np.arange(400) < 200, 0.0, 100.0)[:, None]
    chosen = (np.arange(400) < 150) | (np.arange(400) > 200)
    assert functionals(values, chosen, STEP)["meanRisingSlope"][0] == 0


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_steps_give_finite_numbers(count: int) -> None:
    found = functionals(RANDOM, np.arange(400) < count, STEP)
    assert all(np.isfinite(values).all() and values.shape == (3,) for values in found.values())
    assert found["slope"].any() == (count > 1) and found["amean"].any() == (count > 0)


def test_a_column_that_stands_still_is_without_shape() -> None:
    found = functionals(np.full((400, 1), 0.1), EVERY, STEP)
    assert found["amean"] == pytest.approx(0.1)
    assert not any(found[name].any() for name in ("stddev", "skewness", "kurtosis", "meanRisingSlope", "peaksPerSec"))


def test_changes_are_those_of_torchaudio() -> None:
    expected = torchaudio.functional.compute_deltas(torch.from_numpy(RANDOM.T)[None], win_length=5)[0].T
    np.testing.assert_allclose(deltas(RANDOM), expected.numpy(), atol=1e-6)


def test_stretches_are_counted_and_measured() -> None:
    mask = np.zeros(100, bool)
    mask[10:20] = mask[50:80] = True
    assert segment_lengths(mask, STEP) == pytest.approx((2.0, 0.2, 0.1))
    assert segment_lengths(~mask & mask, STEP) == (0.0, 0.0, 0.0)


def test_as_many_choices_as_steps() -> None:
    with pytest.raises(ValueError, match="400 steps to choose from"):
        functionals(RANDOM, EVERY[:-1], STEP)
