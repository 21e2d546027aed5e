"""Extraction on a real Dask cluster on this machine: the same bytes as without it, also when workers are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.datasets.manifest import Manifest
from pipeline.errors import PipelineError, UsageError
from pipeline.extraction import ExtractConfig, Quiet, extract
from pipeline.running.pool import run_chunks
from pipeline.running.worker import ChunkReport
from pipeline.store import FeatureStore
from tests.makers import make_video, write_manifest
from tests.running.test_pool import chunks, results

pytest.importorskip("distributed")
ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    for number in range(12):
        make_video(folder / f"clip{number}.mp4", seconds=0.4, tone_hz=200.0 + 50 * number, face=False)
    return write_manifest(folder / "clips.csv", [{"path": f"clip{number}.mp4"} for number in range(12)])


class Cluster:
    """A scheduler and workers as processes of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "scheduler.json"
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        log = (self.folder / f"log{len(self.processes)}").open("wb")
        with log:
            process = subprocess.Popen([sys.executable, "-m", "dask", *words, "--scheduler-file", str(self.file)],
                                       stdout=log, stderr=log, cwd=self.folder,
                                       env={**os.environ, "PYTHONPATH": str(ROOT)})
        self.processes.append(process)
        return process

    def scheduler(self) -> str:
        self.start("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
        while not self.file.exists():
            assert self.processes[0].poll() is None, (self.folder / "log0").read_text()
            time.sleep(0.05)
        return str(json.loads(self.file.read_text())["address"])

    def worker(self, threads: int = 1) -> subprocess.Popen[bytes]:
        return self.start("worker", "--nthreads", str(threads), "--no-nanny", "--no-dashboard", "--local-directory",
                          str(self.folder))

    def wait_for(self, address: str, num_workers: int) -> None:
        from distributed import Client
        with Client(address) as client:
            client.wait_for_workers(num_workers, timeout=60)

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture()
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    (tmp_path / "dask").mkdir()
    made = Cluster(tmp_path / "dask")
    yield made
    made.end()


def run(corpus: Path, out: Path, progress: Quiet = Quiet(), **config: object) -> dict[str, str]:
    extract(Manifest(Manifest.Config(manifest=corpus)), out, extractors=("audio_logmel", "faces"), progress=progress,
            config=ExtractConfig(**config))  # type: ignore[arg-type]
    store = FeatureStore(out)
    return {name: store.digest(name) for name in store.features}


class KillAfterFirst(Quiet):
    """Kills a process when the first chunk is finished."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process

    def advanced(self, report: ChunkReport, cost: float) -> None:
        self.process.send_signal(signal.SIGKILL)


def test_a_cluster_gives_the_same_bytes_also_when_a_worker_is_killed(corpus: Path, tmp_path: Path,
                                                                     cluster: Cluster) -> None:
    expected = run(corpus, tmp_path / "local.h5", jobs=2)
    address = cluster.scheduler()
    first = cluster.worker()
    cluster.worker()
    cluster.wait_for(address, 2)
    assert run(corpus, tmp_path / "cluster.h5", scheduler=address) == expected
    assert run(corpus, tmp_path / "killed.h5", KillAfterFirst(first), scheduler=address) == expected
    assert first.wait() == -signal.SIGKILL
    left = {path.name for path in tmp_path.iterdir()} - {"dask"}
    assert left == {"local.h5", "cluster.h5", "killed.h5"}
    work = chunks(tmp_path / "lost", *([f"slow{number}"] for number in range(9)))
    with pytest.raises(PipelineError, match="the Dask cluster at .* is gone .*what was finished is kept"):
        for _ in run_chunks(work, jobs=1, scheduler=address):
            cluster.processes[0].kill()
    assert 0 < len(results(tmp_path / "lost")) < 9


def test_workers_with_threads_and_a_cluster_without_workers_are_refused(corpus: Path, tmp_path: Path,
                                                                        cluster: Cluster) -> None:
    address = cluster.scheduler()
    with pytest.raises(UsageError, match="has no workers; start some: dask worker"):
        run(corpus, tmp_path / "a.h5", scheduler=address)
    cluster.worker(threads=2)
    cluster.wait_for(address, 1)
    with pytest.raises(UsageError, match="workers with 2 threads; start them with --nthreads 1"):
        run(corpus, tmp_path / "a.h5", scheduler=address)
