"""From a dataset to a store: plan what is missing, run workers over it, pack their shards."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import torch

from pipeline.datasets import Dataset
from pipeline.errors import PipelineError, StoreError
from pipeline.recipes import PlannedFeature
from pipeline.running import orders
from pipeline.running.planning import ExtractConfig, Plan, check_store, find_todos, plan_extraction
from pipeline.running.pool import STOP_SIGNALS, run_chunks
from pipeline.running.scheduling import Todo, cut
from pipeline.running.worker import Chunk, ChunkReport
from pipeline.storage.lock import locked
from pipeline.storage.packing import Failure
from pipeline.storage.shards import finished_shards, open_store, pack, shard_folder
from pipeline.store import FeatureStore

__all__ = ["ExtractConfig", "ExtractionReport", "Progress", "Quiet", "extract"]

SURE_SHARE = 0.05  # of the work must be done before the disk it will need is told from it


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

    def waiting(self, message: str) -> None:
        """Another process writes the store."""

    def planned(self, num_clips: int, todos: Sequence[Todo], features: Sequence[PlannedFeature],
                notes: Sequence[str]) -> None:
        """Work begins on some of ``num_clips`` clips."""

    def advanced(self, report: ChunkReport, cost: float) -> None:
        """A chunk is finished that was ``cost`` seconds of media."""

    def stopping(self) -> None:
        """The run was asked to stop and finishes the clips in work."""

    def packing(self) -> None:
        """Shards are being joined."""


class Quiet:
    """Progress for callers who want none."""

    def waiting(self, message: str) -> None:
        pass

    def planned(self, num_clips: int, todos: Sequence[Todo], features: Sequence[PlannedFeature],
                notes: Sequence[str]) -> None:
        pass

    def advanced(self, report: ChunkReport, cost: float) -> None:
        pass

    def stopping(self) -> None:
        pass

    def packing(self) -> None:
        pass


def extract(dataset: Dataset, out: Path, *, extractors: Sequence[str] = (),
            settings: Mapping[str, Mapping[str, str]] | None = None, config: ExtractConfig = ExtractConfig(),
            progress: Progress = Quiet()) -> ExtractionReport:
    """Compute features of a dataset into a store; what the store holds already is kept.

    Killed at any moment, the store at ``out`` is whole, and the same call goes on where it was. SIGINT, SIGTERM and
    SIGUSR1 (a cluster's time limit) finish the clips in work, keep what is done and raise ``KeyboardInterrupt``; a
    second one does so at once.

    Args:
        dataset: the corpus.
        out: the store to make or to add to.
        extractors: feature names; those that others are made from are added. By default the dataset's own.
        settings: text by field, by feature name, as after ``--set``.
        config: workers, weights, what to do with damaged clips.
        progress: told how it goes on.

    Returns:
        What was done; failed clips are in it and in the store.

    Raises:
        UsageError: an unknown extractor or setting, or a cluster that cannot be reached.
        DatasetError: the corpus cannot be read, or has no media for an extractor that needs them.
        StoreError: ``out`` is another corpus's, holds a feature made in another way, is being written by another
            process, or cannot be written.
        WeightsError: a network's weights are not to be had.
        PipelineError: workers cannot work, or more clips failed than ``config.max_failures``; what was finished is
            kept.
    """
    started = time.perf_counter()
    plan = plan_extraction(dataset, out, extractors, settings or {}, config)
    with locked(out, wait=config.wait, on_wait=progress.waiting):
        run = _Run(plan, out, config, progress)
        run.work(tuple(dataset.notes))
    run.seconds["wall"] = time.perf_counter() - started
    return ExtractionReport(out, len(plan.clips), run.num_done, tuple(run.failures), dict(run.seconds),
                            tuple(dataset.notes))


def existing_store(out: Path, plan: Plan, *, replace: bool) -> FeatureStore | None:
    """The store that a plan adds to, with shards that were not packed; None where there is nothing yet.

    Raises:
        StoreError: it is another corpus's, or holds a feature made in another way (``replace`` allows that).
    """
    if not out.exists() and not finished_shards(shard_folder(out)):
        return None
    store = open_store(out)
    check_store(store, plan, replace=replace)
    return store


def worker_devices(plan: Plan, config: ExtractConfig) -> tuple[int, str]:
    """How many workers, and where their networks run: one worker a GPU where there are several."""
    if plan.device.type == "cpu":
        return config.jobs or os.cpu_count() or 1, "cpu"
    if config.device in ("auto", "cuda"):
        return config.jobs or torch.cuda.device_count(), "cuda"
    return config.jobs or 1, str(plan.device)


@dataclass
class _Run:
    """The state of one extraction while it holds the store's lock."""

    plan: Plan
    out: Path
    config: ExtractConfig
    progress: Progress
    failures: list[tuple[str, str, Failure]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    num_done: int = 0
    num_bytes: int = 0

    @property
    def folder(self) -> Path:
        """Where shards are written."""
        return shard_folder(self.out)

    def work(self, notes: Sequence[str]) -> None:
        """Find what is missing, compute it and pack it."""
        self._clear_leftovers()
        existing = existing_store(self.out, self.plan, replace=self.config.replace)
        todos = find_todos(self.plan, existing, self.config)
        self.progress.planned(len(self.plan.clips), todos, self.plan.features, notes)
        try:
            with self._stopped_by_signals() as stopped:
                if todos:
                    self._check_space(1.0)
                    self._compute(todos, existing)
        finally:
            self.progress.packing()
            self._pack()
        if stopped.is_set():
            raise KeyboardInterrupt

    def _clear_leftovers(self) -> None:
        """Clear away what a killed run left half-written; its finished shards become part of the store."""
        for left in [*self.out.parent.glob(f".{self.out.name}.*.tmp"), *self.folder.glob(".*.tmp"),
                     *self.folder.glob("*.working")]:
            left.unlink(missing_ok=True)
        if self.folder.is_dir() and not self.config.no_pack:
            pack(self.out, self.folder, self.plan.corpus, self.plan.clips)

    def _compute(self, todos: Sequence[Todo], existing: FeatureStore | None) -> None:
        jobs, device = worker_devices(self.plan, self.config)
        chunks, costs = self._chunks(todos, existing, jobs, device)
        total = sum(costs.values())
        done, failed, warned = 0.0, set(), False
        with contextlib.closing(run_chunks(chunks, jobs=jobs, scheduler=self.config.scheduler)) as reports:
            for report in reports:
                self._count(report)
                cost = costs.get(report.number, 0.0)
                done += cost
                self.progress.advanced(report, cost)
                failed |= {clip_id for clip_id, _, _ in report.failures}
                self._check_failures(report, failed)
                if not warned and done >= SURE_SHARE * total:
                    warned = True
                    self._check_space(total / done)

    def _count(self, report: ChunkReport) -> None:
        self.failures += report.failures
        self.num_done += report.num_clips
        self.num_bytes += report.num_bytes
        for stage, spent in report.seconds.items():
            self.seconds[stage] += spent

    def _check_failures(self, report: ChunkReport, failed: set[str]) -> None:
        if self.config.on_damage == "fail" and report.failures:
            clip_id, name, failure = report.failures[0]
            raise PipelineError(f"{clip_id}, {name}: {failure.message} (--on-damage fail stops here; what was finished"
                                " is kept)")
        if self.config.max_failures is not None and len(failed) > self.config.max_failures:
            clip_id, name, failure = self.failures[-1]
            raise PipelineError(f"{len(failed)} clips have failed, more than --max-failures {self.config.max_failures}"
                                f" allows; the last is {clip_id}, {name}: {failure.message}. What was finished is kept;"
                                f" see python -m pipeline inspect {self.out}")

    def _check_space(self, factor: float) -> None:
        """Stop early where the disk cannot hold what is to come, as the work so far tells."""
        whole = int(self.num_bytes * factor)
        packed = 0 if self.config.no_pack else whole + (self.out.stat().st_size if self.out.exists() else 0)
        needed, free = whole - self.num_bytes + packed, shutil.disk_usage(self.out.parent).free
        if needed > free:
            raise StoreError(f"the disk of {self.out.parent} has {free / 1e9:.1f} GB free, and this run will need about"
                             f" {needed / 1e9:.1f} GB ({whole / 1e9:.1f} GB of shards"
                             + (f" and {packed / 1e9:.1f} GB to pack them; --no-pack does without" if packed else "")
                             + "). What was finished is kept: make room, or give another --out")

    def _chunks(self, todos: Sequence[Todo], existing: FeatureStore | None, jobs: int,
                device: str) -> tuple[list[Chunk], dict[int, float]]:
        """Chunks for the workers, and the cost of each by its number."""
        token = orders.begin(self.folder)
        prefix = f"{time.time_ns():020d}-{secrets.token_hex(2)}"  # shards sort by the time of their run
        chunks, costs = [], {}
        for number, group in enumerate(cut(todos, media=self.plan.media, jobs=jobs)):
            lacking = group[0].features
            wanted = tuple(feature for feature in self.plan.features if feature.name in lacking)
            stored = {name for feature in wanted for name in feature.needs.features if name not in lacking}
            chunks.append(Chunk(number, tuple(todo.clip for todo in group), wanted, tuple(sorted(stored)),
                                self.plan.corpus, self.folder / f"{prefix}-{number:06d}.h5",
                                self.out if existing is not None else None, token, device,
                                request=self.plan.request, on_damage=self.config.on_damage, limits=self.config.limits))
            costs[number] = sum(todo.cost for todo in group)
        return chunks, costs

    def _pack(self) -> None:
        orders.end(self.folder)
        if not self.config.no_pack:
            pack(self.out, self.folder, self.plan.corpus, self.plan.clips,
                 drop=self.plan.features if self.config.replace else ())

    @contextlib.contextmanager
    def _stopped_by_signals(self) -> Iterator[threading.Event]:
        """Make the signals that stop a run finish the clips in work first; the event says that one came."""
        stopped = threading.Event()
        if threading.current_thread() is not threading.main_thread():
            yield stopped
            return

        def stop(number: int, _frame: object) -> None:
            if stopped.is_set():
                raise KeyboardInterrupt
            stopped.set()
            with contextlib.suppress(OSError):
                orders.ask_to_stop(self.folder)
            self.progress.stopping()

        before = {number: signal.signal(number, stop) for number in STOP_SIGNALS}
        try:
            yield stopped
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
