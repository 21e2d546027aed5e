"""The lock on a store: one writer, who is named, and whose death frees it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pipeline.errors import StoreError
from pipeline.storage.lock import locked

HOLD = """
import sys, time
from pathlib import Path
from pipeline.storage.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def holder(store: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(store)], stdout=subprocess.PIPE, text=True,
                               cwd=Path(__file__).parents[2])
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_a_second_writer_is_refused_and_told_who_writes(tmp_path: Path) -> None:
    process = holder(tmp_path / "a.h5")
    try:
        with pytest.raises(StoreError, match=rf"a.h5 is being written by process {process.pid} on .* since 20.*--wait"):
            with locked(tmp_path / "a.h5"):
                pass
        with locked(tmp_path / "b.h5"):
            pass
    finally:
        end(process)


def test_a_lock_left_by_a_killed_process_is_taken_over_and_cleared_away(tmp_path: Path) -> None:
    process = holder(tmp_path / "a.h5")
    os.kill(process.pid, signal.SIGKILL)
    end(process)
    assert (tmp_path / "a.h5.lock").exists()
    with locked(tmp_path / "a.h5"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_who_waits_goes_on_when_the_holder_is_done(tmp_path: Path) -> None:
    process = holder(tmp_path / "a.h5")
    told: list[str] = []
    killer = threading.Timer(0.3, process.kill)
    killer.start()
    with locked(tmp_path / "a.h5", wait=True, on_wait=told.append):
        assert len(told) == 1 and f"process {process.pid}" in told[0]
    end(process)
    assert list(tmp_path.iterdir()) == []


def test_many_writers_come_one_after_the_other(tmp_path: Path) -> None:
    inside, most = [0], [0]

    def write() -> None:
        for _ in range(5):
            with locked(tmp_path / "a.h5", wait=True):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                time.sleep(0.002)
                inside[0] -= 1

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] and list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_hold_a_lock_is_one_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="its lock .* cannot be made"):
        with locked(tmp_path / "file" / "a.h5"):
            pass


def test_a_lock_file_with_junk_in_it_names_no_one(tmp_path: Path) -> None:
    process = holder(tmp_path / "a.h5")
    (tmp_path / "a.h5.lock").write_bytes(b"\xff\x00{")
    try:
        with pytest.raises(StoreError, match="being written by another process"):
            with locked(tmp_path / "a.h5"):
                pass
    finally:
        end(process)
