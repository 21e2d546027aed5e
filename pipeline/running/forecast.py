"""What an extraction will cost, told from a few of its clips: time, memory on disk, and whether that is free."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.datasets import Dataset
from pipeline.extraction import ExtractConfig, existing_store, worker_devices
from pipeline.running import orders
from pipeline.running.planning import Plan, find_todos, plan_extraction
from pipeline.running.pool import run_chunks
from pipeline.running.scheduling import Todo
from pipeline.running.worker import Chunk, ChunkReport
from pipeline.store import FeatureStore

NUM_PROBED = 6  # clips that are worked on, spread over the short and the long ones


@dataclass(frozen=True)
class FeatureForecast:
    """What one feature will cost.

    Args:
        name: of the feature.
        num_clips: clips that lack it.
        seconds: of one worker, for all of them.
        num_bytes: of all its rows.
    """

    name: str
    num_clips: int
    seconds: float
    num_bytes: int


@dataclass(frozen=True)
class Forecast:
    """What an extraction will cost.

    Args:
        num_clips: clips of the dataset.
        num_todo: clips to work on.
        num_probed: clips that the figures were told from.
        num_failed: of those, clips that failed.
        jobs: workers that share the work.
        features: one by one.
        seconds: of the whole run, with decoding, for ``jobs`` workers.
        shard_bytes: written while it runs.
        pack_bytes: needed beside them to pack; 0 with ``no_pack``.
        free_bytes: on the store's disk.
    """

    num_clips: int
    num_todo: int
    num_probed: int
    num_failed: int
    jobs: int
    features: tuple[FeatureForecast, ...]
    seconds: float
    shard_bytes: int
    pack_bytes: int
    free_bytes: int

    @property
    def fits(self) -> bool:
        """Is there room for it?"""
        return self.shard_bytes + self.pack_bytes <= self.free_bytes


def forecast(dataset: Dataset, out: Path, *, extractors: Sequence[str] = (),
             settings: Mapping[str, Mapping[str, str]] | None = None,
             config: ExtractConfig = ExtractConfig()) -> Forecast:
    """Work on a few clips in a temporary folder and tell from them what the whole will cost; ``out`` stays as it is.

    Args:
        dataset, out, extractors, settings, config: as for :func:`pipeline.extraction.extract`.

    Raises:
        PipelineError: whatever ``extract`` raises before it begins.
    """
    plan = plan_extraction(dataset, out, extractors, settings or {}, config)
    existing = existing_store(out, plan, replace=config.replace)
    todos = find_todos(plan, existing, config)
    jobs, device = worker_devices(plan, config)
    folder = next(path for path in (out.parent, *out.absolute().parents) if path.is_dir())
    old_bytes = out.stat().st_size if out.exists() else 0
    if not todos:
        return Forecast(len(plan.clips), 0, 0, 0, jobs, (), 0.0, 0, 0, shutil.disk_usage(folder).free)
    probed = _spread(todos)
    with tempfile.TemporaryDirectory(prefix="pipeline-") as temporary:
        chunk = _chunk(plan, probed, Path(temporary) / "probe.h5.shards", out if existing is not None else None, device,
                       config)
        first = Chunk(**{**vars(chunk), "number": 0, "clips": chunk.clips[:1],
                         "shard": chunk.shard.with_name("0.h5")})
        reports = {}
        for one in (first, chunk):  # the first loads the networks, whose time does not grow with the work
            for report in run_chunks([one], jobs=1, scheduler=config.scheduler):
                reports[one.number] = report
        report = reports[chunk.number]
        num_bytes = _row_bytes(FeatureStore(chunk.shard))
    features = tuple(_feature(feature.name, todos, probed, report, num_bytes) for feature in plan.features)
    factor = sum(todo.cost for todo in todos) / sum(todo.cost for todo in probed)
    shard_bytes = sum(feature.num_bytes for feature in features)
    return Forecast(len(plan.clips), len(todos), len(probed), len({clip_id for clip_id, _, _ in report.failures}), jobs,
                    features, report.seconds["total"] * factor / min(jobs, len(todos)), shard_bytes,
                    0 if config.no_pack else old_bytes + shard_bytes, shutil.disk_usage(folder).free)


def _spread(todos: Sequence[Todo]) -> list[Todo]:
    """A few clips from the cheapest to the costliest, evenly by rank; of those that lack most."""
    most = max(len(todo.features) for todo in todos)
    ranked = sorted((todo for todo in todos if len(todo.features) == most), key=lambda todo: todo.cost)
    count = min(NUM_PROBED, len(ranked))
    return [ranked[(2 * place + 1) * len(ranked) // (2 * count)] for place in range(count)]


def _chunk(plan: Plan, probed: Sequence[Todo], folder: Path, store: Path | None, device: str,
           config: ExtractConfig) -> Chunk:
    lacking = probed[0].features
    wanted = tuple(feature for feature in plan.features if feature.name in lacking)
    stored = {name for feature in wanted for name in feature.needs.features if name not in lacking}
    return Chunk(1, tuple(todo.clip for todo in probed), wanted, tuple(sorted(stored)), plan.corpus, folder / "1.h5",
                 store, orders.begin(folder), device, limits=config.limits)


def _row_bytes(store: FeatureStore) -> dict[str, int]:
    return {name: store.array(name).nbytes + store.times(name).nbytes for name in store.features}


def _feature(name: str, todos: Sequence[Todo], probed: Sequence[Todo], report: ChunkReport,
             num_bytes: Mapping[str, int]) -> FeatureForecast:
    lacking = [todo for todo in todos if name in todo.features]
    share = sum(todo.cost for todo in lacking) / max(1e-9, sum(todo.cost for todo in probed))
    return FeatureForecast(name, len(lacking), report.seconds.get(name, 0.0) * share,
                           int(num_bytes.get(name, 0) * share))
