"""Our steps and rates are those of torch's classes."""

from __future__ import annotations

import pytest
import torch

from pipeline.learning.optimiser import AdamW, Plateau, too_long


def made() -> list[torch.nn.Parameter]:
    chance = torch.Generator().manual_seed(0)
    return [torch.nn.Parameter(torch.randn(*shape, generator=chance)) for shape in ((5, 3), (5,), (2, 2))]


def test_steps_are_those_of_torch() -> None:
    ours, theirs = made(), made()
    optimiser, reference = AdamW(ours, 0.3), torch.optim.AdamW(theirs, lr=0.01, weight_decay=0.3)
    for step in range(6):
        for parameters in (ours, theirs):
            loss = torch.stack([(parameter - step).pow(3).sum() for parameter in parameters]).sum()
            torch.autograd.backward(loss)
        torch.nn.utils.clip_grad_norm_(theirs, 2.0)
        reference.param_groups[0]["lr"] = lr = 0.01 / (1 + step)
        reference.step()
        reference.zero_grad()
        optimiser.step(lr, 2.0)
        assert all(parameter.grad is None for parameter in ours)
        for mine, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-6)


def test_what_has_no_gradient_or_is_frozen_stays() -> None:
    parameters = made()
    parameters[1].requires_grad_(False)
    before = [parameter.detach().clone() for parameter in parameters]
    optimiser = AdamW(parameters, 0.1)
    optimiser.step(0.1)
    parameters[0].grad = torch.ones(5, 3)
    optimiser.step(0.1)
    assert [torch.equal(*pair) for pair in zip(parameters, before, strict=True)] == [False, True, True]
    AdamW([], 0.0).step(0.1)


def test_a_saved_state_goes_on_as_if_never_saved() -> None:
    whole, cut = made(), made()
    first, second = AdamW(whole, 0.1), AdamW(cut, 0.1)
    for step in range(4):
        if step == 2:
            state = {name: [value.clone() for value in values] for name, values in second.state().items()}
            second = AdamW(cut, 0.1)
            second.load(state)
        for parameters, optimiser in ((whole, first), (cut, second)):
            for place, parameter in enumerate(parameters):
                parameter.grad = torch.full_like(parameter, 0.1 * (place + 1) * (step - 1.5))
            optimiser.step(0.05, 1.0)
    assert all(torch.equal(*pair) for pair in zip(whole, cut, strict=True))
    with pytest.raises(ValueError, match="shorter"):
        AdamW(made(), 0.1).load({**first.state(), "first": []})


def test_long_gradients_are_shortened_and_short_ones_left() -> None:
    assert too_long(torch.tensor([0.5, 4.0]), 2.0).tolist() == pytest.approx([1.0, 2.0])


@pytest.mark.parametrize("patience", [0, 2])
def test_the_rate_falls_as_in_torch(patience: int) -> None:
    reference = torch.optim.AdamW(made(), lr=1.0)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(reference, mode="max", factor=0.5, patience=patience)
    plateau = Plateau(1.0, patience)
    for score in (-0.5, -0.4, -0.4, -0.45, 0.1, 0.1, 0.10000001, 0.05, 0.05, 0.05, 0.3, 0.2, 0.2, 0.2, 0.2):
        schedule.step(score)
        plateau.step(score)
        assert plateau.lr == reference.param_groups[0]["lr"]
    again = Plateau(9.0, patience)
    again.load(plateau.state())
    assert again == plateau
