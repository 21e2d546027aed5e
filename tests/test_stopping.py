"""What ends a run before its end: signals, too many failures, a full disk, another writer; and parts of a run."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.datasets.manifest import Manifest
from pipeline.errors import PipelineError, StoreError, UsageError
from pipeline.extraction import ExtractConfig, Quiet, extract
from pipeline.running.forecast import forecast
from pipeline.storage.lock import locked
from pipeline.storage.shards import open_store
from pipeline.store import FeatureStore
from tests.kills import processes, start, wait_for_work
from tests.makers import make_video, write_manifest

NUM_CLIPS = 10


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("originals")
    for number in range(NUM_CLIPS):
        make_video(folder / f"clip{number}.mp4", seconds=0.4, face=number % 2 == 0, tone_hz=200.0 + 50 * number)
    return write_manifest(folder / "clips.csv", [{"path": f"clip{number}.mp4"} for number in range(NUM_CLIPS)])


@pytest.fixture()
def corpus(originals: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(originals.parent, tmp_path / "corpus")) / originals.name


def run(manifest: Path, out: Path, *features: str, progress: Quiet = Quiet(), **config: object) -> int:
    """Clips that were worked on."""
    return extract(Manifest(Manifest.Config(manifest=manifest)), out, extractors=features or ("audio_logmel", "faces"),
                   config=ExtractConfig(**{"jobs": 2, **config}), progress=progress).num_done  # type: ignore[arg-type]


def digests(out: Path) -> dict[str, str]:
    store = open_store(out)
    return {name: store.digest(name) for name in store.features}


@pytest.fixture(scope="module")
def expected(originals: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    out = tmp_path_factory.mktemp("expected") / "store.h5"
    run(originals, out)
    return digests(out)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_finishes_the_clips_in_work_and_keeps_them(
        corpus: Path, tmp_path: Path, expected: dict[str, str], number: signal.Signals) -> None:
    out = tmp_path / "out" / "store.h5"
    process = start(corpus, out, ("audio_logmel", "faces"))
    wait_for_work(process, out)
    os.killpg(process.pid, number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130 and b"Traceback" not in said, said.decode()
    assert b"finishing the clips in work" in said and b"the same command goes on from there" in said
    kept = int((FeatureStore(out).status("faces") != "missing").sum())
    assert 0 < kept < NUM_CLIPS
    assert run(corpus, out) == NUM_CLIPS - kept and digests(out) == expected
    assert [path.name for path in out.parent.iterdir()] == ["store.h5"] and not processes(process.pid)


def test_a_second_writer_is_told_who_writes_or_waits(corpus: Path, tmp_path: Path, expected: dict[str, str]) -> None:
    out = tmp_path / "store.h5"
    process = start(corpus, out, ("audio_logmel", "faces"))
    wait_for_work(process, out)
    with pytest.raises(StoreError, match=f"store.h5 is being written by process {process.pid} on .*--wait"):
        run(corpus, out)

    class Told(Quiet):
        said = ""

        def waiting(self, message: str) -> None:
            self.said = message

    told = Told()
    assert run(corpus, out, progress=told, wait=True) == 0
    assert f"process {process.pid}" in told.said and digests(out) == expected
    process.communicate()
    assert process.returncode == 0


def test_more_failures_than_allowed_stop_the_run_and_keep_what_is_done(corpus: Path, tmp_path: Path) -> None:
    for number in range(4):
        (corpus.parent / f"clip{number}.mp4").write_bytes(b"no video")
    with pytest.raises(PipelineError, match=r"\d clips have failed, more than --max-failures 1 allows; the last is "):
        run(corpus, tmp_path / "store.h5", max_failures=1, jobs=1)
    assert len(FeatureStore(tmp_path / "store.h5").failures) >= 2
    run(corpus, tmp_path / "store.h5", max_failures=8)
    assert (FeatureStore(tmp_path / "store.h5").status("faces") == "failed").sum() == 4


def test_the_parts_of_an_array_of_jobs_are_each_a_store_of_all_clips_with_their_own_done(
        corpus: Path, tmp_path: Path, expected: dict[str, str]) -> None:
    for number in (1, 2, 3):
        run(corpus, tmp_path / f"{number}.h5", shard=f"{number}/3")
    stores = [FeatureStore(tmp_path / f"{number}.h5") for number in (1, 2, 3)]
    done = [store.status("audio_logmel") == "done" for store in stores]
    assert [int(part.sum()) for part in done] == [4, 3, 3]
    assert sum(part.astype(int) for part in done).tolist() == [1] * 10
    assert run(corpus, tmp_path / "1.h5", shard="1/3") == 0
    assert run(corpus, tmp_path / "1.h5") == 6 and digests(tmp_path / "1.h5") == expected
    for wrong in ("0/3", "4/3", "a", "1/", "-1/3"):
        with pytest.raises(UsageError, match="expected K/N with K from 1 to N"):
            run(corpus, tmp_path / "a.h5", shard=wrong)


def test_shards_that_are_not_packed_are_read_gone_on_from_and_packed_later(
        corpus: Path, tmp_path: Path, expected: dict[str, str]) -> None:
    out = tmp_path / "store.h5"
    assert run(corpus, out, shard="1/2", no_pack=True) == 5
    assert run(corpus, out, no_pack=True) == 5 and run(corpus, out, no_pack=True) == 0
    assert not out.exists() and digests(out) == expected
    shards = sorted(path.suffix for path in (tmp_path / "store.h5.shards").iterdir())
    assert set(shards) == {".h5"} and len(shards) >= 2
    assert run(corpus, out) == 0 and digests(out) == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus", "store.h5"]


def test_a_feature_made_from_another_reads_it_from_shards_that_are_not_packed(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "store.h5"
    run(corpus, out, "faces", no_pack=True)
    extract(Manifest(Manifest.Config(manifest=corpus)), out, extractors=("face_r3d18",), config=ExtractConfig(
        jobs=2, no_pack=True, weights="random", shard="1/5"))
    store = open_store(out)
    status = dict(zip(store.column("clip_id").tolist(), store.status("face_r3d18").tolist(), strict=True))
    assert (status.pop("all/clip0"), status.pop("all/clip5")) == ("done", "empty")
    assert list(status.values()) == 8 * ["missing"]
    assert [request["extractors"] for request in store.requests] == [["faces"], ["face_r3d18"]]


def test_the_request_that_a_store_keeps_makes_it_again(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "store.h5"
    extract(Manifest(Manifest.Config(manifest=corpus)), out, extractors=("audio_logmel",),
            settings={"audio_logmel": {"preset": "meld_joint"}},
            config=ExtractConfig(jobs=1, on_damage="partial", shard="1/4"))
    request, = FeatureStore(out).requests
    before = digests(out)
    assert request["command"][:6] == ["python", "-m", "pipeline", "extract", "--dataset", "manifest"]
    out.unlink()
    subprocess.run([sys.executable, *request["command"][1:]], check=True, capture_output=True)
    assert digests(out) == before and FeatureStore(out).requests == [request]


def test_a_forecast_makes_nothing_and_tells_clips_time_and_room(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "cache" / "store.h5"
    found = forecast(Manifest(Manifest.Config(manifest=corpus)), out, extractors=("audio_logmel", "faces"),
                     config=ExtractConfig(jobs=2))
    assert not out.parent.exists()
    assert (found.num_clips, found.num_todo, found.jobs, found.num_failed) == (NUM_CLIPS, NUM_CLIPS, 2, 0)
    assert found.seconds > 0 and found.fits
    run(corpus, out)
    store = FeatureStore(out)
    for feature in found.features:
        stored = store.array(feature.name).nbytes + store.times(feature.name).nbytes
        assert 0.5 * stored <= feature.num_bytes <= 2 * stored and feature.num_clips == NUM_CLIPS
    assert forecast(Manifest(Manifest.Config(manifest=corpus)), out, extractors=("faces",)).num_todo == 0


def test_a_lock_that_is_held_here_is_seen_by_a_run_elsewhere(corpus: Path, tmp_path: Path) -> None:
    with locked(tmp_path / "store.h5"):
        process = start(corpus, tmp_path / "store.h5", ("audio_logmel",))
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1 and f"process {os.getpid()}".encode() in said


@pytest.fixture()
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of two megabytes, where the machine lets us mount one."""
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True)
    if done.returncode:
        pytest.skip("no right to mount a small file system here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_disk_that_is_too_small_is_one_error_and_loses_nothing(
        corpus: Path, small_disk: Path, tmp_path: Path, expected: dict[str, str]) -> None:
    write_manifest(corpus, [{"path": f"clip{number}.mp4"} for number in range(NUM_CLIPS)])
    with pytest.raises(StoreError, match="free|No space left on device"):
        run(corpus, small_disk / "store.h5")
    shutil.copytree(small_disk, tmp_path / "large")
    assert run(corpus, tmp_path / "large" / "store.h5") <= NUM_CLIPS
    assert digests(tmp_path / "large" / "store.h5") == expected
