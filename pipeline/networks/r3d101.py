"""The 3-D ResNet-101 of Hara, Kataoka and Satoh, laid out as their published checkpoints are.

"Can Spatiotemporal 3D CNNs Retrace the History of 2D CNNs and ImageNet?" (CVPR 2018); the weights for Kinetics-700 are
those of "Would Mega-scale Datasets Further Enhance Spatiotemporal 3D CNNs?" (arXiv 2004.04968, 2020), code
github.com/kenshohara/3D-ResNets-PyTorch: bottlenecks, shortcuts of type B, a first convolution of 7×7×7 with stride
1×2×2 and a max pooling after it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

# Input constants of that code for Kinetics, of values in [0, 1].
MEAN = (0.4345, 0.4051, 0.3775)
SD = (0.2768, 0.2713, 0.2737)
WIDTH = 2048                    # channels of the last maps
NUM_CLASSES = 700               # of the head of the published r3d101_K_200ep.pth
HEAD = ("fc.",)                 # names of the head's weights begin so
STAGES = ((64, 3, 1), (128, 4, 2), (256, 23, 2), (512, 3, 2))  # inner channels, blocks, stride
EXPANSION = 4
NUM_BLOCKS = sum(blocks for _, blocks, _ in STAGES)


class Bottleneck(nn.Module):
    """1×1×1, 3×3×3, 1×1×1, and the input added; a projection (shortcut B) where the shape changes."""

    def __init__(self, inputs: int, inner: int, stride: int) -> None:
        super().__init__()
        outputs = inner * EXPANSION
        self.conv1 = nn.Conv3d(inputs, inner, 1, bias=False)
        self.bn1 = nn.BatchNorm3d(inner)
        self.conv2 = nn.Conv3d(inner, inner, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm3d(inner)
        self.conv3 = nn.Conv3d(inner, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm3d(outputs)
        self.downsample = nn.Sequential(nn.Conv3d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm3d(outputs)) \
            if stride != 1 or inputs != outputs else None

    def forward(self, inputs: Tensor) -> Tensor:
        inner = torch.relu_(self.bn1(self.conv1(inputs)))
        inner = torch.relu_(self.bn2(self.conv2(inner)))
        shortcut = inputs if self.downsample is None else self.downsample(inputs)
        return torch.relu_(self.bn3(self.conv3(inner)) + shortcut)


class ResNet101Maps(nn.Module):
    """The network up to its last maps, averaged over time: (B, 3, T, H, W) → (B, 2048, ⌈H/32⌉, ⌈W/32⌉).

    The published head, a linear layer from the maps' mean over space to 700 classes, is left out.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(3, 64, 7, (1, 2, 2), padding=3, bias=False)
        self.bn1 = nn.BatchNorm3d(64)
        self.maxpool = nn.MaxPool3d(3, 2, padding=1)
        self.layer1, self.layer2, self.layer3, self.layer4 = _stages()
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if isinstance(module, Bottleneck):
                # Each block adds to the sum that it passes on; without this, random weights would end at 1e5.
                nn.init.constant_(module.bn3.weight, NUM_BLOCKS ** -0.5)

    def forward(self, inputs: Tensor) -> Tensor:
        maps = self.maxpool(torch.relu_(self.bn1(self.conv1(inputs))))      # (B, 64, T/2, H/4, W/4)
        maps = self.layer4(self.layer3(self.layer2(self.layer1(maps))))     # (B, 2048, T/16, H/32, W/32)
        return torch.mean(maps, 2)


def _stages() -> list[nn.Sequential]:
    stages, inputs = [], 64
    for inner, num_blocks, stride in STAGES:
        blocks = [Bottleneck(inputs, inner, stride)]
        inputs = inner * EXPANSION
        stages.append(nn.Sequential(*blocks, *(Bottleneck(inputs, inner, 1) for _ in range(num_blocks - 1))))
    return stages


def map_side(side: int) -> int:
    """Height and width of the last maps of a picture of ``side`` pixels.

    >>> map_side(112), map_side(256)
    (4, 8)
    """
    return -(-side // 32)
