"""What the dialogue model may see: its own conversation, in order, and with past only nothing that comes later."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from torch import Tensor

from models import Context
from models.dialogue import MOST_TURNS_APART, Dialogue

SETTINGS = [{"variant": variant, "reads": reads} for variant in ("recurrent", "attention")
            for reads in ("both", "past")]


def make_model(**settings: object) -> Dialogue:
    torch.manual_seed(0)
    model = Dialogue(Dialogue.Config(hidden=8, attention_heads=2, **settings),  # type: ignore[arg-type]
                     {"text": (3,)}, {"emotion": 2}).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def context(dialogue: list[int], turn: list[int], speaker: list[int]) -> Context:
    return Context(torch.tensor(dialogue), torch.tensor(turn), torch.tensor(speaker), torch.zeros(len(turn)))


def answers(model: Dialogue, values: Tensor, where: Context | None) -> Tensor:
    mask = torch.ones(len(values), 1, dtype=torch.bool)
    found: Tensor = model({"text": values.unsqueeze(1)}, {"text": mask}, where)["emotion"]
    return found


DIALOGUE, TURN, SPEAKER = [7, 7, 7, 7, 3, 3], [0, 1, 2, 3, 0, 1], [0, 1, 0, -1, 0, 1]


@pytest.mark.parametrize("settings", SETTINGS)
def test_only_turns_of_ones_own_conversation_have_a_say_and_later_ones_only_where_both_are_read(
        settings: dict[str, str]) -> None:
    model, values = make_model(**settings), torch.randn(6, 3)
    where = context(DIALOGUE, TURN, SPEAKER)
    before = answers(model, values, where)
    for changed in range(6):
        other = values.clone()
        other[changed] += 1
        moved = (answers(model, other, where) - before).abs().amax(1) > 1e-6
        both = settings["reads"] == "both"
        reached = [DIALOGUE[place] == DIALOGUE[changed] and (both or TURN[place] >= TURN[changed])
                   for place in range(6)]
        assert moved.tolist() == reached


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_order_of_a_batch_and_its_other_conversations_do_not_matter(settings: dict[str, str]) -> None:
    model, values = make_model(**settings), torch.randn(6, 3)
    before = answers(model, values, context(DIALOGUE, TURN, SPEAKER))
    order = torch.tensor([4, 2, 0, 5, 3, 1])
    mixed = answers(model, values[order], context(*([part[place] for place in order] for part in (
        DIALOGUE, TURN, SPEAKER))))
    torch.testing.assert_close(mixed, before[order])
    torch.testing.assert_close(answers(model, values[:4], context(DIALOGUE[:4], TURN[:4], SPEAKER[:4])), before[:4])


@pytest.mark.parametrize("settings", SETTINGS)
def test_who_speaks_matters_and_holes_between_turns_do_not(settings: dict[str, str]) -> None:
    model, values = make_model(**settings), torch.randn(4, 3)
    before = answers(model, values, context([1] * 4, [0, 1, 2, 3], [0, 1, 0, 1]))
    assert not torch.allclose(answers(model, values, context([1] * 4, [0, 1, 2, 3], [0, 0, 1, 1])), before)
    torch.testing.assert_close(answers(model, values, context([1] * 4, [2, 5, 6, 90], [0, 1, 0, 1])), before)


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_clip_alone_is_one_that_is_given_no_conversation(settings: dict[str, str]) -> None:
    model, values = make_model(**settings), torch.randn(3, 3)
    alone = context([0, 1, 2], [0] * 3, [0] * 3)
    torch.testing.assert_close(answers(model, values, None), answers(model, values, alone))


def test_the_weights_of_attention_mean_what_they_mean_to_torchs_own_layer() -> None:
    model, units = make_model(variant="attention", layers=2), torch.randn(5, 8)
    speaker, reader = [0, 1, 0, -1, 1], cast(Any, model.reader)
    where = context([4] * 5, [0, 1, 2, 3, 4], speaker)
    bias = torch.stack([torch.stack([reader.apart.weight[MOST_TURNS_APART + key - query] + reader.same * (
        speaker[query] == speaker[key] != -1) for key in range(5)]) for query in range(5)]).permute(2, 0, 1)
    expected = units.unsqueeze(0)
    for attention, norm in zip(reader.attention, reader.norms, strict=True):
        expected = norm(expected + attention(expected, expected, expected, attn_mask=bias, need_weights=False)[0])
    torch.testing.assert_close(reader(units, where), expected[0])


@pytest.mark.parametrize("variant", ["recurrent", "attention"])
def test_what_was_said_before_is_learnt_from(variant: str) -> None:
    torch.manual_seed(0)
    model = Dialogue(Dialogue.Config(variant=variant, hidden=16, dropout=0.0),  # type: ignore[arg-type]
                     {"text": (1,)}, {"emotion": 2})
    signs = torch.randint(0, 2, (40, 6))
    where = context([place // 6 for place in range(240)], [place % 6 for place in range(240)], [0] * 240)
    labels = torch.roll(signs, 1, dims=1)
    labels[:, 0] = -1
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(80):
        loss = torch.nn.functional.cross_entropy(answers(model, signs.float().reshape(-1, 1), where),
                                                 labels.reshape(-1), ignore_index=-1)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    found = answers(model.eval(), signs.float().reshape(-1, 1), where).argmax(1).view(40, 6)
    assert (found[:, 1:] == labels[:, 1:]).float().mean() > 0.95


def test_wrong_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="the heads divide hidden"):
        Dialogue.Config(hidden=10, attention_heads=4)
    with pytest.raises(ValueError, match="at least 1"):
        Dialogue.Config(layers=0)
