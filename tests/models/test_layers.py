"""The learnt mix of an encoder's layers: in front of every model, read out, and never mistaken for maps."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from models import Model, count_parameters
from models._layers import LayerMix, Mixed
from models.cross_attention import CrossAttention
from pipeline import plugins

INPUTS: dict[str, tuple[int, ...]] = {"audio_encoder": (5, 6), "face_encoder@all": (3, 4), "face_r3d101": (8, 9)}
LAYERED = ("audio_encoder", "face_encoder@all")
OUTPUTS = {"emotion": 4}
# Models that take any features, an answer a clip.
MODELS = ("early", "late", "intermediate", "cross_attention")


def make_model(name: str, inputs: dict[str, tuple[int, ...]] = INPUTS, layered: tuple[str, ...] = LAYERED) -> Mixed:
    torch.manual_seed(0)
    kind: Any = plugins.plugin_class("model", name)
    return Mixed(lambda shapes: kind(kind.Config(), shapes, OUTPUTS), inputs, layered).eval()


def make_batch(num_clips: int = 4, steps: int = 3) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    chance = torch.Generator().manual_seed(1)
    features = {name: torch.randn(num_clips, steps, *row, generator=chance) for name, row in INPUTS.items()}
    return features, {name: torch.ones(num_clips, steps, dtype=torch.bool) for name in INPUTS}


def test_a_mix_is_the_mean_of_the_layers_at_first_and_their_weighted_sum_later() -> None:
    mix, rows = LayerMix(3), torch.randn(2, 7, 3, 5)
    torch.testing.assert_close(mix(rows), rows.mean(2))
    with torch.no_grad():
        mix.scores.copy_(torch.tensor([0.0, 9.0, 0.0]))
    torch.testing.assert_close(mix(rows), rows[:, :, 1])
    torch.testing.assert_close(mix.weights.sum(), torch.tensor(1.0))


@pytest.mark.parametrize("name", MODELS)
def test_the_model_itself_gets_rows_of_units_and_maps_as_they_are(name: str) -> None:
    model, (features, mask) = make_model(name), make_batch()
    assert model.model.inputs == {"audio_encoder": (6,), "face_encoder@all": (4,), "face_r3d101": (8, 9)}
    assert model.inputs == INPUTS and isinstance(model.config, type(model.model.config))
    plain = {**features, **{name: features[name].mean(2) for name in LAYERED}}
    torch.testing.assert_close(model(features, mask), model.model(plain, mask))


def test_layers_are_not_mistaken_for_channels_of_a_map() -> None:
    model = make_model("cross_attention")
    assert isinstance(model.model, CrossAttention) and list(model.model.maps) == ["for_face_r3d101"]
    mistaken = CrossAttention(CrossAttention.Config(), INPUTS, OUTPUTS)
    assert "for_face_encoder@all" in mistaken.maps, "the shape alone does not say, so that somebody has to"


@pytest.mark.parametrize("name", [name for name in MODELS if name != "late"])
def test_losses_on_distances_see_the_same_units(name: str) -> None:
    model, (features, mask) = make_model(name), make_batch()
    embedding = model.embed(features, mask)
    assert embedding.shape == (4, model.embedding_width) and model.embedding_width > 0
    torch.testing.assert_close(model.decide(embedding), model(features, mask))


@pytest.mark.parametrize("name", MODELS)
def test_padding_and_what_an_absent_input_holds_change_neither_answers_nor_gradients(name: str) -> None:
    model, (features, mask) = make_model(name), make_batch()
    padded = {key: torch.cat([values, torch.full_like(values, torch.nan)], 1) for key, values in features.items()}
    longer = {key: F.pad(part, (0, 3)) for key, part in mask.items()}
    torch.testing.assert_close(model(padded, longer), model(features, mask))
    longer["audio_encoder"] = torch.zeros_like(longer["audio_encoder"])
    model(padded, longer)["emotion"].sum().backward()
    assert all(part.grad is None or part.grad.isfinite().all() for part in model.mixes.parameters())


def test_every_mix_learns_and_is_counted() -> None:
    model = make_model("early")
    model(*make_batch())["emotion"].square().sum().backward()
    assert all(part.grad is not None and part.grad.any() for part in model.mixes.parameters())
    counts = count_parameters(model)
    assert counts["mixes.for_audio_encoder"] == 5 and sum(counts.values()) == sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("name", MODELS)
def test_the_layer_that_carries_the_label_gets_the_weight(name: str) -> None:
    """Of five layers the third alone tells the class; trained as ``train`` trains by default."""
    torch.manual_seed(0)
    model = make_model(name, {"audio_encoder": (5, 6)}, ("audio_encoder",)).train()
    labels = torch.arange(256) % 4
    rows = torch.randn(256, 1, 5, 6)
    rows[:, 0, 3, :4] += 2 * F.one_hot(labels, 4)
    mask = torch.ones(256, 1, dtype=torch.bool)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1.0)
    for _ in range(300):
        batch = torch.randperm(256)[:64]
        optimiser.zero_grad()
        loss = F.cross_entropy(model({"audio_encoder": rows[batch]}, {"audio_encoder": mask[batch]})["emotion"],
                               labels[batch])
        torch.autograd.backward(loss)
        optimiser.step()
    weights = model.layer_weights()["audio_encoder"]
    assert weights.argmax() == 3 and weights[3] > 0.5 and not weights.requires_grad
    assert (model.eval()({"audio_encoder": rows}, {"audio_encoder": mask})["emotion"].argmax(1) == labels).float() \
        .mean() > 0.8


def test_a_model_behind_a_mix_says_of_itself_what_it_is() -> None:
    class Turns(Model):
        """Asks for the conversation, and answers for each row."""

        level, context = "frame", True

        def forward(self, features: object, mask: object, *context: object) -> dict[str, Tensor]:
            return {"context": torch.tensor(context)}

    model = Mixed(lambda shapes: Turns(Turns.Config(), shapes, OUTPUTS), {"a": (2, 3)}, ["a"])
    assert (model.level, model.context, model.embedding_width) == ("frame", True, 0)
    batch = {"a": torch.zeros(1, 1, 2, 3)}, {"a": torch.ones(1, 1, dtype=torch.bool)}
    assert model(*batch, 7)["context"].tolist() == [7]
