"""Modality dropout: what is said, heard or seen is withheld from training clips by chance, so that none is relied on.

N. Neverova et al., "ModDrop: adaptive multi-modal gesture recognition" (2016).
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from pipeline.batch import Batch
from pipeline.joined import MODALITY_GROUPS, JoinedStores


@dataclass(frozen=True)
class ModalityDropout:
    """What one network is not given in one epoch.

    Chance hangs on the seed, the epoch, the modality and the clip's place alone. So it is the same in whatever order
    and company clips come, whatever else is set or given, and nothing has to be kept for a run that goes on.

    Args:
        share: chance that a modality of a clip is withheld.
        groups: the inputs of each modality, which go together.
        chances: float32 (N, M), evenly from 0 to 1, of each clip and modality.
    """

    share: float
    groups: tuple[tuple[str, ...], ...]
    chances: Tensor

    @classmethod
    def draw(cls, share: float, stores: JoinedStores, inputs: Sequence[str], *, seed: int,
             epoch: int) -> ModalityDropout:
        """For one epoch.

        Args:
            share: as above; 0 draws nothing.
            stores: whose clips; features say there what they are of.
            inputs: that a model is given. Faces and whole frames are one modality, what is seen.
            seed: of the network.
            epoch: how many it has done.
        """
        if share == 0:
            return cls(share, (), torch.zeros(len(stores), 0))
        groups: dict[str, list[str]] = {}
        for name in inputs:
            modality = stores.owner(name).modality(name)
            kind = next(("+".join(group) for group in MODALITY_GROUPS if modality in group), modality)
            groups.setdefault(kind, []).append(name)
        columns = [np.random.default_rng((seed % 2 ** 64, epoch, zlib.crc32(kind.encode()))).random(
            len(stores), dtype=np.float32) for kind in groups]
        return cls(share, tuple(map(tuple, groups.values())), torch.from_numpy(np.stack(columns, axis=1)))

    def withhold(self, batch: Batch, places: np.ndarray) -> Batch:
        """The batch without what is withheld.

        Args:
            batch: the clips at ``places``.
            places: int64 (B,).
        """
        return withhold([self], batch, [places])


def withhold(dropouts: Sequence[ModalityDropout], batch: Batch, places: Sequence[np.ndarray]) -> Batch:
    """A batch without what is withheld; a clip always keeps one modality of those that it has.

    Args:
        dropouts: of one network, or of N that train together.
        batch: of one network, or of N one behind the other: features (N, B, …).
        places: of the clips of each network, int64 (B,).
    """
    share, groups = dropouts[0].share, dropouts[0].groups
    if share == 0 or len(groups) < 2:
        return batch
    real = torch.stack([torch.stack([batch.mask[name].any(-1) for name in group]).any(0) for group in groups], -1)
    drawn = torch.stack([dropout.chances[torch.from_numpy(own)] for dropout, own in zip(dropouts, places, strict=True)])
    drawn = drawn.view(real.shape).to(real.device)                          # (B, M), or (N, B, M)
    luckiest = torch.where(real, drawn, -1.0).argmax(-1, keepdim=True)      # kept anyway unless all would go
    keeps = (drawn >= share).scatter(-1, luckiest, True)
    features, mask = dict(batch.features), dict(batch.mask)
    for place, group in enumerate(groups):
        for name in group:
            kept = keeps[..., place].unsqueeze(-1)                          # (B, 1)
            mask[name] = batch.mask[name] & kept
            values = batch.features[name]
            features[name] = torch.where(kept.view(*kept.shape, *[1] * (values.ndim - kept.ndim)), values, 0.0)
    return replace(batch, features=features, mask=mask)
