"""What training lowers: cross-entropy by class weights, and concordance or squared error, over the labelled clips."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.clip import Task


@dataclass(frozen=True)
class TaskLoss:
    """The loss of one task, which skips clips without a label.

    Args:
        task: whose.
        weights: of each class, float32 (C,), on the device; unused for values.
        label_smoothing: share of the target that is spread over all classes.
        value_loss: of regressions, ``"ccc"`` or ``"mse"``.
        mean, sd: of a regression's training values; the network answers in these units.
    """

    task: Task
    weights: Tensor
    label_smoothing: float = 0.0
    value_loss: str = "ccc"
    mean: float = 0.0
    sd: float = 1.0

    @property
    def scale(self) -> tuple[float, float]:
        """What turns an output into the task's units."""
        return self.mean, self.sd

    def __call__(self, outputs: Tensor, labels: Tensor) -> Tensor:
        """Mean loss of a batch: outputs (..., C), labels (...,); 0 when nothing has a label."""
        outputs, labels = outputs.flatten(0, -2), labels.flatten()
        if self.task.classes:
            known = labels >= 0
            total = F.cross_entropy(outputs, labels, weight=self.weights, ignore_index=-1, reduction="sum",
                                    label_smoothing=self.label_smoothing)
            weight = torch.where(known, self.weights[labels.clamp(min=0)], 0.0).sum()
            return total / weight.clamp(min=torch.finfo(total.dtype).tiny)
        known = ~labels.isnan()
        truth = (torch.where(known, labels, self.mean) - self.mean) / self.sd
        return value_loss(outputs[:, 0], truth, known.float(), self.value_loss)


def value_loss(values: Tensor, truth: Tensor, known: Tensor, kind: str) -> Tensor:
    """Loss of a regression over the clips where ``known`` is 1, all (B,): mean squared error, or 1 − concordance.

    The concordance correlation of a batch (Lin 1989) is 0 where the truth does not vary.
    """
    count = known.sum().clamp(min=1)
    if kind == "mse":
        return ((values - truth).square() * known).sum() / count
    mean_x, mean_y = (values * known).sum() / count, (truth * known).sum() / count
    x, y = (values - mean_x) * known, (truth - mean_y) * known
    apart = (x.square().sum() + y.square().sum()) / count + (mean_x - mean_y).square()
    return 1 - 2 * (x * y).sum() / count / apart.clamp(min=1e-8)


def class_weights(labels: np.ndarray, num_classes: int, kind: str) -> np.ndarray:
    """Weight of each class, float32 (C,): ``(N / (C n))`` to the power 0 (none), ½ (sqrt) or 1 (inverse).

    A class that does not occur weighs as one that occurs once.

    >>> class_weights(np.array([0, 0, 0, 1]), 2, "inverse").tolist()
    [0.6666666865348816, 2.0]
    """
    counts = np.maximum(np.bincount(labels, minlength=num_classes), 1)
    power = {"none": 0.0, "sqrt": 0.5, "inverse": 1.0}[kind]
    return ((len(labels) / (num_classes * counts)) ** power).astype(np.float32)
