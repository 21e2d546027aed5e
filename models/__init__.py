"""Models: one file here is one ``--model`` name; it turns feature rows of some clips into outputs for each task.

Plain torch: nothing here knows of stores, clips or training, so a model can be lifted out with this file and its own.
Shape letters: B clips in a batch, T rows of a clip, D width of a row, C outputs of a task.

A clip may lack any input or all of them: its mask is then False throughout and the rest decides. What stands where the
mask is False never reaches the outputs, so padding changes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, Literal

from torch import Tensor, nn

POOLS = ("mean", "std")


@dataclass(frozen=True)
class Context:
    """Where each clip of a batch stands in its conversation, or each track in its video; all (B,).

    A batch holds all clips of each conversation that are asked for at all, and never clips of two splits in one.

    Args:
        dialogue: int64, the same number for clips of one conversation; clips without one stand alone.
        turn: int64, place in it, counted from 0 in order of time.
        speaker: int64, who speaks, numbered within each conversation; −1 unknown.
        start: float32, seconds at which the clip begins in its source.
        times: float32 (B, T), middle of each row in seconds of the source, rising, +inf where there is none; for frame
            models, which are given not whole conversations but tracks that are in view together
            (:func:`pipeline.learning.conversations.scenes`).
    """

    dialogue: Tensor
    turn: Tensor
    speaker: Tensor
    start: Tensor
    times: Tensor | None = None


class Model(nn.Module):
    """The contract of a model: ``forward(features, mask) -> outputs``.

    A model either has hidden units that all tasks share, and defines :meth:`embed` and :meth:`decide`, or defines
    :meth:`forward` itself.

    A model that begins by summing up each clip's rows says so by ``config.pools``. Those statistics hold no parameters,
    so whoever feeds the model computes them once for all clips and passes each clip as a single row (T = 1) of k·D
    numbers, one block of D for each pool in order; ``inputs`` then gives that width. With empty ``pools`` the rows come
    as they are stored, padded to the longest clip of the batch. Pixels (rows stored as uint8) come as they are, in
    [0, 1]; all else is standardised.

    Args:
        config: settings of the model, an instance of its ``Config``.
        inputs: shape of one row as it arrives, by feature.
        outputs: width by task: the number of classes, or 1 for a value.

    Attributes:
        level: ``"clip"`` answers once for a clip, (B, C); ``"frame"`` for each of its rows, (B, T, C). All features of
            a frame model come with the same T, and row k of each is of the same time.
        context: is :meth:`forward` given a :class:`Context` as its third argument? Where a setting decides, this is a
            network's own, and :meth:`reads_context` tells it before there is one.
        stackable: can several such networks compute as one under ``torch.func.vmap``? Not with packed sequences, with
            buffers, nor with chance other than that of :class:`models._dropout.Dropout`.
        auxiliary_weights: by name the weight in the loss of further answers, which a model in training mode may give
            beside those of a task under ``"TASK/NAME"``.
        preferred_inputs: features that it is given, all of them that are stored, where the user names none; with none
            of them stored, or an empty tuple, one for each modality.
        training_defaults: settings of training that suit it better than the usual ones, by name; what the user sets
            comes before them.
    """

    level: ClassVar[Literal["clip", "frame"]] = "clip"
    context: ClassVar[bool] = False
    stackable: ClassVar[bool] = False
    auxiliary_weights: Mapping[str, float] = MappingProxyType({})
    preferred_inputs: ClassVar[tuple[str, ...]] = ()
    training_defaults: ClassVar[Mapping[str, Any]] = MappingProxyType({})

    @dataclass(frozen=True)
    class Config:
        """Settings that every model has.

        Raises:
            ValueError: a pool that does not exist.
        """

        pools: tuple[str, ...] = field(default=(), metadata={
            "help": "statistics that stand for a clip's rows: mean, std; empty: the rows themselves"})

        def __post_init__(self) -> None:
            unknown = [pool for pool in self.pools if pool not in POOLS]
            if unknown:
                raise ValueError(f"pools are {' and '.join(POOLS)}, found {', '.join(unknown)}")

    def __init__(self, config: Any, inputs: Mapping[str, tuple[int, ...]], outputs: Mapping[str, int]) -> None:
        super().__init__()
        self.config = config
        self.inputs = dict(inputs)
        self.outputs = dict(outputs)

    def use_units(self, units: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Be told, before training, by which numbers features are standardised; most models need not know.

        Args:
            units: ``mean`` and ``sd`` of a row, by feature.
        """

    @classmethod
    def reads_context(cls, config: Any) -> bool:
        """Is :meth:`forward`, with these settings, given a :class:`Context` as its third argument?

        Args:
            config: an instance of the model's ``Config``.
        """
        return cls.context

    @property
    def embedding_width(self) -> int:
        """Width of what :meth:`embed` gives; 0 for a model whose tasks have no hidden units in common."""
        return 0

    def embed(self, features: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> Tensor:
        """The hidden units that every task is decided from, float32 (B, embedding_width); for losses on distances.

        With them, ``forward(features, mask)`` is ``decide(embed(features, mask))``.
        """
        raise NotImplementedError

    def decide(self, embedding: Tensor) -> dict[str, Tensor]:
        """Outputs of each task from :meth:`embed`'s units."""
        raise NotImplementedError

    def forward(self, features: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Outputs of each task, logits or a value.

        Args:
            features: rows by feature, float32 (B, T, *row); T may differ between features.
            mask: True where a row is real, bool (B, T), by feature.

        Returns:
            By task, float32 (B, C); (B, T, C) of a frame model.
        """
        return self.decide(self.embed(features, mask))


def count_parameters(model: nn.Module) -> dict[str, int]:
    """Trainable numbers of each part of a model; parts that are collections are opened.

    >>> count_parameters(nn.Sequential(nn.Linear(2, 3), nn.ReLU()))
    {'0': 9, '1': 0}
    """
    parts: dict[str, nn.Module] = {}
    for name, child in model.named_children():
        if isinstance(child, (nn.ModuleDict, nn.ModuleList)):
            parts.update({f"{name}.{inner}": module for inner, module in child.named_children()})
        else:
            parts[name] = child
    counts = {name: sum(p.numel() for p in part.parameters() if p.requires_grad) for name, part in parts.items()}
    own = sum(p.numel() for p in model.parameters(recurse=False) if p.requires_grad)
    return {**counts, **({"own": own} if own else {})}
