"""The extractors that a run learnt from, rebuilt from the recipes in its checkpoint; never silently others.

A recipe holds settings and digests of weights, and not where weights lie nor how the features were made that it stands
upon. So several ways are tried: how the run's store was asked for, where that store is still there; else what the
recipe itself says (published or random weights). What is found counts only if every feature then has the fingerprint
that the networks learnt from.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from pipeline.devices import usable_device
from pipeline.errors import PipelineError, StoreError, TrainingError, UsageError, WeightsError
from pipeline.plugins import plugin_class
from pipeline.predicting.networks import Networks, records_of
from pipeline.recipes import choose_extractors, plan_features, recipe_differences
from pipeline.storage.shards import open_store

Settings = dict[str, dict[str, str]]
_SHARED = ("weights", "detection", "face")


def settings_of(networks: Networks, *, weights: str | None = None, settings: Mapping[str, Mapping[str, str]] = {},
                device: str = "auto") -> Settings:
    """How to ask for the features that a run learnt from: text by field, by feature name, as after ``--set``.

    Args:
        networks: of the run.
        weights: where weights lie, for every network that the recipes do not find by themselves.
        settings: the user's own, which come first.
        device: where extractors will run; it decides nothing, as the compute type is the recipe's.

    Raises:
        UsageError: the run learnt from who people are, a recipe names no extractor of this program, or a setting is
            none.
        WeightsError: weights that a recipe names are not to be had.
        StoreError: the features cannot be made as the run learnt from them; what differs is named.
        TrainingError: the checkpoint holds no recipe.
    """
    recipes = {name: part["recipe"] for name, part in networks.first.inputs.items()}
    for name, recipe in recipes.items():
        if not isinstance(recipe, dict) or not isinstance(recipe.get("upstream", {}), dict):
            raise TrainingError(f"the checkpoint of {networks.run} holds no recipe of {name} as train writes it; train"
                                " again")
        _refuse_identities(networks.run, name, recipe)
    problems: list[PipelineError] = []
    for found in _candidates(networks, recipes, weights, settings):
        try:
            _check(networks, found, device)
            return found
        except (WeightsError, StoreError, UsageError) as error:
            problems.append(error)
    raise problems[0]


def _refuse_identities(run: Path, name: str, recipe: Mapping[str, Any]) -> None:
    """Who a person is, is not told from faces in new recordings."""
    kind = plugin_class("extractor", str(recipe.get("extractor", name.partition("@")[0])))
    upstream = recipe.get("upstream", {})
    if getattr(kind, "identity", False) or "face_identity" in upstream:
        raise UsageError(f"{run} learnt from {name}, which is made from who people are (face_identity, --face gallery);"
                         " predict does not tell identities in new recordings. Train on a store made with --face"
                         " speaking or largest")


def _candidates(networks: Networks, recipes: Mapping[str, Mapping[str, Any]], weights: str | None,
                settings: Mapping[str, Mapping[str, str]]) -> Iterator[Settings]:
    """Ways to ask for the features, the likeliest first; what the user says is in each."""
    base = {name: _from_recipe(name, recipe, weights) for name, recipe in recipes.items()}
    needed = choose_extractors(list(base), base, shared={}, device=torch.device("cpu"))
    hints = list(_from_stores(networks.config.get("features", []))) or [{}]
    for hint in [*hints, *({**hints[0], "faces": {"detection": level}} for level in ("balanced", "fast", "dense"))]:
        found = {name: {**values, **hint.get(name, {})} for name, values in base.items()}
        for name, values in hint.items():
            if name not in found and name in needed:
                found[name] = dict(values)
        for name, own in settings.items():
            found[name] = {**found.get(name, {}), **own}
        yield found


def _upstream(names: Mapping[str, object]) -> set[str]:
    """Everything that some features could be made from."""
    return {"faces", "speaking"} if any(name.startswith(("face_", "speaking")) for name in names) else set()


def _from_recipe(name: str, recipe: Mapping[str, Any], weights: str | None) -> dict[str, str]:
    """Settings of one feature as its recipe has them, and where its weights come from as far as that is told."""
    config = plugin_class("extractor", name.partition("@")[0]).Config  # type: ignore[attr-defined]
    fields = {field.name for field in dataclasses.fields(config) if not field.metadata.get("machine")}
    stored = recipe.get("settings") if isinstance(recipe.get("settings"), dict) else {}
    assert isinstance(stored, dict)
    found = {field: as_text(value) for field, value in stored.items() if field in fields}
    records = records_of(recipe)
    sources = {str(record.get("source")) for record in records}
    if "weights" in fields:
        if sources == {"random"} or sources == {"pretrained"}:
            found["weights"] = str(*sources)
        elif weights is not None:
            found["weights"] = weights
    if "model" in fields and sources == {"pretrained"}:
        folder = str(records[0].get("name", "")).partition("/")[0]
        found["model"] = folder.replace("--", "/")
    return found


def _from_stores(paths: object) -> Iterator[Settings]:
    """How the run's stores were asked for: all together, then each time alone; none where they are gone."""
    asked: list[Settings] = []
    for path in paths if isinstance(paths, list) else []:
        try:
            store = open_store(Path(str(path)))
        except StoreError:
            continue
        asked += [_asked(store.features, request) for request in store.requests]
    if len(asked) > 1:
        yield {name: settings for one in asked for name, settings in one.items()}
    yield from asked


def _asked(features: Sequence[str], request: Mapping[str, Any]) -> Settings:
    """Settings of what one request named and of what that stands upon."""
    own = request.get("settings") if isinstance(request.get("settings"), dict) else {}
    named = request.get("extractors") if isinstance(request.get("extractors"), list) else []
    assert isinstance(own, dict) and isinstance(named, list)
    found: Settings = {}
    for name in dict.fromkeys((*features, "faces", "speaking")):
        if name not in named and name not in _upstream(dict.fromkeys(map(str, named))):
            continue
        config = plugin_class("extractor", name.partition("@")[0]).Config  # type: ignore[attr-defined]
        fields = {field.name for field in dataclasses.fields(config)}
        shared = {key: str(request[key]) for key in _SHARED if key in fields and request.get(key) is not None}
        said = own.get(name) if isinstance(own.get(name), dict) else {}
        assert isinstance(said, dict)
        found[name] = {**shared, **{str(key): str(value) for key, value in said.items()}}
    return found


def _check(networks: Networks, found: Settings, device: str) -> None:
    """Would the features be made as those that the networks learnt from?

    Raises:
        StoreError: they would not.
    """
    inputs = networks.first.inputs
    chosen = choose_extractors(list(inputs), found, shared={}, device=usable_device(device))
    planned = {feature.name: feature for feature in plan_features(chosen)}
    different = []
    for name, part in inputs.items():
        if planned[name].fingerprint != part["fingerprint"]:
            changes = [f"{key}: {_short(learnt)} then, {_short(now)} now"
                       for key, learnt, now in recipe_differences(part["recipe"], planned[name].recipe)]
            different.append(f"{name} ({'; '.join(changes[:4]) or 'another program version'})")
    if different:
        raise StoreError(f"{networks.run} learnt from features that cannot be made in the same way here:"
                         f" {', '.join(different)}. Say how they were made: --weights FOLDER, --set"
                         " FEATURE.weights=FILE or any other setting that `extract` was given")


def as_text(value: object) -> str:
    """A setting's value as it is typed after ``--set``."""
    if isinstance(value, (list, tuple)):
        return ",".join(map(str, value))
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:80] + "…"
