"""Kill an extraction at random moments, resume at once, compare with a run that nothing disturbed.

    python -m tests.kills [--kills 30] [--clips 24] [--seed 0]

Each time a worker, the parent or the whole group is killed by SIGKILL. Afterwards the store must hold the same digests
and every clip once, nothing may lie beside it, and no process of the killed run may be left.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pipeline.store import FeatureStore
from tests.makers import make_bert, make_video, write_manifest

ROOT = Path(__file__).parents[1]
TARGETS = ("worker", "parent", "group")
FEATURES = ("text_bert", "audio_logmel", "faces")


def make_corpus(folder: Path, num_clips: int) -> Path:
    """A manifest of short clips with words, and a tiny BERT beside it."""
    make_bert(folder / "bert")
    for number in range(num_clips):
        make_video(folder / f"clip{number}.mp4", seconds=0.4 + 0.05 * (number % 5), tone_hz=200.0 + 20 * number)
    return write_manifest(folder / "clips.csv", [{"path": f"clip{number}.mp4", "text": "Oh no!" + " you" * number}
                                                 for number in range(num_clips)])


def start(manifest: Path, out: Path, features: Sequence[str], *,
          stderr: int = subprocess.PIPE) -> subprocess.Popen[bytes]:
    """An extraction with two workers, in a session of its own."""
    command = [sys.executable, "-m", "pipeline", "extract", "--dataset", "manifest", "--manifest", str(manifest),
               "--out", str(out), "--extractors", ",".join(features), "--jobs", "2"]
    if "text_bert" in features:
        command += ["--set", f"text_bert.model={manifest.parent / 'bert'}"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=stderr, start_new_session=True)


def finish(process: subprocess.Popen[bytes]) -> None:
    """Wait for a run that must end well."""
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said and said.decode()


def processes(session: int) -> dict[int, str]:
    """Command lines of the processes of a session by process id."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
            if os.getsid(int(folder.name)) == session and state != "Z":
                found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except (OSError, ProcessLookupError):
            continue
    return found


def kill(process: subprocess.Popen[bytes], target: str, chance: random.Random) -> bool:
    """Kill one worker, the parent, or all; False where there is nothing of that kind."""
    workers = workers_of(process)
    try:
        if target == "group":
            os.killpg(process.pid, signal.SIGKILL)
        elif target == "parent":
            os.kill(process.pid, signal.SIGKILL)
        elif workers:
            os.kill(chance.choice(workers), signal.SIGKILL)
        else:
            return False
    except ProcessLookupError:
        return False
    return True


def workers_of(process: subprocess.Popen[bytes]) -> list[int]:
    """Ids of an extraction's worker processes."""
    return [number for number, command in processes(process.pid).items() if "LokyProcess" in command]


def wait_for_workers(process: subprocess.Popen[bytes], out: Path) -> None:
    """Wait until the first worker process is started, which has nothing to do yet."""
    while process.poll() is None and not workers_of(process):
        time.sleep(0.005)


def wait_for_work(process: subprocess.Popen[bytes], out: Path) -> None:
    """Wait until the first chunk is in work."""
    shards = out.with_name(out.name + ".shards")
    while process.poll() is None and not any(shards.glob("*.working")):
        time.sleep(0.01)


def trial(manifest: Path, out: Path, features: Sequence[str], target: str, after_seconds: float,
          chance: random.Random) -> bool:
    """Start, kill some time after workers or their work began, resume at once; True where the kill met a run."""
    process = start(manifest, out, features, stderr=subprocess.DEVNULL)
    chance.choice((wait_for_workers, wait_for_work, wait_for_work))(process, out)
    time.sleep(after_seconds)
    met = process.poll() is None and kill(process, target, chance)
    if target == "worker" or not met:
        finish(process)
    else:
        process.wait()
    finish(start(manifest, out, features))
    until = time.monotonic() + 1
    while processes(process.pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert not processes(process.pid), f"left running: {processes(process.pid)}"
    return met


def digests(out: Path, num_clips: int) -> dict[str, str]:
    """Digest of every feature, when each clip stands once and is done."""
    store = FeatureStore(out)
    ids = store.column("clip_id").tolist()
    assert len(ids) == len(set(ids)) == num_clips
    assert all((store.status(name) == "done").all() for name in store.features)
    return {name: store.digest(name) for name in store.features}


def run(num_kills: int, num_clips: int, seed: int, features: Sequence[str] = FEATURES) -> Counter[str]:
    """All of it.

    Returns:
        How often which kind of kill met a run in work.
    """
    chance, met = random.Random(seed), Counter[str]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifest = make_corpus(folder, num_clips)
        stores = folder / "stores"
        process = start(manifest, stores / "whole.h5", features)
        wait_for_work(process, stores / "whole.h5")
        began = time.monotonic()
        finish(process)
        duration = time.monotonic() - began
        expected = digests(stores / "whole.h5", num_clips)
        for number in range(num_kills):
            target, out = TARGETS[number % len(TARGETS)], stores / "killed.h5"
            met[target] += trial(manifest, out, features, target, duration * chance.random() * 0.8, chance)
            assert digests(out, num_clips) == expected, f"kill {number}, {target}"
            out.unlink()
            assert [path.name for path in stores.iterdir()] == ["whole.h5"]
    return met


def main() -> None:
    """Read the options, and say what was met."""
    began = time.monotonic()
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    met = run(given.kills, given.clips, given.seed)
    print(f"{given.kills} kills, of which met a run in work: {dict(met)}; all digests as undisturbed, every clip once,"
          f" nothing left beside the store, no process left ({time.monotonic() - began:.0f} s)")


if __name__ == "__main__":
    main()
