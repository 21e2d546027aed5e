"""What will be computed and how: feature names and settings become planned features with fingerprints."""

from __future__ import annotations

import dataclasses
import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import torch

from pipeline.config import digest, to_json, with_settings
from pipeline.decode import DECODE_VERSION, ffmpeg_version
from pipeline.errors import StoreError, UsageError
from pipeline.extractors import Extractor
from pipeline.media import Needs
from pipeline.plugins import plugin_class

MADE_WITH = ("torch", "torchvision", "torchaudio", "transformers", "facenet-pytorch", "numpy", "h5py")


@dataclass(frozen=True)
class PlannedFeature:
    """One feature to compute.

    Args:
        name: ``"extractor"`` or ``"extractor@variant"``, as stored.
        extractor: file name of the extractor.
        config: its settings.
        needs: what each clip's media must hold.
        recipe: everything that says how it is made, JSON types; ``recipe["fingerprint"]`` is its digest.
    """

    name: str
    extractor: str
    config: Any
    needs: Needs
    recipe: Mapping[str, Any]

    @property
    def fingerprint(self) -> str:
        """Digest of all that changes results."""
        return str(self.recipe["fingerprint"])

    def build(self, device: torch.device) -> Extractor:
        """The extractor, its networks not yet loaded."""
        return plugin_class("extractor", self.extractor)(self.config, device=device)  # type: ignore[no-any-return]


def choose_extractors(names: Sequence[str], settings: Mapping[str, Mapping[str, str]], *,
                      shared: Mapping[str, str], device: torch.device) -> dict[str, Extractor]:
    """Resolve feature names, their upstream features and settings; no weights are looked for yet.

    Args:
        names: ``extractor`` or ``extractor@variant``.
        settings: text by field, by feature name.
        shared: text by field, for every extractor that has the field and no own setting of it.
        device: where networks will run; it decides what ``dtype=auto`` means.

    Returns:
        Extractors by feature name, in an order in which they can be computed.

    Raises:
        UsageError: an unknown extractor or setting, a name given twice or malformed, a setting of a feature that is not
            made, or a shared one that no chosen extractor has (where ``weights`` come from may always be said).
    """
    if len(set(names)) != len(names):
        raise UsageError(f"a feature is named twice in {', '.join(names)}; variants are written extractor@variant")
    if wrong := [name for name in names if not re.fullmatch(r"\w+(@[\w-][\w.-]*)?", name)]:
        raise UsageError(f"no feature can be named {wrong[0]!r}; expected extractor or extractor@variant, a variant of"
                         " letters, digits, '.', '_' and '-'")
    chosen: dict[str, Extractor] = {}
    for name in names:
        _choose(name, settings, shared, device, chosen)
    for name in settings:
        if name not in chosen:
            raise UsageError(f"--set {name}.…: {name} is not among the features to be made ({', '.join(chosen)})")
    known = {"weights"}.union(*(_fields(extractor.config) for extractor in chosen.values()))
    for field in shared:
        if field not in known:
            raise UsageError(f"--{field.replace('_', '-')} {shared[field]} says nothing to {', '.join(chosen)}; leave"
                             " it out, or add an extractor that has this setting (python -m pipeline list)")
    return chosen


def _fields(config: Any) -> set[str]:
    return {field.name for field in dataclasses.fields(config)}


def _choose(name: str, settings: Mapping[str, Mapping[str, str]], shared: Mapping[str, str],
            device: torch.device, chosen: dict[str, Extractor]) -> None:
    if name in chosen:
        return
    kind = plugin_class("extractor", name.partition("@")[0])
    config = kind.Config()  # type: ignore[attr-defined]
    own = {field: text for field, text in shared.items() if field in _fields(config)}
    own.update(settings.get(name, {}))
    extractor: Extractor = kind(with_settings(config, own, owner=name), device=device)
    for upstream in extractor.needs.features:
        _choose(upstream, settings, shared, device, chosen)
    chosen[name] = extractor


def plan_features(chosen: Mapping[str, Extractor]) -> list[PlannedFeature]:
    """Work out the recipes of chosen extractors, with the digests of their weights.

    Raises:
        WeightsError: weights are not to be had.
        UsageError: settings name what does not fit the features that one is made from.
    """
    planned: dict[str, PlannedFeature] = {}
    for name, extractor in chosen.items():
        kind = name.partition("@")[0]
        planned[name] = PlannedFeature(name, kind, extractor.config, extractor.needs,
                                       _recipe(name, kind, extractor, planned))
    return list(planned.values())


def _recipe(name: str, extractor_name: str, extractor: Extractor,
            planned: Mapping[str, PlannedFeature]) -> dict[str, Any]:
    needs = extractor.needs
    weights = [to_json(record) for record in extractor.weights]
    upstream = {feature: planned[feature].fingerprint for feature in needs.features}
    extractor.check_upstream(upstream)
    extractor.check_recipes({feature: planned[feature].recipe for feature in needs.features})
    made_by: dict[str, Any] = {
        "extractor": extractor_name, "version": extractor.version, "settings": extractor.settings(),
        "frames": to_json(needs.frames), "waveform": needs.waveform, "text": needs.text,
        **({"speaker": True} if needs.speaker else {}),
        "decode_version": DECODE_VERSION if needs.media else None,
        "weights": [{"network": record["network"], "digest": record["digest"]} for record in weights],
        "upstream": upstream,
    }
    return {"feature": name, **made_by, "weights": weights, "fingerprint": digest(made_by),
            "made_with": made_with(extractor.device)}


def made_with(device: torch.device) -> dict[str, str]:
    """Versions of what computes the features; informative, not part of a fingerprint."""
    versions = {package: metadata.version(package) for package in MADE_WITH}
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else torch.backends.cpu.get_cpu_capability()
    return {"python": platform.python_version(), **versions, "ffmpeg": ffmpeg_version(), "device": f"{device} {where}"}


def check_same(name: str, stored: Mapping[str, Any], wanted: Mapping[str, Any], *, place: str) -> None:
    """Refuse to mix rows of a feature that are made in different ways.

    Raises:
        StoreError: the fingerprints differ; the message shows what differs and what to do.
    """
    if stored.get("fingerprint") == wanted["fingerprint"]:
        return
    differences = [f"{key}: {old!r} in the store, {new!r} now" for key, old, new in recipe_differences(stored, wanted)]
    raise StoreError(f"{place} holds {name} made in another way ({'; '.join(differences) or 'unknown difference'})."
                     f" Use --replace to compute it anew, or keep both: --extractors {name}@NAME --set {name}@NAME.…")


def recipe_differences(stored: Mapping[str, Any], wanted: Mapping[str, Any],
                       prefix: str = "") -> list[tuple[str, Any, Any]]:
    """What two recipes do not share, as (setting, one value, the other); what never changes results is left out."""
    found: list[tuple[str, Any, Any]] = []
    for key in sorted(set(stored) | set(wanted)):
        old, new = stored.get(key), wanted.get(key)
        if old == new or key in ("made_with", "fingerprint"):
            continue
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += recipe_differences(old, new, f"{prefix}{key}.")
        else:
            found.append((prefix + key, old, new))
    return found
