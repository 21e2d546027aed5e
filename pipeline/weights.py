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
from pipeline.networks.checkpoints import load_backbone
from pipeline.networks.checkpoints import load_state as load_state
from pipeline.transferring.fetching import fetch, offline

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

    A name without such a part says that its publisher states no digest: what lies there is taken as it is.

    Args:
        url: where the publisher serves it.
    """

    url: str

    @property
    def digest(self) -> str:
        """First digits of its SHA-256, at least 8; empty: its publisher states none."""
        found = re.search(r"-([0-9a-f]{8,64})\.\w+$", self.name)
        return found[1] if found else ""

    @property
    def origin(self) -> str:
        mirror = os.environ.get("PIPELINE_WEIGHTS_URL", "")
        return f"{mirror.rstrip('/')}/{self.name}" if mirror else self.url

    def files(self) -> tuple[Path, ...]:
        return (self.path,) if self.path.is_file() else ()

    def stated(self) -> Mapping[str, str]:
        return {self.name: self.digest} if self.digest else {}

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


@dataclass(frozen=True)
class ByHand(Published):
    """A published weight file that no program may fetch: people download it and put it in its place.

    Its publisher states no digest; what is there is recorded with its own.

    Args:
        page: where people get it.
    """

    page: str

    @property
    def origin(self) -> str:
        return self.page

    def files(self) -> tuple[Path, ...]:
        return (self.path,) if self.path.is_file() else ()

    def stated(self) -> Mapping[str, str]:
        return {}

    def fetch(self, progress: Progress | None = None) -> Path:
        if not self.path.is_file():
            raise WeightsError(f"{self.about}: {self.path} is not there, and its publisher gives it to people only."
                               f" Download {self.name} from {self.page} and put it at {self.path}, name a file with"
                               f" --set EXTRACTOR.weights=FILE, {TRY_OUT}")
        return self.path


def _load_r3d18(path: Path) -> object:
    from torchvision.models.video import r3d_18
    return load_state(r3d_18(), path)


def _load_resnet18(path: Path) -> object:
    from torchvision.models import resnet18
    return load_state(resnet18(), path)


def _load_r3d101(path: Path) -> object:
    from pipeline.networks.r3d101 import HEAD, ResNet101Maps
    return load_backbone(ResNet101Maps(), path, heads=HEAD)


TORCHVISION_LICENCE = "none stated for the weights; torchvision itself: BSD-3-Clause"
R3D18 = Official("r3d_18-b3b3357e.pth", "torchvision's R3D-18, trained on Kinetics-400", TORCHVISION_LICENCE, 133.5,
                 _load_r3d18, "https://download.pytorch.org/models/r3d_18-b3b3357e.pth")
RESNET18 = Official("resnet18-f37072fd.pth", "torchvision's ResNet-18, trained on ImageNet-1k", TORCHVISION_LICENCE,
                    46.8, _load_resnet18, "https://download.pytorch.org/models/resnet18-f37072fd.pth")
R3D101 = ByHand("r3d101_K_200ep.pth", "the 3-D ResNet-101 of Hara et al., trained on Kinetics-700",
                "none stated for the weights; 3D-ResNets-PyTorch itself: MIT", 0.0, _load_r3d101,
                "https://drive.google.com/open?id=1xbYbZ7rpyjftI_KCk6YuL-XrfQDz7Yd4 (folder named in"
                " https://github.com/kenshohara/3D-ResNets-PyTorch)")


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


def locate(choice: str, published: Official | ByHand) -> Path:
    """The weight file that ``choice`` means; fetched when it is ``"pretrained"`` and not here yet.

    Args:
        choice: ``"pretrained"``, a file, or a folder that holds a file of the published name.
        published: the published file.

    Raises:
        WeightsError: the file is not there and cannot be fetched; says which file, from where, to where.
    """
    if choice != "pretrained":
        path = Path(choice)
        path = path / published.name if path.is_dir() else path
        if not path.is_file():
            raise WeightsError(f"no weight file {path} ({published.about}); expected 'pretrained', 'random', a file, or"
                               f" a folder that holds {published.name}")
        return path
    return published.fetch()


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
