"""Frozen networks made fast compute the same function."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision.models import resnet18
from torchvision.models.video import r3d_18

from pipeline import weights
from pipeline.errors import WeightsError
from pipeline.networks.backbones import build, fold_batch_norm, optimised, weights_record

CPU = torch.device("cpu")


def lively(network: nn.Module) -> nn.Module:
    """Give every batch norm statistics of its own, so that folding them has something to get wrong."""
    generator = torch.Generator().manual_seed(3)
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm3d)):
            for tensor, low in ((module.running_mean, -0.5), (module.running_var, 0.5), (module.weight.data, 0.5),
                                (module.bias.data, -0.5)):
                tensor.uniform_(low, low + 1, generator=generator)
    return network.eval().requires_grad_(False)


@pytest.mark.parametrize(("make", "shape", "official"), [
    (resnet18, (2, 3, 64, 64), weights.RESNET18), (r3d_18, (1, 3, 4, 32, 32), weights.R3D18)])
def test_folding_batch_norm_changes_nothing_that_can_be_measured(make: type, shape: tuple[int, ...],
                                                                 official: weights.Official) -> None:
    network = lively(build(make, "random", official))
    inputs = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = network(inputs)
        fold_batch_norm(network)
        found = network(inputs)
    assert not any(isinstance(module, (nn.BatchNorm2d, nn.BatchNorm3d)) for module in network.modules())
    assert (found - expected).norm() / expected.norm() < 1e-5


def test_a_batch_norm_that_follows_no_convolution_stays() -> None:
    network = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 1), nn.ReLU(), nn.BatchNorm2d(4)).eval()
    fold_batch_norm(network)
    assert [type(module).__name__ for module in network] == ["BatchNorm2d", "Conv2d", "ReLU", "BatchNorm2d"]


def test_a_network_that_was_left_learning_is_frozen_in_evaluation_mode() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.5)).train()
    fast = optimised(network, dtype="float32", device=CPU)
    inputs = torch.randn(2, 3, 5, 5)
    assert not any(module.training for module in fast.modules())
    torch.testing.assert_close(fast(inputs)[:1], fast(inputs[:1]))


def test_bfloat16_networks_keep_channels_last_and_float32_ones_as_they_were() -> None:
    fast = optimised(nn.Sequential(nn.Conv3d(3, 8, 3), nn.BatchNorm3d(8)).eval(), dtype="bfloat16", device=CPU)
    assert fast[0].weight.dtype == torch.bfloat16
    assert fast[0].weight.is_contiguous(memory_format=torch.channels_last_3d)
    plain = optimised(nn.Sequential(nn.Conv2d(3, 8, 3)).eval(), dtype="float32", device=CPU)
    assert plain[0].weight.dtype == torch.float32 and plain[0].weight.is_contiguous()


def test_a_built_network_is_frozen_in_evaluation_mode_and_the_same_each_time() -> None:
    first, second = (build(resnet18, "random", weights.RESNET18) for _ in range(2))
    assert not first.training and not any(parameter.requires_grad for parameter in first.parameters())
    pairs = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_a_file_of_weights_is_loaded_and_recorded(tmp_path: Path) -> None:
    network = lively(resnet18())
    torch.save(network.state_dict(), tmp_path / weights.RESNET18.name)
    loaded = build(resnet18, str(tmp_path), weights.RESNET18)
    assert torch.equal(loaded.bn1.running_mean, network.bn1.running_mean)
    record = weights_record("resnet18", str(tmp_path), weights.RESNET18)
    assert (record.network, record.source, record.name) == ("resnet18", "file", weights.RESNET18.name)
    with pytest.raises(WeightsError, match="does not hold weights of VideoResNet"):
        build(r3d_18, str(tmp_path / weights.RESNET18.name), weights.R3D18)


def test_records_of_weights_that_are_not_to_be_had_say_so(tmp_path: Path) -> None:
    assert weights_record("r3d_18", "random", weights.R3D18) == weights.random_record("r3d_18", 0)
    with pytest.raises(WeightsError, match="no weight file"):
        weights_record("r3d_18", str(tmp_path), weights.R3D18)
