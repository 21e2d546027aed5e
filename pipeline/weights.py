"""Where networks' weights come from: official files fetched once, a file or folder of the user's, or a seed.

Nothing falls back silently. ``PIPELINE_OFFLINE=1`` never touches the network; ``PIPELINE_WEIGHTS`` moves the folder
(by default ``cache/weights``) that fetched files are kept in.
"""

from __future__ import annotations

import hashlib
import http.client
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pipeline.errors import WeightsError

if TYPE_CHECKING:
    import torch

N = TypeVar("N", bound="torch.nn.Module")


@dataclass(frozen=True)
class Official:
    """A published weight file.

    Args:
        name: file name; its last part before the suffix holds the first 8 hex digits of its SHA-256.
        url: where the publisher serves it.
        about: what it is, for messages.
    """

    name: str
    url: str
    about: str


R3D18 = Official("r3d_18-b3b3357e.pth", "https://download.pytorch.org/models/r3d_18-b3b3357e.pth",
                 "torchvision's R3D-18, trained on Kinetics-400")
RESNET18 = Official("resnet18-f37072fd.pth", "https://download.pytorch.org/models/resnet18-f37072fd.pth",
                    "torchvision's ResNet-18, trained on ImageNet-1k")
OFFICIAL = (R3D18, RESNET18)


@dataclass(frozen=True)
class WeightsRecord:
    """Which weights a network has; part of a feature's recipe.

    Args:
        network: ``"r3d_18"``.
        source: ``"pretrained"``, ``"random"`` or ``"file"``.
        name: file or folder name, without its place; the seed of random weights.
        digest: SHA-256 (first 32 hex digits) of the file; of network and seed for random weights.
    """

    network: str
    source: str
    name: str
    digest: str


def weights_folder() -> Path:
    """Folder that fetched weights are kept in."""
    return Path(os.environ.get("PIPELINE_WEIGHTS", "cache/weights"))


def offline() -> bool:
    """Has the user forbidden the network?"""
    return os.environ.get("PIPELINE_OFFLINE", "") not in ("", "0")


def random_record(network: str, seed: int) -> WeightsRecord:
    """The record of seeded random weights."""
    text = f"{network} random {seed}"
    return WeightsRecord(network, "random", f"seed {seed}", hashlib.sha256(text.encode()).hexdigest()[:32])


def locate(choice: str, official: Official) -> Path:
    """The weight file that ``choice`` means; fetched when it is ``"pretrained"`` and not here yet.

    Args:
        choice: ``"pretrained"``, a file, or a folder that holds a file of the official name.
        official: the published file.

    Raises:
        WeightsError: the file is not there and cannot be fetched; says which file, from where, to where.
    """
    if choice != "pretrained":
        path = Path(choice)
        path = path / official.name if path.is_dir() else path
        if not path.is_file():
            raise WeightsError(f"no weight file {path} ({official.about}); expected 'pretrained', 'random', a file, or"
                               f" a folder that holds {official.name}")
        return path
    path = weights_folder() / official.name
    if not path.is_file():
        _fetch(official, path)
    return path


def _fetch(official: Official, path: Path) -> None:
    advice = (f"Download {official.url} on a machine with a network and put it at {path}, or use --weights random to"
              " try things out")
    if offline():
        raise WeightsError(f"{official.about}: {path} is not there and PIPELINE_OFFLINE forbids fetching it. {advice}")
    from torch.hub import download_url_to_file
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        download_url_to_file(official.url, str(path), hash_prefix=path.stem.rsplit("-", 1)[-1], progress=False)
    except (OSError, http.client.HTTPException, RuntimeError) as error:
        raise WeightsError(f"{official.about}: could not fetch {official.name} ({error}). {advice}") from error


def file_record(network: str, choice: str, path: Path) -> WeightsRecord:
    """The record of a weight file."""
    return WeightsRecord(network, "pretrained" if choice == "pretrained" else "file", path.name, file_digest(path))


_DIGESTS: dict[tuple[str, int, int], str] = {}


def file_digest(path: Path) -> str:
    """SHA-256 (first 32 hex digits) of a file; worked out once for each size and time of change."""
    status = path.stat()
    key = (str(path.resolve()), status.st_size, status.st_mtime_ns)
    if key not in _DIGESTS:
        with path.open("rb") as file:
            state = hashlib.sha256()
            while block := file.read(1 << 20):
                state.update(block)
        _DIGESTS[key] = state.hexdigest()[:32]
    return _DIGESTS[key]


def seeded(build: Callable[[], N], seed: int) -> N:
    """Build a network whose random weights come from ``seed`` alone; the caller's random state stays as it is."""
    import torch
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would change the GPUs' state as well
        return build()


def load_state(network: N, path: Path) -> N:
    """Load a state dict from a ``.pth`` or ``.safetensors`` file; nothing in the file is ever executed.

    Raises:
        WeightsError: not a weight file, or one of another network.
    """
    import pickle

    import torch
    from safetensors import SafetensorError
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict(state)
    except (RuntimeError, pickle.UnpicklingError, SafetensorError, LookupError, ValueError, TypeError, AttributeError,
            EOFError, OSError) as error:
        raise WeightsError(f"{path} does not hold weights of {type(network).__name__} ({_brief(error)}); expected the"
                           " publisher's file") from error
    return network


def _brief(error: Exception) -> str:
    """The first words of a message of many lines."""
    words = " ".join(str(error).split()) or type(error).__name__
    return words if len(words) <= 160 else words[:160] + "…"
