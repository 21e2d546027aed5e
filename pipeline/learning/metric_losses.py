"""Losses on distances between clips, added to the cross-entropy and never in its place.

They see the hidden units that all tasks are decided from (:meth:`models.Model.embed`), scaled to length 1, so that
distances lie between 0 and 2. They are lowered while training only; what is validated is each clip alone.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.clip import Task
from pipeline.errors import UsageError
from pipeline.learning.emotions import emotion_distances

MetricChoice = Literal["none", "triplet", "emotion_relation", "centre"]
MARGIN = 0.2                    # of FaceNet (Schroff et al. 2015)


class MetricLoss(nn.Module):
    """A loss on embeddings and classes.

    Attributes:
        num_batches, num_without: batches seen, and those among them in which nothing could be compared.
    """

    num_batches: Tensor
    num_without: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("num_batches", torch.zeros((), dtype=torch.int64))
        self.register_buffer("num_without", torch.zeros((), dtype=torch.int64))

    def forward(self, embedding: Tensor, labels: Tensor) -> Tensor:
        """Mean loss of a batch; 0, with a gradient of 0, where nothing can be compared.

        Args:
            embedding: float32 (B, D).
            labels: class of each clip, int64 (B,), −1 where it has none.
        """
        losses, counts = self.losses(F.normalize(embedding), labels)
        self.num_batches += 1
        self.num_without += ~counts.any()
        return torch.where(counts, losses, 0.0).sum() / counts.sum().clamp(min=1)

    def losses(self, embedding: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Loss of each clip (B,) from embeddings of length 1, and whether it counts, bool (B,)."""
        raise NotImplementedError


class TripletLoss(MetricLoss):
    """Each clip with its farthest clip of the same class and its hardest of another, both from its batch.

    "In Defense of the Triplet Loss" (Hermans, Beyer, Leibe 2017), batch hard; the hardest negative is the one that most
    violates the margin, which may depend on the two classes. A clip is never its own positive.

    Args:
        margins: float32 (C, C): by how much a clip of one class is to be farther than one of its own, by the class of
            the clip and the other class.
    """

    margins: Tensor

    def __init__(self, margins: Tensor) -> None:
        super().__init__()
        self.register_buffer("margins", margins)

    def losses(self, embedding: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        distance = distances(embedding)
        positive, negative = pairs(labels)
        farthest = distance.masked_fill(~positive, -torch.inf).max(1)
        known = labels.clamp(min=0)
        lack = self.margins[known][:, known] - distance                     # (B, B)
        hardest = lack.masked_fill(~negative, -torch.inf).max(1)
        counts = positive.any(1) & negative.any(1)
        total = torch.where(counts, farthest.values, 0.0) + torch.where(counts, hardest.values, 0.0)
        return F.relu(total), counts


class CentreLoss(MetricLoss):
    """Half the squared distance of each clip from the centre of its class, which is learnt along (Wen et al. 2016).

    Args:
        num_classes: C.
        width: D of the embeddings.
    """

    def __init__(self, num_classes: int, width: int) -> None:
        super().__init__()
        self.centres = nn.Parameter(F.normalize(torch.randn(num_classes, width)))

    def losses(self, embedding: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        apart = embedding - self.centres[labels.clamp(min=0)]               # (B, D)
        return apart.square().sum(1) / 2, labels >= 0


def metric_loss(choice: MetricChoice, task: Task, width: int) -> MetricLoss | None:
    """The loss that a setting means.

    Args:
        choice: ``"none"``; ``"triplet"``: one margin for all; ``"emotion_relation"``: a margin that grows with the
            distance between the two emotions, from :data:`MARGIN` for one place to three times as much across the
            circle; ``"centre"``.
        task: whose classes are compared.
        width: of the model's embedding; 0 where it has none.

    Returns:
        The loss, with fresh parameters; None for ``"none"``.

    Raises:
        UsageError: the task has no classes, one of them is no emotion of a known place, or the model has no embedding.
    """
    if choice == "none":
        return None
    if not task.classes:
        raise UsageError(f"metric_loss={choice} compares classes, and task {task.name!r} has none; name a task of"
                         " classes first with --tasks, or set metric_loss=none")
    if not width:
        raise UsageError(f"metric_loss={choice} needs a model whose tasks are decided from hidden units in common, such"
                         " as early, intermediate or cross_attention; choose one with --model, or set metric_loss=none")
    if choice == "centre":
        return CentreLoss(len(task.classes), width)
    margins = torch.full((len(task.classes),) * 2, MARGIN)
    if choice == "emotion_relation":
        margins *= 1 + torch.from_numpy(emotion_distances(task.classes))
    return TripletLoss(margins)


def distances(embedding: Tensor) -> Tensor:
    """Euclidean distance of each embedding (B, D) of length 1 from each, (B, B).

    At least 0.001, with no gradient there: from products, which are faster than differences and lose what is closer.
    """
    return (2 - 2 * embedding @ embedding.mT).clamp(min=1e-6).sqrt()


def pairs(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Which clips go together and which do not.

    Args:
        labels: int64 (B,), −1 where a clip has none.

    Returns:
        Two bool (B, B): of the same class, a clip never with itself; of different classes. Unlabelled clips are in
        neither.
    """
    known = labels >= 0
    both = known.unsqueeze(1) & known.unsqueeze(0)
    same = labels.unsqueeze(1) == labels.unsqueeze(0)
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    return both & same & ~itself, both & ~same
