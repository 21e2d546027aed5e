"""The transformer over rows of all features: what a row's time is, which rows meet, and what is never read."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models.transformer import Layer, Transformer, num_waves, stretches, waves_of

INPUTS = {"text_bert": (6,), "audio_logmel": (4, 2)}
OUTPUTS = {"emotion": 5, "sentiment": 3}
SMALL = Transformer.Config(width=16, layers=2, heads=2, rows=4)


def make_model(config: Transformer.Config = SMALL, inputs: dict[str, tuple[int, ...]] | None = None,
               outputs: dict[str, int] | None = None) -> Transformer:
    torch.manual_seed(0)
    model = Transformer(config, inputs or INPUTS, outputs or OUTPUTS).eval()
    with torch.no_grad():
        model.modality.add_(torch.randn_like(model.modality))
    return model


def make_batch(num_clips: int = 3, steps: int = 4) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    chance = torch.Generator().manual_seed(1)
    features = {name: torch.randn(num_clips, steps, *row, generator=chance) for name, row in INPUTS.items()}
    return features, {name: torch.ones(num_clips, steps, dtype=torch.bool) for name in INPUTS}


def test_each_task_is_decided_from_a_row_of_its_own() -> None:
    model, (features, mask) = make_model(), make_batch()
    units = model.embed(features, mask)
    assert units.shape == (3, model.embedding_width) == (3, 2 * 16)
    assert not torch.allclose(units[:, :16], units[:, 16:], atol=1e-3)
    answers = model.decide(units)
    torch.testing.assert_close(answers, model(features, mask))
    changed = model.decide(torch.cat([units[:, :16], torch.zeros(3, 16)], 1))
    torch.testing.assert_close(changed["emotion"], answers["emotion"])
    assert not torch.allclose(changed["sentiment"], answers["sentiment"])


def test_the_order_of_rows_and_what_they_are_of_have_a_say() -> None:
    model, (features, mask) = make_model(inputs={"a": (6,), "b": (6,)}), make_batch()
    one = {name: features["text_bert"] * sign for name, sign in (("a", 1), ("b", -1))}
    mask = {name: mask["text_bert"] for name in one}
    with torch.no_grad():
        model.projections["for_b"].load_state_dict(model.projections["for_a"].state_dict())
    before = model(one, mask)["emotion"]
    assert not torch.allclose(model({**one, "a": one["a"].flip(1)}, mask)["emotion"], before, atol=1e-4)
    assert not torch.allclose(model({"a": one["b"], "b": one["a"]}, mask)["emotion"], before, atol=1e-4)


def test_the_same_rows_at_twice_the_rate_say_the_same() -> None:
    model, (features, mask) = make_model(), make_batch()
    twice = [{name: part.repeat_interleave(2, 1) if name == "audio_logmel" else part for name, part in values.items()}
             for values in (features, mask)]
    torch.testing.assert_close(model(*twice), model(features, mask))


def test_a_clip_answers_the_same_beside_one_that_is_far_longer() -> None:
    model, (features, mask) = make_model(), make_batch(steps=3)
    longer = {name: torch.cat([F.pad(values.flatten(2), (0, 0, 0, 40)), torch.randn(1, 43, values[0, 0].numel())]).view(
        4, 43, *values.shape[2:]) for name, values in features.items()}
    real = {name: torch.cat([F.pad(part, (0, 40)), torch.ones(1, 43, dtype=torch.bool)]) for name, part in mask.items()}
    for task, values in model(longer, real).items():
        torch.testing.assert_close(values[:3], model(features, mask)[task])


def test_it_matters_not_where_padding_stands() -> None:
    model, (features, mask) = make_model(), make_batch()
    spread = {name: torch.full((3, 9, *values.shape[2:]), torch.nan) for name, values in features.items()}
    for name, values in features.items():
        spread[name][:, [1, 4, 5, 8]] = values
    real = torch.isin(torch.arange(9), torch.tensor([1, 4, 5, 8])).expand(3, 9)
    torch.testing.assert_close(model(spread, dict.fromkeys(features, real)), model(features, mask))


@pytest.mark.parametrize(("mask", "most", "rows", "real", "places"), [
    ([1, 1, 1, 1], 4, [1, 2, 3, 4], [1, 1, 1, 1], [.125, .375, .625, .875]),
    ([1, 1, 1, 1], 2, [1.5, 3.5], [1, 1], [.25, .75]), ([1, 1, 1, 0], 2, [1.5, 3], [1, 1], [.25, .75]),
    ([0, 1, 0, 1], 3, [2, 4, 0], [1, 1, 0], [.25, .75]), ([1, 1, 1, 1], 1, [2.5], [1], [.5]),
    ([0, 0, 0, 0], 3, [0, 0, 0], [0, 0, 0], [])])
def test_rows_become_equal_stretches(mask: list[int], most: int, rows: list[float], real: list[int],
                                     places: list[float]) -> None:
    known = torch.tensor([mask], dtype=torch.bool)
    values = torch.where(known, torch.arange(1.0, 5.0), torch.nan).unsqueeze(2)
    found, there, place = stretches(values, known, most)
    assert found.flatten().tolist() == rows and there.flatten().tolist() == real
    assert place[there].tolist() == places


@pytest.mark.parametrize("rows", [1, 2, 5, 16, 64])
def test_waves_tell_all_rows_of_a_clip_apart(rows: int) -> None:
    waves = waves_of((torch.arange(rows) + 0.5).unsqueeze(0) / rows, num_waves(rows))[0]
    apart = torch.cdist(waves, waves) + 9 * torch.eye(rows)
    assert waves.shape == (rows, num_waves(rows)) and apart.min() > 0.5


def test_the_last_layer_works_out_the_first_rows_as_it_would_all() -> None:
    layer = Layer(8, 2, 0.3).eval()
    rows, real = torch.randn(2, 5, 8), torch.tensor([[1, 1, 1, 0, 1], [1, 0, 0, 0, 0]], dtype=torch.bool)
    torch.testing.assert_close(layer(rows, real, 2), layer(rows, real, 5)[:, :2])
    other = torch.where(real.unsqueeze(2), rows, 7.0)
    torch.testing.assert_close(layer(other, real, 1), layer(rows, real, 1))


def test_it_reads_as_the_layer_of_torch_does() -> None:
    own, usual = Layer(8, 2, 0.0), torch.nn.TransformerEncoderLayer(8, 2, 16, 0.0, "gelu", batch_first=True,
                                                                    norm_first=True)
    parts = {"in_proj_weight": torch.cat([own.asked.weight, own.offered.weight]),
             "in_proj_bias": torch.cat([own.asked.bias, own.offered.bias])}
    usual.self_attn.load_state_dict({**parts, "out_proj.weight": own.read[0].weight, "out_proj.bias": own.read[0].bias})
    for mine, theirs in ((own.worked[0], usual.linear1), (own.worked[3], usual.linear2)):
        theirs.load_state_dict(mine.state_dict())
    rows, real = torch.randn(3, 5, 8), torch.tensor([1, 1, 1, 0, 1], dtype=torch.bool).expand(3, 5)
    torch.testing.assert_close(own(rows, real, 5), usual(rows, src_key_padding_mask=~real))


@pytest.mark.parametrize("rate", [1, 2])
def test_it_learns_whether_two_features_move_at_the_same_time(rate: int) -> None:
    """A mark stands in one row of each feature: no row and no feature by itself tells whether they meet."""
    chance = torch.Generator().manual_seed(0)
    first, second = torch.randint(3, (2, 160), generator=chance)
    second = torch.where(torch.rand(160, generator=chance) < 0.5, first, second)
    labels, marks = (first == second).long(), [F.one_hot(place, 3).mul(3.0).unsqueeze(2) for place in (first, second)]
    features = {"a": marks[0], "b": marks[1].repeat_interleave(rate, 1)}
    mask = {name: torch.ones(values.shape[:2], dtype=torch.bool) for name, values in features.items()}
    torch.manual_seed(0)
    model = Transformer(Transformer.Config(width=32, rows=3 * rate, dropout=0.0), {"a": (1,), "b": (1,)}, {"meet": 2})
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(80):
        optimiser.zero_grad()
        F.cross_entropy(model(*[{name: part[:60] for name, part in values.items()} for values in (features, mask)])[
            "meet"], labels[:60]).backward()
        optimiser.step()
    said = model.eval()(features, mask)["meet"].argmax(1)
    assert (said == labels)[60:].float().mean() > 0.95


@pytest.mark.parametrize(("settings", "message"), [
    ({"rows": 0}, "width, layers, heads and rows are at least 1, found 64, 2, 4 and 0"),
    ({"heads": 5}, "5 heads cannot share a width of 64; choose a multiple"),
    ({"dropout": 1.0}, "dropout is at least 0 and below 1, found 1.0")])
def test_wrong_settings_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Transformer.Config(**settings)  # type: ignore[arg-type]
