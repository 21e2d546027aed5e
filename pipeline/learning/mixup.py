"""Mixup: clips blended in pairs while training, and the loss shared between both of their labels.

H. Zhang et al., "mixup: Beyond Empirical Risk Minimization" (2018).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from pipeline.batch import Batch


@dataclass(frozen=True)
class Mixture:
    """A batch whose clips each hold some of another one.

    Args:
        batch: rows blended, real where either clip has one; the labels are those of the greater part.
        others: labels of the lesser part, by task, as in ``batch``.
        share: of the greater part, at least a half; 1 where nothing was blended.
    """

    batch: Batch
    others: Mapping[str, Tensor]
    share: float


def mix(batch: Batch, beta: float) -> Mixture:
    """Blend each clip with one of the batch by chance; torch's global chance draws the share and the pairs.

    Rows are blended place by place from the clips' beginnings; where one clip has none, zeros, the average of
    standardised rows, stand for it.

    Args:
        batch: of a model that answers once for a clip.
        beta: both parameters of the Beta distribution of the share; 0 blends nothing and draws nothing.
    """
    if beta == 0:
        return Mixture(batch, batch.labels, 1.0)
    drawn = float(torch.distributions.Beta(beta, beta).sample())
    share = max(drawn, 1 - drawn)                                           # the same pairs, named the other way round
    pairs = torch.randperm(len(batch)).to(next(iter(batch.mask.values())).device)
    features = {name: share * values + (1 - share) * values[pairs] for name, values in batch.features.items()}
    mask = {name: real | real[pairs] for name, real in batch.mask.items()}
    return Mixture(replace(batch, features=features, mask=mask),
                   {task: labels[pairs] for task, labels in batch.labels.items()}, share)
