"""The average of a network's weights: which numbers it holds, and who answers when."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models import count_parameters
from models._averaged import Averaged, averaged, follow


def make_part(kept: float, value: float = 0.0) -> Averaged:
    layer = nn.Linear(1, 1, bias=False)
    nn.init.constant_(layer.weight, value)
    return Averaged(layer, kept)


def weight(part: nn.Module) -> Tensor:
    values: Tensor = part.state_dict()["weight"]
    return values


def test_the_average_is_that_of_all_steps_at_first_and_fades_later() -> None:
    part = make_part(0.5)
    for value in (0.0, 11.0, 0.0):                                          # new are 9/10, 9/11, 9/12 of it
        nn.init.constant_(weight(part.now), value)
        part.follow()
    torch.testing.assert_close(float(weight(part.average)), 9.0 * (1 - 9 / 12))
    for _ in range(20):
        part.follow()
    before = float(weight(part.average))
    nn.init.constant_(weight(part.now), 4.0)
    part.follow()
    torch.testing.assert_close(float(weight(part.average)), before + (4 - before) * 0.5)


def test_nothing_is_kept_at_a_share_of_0() -> None:
    part = make_part(0.0)
    nn.init.constant_(weight(part.now), 7.0)
    part.follow()
    assert weight(part.average) == 7


def test_what_learns_answers_in_training_and_the_average_in_evaluation() -> None:
    part, one = make_part(0.9, 1.0), torch.ones(1, 1)
    nn.init.constant_(weight(part.now), 2.0)
    assert part(one) == 2 and part.eval()(one) == 2                         # of no steps there is no average
    part.follow()
    nn.init.constant_(weight(part.now), 3.0)
    assert part.train()(one) == 3
    torch.testing.assert_close(part.eval()(one).item(), 1 + 0.9)


def test_statistics_of_a_norm_are_averaged_and_its_count_is_copied() -> None:
    part = Averaged(nn.BatchNorm1d(2), 0.9)
    part(torch.randn(5, 2))
    part.follow()
    average = part.average.state_dict()
    assert average["num_batches_tracked"] == 1 and average["running_mean"].all()


def test_the_average_counts_as_no_parameter_and_travels_with_the_state() -> None:
    part, other = Averaged(nn.Linear(2, 3), 0.9), Averaged(nn.Linear(2, 3), 0.9)
    part.follow()
    other.load_state_dict(part.state_dict())
    assert torch.equal(weight(other.average), weight(part.average)) and float(other.num_steps) == 1
    assert sum(count_parameters(part).values()) == sum(values.numel() for values in part.parameters()) == 9


def test_all_parts_of_a_model_follow_at_once() -> None:
    model = nn.Sequential(nn.ReLU(), averaged({"one": nn.Linear(1, 1), "other": nn.Linear(1, 1)}, 0.9))
    follow(model)
    assert [int(part.num_steps) for part in model.modules() if isinstance(part, Averaged)] == [1, 1]
