"""Where networks' weights come from: published files fetched once, a file or folder of the user's, or a seed.

Nothing falls back silently: ``pretrained`` means the published file and no other. ``PIPELINE_OFFLINE=1`` never touches
the network; ``PIPELINE_WEIGHTS`` moves the folder (by default ``cache/weights``) that fetched files are kept in;
``PIPELINE_WEIGHTS_URL`` names a mirror of ``https://download.pytorch.org/models``.
"""

from __future__ import annotations

import hashlib
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pipeline.errors import FetchError, WeightsError
from pipeline.fetching import fetch, offline

if TYPE_CHECKING:
    import torch

N = TypeVar("N", bound="torch.nn.Module")
Progress = Callable[[int, int], None]

TRY_OUT = "or use --weights random to try things out"


@dataclass(frozen=True)
class Published(ABC):
    """Weights as their publisher gives them: a file or a folder of files, under one name in the weights folder.

    Args:
        name: of the file or folder.
        about: what it is, for messages.
        licence: of the weights, as far as the publisher states one.
        megabytes: to fetch, roughly; 0: not known.
        load: loads the network from :attr:`path`; raises ``WeightsError`` where keys or shapes are not the network's.
    """

    name: str
    about: str
    licence: str
    megabytes: float
    load: Callable[[Path], object] = field(repr=False, compare=False)

    @property
    def path(self) -> Path:
        """Where it lies, or would lie."""
        return weights_folder() / self.name

    @property
    @abstractmethod
    def origin(self) -> str:
        """Where the publisher gives it, for people."""

    @abstractmethod
    def files(self) -> tuple[Path, ...]:
        """The files that are here; none unless all are that are needed."""

    @abstractmethod
    def stated(self) -> Mapping[str, str]:
        """First digits (some or all) of the SHA-256 of each file, by its name, as far as its publisher states them."""

    def expected(self) -> Mapping[str, str]:
        """What :meth:`stated` gives, and what was recorded when it was fetched."""
        return self.stated()

    @abstractmethod
    def fetch(self, progress: Progress | None = None) -> Path:
        """Fetch what is not here yet.

        Args:
            progress: called with bytes here and bytes in all.

        Returns:
            :attr:`path`.

        Raises:
            WeightsError: it cannot be fetched; says what, from where, to where.
        """


@dataclass(frozen=True)
class Official(Published):
    """A published weight file; its name's last part before the suffix begins its SHA-256, as torchvision's do.

    Args:
        url: where the publisher serves it.
    """

    url: str

    @property
    def digest(self) -> str:
        """First digits of its SHA-256, at least 8."""
        found = re.search(r"-([0-9a-f]{8,64})\.\w+$", self.name)
        assert found is not None, self.name
        return found[1]

    @property
    def origin(self) -> str:
        mirror = os.environ.get("PIPELINE_WEIGHTS_URL", "")
        return f"{mirror.rstrip('/')}/{self.name}" if mirror else self.url

    def files(self) -> tuple[Path, ...]:
        return (self.path,) if self.path.is_file() else ()

    def stated(self) -> Mapping[str, str]:
        return {self.name: self.digest}

    def fetch(self, progress: Progress | None = None) -> Path:
        path = self.path
        if path.is_file():
            return path
        advice = (f"Download {self.url} on a machine with a network (`python -m pipeline weights fetch {self.name}`)"
                  f" and put it at {path}, {TRY_OUT}")
        if offline():
            raise WeightsError(f"{self.about}: {path} is not there and PIPELINE_OFFLINE forbids fetching it. {advice}")
        try:
            return fetch(self.origin, path, digest=self.digest, progress=progress)
        except FetchError as error:
            raise WeightsError(f"{self.about}: could not fetch {self.name}: {error}. {advice}") from error


@dataclass(frozen=True)
class Bundled(Published):
    """A weight file that a package carries.

    Args:
        package: its name and version.
        file: where it lies.
        digest: SHA-256.
    """

    package: str
    file: Path
    digest: str

    @property
    def path(self) -> Path:
        return self.file

    @property
    def origin(self) -> str:
        return f"inside {self.package}"

    def files(self) -> tuple[Path, ...]:
        return (self.path,) if self.path.is_file() else ()

    def stated(self) -> Mapping[str, str]:
        return {self.path.name: self.digest}

    def fetch(self, progress: Progress | None = None) -> Path:
        if not self.path.is_file():
            raise WeightsError(f"{self.about}: {self.path} is not there; install {self.package} again")
        return self.path


def _load_r3d18(path: Path) -> object:
    from torchvision.models.video import r3d_18
    return load_state(r3d_18(), path)


def _load_resnet18(path: Path) -> object:
    from torchvision.models import resnet18
    return load_state(resnet18(), path)


TORCHVISION_LICENCE = "none stated for the weights; torchvision itself: BSD-3-Clause"
R3D18 = Official("r3d_18-b3b3357e.pth", "torchvision's R3D-18, trained on Kinetics-400", TORCHVISION_LICENCE, 133.5,
                 _load_r3d18, "https://download.pytorch.org/models/r3d_18-b3b3357e.pth")
RESNET18 = Official("resnet18-f37072fd.pth", "torchvision's ResNet-18, trained on ImageNet-1k", TORCHVISION_LICENCE,
                    46.8, _load_resnet18, "https://download.pytorch.org/models/resnet18-f37072fd.pth")


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
    return official.fetch()


def file_record(network: str, choice: str, path: Path, expected: str = "") -> WeightsRecord:
    """The record of a weight file.

    Args:
        network: what the weights are of.
        choice: ``"pretrained"``, or the user's file or folder.
        path: the file.
        expected: first digits of the published file's SHA-256, where it is to be that.

    Raises:
        WeightsError: the file is not the published one.
    """
    check_published(path, expected)
    return WeightsRecord(network, "pretrained" if choice == "pretrained" else "file", path.name, file_digest(path))


def check_published(path: Path, expected: str) -> None:
    """Refuse a file under a published name that is not the published file.

    Args:
        path: the file.
        expected: first digits of its SHA-256; empty: not known.

    Raises:
        WeightsError: it has another digest.
    """
    found = sha256(path)
    if not found.startswith(expected):
        raise WeightsError(f"{path} is not the published file: its SHA-256 begins with {found[:8]}, expected"
                           f" {expected[:8]}. Remove it and run `python -m pipeline weights fetch`; weights of your own"
                           " are given with --weights FOLDER")


_DIGESTS: dict[tuple[str, int, int], str] = {}


def file_digest(path: Path) -> str:
    """SHA-256 (first 32 hex digits) of a file, as records hold it."""
    return sha256(path)[:32]


def sha256(path: Path) -> str:
    """SHA-256 of a file, 64 hex digits; worked out once for each size and time of change."""
    status = path.stat()
    key = (str(path.resolve()), status.st_size, status.st_mtime_ns)
    if key not in _DIGESTS:
        with path.open("rb") as file:
            state = hashlib.sha256()
            while block := file.read(1 << 20):
                state.update(block)
        _DIGESTS[key] = state.hexdigest()
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
    expected = f"{path} does not hold weights of {type(network).__name__}"
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file
            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict(state)
    except pickle.UnpicklingError as error:  # torch's own words advise to load it all the same
        called = re.search(r"GLOBAL (\S+)", str(error))
        found = f"it would run {called[1]} when loaded; nothing of it was run" if called else "no weights at all"
        raise WeightsError(f"{expected} ({found}); expected the publisher's file") from error
    except (RuntimeError, SafetensorError, LookupError, ValueError, TypeError, AttributeError, EOFError,
            OSError) as error:
        raise WeightsError(f"{expected} ({_brief(error)}); expected the publisher's file") from error
    return network


def _brief(error: Exception) -> str:
    """The first words of a message of many lines."""
    words = " ".join(str(error).split()) or type(error).__name__
    return words if len(words) <= 160 else words[:160] + "…"
