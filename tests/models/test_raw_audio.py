"""Raw sound: the contract of models holds with windows of samples too, and a tone is told from another."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from models.raw_audio import RawAudio, WaveBranch

INPUTS = {"audio_windows@w66": (256,), "face": (6,)}
OUTPUTS = {"emotion": 4, "valence": 1}


def make_model() -> RawAudio:
    torch.manual_seed(0)
    return RawAudio(RawAudio.Config(channels=8), INPUTS, OUTPUTS).eval()


def make_batch() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    chance = torch.Generator().manual_seed(1)
    lengths = torch.tensor([[1], [4], [2]])
    return ({name: torch.randn(3, 4, *row, generator=chance) for name, row in INPUTS.items()},
            {name: torch.arange(4) < lengths for name in INPUTS})


def test_padding_of_any_length_and_content_changes_nothing() -> None:
    model, (features, mask) = make_model(), make_batch()
    padded = {name: torch.cat([torch.where(mask[name].unsqueeze(2), rows, torch.nan), torch.full_like(rows, 1e9)], 1)
              for name, rows in features.items()}
    longer = {name: torch.cat([real, torch.zeros_like(real)], 1) for name, real in mask.items()}
    before, after = model(features, mask), model(padded, longer)
    for task in OUTPUTS:
        torch.testing.assert_close(after[task], before[task])


def test_company_and_what_an_absent_input_holds_change_nothing() -> None:
    model, (features, mask) = make_model(), make_batch()
    alone = model(*({name: values[1:2] for name, values in part.items()} for part in (features, mask)))
    for missing in INPUTS:
        without = {**mask, missing: torch.zeros_like(mask[missing])}
        other = {**features, missing: torch.full_like(features[missing], torch.nan)}
        for task, values in model(features, without).items():
            torch.testing.assert_close(model(other, without)[task], values)
            assert not torch.allclose(values, model(features, mask)[task])
    for task, values in model(features, mask).items():
        torch.testing.assert_close(alone[task], values[1:2])


@pytest.mark.parametrize("there", [True, False])
def test_gradients_are_finite_and_reach_every_parameter_also_where_nothing_is(there: bool) -> None:
    model, (features, mask) = make_model().train(), make_batch()
    mask = {name: real & there for name, real in mask.items()}
    outputs = model(features, mask)
    assert {task: tuple(values.shape) for task, values in outputs.items()} == {"emotion": (3, 4), "valence": (3, 1)}
    sum(values.square().sum() for values in outputs.values()).backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert all(gradient is None or gradient.isfinite().all() for gradient in gradients.values())
    assert not there or all(gradient is not None and gradient.abs().sum() > 0 for name, gradient in gradients.items()
                            if "attention.bias" not in name), "a constant under the softmax says nothing"


def test_a_clip_of_equal_windows_is_as_one_of_them() -> None:
    branch = WaveBranch(8, 16).eval()
    window = torch.randn(1, 1, 300, generator=torch.Generator().manual_seed(2))
    one, three = (branch(window.expand(-1, number, -1), torch.ones(1, number, dtype=torch.bool)) for number in (1, 3))
    torch.testing.assert_close(one, three)


def test_two_tones_are_told_apart_from_their_samples() -> None:
    chance = np.random.default_rng(0)
    classes = np.arange(64) % 2
    times = np.arange(512) / 16_000
    pitch = np.where(classes, 500.0, 900.0)[:, None, None]
    phase = chance.uniform(0, 2 * np.pi, (64, 3, 1))
    waves = np.sin(2 * np.pi * pitch * times + phase) + .3 * chance.standard_normal((64, 3, 512))
    rows, real = torch.tensor(waves, dtype=torch.float32), torch.ones(64, 3, dtype=torch.bool)
    torch.manual_seed(0)
    model = RawAudio(RawAudio.Config(channels=8), {"audio_windows": (512,)}, {"pitch": 2})
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    known = torch.tensor(classes[:32])
    for _ in range(30):
        optimiser.zero_grad()
        answer = model({"audio_windows": rows[:32]}, {"audio_windows": real[:32]})["pitch"]
        torch.nn.functional.cross_entropy(answer, known).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    answer = model.eval()({"audio_windows": rows[32:]}, {"audio_windows": real[32:]})["pitch"].argmax(1)
    assert (answer.numpy() == classes[32:]).mean() > .9


@pytest.mark.parametrize("settings, words", [
    ({"pools": ("mean",)}, "weighs rows itself; leave pools empty"), ({"dropout": 1.0}, "below 1, found 1.0"),
    ({"channels": 0}, "channels, branch and hidden are at least 1, found 0")])
def test_wrong_settings_are_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        RawAudio.Config(**settings)  # type: ignore[arg-type]
