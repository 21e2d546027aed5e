"""Getting a frozen network ready to run fast: compute type, folded batch norm, memory layout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from pipeline.networks.checkpoints import load_state
from pipeline.weights import ByHand, Official, WeightsRecord, file_record, locate, random_record, seeded

RANDOM_SEED = 0


def weights_record(network: str, choice: str, published: Official | ByHand) -> WeightsRecord:
    """The record of what :func:`build` would load.

    Raises:
        WeightsError: see :func:`pipeline.weights.locate` and :func:`pipeline.weights.file_record`.
    """
    if choice == "random":
        return random_record(network, RANDOM_SEED)
    path = locate(choice, published)
    return file_record(network, choice, path, published.stated().get(path.name, "") if choice == "pretrained" else "")


def build(make: Callable[[], nn.Module], choice: str, published: Official | ByHand,
          load: Callable[[nn.Module, Path], object] = load_state) -> nn.Module:
    """A network with its weights, in evaluation mode, without gradients.

    Args:
        make: the network.
        choice: where its weights come from.
        published: the published ones.
        load: puts a file's weights into the network.

    Raises:
        WeightsError: the weights are not to be had, or are another network's.
    """
    network = seeded(make, RANDOM_SEED)
    if choice != "random":
        load(network, locate(choice, published))
    return network.eval().requires_grad_(False)


def optimised(network: nn.Module, *, dtype: str, device: torch.device) -> nn.Module:
    """The same function in evaluation mode, faster: batch norm folded into convolutions, channels last where that pays.

    bfloat16 3-D convolutions need channels-last weights to reach the matrix units (80 ms against 326 ms a snippet).
    """
    fold_batch_norm(network.eval())
    network = network.to(device, getattr(torch, dtype)).eval()
    if dtype == "bfloat16" or device.type == "cuda":
        for module in network.modules():
            if isinstance(module, nn.Conv3d):
                module.weight.data = module.weight.contiguous(memory_format=torch.channels_last_3d)
            elif isinstance(module, nn.Conv2d):
                module.weight.data = module.weight.contiguous(memory_format=torch.channels_last)
    return network


def fold_batch_norm(network: nn.Module) -> None:
    """Fold every batch norm that directly follows a convolution in its parent into that convolution, in place."""
    previous: tuple[str, nn.Module] | None = None
    for name, child in list(network.named_children()):
        if isinstance(child, (nn.BatchNorm2d, nn.BatchNorm3d)) and previous is not None \
                and isinstance(previous[1], (nn.Conv2d, nn.Conv3d)):
            setattr(network, previous[0], fuse_conv_bn_eval(previous[1], child))
            setattr(network, name, nn.Identity())
        else:
            fold_batch_norm(child)
        previous = (name, child)
