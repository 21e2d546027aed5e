"""Worker processes that die: what they cost, whom they take along, and when a clip is given up."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch

from pipeline.clip import Clip, Corpus
from pipeline.errors import PipelineError, UsageError
from pipeline.extractors import Extractor, Modality
from pipeline.media import FeatureSequence, Media, Needs
from pipeline.recipes import PlannedFeature
from pipeline.running import orders
from pipeline.running.pool import run_chunks
from pipeline.running.worker import Chunk
from pipeline.store import FeatureStore


class Lengths(Extractor):
    """Describes a clip by the length of its id; some ids end the process, take long, or take much memory."""

    modality: ClassVar[Modality] = "video"

    @dataclass(frozen=True)
    class Config:
        folder: Path = Path()
        batch_size: int = 8

    @property
    def needs(self) -> Needs:
        return Needs(waveform=True)

    @property
    def row_shape(self) -> tuple[int, ...]:
        return (1,)

    def extract(self, media: Sequence[Media]) -> list[FeatureSequence]:
        for clip in media:
            once = self.config.folder / clip.clip_id
            if clip.clip_id.startswith("deadly") or clip.clip_id.startswith("once") and not once.exists():
                once.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            if clip.clip_id.startswith("slow"):
                time.sleep(0.5)
            if clip.clip_id.startswith("large") and self.config.batch_size > 2 or clip.clip_id.startswith("huge"):
                raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 20.00 GiB.")
        return [FeatureSequence(np.full((1, 1), len(clip.clip_id), np.float32), np.zeros((1, 2), np.float32))
                for clip in media]


@dataclass(frozen=True)
class Planned(PlannedFeature):
    def build(self, device: torch.device) -> Extractor:
        return Lengths(self.config, device=device)


@dataclass(frozen=True)
class Unbuildable(PlannedFeature):
    """Ends the process before any clip is begun, as a broken installation does."""

    parent: int = field(default_factory=os.getpid)

    def build(self, device: torch.device) -> Extractor:
        if os.getpid() != self.parent:
            os.kill(os.getpid(), signal.SIGKILL)
        return Lengths(self.config, device=device)


def chunks(folder: Path, *groups: Sequence[str], kind: type[PlannedFeature] = Planned) -> list[Chunk]:
    """One chunk for each group of clip ids; no clip has a file, so that nothing is decoded."""
    folder.mkdir(exist_ok=True)
    token = orders.begin(folder / "s.shards")
    feature = kind("lengths", "lengths", Lengths.Config(folder), Needs(waveform=True), {"fingerprint": "f" * 32})
    source = folder / "tone.wav"
    write_tone(source)
    return [Chunk(number, tuple(Clip(name, source) for name in group), (feature,), (), Corpus("toy"),
                  folder / "s.shards" / f"run-{number:06d}.h5", None, token, "cpu") for number, group in
            enumerate(groups)]


def write_tone(path: Path) -> None:
    import wave
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(bytes(3200))


def results(folder: Path) -> dict[str, str]:
    """Status of every clip in the shards; no clip stands in two."""
    found: dict[str, str] = {}
    for shard in sorted((folder / "s.shards").glob("*.h5")):
        store = FeatureStore(shard)
        ids = store.column("clip_id").tolist()
        assert not set(ids) & found.keys()
        found |= dict(zip(ids, store.status("lengths").tolist(), strict=True))
    return found


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_worker_that_dies_once_loses_nothing(tmp_path: Path, jobs: int) -> None:
    work = chunks(tmp_path, ["a", "once", "b"], ["c", "d"], ["e"])
    reports = list(run_chunks(work, jobs=jobs))
    assert sum(report.num_clips for report in reports) == 6
    assert results(tmp_path) == dict.fromkeys(["a", "once", "b", "c", "d", "e"], "done")
    assert not list((tmp_path / "s.shards").glob("*.working"))


def test_a_clip_that_ends_its_worker_again_and_again_is_a_permanent_failure_and_alone(tmp_path: Path) -> None:
    work = chunks(tmp_path, ["a", "deadly1", "b"], ["c", "deadly2"], ["e"])
    reports = list(run_chunks(work, jobs=2))
    assert results(tmp_path) == {"a": "done", "b": "done", "c": "done", "e": "done", "deadly1": "failed",
                                 "deadly2": "failed"}
    failures = [failure for report in reports for failure in report.failures]
    assert {clip_id for clip_id, _, _ in failures} == {"deadly1", "deadly2"}
    assert all(failure.kind == "permanent" and "ended its worker process 2 times" in failure.message
               for _, _, failure in failures)


def test_workers_that_never_begin_are_an_error_that_says_where_to_look(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="die before they begin to work.*pipeline list"):
        list(run_chunks(chunks(tmp_path, ["a"], kind=Unbuildable), jobs=1))


def test_a_run_that_was_asked_to_stop_begins_no_chunk(tmp_path: Path) -> None:
    work = chunks(tmp_path, ["a"], ["b"])
    orders.ask_to_stop(tmp_path / "s.shards")
    assert list(run_chunks(work, jobs=1)) == [] and results(tmp_path) == {}


def test_a_worker_of_a_run_that_is_gone_writes_nothing(tmp_path: Path) -> None:
    work = chunks(tmp_path, ["a"])
    orders.begin(tmp_path / "s.shards")
    assert [report.num_clips for report in run_chunks(work, jobs=1)] == [0]
    assert results(tmp_path) == {}


def test_out_of_gpu_memory_halves_the_batch_and_fails_the_clip_only_at_one(tmp_path: Path) -> None:
    reports = list(run_chunks(chunks(tmp_path, ["large", "a", "huge", "b"]), jobs=1))
    assert results(tmp_path) == {"large": "done", "a": "done", "huge": "failed", "b": "done"}
    (clip_id, _, failure), = reports[0].failures
    assert clip_id == "huge" and failure.kind == "passing" and "--device cpu" in failure.message


def test_a_scheduler_that_does_not_answer_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no Dask scheduler answers at nonsense://"):
        list(run_chunks(chunks(tmp_path, ["a"]), jobs=1, scheduler="nonsense://127.0.0.1:1"))
