"""Conversations: each utterance is read with what was said before it (and after), and with what its speaker said.

Every modality of an utterance becomes a branch, as in intermediate fusion; then the utterances of a conversation are
read in order. The recurrent variant has two readers: one of all turns and one of each speaker's own turns, after the
global and party states of N. Majumder et al., "DialogueRNN" (AAAI 2019), here as plain GRUs. The attention variant lets
every turn look at the others, by how many turns they are away and by whether the same person speaks, after Shaw et al.,
"Self-Attention with Relative Position Representations" (NAACL 2018).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from models import Context, Model
from models._pooling import PooledConfig, apply_heads, heads, part_name, pooled, width

MOST_TURNS_APART = 16           # turns further away than this are told apart no more


class Dialogue(Model):
    """Branches, a reader of the conversation, heads.

    What the utterance says of itself goes to the heads too, so that a clip without a conversation is answered as by
    intermediate fusion. Whoever is unknown is read as somebody who says this one thing.
    """

    context = True

    @dataclass(frozen=True)
    class Config(PooledConfig):
        """Settings of the dialogue model.

        Raises:
            ValueError: a size below 1, or heads that do not divide the units.
        """

        variant: Literal["recurrent", "attention"] = field(default="recurrent", metadata={
            "help": "how a conversation is read: recurrent (GRU) or attention"})
        reads: Literal["both", "past"] = field(default="both", metadata={
            "help": "past: nothing that is said later is seen, as in live use; both: the whole conversation"})
        hidden: int = field(default=128, metadata={"help": "units of an utterance, and of each direction of a reader"})
        layers: int = field(default=1, metadata={"help": "layers of the reader"})
        attention_heads: int = field(default=4, metadata={"help": "heads of the attention variant"})

        def __post_init__(self) -> None:
            super().__post_init__()
            if min(self.hidden, self.layers, self.attention_heads) < 1 or self.hidden % self.attention_heads:
                raise ValueError(f"hidden ({self.hidden}), layers ({self.layers}) and attention_heads"
                                 f" ({self.attention_heads}) are at least 1, and the heads divide hidden")

    def __init__(self, config: Config, inputs: Mapping[str, tuple[int, ...]], outputs: Mapping[str, int]) -> None:
        super().__init__(config, inputs, outputs)
        self.branches = nn.ModuleDict({part_name(name): nn.Linear(width(row), config.hidden)
                                       for name, row in inputs.items()})
        self.dropout = nn.Dropout(config.dropout)
        reader = _Recurrent if config.variant == "recurrent" else _Attention
        self.reader = reader(config)
        self.heads = heads(config.hidden + self.reader.width, outputs)

    def forward(self, features: Mapping[str, Tensor], mask: Mapping[str, Tensor],
                context: Context | None = None) -> dict[str, Tensor]:
        """Outputs of each task for every clip.

        Args:
            features, mask: as for every model.
            context: where each clip stands in its conversation; None: each stands alone.

        Returns:
            By task, float32 (B, C).
        """
        units = torch.stack([self.branches[part_name(name)](values) * present for name in self.inputs
                             for values, present in (pooled(features, mask, name),)]).sum(0)
        units = self.dropout(torch.relu(units))                             # (B, H)
        alone = torch.arange(len(units), device=units.device)
        where = context or Context(alone, torch.zeros_like(alone), torch.zeros_like(alone), units.new_zeros(len(units)))
        read = self.dropout(self.reader(units, where))
        return apply_heads(self.heads, torch.cat([units, read], dim=1), self.outputs)


class _Recurrent(nn.Module):
    """A GRU over all turns of a conversation, and one over the turns of each speaker."""

    def __init__(self, config: Dialogue.Config) -> None:
        super().__init__()
        directions = 2 if config.reads == "both" else 1
        self.turns, self.own = (nn.GRU(config.hidden, config.hidden, config.layers, batch_first=True,
                                       bidirectional=directions == 2) for _ in range(2))
        self.width = 2 * directions * config.hidden

    def forward(self, units: Tensor, where: Context) -> Tensor:
        """Utterances (B, H) → what was read around each (B, width)."""
        speaker = torch.where(where.speaker < 0, -1 - torch.arange(len(units), device=units.device), where.speaker)
        _, person = torch.unique(torch.stack([where.dialogue, speaker]), dim=1, return_inverse=True)
        return torch.cat([_read(self.turns, units, where.dialogue, where.turn),
                          _read(self.own, units, person, where.turn)], dim=1)


def _read(reader: nn.GRU, units: Tensor, sequence: Tensor, turn: Tensor) -> Tensor:
    """States of a GRU at each of some utterances (B, H), which stand in sequences (B,) in the order of turns (B,)."""
    row, column, lengths = lay_out(sequence, turn)
    grid = units.new_zeros(len(lengths), int(lengths.max()), units.shape[1])
    grid[row, column] = units
    packed = pack_padded_sequence(grid, lengths.cpu(), batch_first=True, enforce_sorted=False)
    states: Tensor = pad_packed_sequence(reader(packed)[0], batch_first=True)[0]
    return states[row, column]


def lay_out(sequence: Tensor, turn: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Where each utterance stands when sequences are laid side by side.

    Args:
        sequence: number of each utterance's sequence, int64 (B,).
        turn: order within it, int64 (B,).

    Returns:
        Row and column of each utterance, (B,), and the length of each row.

    >>> [part.tolist() for part in lay_out(torch.tensor([5, 2, 5]), torch.tensor([9, 0, 3]))]
    [[1, 0, 1], [1, 0, 0], [1, 2]]
    """
    _, row, lengths = torch.unique(sequence, return_inverse=True, return_counts=True)
    by_turn = torch.argsort(turn, stable=True)
    order = by_turn[torch.argsort(row[by_turn], stable=True)]
    first = lengths.cumsum(0) - lengths
    column = torch.empty_like(row)
    column[order] = torch.arange(len(row), device=row.device) - first.repeat_interleave(lengths)
    return row, column, lengths


class _Attention(nn.Module):
    """Layers of attention between the turns of a conversation, with a learnt say of distance and of who speaks.

    torch's layer holds the weights; they are applied here, to utterances before these are padded into a grid.
    """

    def __init__(self, config: Dialogue.Config) -> None:
        super().__init__()
        self.width, self.num_heads, self.past = config.hidden, config.attention_heads, config.reads == "past"
        self.attention = nn.ModuleList([nn.MultiheadAttention(config.hidden, config.attention_heads, batch_first=True)
                                        for _ in range(config.layers)])
        self.norms = nn.ModuleList([nn.LayerNorm(config.hidden) for _ in range(config.layers)])
        self.apart = nn.Embedding(2 * MOST_TURNS_APART + 1, config.attention_heads)
        self.same = nn.Parameter(torch.zeros(config.attention_heads))
        nn.init.zeros_(self.apart.weight)

    def forward(self, units: Tensor, where: Context) -> Tensor:
        """Utterances (B, H) → what was read around each (B, H)."""
        row, column, lengths = lay_out(where.dialogue, where.turn)
        longest = int(lengths.max())
        speaker = where.speaker.new_full((len(lengths), longest), -1)
        speaker[row, column] = where.speaker
        steps = torch.arange(longest, device=units.device)
        apart = (steps[None] - steps[:, None]).clamp(-MOST_TURNS_APART, MOST_TURNS_APART)   # (L, L)
        same = (speaker[:, :, None] == speaker[:, None, :]) & (speaker >= 0)[:, None, :]    # (G, L, L)
        bias = self.apart(apart + MOST_TURNS_APART).permute(2, 0, 1) + same.unsqueeze(1) * self.same.view(-1, 1, 1)
        hidden = (steps >= lengths.unsqueeze(1)).view(len(lengths), 1, 1, longest)
        if self.past:
            hidden = hidden | (steps[None] > steps[:, None])
        bias = bias.masked_fill(hidden, -torch.inf)                                         # (G, heads, L, L)
        for attention, norm in zip(self.attention, self.norms, strict=True):
            assert isinstance(attention, nn.MultiheadAttention)
            asked = F.linear(units, attention.in_proj_weight, attention.in_proj_bias)       # (B, 3 H), no padding yet
            grid = asked.new_zeros(len(lengths), longest, asked.shape[1])
            grid[row, column] = asked
            query, key, value = grid.view(len(lengths), longest, 3, self.num_heads, -1).permute(2, 0, 3, 1, 4)
            read = F.scaled_dot_product_attention(query, key, value, bias)                  # (G, heads, L, H / heads)
            units = norm(units + attention.out_proj(read.transpose(1, 2)[row, column].flatten(1)))
        return units
