"""Rows read in order: the contract of models holds for every head, and each head knows what it is there for."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from models._sequences import HEADS, Attention, Gru, Head, Mean
from models.sequence import Sequence

INPUTS = {"audio_windows@w66": (7,), "face.r3d": (2, 3), "type": (4,)}
OUTPUTS = {"emotion": 4, "valence": 1}
every_head = pytest.mark.parametrize("head", list(HEADS))


def make_model(head: Head, inputs: dict[str, tuple[int, ...]] = INPUTS) -> Sequence:
    torch.manual_seed(0)
    return Sequence(Sequence.Config(head=head, branch=9, hidden=8), inputs, OUTPUTS).eval()


def make_batch() -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    chance = torch.Generator().manual_seed(1)
    lengths = torch.tensor([[1], [4], [2]])
    return ({name: torch.randn(3, 4, *row, generator=chance) for name, row in INPUTS.items()},
            {name: torch.arange(4) < lengths for name in INPUTS})


def make_rows() -> tuple[Tensor, Tensor]:
    """Rows (3, 5, 6) of clips of five rows, two rows, and none."""
    rows = torch.randn(3, 5, 6, generator=torch.Generator().manual_seed(2))
    return rows, torch.arange(5) < torch.tensor([[5], [2], [0]])


def make_head(head: Head, units: int = 6) -> nn.Module:
    torch.manual_seed(3)
    return HEADS[head](units)


@every_head
def test_padding_of_any_length_and_content_changes_nothing(head: Head) -> None:
    model, (features, mask) = make_model(head), make_batch()
    padded = {name: torch.cat([torch.where(mask[name].view(3, 4, *[1] * (rows.ndim - 2)), rows, torch.nan),
                               torch.full_like(rows, 1e9)], 1) for name, rows in features.items()}
    longer = {name: torch.cat([real, torch.zeros_like(real)], 1) for name, real in mask.items()}
    before, after = model(features, mask), model(padded, longer)
    for task in OUTPUTS:
        torch.testing.assert_close(after[task], before[task])


@every_head
def test_company_and_what_an_absent_input_holds_change_nothing(head: Head) -> None:
    model, (features, mask) = make_model(head), make_batch()
    alone = model(*({name: values[1:2] for name, values in part.items()} for part in (features, mask)))
    for missing in INPUTS:
        without = {**mask, missing: torch.zeros_like(mask[missing])}
        other = {**features, missing: torch.full_like(features[missing], torch.nan)}
        for task, values in model(features, without).items():
            torch.testing.assert_close(model(other, without)[task], values)
            assert not torch.allclose(values, model(features, mask)[task])
    for task, values in model(features, mask).items():
        torch.testing.assert_close(alone[task], values[1:2])


@every_head
@pytest.mark.parametrize("there", [True, False])
def test_gradients_are_finite_and_reach_every_parameter_also_where_nothing_is(head: Head, there: bool) -> None:
    model, (features, mask) = make_model(head).train(), make_batch()
    features = {name: torch.where(mask[name].view(3, 4, *[1] * (rows.ndim - 2)), rows, torch.nan)
                for name, rows in features.items()}
    outputs = model(features, {name: real & there for name, real in mask.items()})
    assert {task: tuple(values.shape) for task, values in outputs.items()} == {"emotion": (3, 4), "valence": (3, 1)}
    sum(values.square().sum() for values in outputs.values()).backward()
    gradients = [parameter.grad for parameter in model.parameters()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
    assert not there or all(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients)


@every_head
def test_a_clip_without_rows_gives_zeros_and_a_gap_is_as_if_cut_out(head: Head) -> None:
    part, (rows, real) = make_head(head), make_rows()
    found = part(rows, real)
    assert found.shape == (3, 6) and found[2].tolist() == [0.0] * 6
    gap = torch.tensor([[True, False, False, True, True]])
    torch.testing.assert_close(part(rows[:1], gap), part(rows[:1, [0, 3, 4]], torch.ones(1, 3, dtype=torch.bool)))


@every_head
def test_only_a_gru_knows_the_order_of_rows(head: Head) -> None:
    part, (rows, real) = make_head(head), make_rows()
    same = torch.allclose(part(rows[:1].flip(1), real[:1]), part(rows[:1], real[:1]), atol=1e-6)
    assert same == (head != "gru")


def test_attention_gives_shares_that_sum_to_one_over_the_rows_that_are_there() -> None:
    rows, real = make_rows()
    part = make_head("attention")
    assert isinstance(part, Attention)
    shares = part.shares(rows, real)
    assert shares[~real].tolist() == [0.0] * 8
    torch.testing.assert_close(shares.sum(1), torch.tensor([1.0, 1.0, 0.0]))
    torch.testing.assert_close(part(rows, real)[1], shares[1, 0] * rows[1, 0] + shares[1, 1] * rows[1, 1])


def test_a_gru_says_the_mean_of_the_states_of_torchs_own() -> None:
    rows, real = make_rows()
    part = make_head("gru")
    assert isinstance(part, Gru) and part.width == 6 and Gru(5).width == 6
    torch.testing.assert_close(part(rows, real)[1], part.network(rows[1:2, :2])[0].mean(1)[0])


def test_the_mean_is_the_mean() -> None:
    rows, real = make_rows()
    torch.testing.assert_close(Mean(6)(rows, real)[1], rows[1, :2].mean(0))


def test_a_gru_learns_what_only_the_order_tells() -> None:
    chance = torch.Generator().manual_seed(4)
    rows = torch.randn(64, 6, 1, generator=chance)
    rising = (torch.arange(64) % 2).bool()
    rows = torch.where(rising.view(64, 1, 1), rows.sort(1).values, rows.sort(1, descending=True).values)
    torch.manual_seed(0)
    model = Sequence(Sequence.Config(head="gru", branch=16, dropout=0.0), {"a": (1,)}, {"rising": 2})
    real = torch.ones(64, 6, dtype=torch.bool)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(60):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model({"a": rows}, {"a": real})["rising"], rising.long()).backward()
        optimiser.step()
    assert (model({"a": rows}, {"a": real})["rising"].argmax(1) == rising).float().mean() > 0.95


@pytest.mark.parametrize(("settings", "message"), [
    ({"pools": ("mean",)}, "leave pools empty"), ({"head": "lstm"}, "one of mean, attention, gru, found lstm"),
    ({"branch": 0}, "at least 1, found 0 and 32"), ({"dropout": 1.0}, "below 1, found 1.0")])
def test_wrong_settings_are_refused(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Sequence.Config(**settings)  # type: ignore[arg-type]
