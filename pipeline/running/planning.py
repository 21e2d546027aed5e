"""What an extraction will do: features and recipes, clips that lack them, and the command that would do it again."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

import pipeline
from pipeline.clip import Clip, Corpus
from pipeline.config import setting, to_json
from pipeline.datasets import Dataset
from pipeline.decode import Damage, DecodeLimits
from pipeline.devices import usable_device
from pipeline.errors import DatasetError, StoreError, UsageError
from pipeline.extractors import Extractor
from pipeline.recipes import PlannedFeature, check_same, choose_extractors, plan_features
from pipeline.rendering.corpus import is_rendered
from pipeline.running.inputs import input_digest, needs_media, source_digests
from pipeline.running.neighbours import with_neighbours
from pipeline.running.scheduling import Todo, part_of, predicted_cost
from pipeline.storage.packing import Cell, stored_cells, stored_sources
from pipeline.store import FeatureStore

# Settings that several extractors have by the same name.
SHARED = ("weights", "detection", "face", "gallery", "speaking_run")
FRAME_LABELS = "frame_labels"  # the extractor that every corpus with labels of frames has


@dataclass(frozen=True)
class ExtractConfig:
    """Settings of an extraction."""

    weights: str | None = setting(None, "pretrained, random, or a folder of weight files, for every network")
    detection: str | None = setting(None, "how thoroughly faces are sought: fast, balanced or dense")
    face: str | None = setting(None, "which face the face extractors follow: largest, central, longest, gallery,"
                                     " speaking or all")
    gallery: str | None = setting(None, "with face gallery: the folder of the gallery of faces")
    speaking_run: str | None = setting(None, "run of an active-speaker network that tells who speaks; none: mouth"
                                             " motion and sound")
    jobs: int = setting(0, "worker processes; 0: one for each core, or for each GPU", machine=True)
    device: str = setting("auto", "auto, cpu, cuda (all GPUs) or cuda:N", machine=True)
    scheduler: str | None = setting(None, "address of a Dask scheduler whose workers do the work", machine=True)
    shard: str | None = setting(None, "K/N: only the K-th of N parts of the clips, for an array of jobs", machine=True)
    on_damage: Damage = setting("skip", "damaged media: skip the clip, use the part that decodes, or fail")
    max_failures: int | None = setting(None, "stop when more clips than this have failed", machine=True)
    retry_failed: bool = setting(False, "work again on clips that failed before", machine=True)
    replace: bool = setting(False, "compute features anew that the store holds with other settings", machine=True)
    no_pack: bool = setting(False, "leave the finished shards beside the store instead of packing them", machine=True)
    wait: bool = setting(False, "wait while another process writes the store", machine=True)
    limits: DecodeLimits = field(default_factory=DecodeLimits)

    @property
    def shared(self) -> dict[str, str]:
        """Settings that go to every extractor that has them: text by field."""
        return {name: getattr(self, name) for name in SHARED if getattr(self, name) is not None}

    @property
    def part(self) -> tuple[int, int] | None:
        """The part that ``shard`` names.

        Raises:
            UsageError: it is not of the form K/N, or there is no such part.
        """
        if self.shard is None:
            return None
        number, _, count = self.shard.partition("/") if re.fullmatch(r"\d{1,6}/\d{1,6}", self.shard) else ("", "", "")
        if not number or not 1 <= int(number) <= int(count):
            raise UsageError(f"--shard {self.shard}: expected K/N with K from 1 to N, for instance 3/16")
        return int(number), int(count)


@dataclass(frozen=True)
class Plan:
    """What is there and what is to be done.

    Args:
        corpus: of the dataset.
        clips: all clips of the dataset, in its order.
        features: to be made, upstream first.
        request: how to ask for the same again; JSON types.
        device: that decides the compute type: where this machine's networks run.
    """

    corpus: Corpus
    clips: tuple[Clip, ...]
    features: tuple[PlannedFeature, ...]
    request: Mapping[str, Any]
    device: torch.device

    @property
    def media(self) -> set[str]:
        """Names of the features that need a clip's file."""
        return {feature.name for feature in self.features if needs_media(feature)}


def plan_extraction(dataset: Dataset, out: Path, extractors: Sequence[str],
                    settings: Mapping[str, Mapping[str, str]], config: ExtractConfig) -> Plan:
    """Resolve what was asked for; nothing is decoded and no store is touched.

    A corpus whose tasks are labelled frame by frame has the feature ``frame_labels`` beside those asked for.

    Raises:
        UsageError: an unknown extractor, setting or device; an extractor of videos for a corpus of face tracks, or the
            other way round; labels of frames that the corpus does not have.
        DatasetError: the corpus cannot be read, or has no media for an extractor that needs them.
        WeightsError: a network's weights are not to be had.
    """
    config.part  # a part that is none is refused before anything is looked for
    extractors = tuple(extractors) or dataset.default_extractors
    device = usable_device(config.device)
    chosen: Mapping[str, Extractor] = choose_extractors(extractors, settings, shared=config.shared, device=device)
    dataset.prepare()
    clips = tuple(dataset.clips())
    chosen = _suited(chosen, extractors, settings, config, dataset.corpus,
                     are_tracks=any(clip.track is not None for clip in clips))
    features = tuple(plan_features(chosen))
    _check_media(clips, features, dataset)
    corpus = dataclasses.replace(dataset.corpus, rendered=dataset.corpus.rendered or is_rendered(dataset.root))
    return Plan(corpus, with_neighbours(clips, features), features,
                _request(dataset, out, extractors, settings, config), device)


def _suited(chosen: Mapping[str, Extractor], names: Sequence[str], settings: Mapping[str, Mapping[str, str]],
            config: ExtractConfig, corpus: Corpus, *, are_tracks: bool) -> Mapping[str, Extractor]:
    """The chosen extractors, told what only the corpus knows: whether its clips are face tracks, and which of its tasks
    have labels of frames."""
    tasks = tuple(task.name for task in corpus.tasks if task.level == "frame")
    if tasks and not any(_kind(name) == FRAME_LABELS for name in names):
        names = (*names, FRAME_LABELS)
    told = {name: {"tasks": ",".join(tasks), **settings.get(name, {})} for name in names
            if tasks and _kind(name) == FRAME_LABELS}
    has_choice = any(hasattr(extractor.config, "clips") for extractor in chosen.values())
    shared = {**config.shared, **({"clips": "tracks"} if are_tracks and has_choice else {})}
    found = choose_extractors(names, {**settings, **told}, shared=shared, device=usable_device(config.device))
    for name, extractor in found.items():
        if _kind(name) == FRAME_LABELS and (unknown := [task for task in extractor.columns if task not in tasks]):
            raise UsageError(f"{name} is to hold {', '.join(unknown)}; {corpus.name} has labels of frames for"
                             f" {', '.join(tasks) or 'no task: leave it out'}")
    _check_tracks(found, corpus, are_tracks=are_tracks)
    return found


def _check_tracks(chosen: Mapping[str, Extractor], corpus: Corpus, *, are_tracks: bool) -> None:
    """Refuse extractors of videos where clips are face tracks, and of face tracks where clips are videos."""
    if are_tracks and (videos := [name for name, extractor in chosen.items() if extractor.needs.frames]):
        raise UsageError(f"clips of {corpus.name} are face tracks, pictures that are cut out already, and"
                         f" {', '.join(videos)} need{'s' * (len(videos) == 1)} a video; choose others, for instance"
                         " --extractors asd_faces,asd_audio")
    if not are_tracks and (tracks := [name for name, extractor in chosen.items()
                                      if getattr(extractor.config, "clips", "videos") == "tracks"]):
        raise UsageError(f"{tracks[0]}.clips=tracks: clips of {corpus.name} are no face tracks; leave that setting out")


def _kind(name: str) -> str:
    """The extractor of a feature."""
    return name.partition("@")[0]


def _check_media(clips: Sequence[Clip], features: Sequence[PlannedFeature], dataset: Dataset) -> None:
    if not clips:
        raise DatasetError(f"{dataset.root} holds no clips; expected annotations with at least one row")
    wanting = [feature.name for feature in features if needs_media(feature)]
    if wanting and all(clip.source is None for clip in clips):
        raise DatasetError(f"{dataset.root} holds annotations and no media files, which {', '.join(wanting)} need; put"
                           " the videos there, or choose extractors that need text alone: --extractors text_bert")


def check_store(store: FeatureStore, plan: Plan, *, replace: bool) -> None:
    """Refuse to add to a store of another corpus, or to a feature that was made in another way.

    Raises:
        StoreError: either of these.
    """
    if store.corpus.name != plan.corpus.name:
        raise StoreError(f"{store.path} holds features of {store.corpus.name!r}, not of {plan.corpus.name!r}; give"
                         " another --out")
    for feature in plan.features:
        if feature.name in store.features and not replace:
            check_same(feature.name, store.recipe(feature.name), feature.recipe, place=str(store.path))


def find_todos(plan: Plan, store: FeatureStore | None, config: ExtractConfig) -> list[Todo]:
    """Clips with the names of the features that they lack, in the dataset's order; complete clips are left out.

    """
    part = config.part
    mine = part_of(plan.clips, part) if part is not None else None
    cells: dict[str, Mapping[str, Cell]] = {} if store is None else {
        feature.name: stored_cells(store, feature.name) for feature in plan.features
        if feature.name in store.features and store.fingerprint(feature.name) == feature.fingerprint}
    digests = source_digests(plan.clips, stored_sources(store)) if store is not None and plan.media else {}
    found = []
    for clip in plan.clips:
        if mine is not None and clip.clip_id not in mine:
            continue
        lacking = []
        for feature in plan.features:
            cell = cells.get(feature.name, {}).get(clip.clip_id)
            again = cell is not None and cell.failure is not None and (
                config.retry_failed or cell.failure.kind == "passing")
            if cell is None or again or cell.input != input_digest(feature, clip, digests.get(clip.clip_id, "")):
                lacking.append(feature.name)
        if lacking:
            cost = predicted_cost(clip) if plan.media & set(lacking) else 1.0
            found.append(Todo(clip, tuple(lacking), cost))
    return found


def _request(dataset: Dataset, out: Path, extractors: Sequence[str], settings: Mapping[str, Mapping[str, str]],
             config: ExtractConfig) -> dict[str, Any]:
    """How to ask for the same again: in parts for programs, and as the words of a command."""
    name = type(dataset).__module__.rpartition(".")[2]
    given = {field.name: getattr(dataset.config, field.name) for field in dataclasses.fields(dataset.config)
             if getattr(dataset.config, field.name) != field.default}
    limits = {field.name: getattr(config.limits, field.name) for field in dataclasses.fields(config.limits)
              if getattr(config.limits, field.name) != field.default}
    command = ["python", "-m", "pipeline", "extract", "--dataset", name]
    for option in ("root", "splits", "manifest", "allow_outside"):
        if option in given:
            command.append(f"--{option.replace('_', '-')}")
            command += [] if given[option] is True else [_as_text(given[option])]
    command += ["--extractors", ",".join(extractors), "--out", str(out)]
    for option, value, default in (*((name, getattr(config, name), None) for name in SHARED),
                                   ("on-damage", config.on_damage, "skip"), ("shard", config.shard, None)):
        command += [f"--{option.replace('_', '-')}", str(value)] if value != default else []
    rest = {name: {option: _as_text(value) for option, value in given.items()
                   if option not in ("root", "splits", "manifest", "allow_outside")},
            **settings, "decode": {option: _as_text(value) for option, value in limits.items()}}
    for owner, values in rest.items():
        for option, value in values.items():
            command += ["--set", f"{owner}.{option}={value}"]
    return {"command": command, "dataset": name, "dataset_settings": to_json(given), "extractors": list(extractors),
            "settings": {owner: dict(values) for owner, values in settings.items()},
            **{name: getattr(config, name) for name in SHARED},
            "on_damage": config.on_damage, "decode": to_json(limits), "shard": config.shard,
            "pipeline_version": pipeline.__version__}


def _as_text(value: object) -> str:
    """A setting's value as it is typed."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
