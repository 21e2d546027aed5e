"""Every published network that an extractor can use: which, from where, here or not, and whether it is what it says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pipeline import plugins
from pipeline.errors import UsageError, WeightsError, unknown_name
from pipeline.extractors.audio_encoder import AudioEncoder
from pipeline.extractors.face_encoder import FaceEncoder
from pipeline.extractors.text_bert import hub_model
from pipeline.networks.hub import RECORD, HubModel, files_of
from pipeline.weights import Bundled, ByHand, Published, check_published, sha256, weights_folder

TEXT = "text_bert"


@dataclass(frozen=True)
class Network:
    """A published network and who uses it.

    Args:
        published: its weights.
        extractors: names of those that use it.
    """

    published: Published
    extractors: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name that commands know it by."""
        return self.published.name

    @property
    def on_request(self) -> str:
        """Why it is fetched only when it is named; "" for a network that always is."""
        by_name = f"name it to fetch it: weights fetch {self.extractors[0]}"
        users: list[Any] = [plugins.plugin_class("extractor", name) for name in self.extractors]
        if all(user.identity for user in users):
            return f"tells people apart; {by_name}"
        if isinstance(self.published, HubModel) and not self.published.pinned and not self.published.files():
            return f"no revision of it is pinned; {by_name}"
        if isinstance(self.published, ByHand) and not self.published.files():
            return f"download it by hand from {self.published.page} and put it at {self.published.path}"
        return ""


@dataclass(frozen=True)
class Verdict:
    """What looking at a network's files found.

    Args:
        name: of the network.
        state: ``"good"``, ``"missing"`` or ``"wrong"``.
        finding: what is wrong, or what was looked at.
    """

    name: str
    state: Literal["good", "missing", "wrong"]
    finding: str


def catalogue() -> tuple[Network, ...]:
    """Networks of all extractors with their default settings, and the other models of the hub that are here.

    Raises:
        OSError: the weights folder cannot be read.
    """
    users: dict[Published, list[str]] = {}
    for name in plugins.names("extractor"):
        for published in plugins.plugin_class("extractor", name)().sources:
            users.setdefault(published, []).append(name)
    known = {published.name for published in users}
    folder = weights_folder()
    for place in sorted(folder.iterdir()) if folder.is_dir() else ():
        if place.is_dir() and place.name not in known and files_of(place):
            network = hub_network(place.name.replace("--", "/"))
            users[network.published] = list(network.extractors)
    return tuple(Network(published, tuple(extractors)) for published, extractors in users.items())


def chosen(names: Sequence[str], models: Sequence[str] = ()) -> tuple[Network, ...]:
    """Networks by their own names or by those of extractors; all of them where nothing is named.

    Args:
        names: of networks (``"r3d_18-b3b3357e.pth"``) and extractors (``"faces"``).
        models: other models of the hub, for ``text_bert`` or an encoder.

    Raises:
        UsageError: there is no such network or extractor.
    """
    networks = catalogue()
    found = {} if names or models else {network.name: network for network in networks}
    for name in names:
        fitting = [network for network in networks if name == network.name or name in network.extractors]
        if not fitting and name not in plugins.names("extractor"):
            raise unknown_name("network or extractor", name, [*(network.name for network in networks),
                                                              *plugins.names("extractor")])
        if not fitting:
            raise UsageError(f"{name} uses no published network; there is nothing to do for it")
        found |= {network.name: network for network in fitting}
    for model in models:
        network = hub_network(model)
        found[network.name] = network
    return tuple(found.values())


def hub_network(model: str) -> Network:
    """A model of the hub by its name, and who uses it: what its config says if it is here, else ``text_bert``."""
    for kind in (AudioEncoder, FaceEncoder):
        if model in kind.known or kind.fits(weights_folder() / model.replace("/", "--")):
            return Network(kind.hub_model(model), (kind.name,))
    return Network(hub_model(model), (TEXT,))


def fetch_networks(networks: Iterable[Network],
                   progress: Callable[[str], Callable[[int, int], None]] = lambda name: lambda done, total: None,
                   ) -> list[Path]:
    """Fetch what is not here; what is here is checked against its publisher's digest.

    Args:
        networks: which.
        progress: gives, for a network's name, what is told bytes here and bytes in all.

    Returns:
        Where they lie.

    Raises:
        WeightsError: one cannot be fetched, or is here and is not the published one.
    """
    paths = []
    for network in networks:
        paths.append(network.published.fetch(progress(network.name)))
        _check_digests(network.published)
    return paths


def verify_networks(networks: Sequence[Network],
                    progress: Callable[[int, int], None] = lambda done, total: None) -> list[Verdict]:
    """Check digests of all files that are here, and load each network: keys, shapes, nothing executed.

    Args:
        networks: which.
        progress: called with networks done and in all.
    """
    verdicts = []
    for done, network in enumerate(networks):
        progress(done, len(networks))
        verdicts.append(_verdict(network.published))
    progress(len(networks), len(networks))
    return verdicts


def _verdict(published: Published) -> Verdict:
    if not published.files():
        return Verdict(published.name, "missing", f"not at {published.path}")
    try:
        unknown = _check_digests(published)
        published.load(published.path)
    except WeightsError as error:
        return Verdict(published.name, "wrong", str(error))
    except OSError as error:
        return Verdict(published.name, "wrong", f"{published.path} cannot be read ({error.strerror or error})")
    digests = f"nothing is known to compare with for {', '.join(unknown)}" if unknown else "digests as published"
    return Verdict(published.name, "good", f"loads as its network; {digests}")


def _check_digests(published: Published) -> list[str]:
    """Names of the files whose digest nobody has stated; all others are right."""
    expected = published.expected()
    for file in published.files():
        check_published(file, expected.get(file.name, ""))
    return [file.name for file in published.files() if file.name not in {*expected, RECORD}]


def describe(network: Network) -> dict[str, Any]:
    """All that is known of a network, JSON types.

    ``state`` is ``here``, ``missing``, or ``wrong`` where a file is not the published one; ``files`` are those that are
    here, with their digests in full; ``expected`` are first digits of the digests that they should have.

    Raises:
        WeightsError: the record of a fetched model is damaged.
    """
    published = network.published
    expected = published.expected()
    files = [{"file": file.name, "size": file.stat().st_size, "sha256": sha256(file)} for file in published.files()]
    right = all(str(file["sha256"]).startswith(expected.get(str(file["file"]), "")) for file in files)
    return {"name": network.name, "about": published.about, "extractors": list(network.extractors),
            "from": published.origin, "revision": getattr(published, "revision", None),
            "licence": published.licence, "megabytes": published.megabytes, "path": str(published.path),
            "state": "missing" if not files else "here" if right else "wrong",
            "bundled": isinstance(published, Bundled), "expected": dict(expected), "files": files}
