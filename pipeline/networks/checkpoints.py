"""What weight files hold: read without running anything, freed of a training script's wrapping, fitted to a network."""

from __future__ import annotations

import argparse
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pipeline.errors import WeightsError

if TYPE_CHECKING:
    import torch

N = TypeVar("N", bound="torch.nn.Module")

# Training scripts save their weights beside epoch, optimiser and settings, under one of these names.
WRAPPINGS = ("state_dict", "model_state_dict", "model", "net", "weights")
ANCHOR = "layer1.0.conv1.weight"  # every ResNet has it, by whose place the prefix of all names is found
ADVICE = "expected the publisher's file"


def load_state(network: N, path: Path) -> N:
    """Load a state dict from a ``.pth`` or ``.safetensors`` file; nothing in the file is ever executed.

    Raises:
        WeightsError: not a weight file, or one of another network.
    """
    return _fit(network, _read(path, network), path)


def load_backbone(network: N, path: Path, *, heads: tuple[str, ...] | None = None) -> tuple[N, tuple[str, ...]]:
    """Load a ResNet without its classifier from a checkpoint of a training script.

    Args:
        network: without a classifier.
        path: see :func:`backbone_state`.
        heads: beginnings of the names of layers that the network leaves out and that are dropped; None: whatever the
            network does not have.

    Returns:
        The network, and the names that were dropped, sorted, without the prefix where they had it.

    Raises:
        WeightsError: not a weight file, weights that the network needs are missing or of another shape, or there are
            some that it has not.
    """
    own, state = set(network.state_dict()), backbone_state(path, network)
    dropped = {name for name in state if name not in own and (heads is None or name.startswith(heads))}
    kept = {name: value for name, value in state.items() if name not in dropped}
    return _fit(network, kept, path), tuple(sorted(dropped))


def backbone_state(path: Path, network: torch.nn.Module) -> dict[str, Any]:
    """A ResNet's weights out of a checkpoint of a training script.

    They may stand under ``state_dict`` and the like, beside epoch and optimiser, and each name may begin with one
    prefix (``module.``, ``backbone.``, ``module.encoder.`` …), which is taken off.

    Args:
        path: ``.pth``, ``.pt`` or ``.safetensors``.
        network: whose weights are expected, for messages.

    Raises:
        WeightsError: not a weight file, or none or several ResNets in it.
    """
    state = unwrapped_state(path, network)
    names = list(state)
    prefixes = [name.removesuffix(ANCHOR) for name in names if name == ANCHOR or name.endswith(f".{ANCHOR}")]
    if len(prefixes) != 1:
        found = f"it holds several: {', '.join(prefix or 'one without prefix' for prefix in prefixes)}; keep one" \
            if prefixes else f"no {ANCHOR} under any prefix, but {', '.join(names[:3]) or 'no weights by name'}"
        raise WeightsError(f"{_expected(path, network)} ({found}); {ADVICE}")
    return {name.removeprefix(prefixes[0]): state[name] for name in names}


def unwrapped_state(path: Path, network: torch.nn.Module) -> dict[str, Any]:
    """What a checkpoint of a training script holds by name, freed of what stands beside it.

    Args:
        path: ``.safetensors``, or any file that torch has written.
        network: whose weights are expected, for messages.

    Returns:
        Values under names; empty where it holds none.

    Raises:
        WeightsError: not a weight file.
    """
    values = _read(path, network)
    wrapped = [values[name] for name in WRAPPINGS if isinstance(values.get(name), Mapping)] \
        if isinstance(values, Mapping) else []
    state = wrapped[0] if wrapped else values
    return {name: value for name, value in state.items() if isinstance(name, str)} \
        if isinstance(state, Mapping) else {}


def _read(path: Path, network: torch.nn.Module) -> Any:
    """Tensors and plain values of a file, on the CPU.

    ``argparse.Namespace``, in which training scripts keep their options, holds values and runs nothing.
    """
    import torch
    from safetensors import SafetensorError
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file
            return load_file(path)
        with torch.serialization.safe_globals([argparse.Namespace]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:  # torch's own words advise to load it all the same
        called = re.search(r"GLOBAL (\S+)", str(error))
        found = f"it would run {called[1]} when loaded; nothing of it was run" if called else "no weights at all"
        raise WeightsError(f"{_expected(path, network)} ({found}); {ADVICE}") from error
    except (RuntimeError, SafetensorError, LookupError, ValueError, TypeError, AttributeError, EOFError,
            OSError) as error:
        raise WeightsError(f"{_expected(path, network)} ({_brief(str(error) or type(error).__name__)});"
                           f" {ADVICE}") from error


def _fit(network: N, state: Any, path: Path) -> N:
    try:
        network.load_state_dict(state)
    except (RuntimeError, LookupError, ValueError, TypeError, AttributeError) as error:
        raise WeightsError(f"{_expected(path, network)} ({_brief(str(error) or type(error).__name__)});"
                           f" {ADVICE}") from error
    return network


def _expected(path: Path, network: torch.nn.Module) -> str:
    return f"{path} does not hold weights of {type(network).__name__}"


def _brief(message: str) -> str:
    """The first words of a message of many lines."""
    words = " ".join(message.split())
    return words if len(words) <= 160 else words[:160] + "…"
