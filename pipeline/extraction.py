"""From a dataset to a store: plan what is missing, cut it into chunks, run workers, pack their shards."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError

from pipeline.clip import Clip, Corpus
from pipeline.config import setting
from pipeline.datasets import Dataset
from pipeline.decode import Damage, DecodeLimits
from pipeline.devices import usable_device
from pipeline.errors import ClipError, DatasetError, PipelineError, StoreError
from pipeline.packing import Cell, Failure, SourceRecord, stored_cells, stored_sources
from pipeline.recipes import PlannedFeature, check_same, choose_extractors, plan_features
from pipeline.shards import pack
from pipeline.store import FeatureStore
from pipeline.worker import Chunk, ChunkReport, input_digest, needs_media, run_chunk, source_record

DEFAULT_EXTRACTORS = ("text_bert", "audio_resnet18", "face_r3d18")
MEDIA_CHUNK, TEXT_CHUNK = 8, 512  # clips in one shard: what a kill can lose
# Large blocks stay with a worker instead of going back to the system after every layer: a tenth less time on a CPU.
WORKER_ALLOCATOR = ("glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:glibc.malloc.top_pad=67108864:"
                    "glibc.malloc.trim_threshold=4000000000")


@dataclass(frozen=True)
class ExtractConfig:
    """Settings of an extraction.

    Args:
        jobs: worker processes; 0 means one for each core.
    """

    weights: str | None = setting(None, "pretrained, random, or a folder of weight files, for every network")
    jobs: int = setting(0, "worker processes; 0: one for each core", machine=True)
    device: str = setting("auto", "auto, cpu or cuda:N", machine=True)
    on_damage: Damage = setting("skip", "damaged media: skip the clip, use the part that decodes, or fail")
    retry_failed: bool = setting(False, "work again on clips that failed before", machine=True)
    replace: bool = setting(False, "compute features anew that the store holds with other settings", machine=True)
    limits: DecodeLimits = field(default_factory=DecodeLimits)


@dataclass(frozen=True)
class ExtractionReport:
    """What an extraction did.

    Args:
        store: the packed file.
        num_clips: clips of the dataset.
        num_done: clips worked on in this run.
        failures: of this run: clip id, feature and why.
        seconds: working time by stage, summed over workers; ``"wall"`` is the run's own.
        notes: what the dataset's reader met.
    """

    store: Path
    num_clips: int
    num_done: int
    failures: tuple[tuple[str, str, Failure], ...]
    seconds: Mapping[str, float]
    notes: tuple[str, ...]


class Progress(Protocol):
    """Told how a run goes on."""

    def planned(self, num_clips: int, num_to_do: int, features: Sequence[PlannedFeature],
                notes: Sequence[str]) -> None:
        """Work begins on ``num_to_do`` of ``num_clips`` clips."""

    def advanced(self, report: ChunkReport) -> None:
        """A chunk is finished."""

    def packing(self) -> None:
        """Shards are being joined."""


class Quiet:
    """Progress for callers who want none."""

    def planned(self, num_clips: int, num_to_do: int, features: Sequence[PlannedFeature],
                notes: Sequence[str]) -> None:
        pass

    def advanced(self, report: ChunkReport) -> None:
        pass

    def packing(self) -> None:
        pass


def extract(dataset: Dataset, out: Path, *, extractors: Sequence[str] = DEFAULT_EXTRACTORS,
            settings: Mapping[str, Mapping[str, str]] | None = None, config: ExtractConfig = ExtractConfig(),
            progress: Progress = Quiet()) -> ExtractionReport:
    """Compute features of a dataset into a store; what the store holds already is kept.

    Killed at any moment, the store at ``out`` is whole, and the same call goes on where it was.

    Args:
        dataset: the corpus.
        out: the store to make or to add to.
        extractors: feature names; those that others are made from are added.
        settings: text by field, by feature name, as after ``--set``.
        config: workers, weights, what to do with damaged clips.
        progress: told how it goes on.

    Returns:
        What was done; failed clips are in it and in the store.

    Raises:
        UsageError: an unknown extractor or setting.
        DatasetError: the corpus cannot be read, or has no media for an extractor that needs them.
        StoreError: ``out`` is another corpus's, holds a feature made in another way, or cannot be written.
        WeightsError: a network's weights are not to be had.
        PipelineError: a worker process died; what was finished is kept.
    """
    started = time.perf_counter()
    device = usable_device(config.device)
    chosen = choose_extractors(extractors, settings or {}, weights=config.weights, device=device)
    dataset.prepare()
    clips = list(dataset.clips())
    features = plan_features(chosen)
    _check_media(clips, features, dataset)
    shards = out.with_name(out.name + ".shards")
    _recover(out, shards, dataset.corpus, clips)
    existing = _existing(out, dataset.corpus, features, replace=config.replace)
    to_do = _to_do(clips, features, existing, retry_failed=config.retry_failed)
    progress.planned(len(clips), len(to_do), features, dataset.notes)
    jobs = config.jobs if config.jobs > 0 else (os.cpu_count() or 1) if device.type == "cpu" else 1
    chunks = _chunks(to_do, features, dataset.corpus, shards, out if existing is not None else None, str(device),
                     config, jobs)
    failures: list[tuple[str, str, Failure]] = []
    seconds: dict[str, float] = defaultdict(float)
    try:
        for report in _run(chunks, jobs):
            failures += report.failures
            for stage, spent in report.seconds.items():
                seconds[stage] += spent
            progress.advanced(report)
            if config.on_damage == "fail" and report.failures:
                clip_id, name, failure = report.failures[0]
                raise PipelineError(f"{clip_id}, {name}: {failure.message} (--on-damage fail stops here; what was"
                                    " finished is kept)")
    finally:
        progress.packing()
        pack(out, shards, dataset.corpus, clips, drop=() if not config.replace else features)
    seconds["wall"] = time.perf_counter() - started
    return ExtractionReport(out, len(clips), len(to_do), tuple(failures), dict(seconds), tuple(dataset.notes))


def _check_media(clips: Sequence[Clip], features: Sequence[PlannedFeature], dataset: Dataset) -> None:
    if not clips:
        raise DatasetError(f"{dataset.root} holds no clips; expected annotations with at least one row")
    wanting = [feature.name for feature in features if needs_media(feature)]
    if wanting and all(clip.source is None for clip in clips):
        raise DatasetError(f"{dataset.root} holds annotations and no media files, which {', '.join(wanting)} need; put"
                           " the videos there, or choose extractors that need text alone: --extractors text_bert")


def _existing(out: Path, corpus: Corpus, features: Sequence[PlannedFeature], *, replace: bool) -> FeatureStore | None:
    if not out.exists():
        return None
    store = FeatureStore(out)
    if store.corpus.name != corpus.name:
        raise StoreError(f"{out} holds features of {store.corpus.name!r}, not of {corpus.name!r}; give another --out")
    for feature in features:
        if feature.name in store.features and not replace:
            check_same(feature.name, store.recipe(feature.name), feature.recipe, place=str(out))
    return store


def _to_do(clips: Sequence[Clip], features: Sequence[PlannedFeature], store: FeatureStore | None, *,
           retry_failed: bool) -> list[tuple[Clip, tuple[str, ...]]]:
    """Clips with the names of the features that they lack, in the dataset's order; complete clips are left out."""
    if store is None:
        return [(clip, tuple(feature.name for feature in features)) for clip in clips]
    cells: dict[str, dict[str, Cell]] = {
        feature.name: stored_cells(store, feature.name) for feature in features
        if feature.name in store.features and store.fingerprint(feature.name) == feature.fingerprint}
    digests = _source_digests(clips, stored_sources(store)) if any(map(needs_media, features)) else {}
    found = []
    for clip in clips:
        lacking = []
        for feature in features:
            cell = cells.get(feature.name, {}).get(clip.clip_id)
            again = cell is not None and cell.failure is not None and (retry_failed or cell.failure.kind == "passing")
            given = input_digest(feature, clip, digests.get(clip.clip_id, ""))
            if cell is None or cell.input != given or again:
                lacking.append(feature.name)
        if lacking:
            found.append((clip, tuple(lacking)))
    return found


def _source_digests(clips: Sequence[Clip], known: Mapping[str, SourceRecord]) -> dict[str, str]:
    """Digest of each clip's file; files whose size and time are as stored are not read."""
    def digest(clip: Clip) -> str:
        if clip.source is None or clip.clip_id not in known:
            return ""
        try:
            return source_record(clip.source, known[clip.clip_id]).digest
        except ClipError:
            return ""
    with ThreadPoolExecutor(4) as pool:
        return dict(zip((clip.clip_id for clip in clips), pool.map(digest, clips), strict=True))


def _chunks(to_do: Iterable[tuple[Clip, tuple[str, ...]]], features: Sequence[PlannedFeature], corpus: Corpus,
            shards: Path, store: Path | None, device: str, config: ExtractConfig, jobs: int) -> list[Chunk]:
    """Clips that lack the same features together, small enough that all workers stay busy to the end."""
    groups: dict[tuple[str, ...], list[Clip]] = defaultdict(list)
    for clip, lacking in to_do:
        groups[lacking].append(clip)
    chunks: list[Chunk] = []
    for lacking, clips in groups.items():
        wanted = tuple(feature for feature in features if feature.name in lacking)
        stored = {name for feature in wanted for name in feature.needs.features if name not in lacking}
        most = MEDIA_CHUNK if any(map(needs_media, wanted)) else TEXT_CHUNK
        size = max(1, min(most, -(-len(clips) // (4 * jobs))))
        for start in range(0, len(clips), size):
            number = len(chunks)
            chunks.append(Chunk(number, tuple(clips[start:start + size]), wanted, tuple(sorted(stored)), corpus,
                                shards / f"{os.getpid()}-{number:06d}.h5", store, device,
                                on_damage=config.on_damage, limits=config.limits))
    return chunks


def _run(chunks: Sequence[Chunk], jobs: int) -> Iterable[ChunkReport]:
    """Reports of finished chunks as they come."""
    if not chunks:
        return
    os.environ.setdefault("GLIBC_TUNABLES", WORKER_ALLOCATOR)
    try:
        with joblib.parallel_config(backend="loky", inner_max_num_threads=1):
            yield from joblib.Parallel(n_jobs=min(jobs, len(chunks)), return_as="generator_unordered", batch_size=1,
                                       pre_dispatch="2*n_jobs")(joblib.delayed(run_chunk)(chunk) for chunk in chunks)
    except TerminatedWorkerError as error:
        raise PipelineError("a worker process died (out of memory, or killed from outside); the chunks that were"
                            " finished are kept. Run the same command again; with --jobs 1 it needs less"
                            " memory") from error


def _recover(out: Path, shards: Path, corpus: Corpus, clips: Sequence[Clip]) -> None:
    """Take over the shards that a run left which did not come to its end."""
    if shards.is_dir():
        pack(out, shards, corpus, clips)
