"""The 3-D ResNet-101 has its authors' layout, loads their checkpoints and sees frames as they were."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline import weights
from pipeline.errors import WeightsError
from pipeline.networks.backbones import build
from pipeline.networks.checkpoints import load_backbone
from pipeline.networks.r3d101 import HEAD, MEAN, NUM_CLASSES, SD, WIDTH, ResNet101Maps, map_side
from pipeline.networks.snippets import R3D101, FrozenNetwork

CPU = torch.device("cpu")
ROWS = np.stack([np.arange(16), np.arange(8, 24)])


def published_layout() -> dict[str, tuple[int, ...]]:
    """Names and shapes of the published state, by the authors' code: resnet.py with depth 101 and shortcut B."""
    layout: dict[str, tuple[int, ...]] = {"conv1.weight": (64, 3, 7, 7, 7)}

    def norm(name: str, width: int) -> None:
        layout.update({f"{name}.{part}": (width,) for part in ("weight", "bias", "running_mean", "running_var")})
        layout[f"{name}.num_batches_tracked"] = ()

    norm("bn1", 64)
    inputs = 64
    for stage, (inner, blocks) in enumerate(((64, 3), (128, 4), (256, 23), (512, 3)), 1):
        for block in range(blocks):
            name = f"layer{stage}.{block}"
            layout[f"{name}.conv1.weight"] = (inner, inputs, 1, 1, 1)
            layout[f"{name}.conv2.weight"] = (inner, inner, 3, 3, 3)
            layout[f"{name}.conv3.weight"] = (4 * inner, inner, 1, 1, 1)
            for number, width in ((1, inner), (2, inner), (3, 4 * inner)):
                norm(f"{name}.bn{number}", width)
            if block == 0:
                layout[f"{name}.downsample.0.weight"] = (4 * inner, inputs, 1, 1, 1)
                norm(f"{name}.downsample.1", 4 * inner)
            inputs = 4 * inner
    return {**layout, "fc.weight": (700, 2048), "fc.bias": (700,)}


def published_state(prefix: str = "module.") -> dict[str, Tensor]:
    """A state of that layout, each weight one number over and over, which takes next to no room on disk."""
    return {prefix + name: torch.tensor(place % 7 if name.endswith("tracked") else 0.001 * place).expand(shape)
            for place, (name, shape) in enumerate(published_layout().items())}


@pytest.fixture(scope="module")
def network() -> ResNet101Maps:
    torch.set_num_threads(1)
    built = build(ResNet101Maps, "random", weights.R3D101)
    assert isinstance(built, ResNet101Maps)
    return built


@pytest.fixture(scope="module")
def maps() -> R3D101:
    return R3D101("random", (WIDTH, 1), dtype="float32", device=CPU)


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (24, 32, 32, 3), np.uint8)


def test_names_and_shapes_are_the_published_ones(network: ResNet101Maps) -> None:
    expected = {name: shape for name, shape in published_layout().items() if not name.startswith(HEAD)}
    assert {name: tuple(value.shape) for name, value in network.state_dict().items()} == expected


def test_it_has_the_published_number_of_parameters(network: ResNet101Maps) -> None:
    trunk = sum(parameter.numel() for parameter in network.parameters())
    assert trunk == 85_245_120
    assert trunk + (WIDTH + 1) * NUM_CLASSES == 86_679_420


def test_a_published_checkpoint_loads_weight_for_weight(tmp_path: Path) -> None:
    path, state = tmp_path / weights.R3D101.name, published_state()
    torch.save({"epoch": 200, "arch": "resnet-101", "state_dict": state, "optimizer": {"state": {}, "param_groups": []},
                "opt": argparse.Namespace(n_classes=700)}, path)
    loaded = build(ResNet101Maps, str(tmp_path), weights.R3D101, partial(load_backbone, heads=HEAD))
    for name, value in loaded.state_dict().items():
        assert torch.equal(value, state[f"module.{name}"]), name
    assert not any(module.training for module in loaded.modules())


def test_a_checkpoint_of_another_depth_is_refused_by_name(tmp_path: Path) -> None:
    state = {name: value for name, value in published_state().items() if "layer3.22" not in name}
    torch.save({"state_dict": state}, tmp_path / "r3d50.pth")
    with pytest.raises(WeightsError, match="r3d50.pth does not hold weights of ResNet101Maps .*Missing key.*layer3.22"):
        weights.R3D101.load(tmp_path / "r3d50.pth")


@pytest.mark.parametrize(("side", "places"), [(112, 4), (256, 8), (32, 1), (33, 2)])
def test_maps_are_a_thirty_second_of_the_picture(side: int, places: int) -> None:
    with torch.device("meta"):
        assert ResNet101Maps().eval()(torch.zeros(1, 3, 16, side, side)).shape == (1, WIDTH, places, places)
    assert map_side(side) == places


def test_time_and_space_shrink_layer_by_layer_as_published() -> None:
    """By the authors' code: stride 1×2×2, pooling of 2×2×2, then 2×2×2 at the head of each stage but the first."""
    found = {}
    with torch.device("meta"):
        network = ResNet101Maps().eval()
        for name in ("conv1", "maxpool", "layer1", "layer2", "layer3", "layer4"):
            network.get_submodule(name).register_forward_hook(
                lambda module, inputs, output, name=name: found.update({name: tuple(output.shape[1:])}))
        network(torch.zeros(1, 3, 16, 112, 112))
    assert found == {"conv1": (64, 16, 56, 56), "maxpool": (64, 8, 28, 28), "layer1": (256, 8, 28, 28),
                     "layer2": (512, 4, 14, 14), "layer3": (1024, 2, 7, 7), "layer4": (2048, 1, 4, 4)}


def test_rows_are_the_networks_answer_to_frames_in_their_order(network: ResNet101Maps, maps: R3D101,
                                                               frames: np.ndarray) -> None:
    """Fails where frames are viewed instead of permuted, in another colour order, or with another network's constants.
    """
    inputs = np.zeros((3, 16, 32, 32), np.float32)
    for channel in range(3):
        for time in range(16):
            inputs[channel, time] = (frames[8 + time, :, :, channel] / 255 - MEAN[channel]) / SD[channel]
    with torch.inference_mode():
        expected = network(torch.from_numpy(inputs)[None])[0].flatten(1).numpy()
        viewed = network(torch.from_numpy(inputs.transpose(1, 2, 3, 0).reshape(3, 16, 32, 32).copy())[None])[0]
    found = maps(frames, ROWS, batch_size=2)
    assert found.shape == (2, WIDTH, 1) and found.dtype == np.float32
    np.testing.assert_allclose(found[1], expected, rtol=1e-2, atol=1e-4)
    assert np.abs(viewed.flatten(1).numpy() - expected).max() > 0.01, "the test could not tell"


def test_the_network_is_in_evaluation_mode_and_learns_nothing_from_what_it_sees(maps: R3D101,
                                                                                frames: np.ndarray) -> None:
    assert not any(module.training for module in maps._network.modules())
    before = [value.clone() for value in maps._network.state_dict().values()]
    first = maps(frames, ROWS, batch_size=1)
    np.testing.assert_array_equal(first[:1], maps(frames, ROWS[:1], batch_size=1))
    assert all(torch.equal(one, other) for one, other in zip(before, maps._network.state_dict().values(), strict=True))


class OverTime(nn.Module):
    """Stands for the network: the mean of its input over time, (B, 3, H, W)."""

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs.mean(2)


def test_pooled_rows_are_the_mean_of_the_maps(frames: np.ndarray) -> None:
    whole, mean = (FrozenNetwork(OverTime(), shape, (MEAN, SD), dtype="float32", device=CPU)(frames, ROWS, batch_size=1)
                   for shape in ((3, 32 * 32), (3,)))
    assert whole.shape == (2, 3, 32 * 32) and mean.shape == (2, 3)
    np.testing.assert_allclose(mean, whole.mean(2), rtol=1e-4, atol=1e-6)
    expected = (frames[8:24, 5, 7] / 255 - MEAN) / SD
    np.testing.assert_allclose(whole[1, :, 5 * 32 + 7], expected.mean(0), rtol=1e-4, atol=1e-5)


def test_weights_that_are_not_here_are_asked_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_WEIGHTS", str(tmp_path))
    assert weights.R3D101.files() == () and not weights.R3D101.stated()
    with pytest.raises(WeightsError, match="trained on Kinetics-700: .*r3d101_K_200ep.pth is not there, and its"
                                           " publisher gives it to people only. Download .* from"
                                           " https://drive.google.com.* put it at .*--weights random"):
        weights.locate("pretrained", weights.R3D101)
    (tmp_path / weights.R3D101.name).write_bytes(b"x")
    assert weights.locate("pretrained", weights.R3D101) == weights.R3D101.fetch() == tmp_path / weights.R3D101.name
    assert weights.R3D101.files() == (weights.R3D101.path,) and "github.com" in weights.R3D101.origin
