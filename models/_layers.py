"""A learnt mix of an encoder's layers in front of any model, as in ELMo (Peters 2018) and SUPERB (Yang 2021).

Some features hold all layers of an encoder, so that a row is (layers, units). Their shape alone does not say so, for
maps of pictures are (channels, places): whoever builds a model names such features. A model itself never sees them; it
gets the mix, a row of units.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from models import Model
from models._pooling import part_name

# Adam moves a parameter by about the learning rate a step, whatever its gradient: by 0.6 in 600 steps of 0.001, which
# could not tell thirteen layers apart. What the softmax sees moves so many times faster.
SHARPNESS = 10.0


class LayerMix(nn.Module):
    """The mean of some layers by weights that are learnt and sum to 1; equal at first.

    Args:
        num_layers: to be mixed.
    """

    def __init__(self, num_layers: int) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.zeros(num_layers))

    @property
    def weights(self) -> Tensor:
        """Share of each layer, float32 (layers,), summing to 1."""
        return (SHARPNESS * self.scores).softmax(0)

    def forward(self, rows: Tensor) -> Tensor:
        """Rows (..., layers, units) → (..., units)."""
        return (rows * self.weights.unsqueeze(1)).sum(-2)


class Mixed(Model):
    """A model that is given the mix where a feature holds all layers of an encoder.

    Args:
        model: makes the model, from the rows' shapes as it gets them.
        inputs: shape of one row as it arrives, by feature.
        layered: features whose rows are (layers, units).

    Attributes:
        model: the model itself.
    """

    def __init__(self, model: Callable[[Mapping[str, tuple[int, ...]]], Model],
                 inputs: Mapping[str, tuple[int, ...]], layered: Collection[str]) -> None:
        inner = model({name: row[1:] if name in layered else row for name, row in inputs.items()})
        super().__init__(inner.config, inputs, inner.outputs)
        self.mixes = nn.ModuleDict({part_name(name): LayerMix(inputs[name][0]) for name in inputs if name in layered})
        self.model = inner
        for name in ("level", "context", "stackable", "auxiliary_weights"):
            setattr(self, name, getattr(inner, name))

    def use_units(self, units: Mapping[str, Mapping[str, Tensor]]) -> None:
        self.model.use_units({name: part for name, part in units.items() if part_name(name) not in self.mixes})

    @property
    def embedding_width(self) -> int:
        return self.model.embedding_width

    def layer_weights(self) -> dict[str, Tensor]:
        """Share of each layer in the mix, from below the first to the last, (layers,), by feature; detached."""
        mixes = {name: self.mixes[part_name(name)] for name in self.inputs if part_name(name) in self.mixes}
        return {name: mix.weights.detach() for name, mix in mixes.items() if isinstance(mix, LayerMix)}

    def mixed(self, features: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What the model itself is given: features (B, T, layers, units) as (B, T, units), the others as they are."""
        found = dict(features)
        for name in self.inputs:
            if part_name(name) in self.mixes:
                real = torch.where(mask[name][..., None, None], features[name], 0.0)
                found[name] = self.mixes[part_name(name)](real)             # (B, T, units)
        return found

    def embed(self, features: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> Tensor:
        return self.model.embed(self.mixed(features, mask), mask)

    def decide(self, embedding: Tensor) -> dict[str, Tensor]:
        return self.model.decide(embedding)

    def forward(self, features: Mapping[str, Tensor], mask: Mapping[str, Tensor], *context: Any) -> dict[str, Tensor]:
        outputs: dict[str, Tensor] = self.model(self.mixed(features, mask), mask, *context)
        return outputs
