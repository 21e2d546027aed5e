"""Running chunks on worker processes here or on a Dask cluster, through the death of any of them."""

from __future__ import annotations

import contextlib
import logging
import multiprocessing.resource_tracker
import os
import signal
import warnings
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import replace

import joblib
from joblib.executor import get_memmapping_executor
from joblib.externals.loky.backend import resource_tracker as loky_tracker
from joblib.externals.loky.process_executor import TerminatedWorkerError

from pipeline.clip import Clip
from pipeline.errors import ClipError, PipelineError, UsageError
from pipeline.running import orders
from pipeline.running.inputs import input_digest, source_record
from pipeline.running.watch import end_with
from pipeline.running.worker import WHOLE_CHUNK, Chunk, ChunkReport, run_chunk, write_shard
from pipeline.storage.packing import Cell, Failure, SourceRecord
from pipeline.store import FeatureStore

DEATHS_ALONE = 2  # so often may a clip that is worked on alone end its process before it is given up
DEATHS_AT_START = 3  # so often may workers die before they begin anything: the installation is broken
# Large blocks stay with a worker, up to a point, instead of going back to the system after every layer: a tenth faster.
WORKER_ALLOCATOR = ("glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:glibc.malloc.top_pad=67108864:"
                    "glibc.malloc.trim_threshold=268435456")
# What the scheduler of a cluster or a batch system sends: the run's own process answers, workers do not.
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


class WorkerDeath(Exception):
    """A worker process ended in the middle of its work."""


def run_chunks(chunks: Sequence[Chunk], *, jobs: int,
               scheduler: str | None = None) -> Generator[ChunkReport, None, None]:
    """Work on chunks, and yield the report of each as it comes.

    A worker's death costs the chunks in work. Of those, the clips that were being worked on go singly; one that ends
    its process twice is recorded as failed. Asked to stop (:mod:`pipeline.running.orders`), no further chunk is begun.

    Args:
        chunks: all in one folder of shards.
        jobs: worker processes on this machine.
        scheduler: address of a Dask scheduler whose workers see the same folders; ``jobs`` is its own affair then.

    Raises:
        UsageError: the scheduler cannot be reached, or its workers cannot serve.
        PipelineError: workers die before they begin anything, or the scheduler is gone.
    """
    with _backend(scheduler):
        numbers = iter(range(max((chunk.number for chunk in chunks), default=0) + 1, 1 << 62))
        pending = {chunk.number: chunk for chunk in chunks}
        deaths_at_start = 0
        while pending:
            try:
                with contextlib.closing(_dispatch(list(pending.values()), jobs, scheduler)) as reports:
                    for report in reports:
                        del pending[report.number]
                        yield report
                return
            except WorkerDeath as death:
                finished, in_work = _survey(pending.values())
                deaths_at_start = 0 if finished or in_work else deaths_at_start + 1
                if deaths_at_start == DEATHS_AT_START:
                    raise PipelineError(
                        "worker processes die before they begin to work; what was finished is kept. Does `python -m"
                        " pipeline list` run, and is there memory for a few gigabytes a worker (--jobs 1 needs the"
                        " least)?") from death
            for chunk in finished:
                del pending[chunk.number]
                yield _report_of(chunk)
            for chunk, place in in_work:
                del pending[chunk.number]
                suspects, rest = _split(chunk, place, numbers)
                pending |= {one.number: one for one in rest}
                for suspect in suspects:
                    if not orders.stop_asked(chunk.shard.parent):
                        yield _alone(suspect, scheduler)


def _dispatch(chunks: Sequence[Chunk], jobs: int, scheduler: str | None) -> Generator[ChunkReport, None, None]:
    """Reports of chunks as they come; with one job there is one chunk in work, in a process of its own all the same."""
    wanted = (chunk for chunk in chunks if not orders.stop_asked(chunk.shard.parent))
    deaths, losses = _errors(scheduler)
    try:
        if scheduler is None and jobs == 1:
            yield from _one_by_one(wanted)
            return
        with _signals_held():
            reports = joblib.Parallel(n_jobs=jobs if scheduler is None else -1, return_as="generator_unordered",
                                      batch_size=1)(joblib.delayed(run_chunk)(chunk) for chunk in wanted)
        with _ending(reports):
            for report in reports:
                yield report
    except deaths as error:
        raise WorkerDeath from error
    except losses as error:
        raise PipelineError(f"the Dask cluster at {scheduler} is gone ({type(error).__name__}); what was finished is"
                            " kept, the same command goes on from there") from error


def _one_by_one(chunks: Iterable[Chunk]) -> Generator[ChunkReport, None, None]:
    """Work in one process beside this one; joblib with one job would work in this one, which a clip may end."""
    threads = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
    finished = False
    with _signals_held():
        executor = get_memmapping_executor(1, env=threads, initializer=end_with, initargs=(os.getpid(),))
        executor.submit(os.getpid)  # starts the process
    try:
        for chunk in chunks:
            yield executor.submit(run_chunk, chunk).result()
        finished = True
    finally:
        if not finished:
            executor.shutdown(wait=True, kill_workers=True)


def _errors(scheduler: str | None) -> tuple[tuple[type[BaseException], ...], tuple[type[BaseException], ...]]:
    """What says that a worker died of its work, and what says that the cluster is gone."""
    if scheduler is None:
        return (TerminatedWorkerError,), ()
    from distributed import CancelledError, KilledWorker
    from distributed.comm.core import CommClosedError
    return (KilledWorker,), (CancelledError, CommClosedError)


def _survey(chunks: Iterable[Chunk]) -> tuple[list[Chunk], list[tuple[Chunk, int]]]:
    """Among chunks without a report: those whose shard stands, and those that were in work, with the clip's place."""
    finished, in_work = [], []
    for chunk in chunks:
        if chunk.shard.exists():
            finished.append(chunk)
        elif chunk.mark.exists():
            text = chunk.mark.read_text(encoding="ascii")
            in_work.append((chunk, int(text) if text else WHOLE_CHUNK))
    return finished, in_work


def _report_of(chunk: Chunk) -> ChunkReport:
    """The report of a chunk whose worker died before it could give one."""
    store = FeatureStore(chunk.shard)
    failures = tuple((row["clip_id"], row["feature"], Failure(row["stage"], row["kind"], row["message"]))
                     for row in store.failures.to_dict("records"))
    return ChunkReport(chunk.number, store.num_clips, failures, {}, chunk.shard.stat().st_size)


def _split(chunk: Chunk, place: int, numbers: Iterator[int]) -> tuple[list[Chunk], list[Chunk]]:
    """The clips that may have ended their process as chunks of one, and the others of a chunk as one."""
    chunk.mark.unlink(missing_ok=True)
    suspects = chunk.clips if place == WHOLE_CHUNK else chunk.clips[place:place + 1]
    rest = tuple(clip for clip in chunk.clips if clip not in suspects)
    return ([_with(chunk, (clip,), next(numbers)) for clip in suspects],
            [_with(chunk, rest, next(numbers))] if rest else [])


def _with(chunk: Chunk, clips: tuple[Clip, ...], number: int) -> Chunk:
    return replace(chunk, number=number, clips=clips, shard=chunk.shard.with_name(
        f"{chunk.shard.stem.rpartition('-')[0]}-{number:06d}.h5"))


def _alone(chunk: Chunk, scheduler: str | None) -> ChunkReport:
    """Work on one clip with nothing else in work; a failure is recorded if it ends its process again and again."""
    for _ in range(DEATHS_ALONE):
        try:
            reports = list(_dispatch([chunk], 1, scheduler))
            return reports[0] if reports else ChunkReport(chunk.number, 0, (), {})
        except WorkerDeath:
            if chunk.shard.exists():
                return _report_of(chunk)
    return _given_up(chunk)


def _given_up(chunk: Chunk) -> ChunkReport:
    clip = chunk.clips[0]
    try:
        record = source_record(clip.source) if clip.source is not None else SourceRecord()
    except ClipError:
        record = SourceRecord()
    failure = Failure("worker", "permanent", f"ended its worker process {DEATHS_ALONE} times, alone in it (memory, or a"
                      " fault in a library); look at the file, then --retry-failed")
    cells = {feature.name: {clip.clip_id: Cell.failed(failure, input=input_digest(feature, clip, record.digest))}
             for feature in chunk.features}
    write_shard(chunk, cells, {clip.clip_id: record}, 1)
    return _report_of(chunk)


@contextlib.contextmanager
def _backend(scheduler: str | None) -> Iterator[None]:
    if scheduler is None:
        os.environ.setdefault("GLIBC_TUNABLES", WORKER_ALLOCATOR)
        with joblib.parallel_config(backend="loky", inner_max_num_threads=1, initializer=end_with,
                                    initargs=(os.getpid(),)):
            yield
        return
    with _cluster(scheduler):
        from joblib._dask import DaskDistributedBackend

        class Cluster(DaskDistributedBackend):
            """joblib's own does the work of a cluster of one worker in this process, which a clip may end."""

            def effective_n_jobs(self, n_jobs: int) -> int:
                return max(2, int(super().effective_n_jobs(n_jobs)))

        with joblib.parallel_config(backend=Cluster()):
            yield


@contextlib.contextmanager
def _cluster(address: str) -> Iterator[None]:
    """A connection to a Dask cluster, which joblib's backend then finds."""
    try:
        from distributed import Client
    except ImportError:
        raise UsageError("--scheduler needs Dask: pip install 'affect-pipeline[cluster]' (in a checkout: pip install"
                         " '.[cluster]')") from None
    try:
        client = Client(address, timeout="10s", set_as_default=True)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, RuntimeError) as error:
        raise UsageError(f"no Dask scheduler answers at {address} ({str(error).splitlines()[0]}); expected an address"
                         " such as tcp://HOST:8786, as `dask scheduler` prints") from error
    # Its tracebacks of a lost connection say less than the one line that the run ends with.
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)
    try:
        threads = {worker["nthreads"] for worker in client.scheduler_info(n_workers=-1)["workers"].values()}
        if threads != {1}:
            raise UsageError(f"the cluster at {address} has "
                             + (f"workers with {max(threads)} threads; start them with --nthreads 1 (and as many"
                                " --nworkers as cores), which results depend on" if threads else "no workers; start"
                                f" some: dask worker {address} --nthreads 1"))
        yield
    finally:
        client.close()  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def _ending(reports: Generator[ChunkReport, None, None]) -> Iterator[None]:
    """Close joblib's generator; it warns of results that were not waited for, which a run that stops knows."""
    try:
        yield
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            reports.close()


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """Processes and threads that start in here never see the signals that stop a run; the run's own process does."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        # These must not see the signals either; they unblock some of them here when they start.
        multiprocessing.resource_tracker.ensure_running()
        loky_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
