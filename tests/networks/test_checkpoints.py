"""Checkpoints of training scripts: unwrapped, freed of prefixes and heads, refused with a reason, never executed."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from pipeline.errors import WeightsError
from pipeline.networks.checkpoints import backbone_state, load_backbone, load_state


class Backbone(nn.Module):
    """The least that looks like a ResNet."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 2, 1, bias=False)
        self.layer1 = nn.Sequential(nn.ModuleDict({"conv1": nn.Conv2d(2, 2, 1, bias=False)}))


def state_of(network: nn.Module, prefix: str = "") -> dict[str, Tensor]:
    return {prefix + name: value for name, value in network.state_dict().items()}


HEAD = {"fc.weight": torch.zeros(7, 2), "fc.bias": torch.zeros(7)}


@pytest.mark.parametrize("prefix", ["", "module.", "backbone.", "module.encoder."])
@pytest.mark.parametrize("wrapping", ["", "state_dict", "model_state_dict", "model", "net", "weights"])
def test_weights_are_found_under_any_wrapping_and_prefix(tmp_path: Path, wrapping: str, prefix: str) -> None:
    source, path = Backbone(), tmp_path / "a.pth"
    state = {**state_of(source, prefix), **{prefix + name: value for name, value in HEAD.items()}}
    torch.save({wrapping: state, "epoch": 200, "arch": "resnet"} if wrapping else state, path)
    loaded, dropped = load_backbone(Backbone(), path, heads=("fc.",))
    assert torch.equal(loaded.conv1.weight, source.conv1.weight) and dropped == ("fc.bias", "fc.weight")


def test_a_safetensors_file_and_one_of_an_old_torch_are_read(tmp_path: Path) -> None:
    source = Backbone()
    save_file(state_of(source, "module."), tmp_path / "a.safetensors")
    torch.save({"state_dict": state_of(source)}, tmp_path / "a.pth", _use_new_zipfile_serialization=False)
    for name in ("a.safetensors", "a.pth"):
        loaded, dropped = load_backbone(Backbone(), tmp_path / name)
        assert torch.equal(loaded.conv1.weight, source.conv1.weight) and dropped == ()


def test_the_options_of_a_training_script_are_no_obstacle(tmp_path: Path) -> None:
    torch.save({"opt": argparse.Namespace(lr=0.1), "state_dict": state_of(Backbone())}, tmp_path / "a.pth")
    assert load_backbone(Backbone(), tmp_path / "a.pth")[1] == ()


class Payload:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_an_object_that_runs_something_is_named_and_never_run(tmp_path: Path) -> None:
    options = argparse.Namespace(hook=Payload(tmp_path / "owned"))
    torch.save({"opt": options, "state_dict": state_of(Backbone())}, tmp_path / "a.pth")
    with pytest.raises(WeightsError, match=r"a.pth does not hold weights of Backbone \(it would run posix.mkdir when"
                                           " loaded; nothing of it was run"):
        load_backbone(Backbone(), tmp_path / "a.pth")
    assert not (tmp_path / "owned").exists()


def refused(path: Path, state: Any, heads: tuple[str, ...] | None = ("fc.",)) -> str:
    torch.save(state, path)
    with pytest.raises(WeightsError, match="does not hold weights of Backbone .*expected the publisher's") as found:
        load_backbone(Backbone(), path, heads=heads)
    assert "\n" not in str(found.value)
    return str(found.value)


def test_weights_too_few_too_many_or_of_another_shape_are_refused(tmp_path: Path) -> None:
    state = state_of(Backbone())
    assert "Missing key(s) in state_dict: \"conv1.weight\"" in refused(
        tmp_path / "few.pth", {name: value for name, value in state.items() if name != "conv1.weight"})
    assert "Unexpected key(s) in state_dict: \"layer9.weight\"" in refused(
        tmp_path / "many.pth", {**state, "layer9.weight": torch.zeros(1)})
    assert "size mismatch for conv1.weight" in refused(
        tmp_path / "shape.pth", {**state, "conv1.weight": torch.zeros(5, 3, 1, 1)})


def test_heads_of_whatever_name_are_dropped_where_that_is_asked_for(tmp_path: Path) -> None:
    torch.save({**state_of(Backbone(), "net."), "head.0.weight": torch.zeros(2), "net.fc.bias": torch.zeros(1)},
               tmp_path / "a.pth")
    assert load_backbone(Backbone(), tmp_path / "a.pth")[1] == ("fc.bias", "head.0.weight")


@pytest.mark.parametrize(("state", "message"), [
    ({"a": torch.zeros(1)}, "no layer1.0.conv1.weight under any prefix, but a"), ({}, "but no weights by name"),
    (torch.zeros(3), "but no weights by name"), ([1, 2], "but no weights by name"),
    ({**state_of(Backbone(), "a."), **state_of(Backbone(), "v.")}, "it holds several: a., v.; keep one"),
    ({"layer1.0.conv1.weight": 3, "conv1.weight": None}, "does not hold weights")])
def test_what_is_no_single_network_is_refused(tmp_path: Path, state: Any, message: str) -> None:
    assert message in refused(tmp_path / "a.pth", state)


def test_a_state_is_given_without_prefix(tmp_path: Path) -> None:
    torch.save(state_of(Backbone(), "module."), tmp_path / "a.pth")
    assert set(backbone_state(tmp_path / "a.pth", Backbone())) == set(Backbone().state_dict())


def test_a_file_that_is_not_there_or_holds_nothing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(b"no weights")
    for name in ("a.pth", "none.pth", "none.safetensors"):
        with pytest.raises(WeightsError, match="does not hold weights of Backbone"):
            load_backbone(Backbone(), tmp_path / name)
        with pytest.raises(WeightsError, match="does not hold weights of Backbone"):
            load_state(Backbone(), tmp_path / name)
