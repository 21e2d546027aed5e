"""How fast are reading, packing and opening? Prints Markdown tables.

    python -m tests.benchmarks.store [--gigabytes 1] [--clips 1000000] [--folder FOLDER]

Files lie in the page cache for all that is compared; both sides of a ratio are measured in turns, in one run, and the
shorter of several repeats counts. Packing and copying both end when the file is on the disk (fsync).
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from pipeline.clip import Clip, Corpus, Task
from pipeline.media import FeatureSequence
from pipeline.storage.columns import Texts
from pipeline.storage.packing import FeatureData, write_store
from pipeline.storage.shards import pack_store, shard_folder
from pipeline.storage.writing import FeatureRows, write_file
from pipeline.store import CLIP_COLUMNS, NUMBER_COLUMNS, FeatureStore

WIDTH, MEAN_ROWS = 512, 24
CORPUS = Corpus("noise", (Task("emotion", tuple("abcdefg")),))


def make_shards(out: Path, num_bytes: int, num_shards: int = 60) -> int:
    """Shards of noise beside a store that is not there yet; number of clips."""
    random = np.random.default_rng(0)
    num_clips = max(num_shards, num_bytes // (MEAN_ROWS * WIDTH * 4))
    clips = [Clip(f"train/clip{place}", split="train", labels={"emotion": "a"}) for place in range(num_clips)]
    for number, places in enumerate(np.array_split(np.arange(num_clips), num_shards)):
        sequences = {clips[place].clip_id: FeatureSequence(
            random.standard_normal((length, WIDTH), np.float32), np.full((length, 2), np.nan, np.float32), "none")
            for place in places.tolist() for length in [int(random.integers(1, 2 * MEAN_ROWS))]}
        write_store(shard_folder(out) / f"{number:06d}.h5", corpus=CORPUS, clips=[clips[place] for place in places],
                    features={"noise": FeatureData("audio", (WIDTH,), {}, sequences)})
    return num_clips


def shortest(*works: Callable[[], object], repeats: int = 5) -> list[float]:
    """Shortest time of each work, seconds; the works take turns."""
    times = np.empty((repeats, len(works)))
    for turn in range(repeats):
        for place, work in enumerate(works):
            start = time.perf_counter()
            work()
            times[turn, place] = time.perf_counter() - start
    return [float(value) for value in times.min(axis=0)]


def copy(source: Path, target: Path) -> None:
    """Copy a file and have the disk hold it."""
    shutil.copyfile(source, target)
    with target.open("rb+") as file:
        os.fsync(file.fileno())


def packing(folder: Path, out: Path, num_bytes: int) -> None:
    num_clips = make_shards(out, num_bytes)
    kept = shutil.copytree(shard_folder(out), folder / "kept")
    total = sum(path.stat().st_size for path in kept.iterdir())

    def again() -> None:
        out.unlink(missing_ok=True)
        (folder / "copy").unlink(missing_ok=True)
        shutil.rmtree(shard_folder(out), ignore_errors=True)
        os.sync()
        shutil.copytree(kept, shard_folder(out), copy_function=os.link)

    rows = []
    for _ in range(3):
        again()
        rows.append((shortest(lambda: pack_store(out), repeats=1)[0],
                     shortest(lambda: copy(out, folder / "copy"), repeats=1)[0]))
    packed, copied = np.min(rows, axis=0)
    print(f"Packing {len(list(kept.iterdir()))} shards of {num_clips} clips, {total / 1e6:.0f} MB, against copying the"
          " packed file; both with fsync\n")
    print("| | seconds | MB/s | against the copy |\n|---|---|---|---|")
    for name, seconds in (("copying the file", copied), ("packing", packed)):
        print(f"| {name} | {seconds:.2f} | {total / seconds / 1e6:.0f} | {seconds / copied:.2f} |")
    (folder / "copy").unlink()
    shutil.rmtree(kept)


def reading(out: Path) -> None:
    store = FeatureStore(out)
    values, offset = store.array("noise"), store.place_in_file("noise", "values")
    buffer = np.empty(values.shape, np.float32)

    def plainly() -> None:
        with out.open("rb", buffering=0) as file:
            file.seek(offset)
            room = buffer.reshape(-1).view(np.uint8).data
            while room:
                room = room[file.readinto(room):]

    def clip_by_clip() -> None:
        opened, row = FeatureStore(out), 0
        for place in range(opened.num_clips):
            found = opened.cell(place, "noise").values
            buffer[row:row + len(found)] = found
            row += len(found)

    plainly()
    rows = shortest(plainly, lambda: np.copyto(buffer, FeatureStore(out).array("noise")), clip_by_clip)
    print(f"\nReading all {len(values):,} rows ({values.nbytes / 1e6:.0f} MB) into memory\n")
    print("| | seconds | MB/s | against the plain read |\n|---|---|---|---|")
    for name, seconds in zip(("plain read of the bytes", "`store.array(feature)`, opened anew",
                              "`store.cell(…)` clip by clip, each checked for NaN and times"), rows):
        print(f"| {name} | {seconds:.3f} | {values.nbytes / seconds / 1e6:.0f} | {seconds / rows[0]:.2f} |")


def gathering(folder: Path, out: Path) -> None:
    """One random epoch: every clip's rows once, in a random order."""
    store, other = FeatureStore(out), folder / "groups.h5"
    with h5py.File(other, "w") as file:
        for place, clip_id in enumerate(store.column("clip_id").tolist()):
            file.create_dataset(f"{clip_id}/noise", data=store.cell(place, "noise").values)
    order = np.random.default_rng(0).permutation(store.num_clips).tolist()
    ids = store.column("clip_id").tolist()

    def groups() -> None:
        with h5py.File(other, "r") as file:
            for place in order:
                file[ids[place]]["noise"][()]

    def packed() -> None:
        opened = FeatureStore(out)
        values, offsets = opened.array("noise"), opened.offsets("noise").tolist()
        for place in order:
            np.array(values[offsets[place]:offsets[place + 1]])

    def checked() -> None:
        opened = FeatureStore(out)
        for place in order:
            opened.read(ids[place], "noise").values

    rows = shortest(groups, packed, checked, repeats=3)
    print(f"\nOne random epoch over {store.num_clips:,} clips\n")
    print("| | seconds | against a group for each clip |\n|---|---|---|")
    for name, seconds in zip(("HDF5 with a group for each clip", "gathered from `store.array(feature)`",
                              "`store.read(…)`, each checked"), rows):
        print(f"| {name} | {seconds:.3f} | {seconds / rows[0]:.3f} |")
    other.unlink()


def make_large(path: Path, num_clips: int) -> Path:
    """A store of very many clips with one row each of three features, written from columns."""
    places = np.arange(num_clips)
    columns: dict[str, np.ndarray] = {name: np.zeros(num_clips, "S1") for name in CLIP_COLUMNS}
    columns |= {name: np.zeros(num_clips, kind) for name, kind in NUMBER_COLUMNS.items()}
    columns |= {"clip_id": np.char.add(b"train/dialogue_and_utterance_", places.astype("S8")),
                "split": np.where(places % 10 == 0, b"dev", b"train"), "stop_seconds": np.full(num_clips, np.nan),
                "source_digest": np.full(num_clips, b"d" * 32), "labels/emotion": places % 7}
    clips: dict[str, np.ndarray | Texts] = {**columns}
    for name, size in (("text", 60), ("source", 50)):
        clips[name] = Texts(np.full(num_clips * size, ord("x"), np.uint8), np.arange(num_clips + 1) * size)
    digests = np.random.default_rng(0).bytes(16 * num_clips).hex().encode()

    def rows(name: str) -> FeatureRows:
        blocks = ((np.zeros((1 << 16, 4), np.float32)[:num_clips - start], np.zeros((1 << 16, 2), np.float32)[
            :num_clips - start]) for start in range(0, num_clips, 1 << 16))
        head = {"modality": "audio", "row_shape": (4,), "dtype": "float32", "recipe": {"extractor": name},
                "columns": (), "is_input": True}
        return FeatureRows(head, np.ones(num_clips, np.int64), np.ones(num_clips, np.uint8),
                           np.zeros(num_clips, np.uint8), np.frombuffer(digests, "S32"),
                           np.frombuffer(digests, "S32"), blocks)

    return write_file(path, corpus=CORPUS, clips=clips,
                      features=((name, rows(name)) for name in ("one", "three", "two")))


def measured(*arguments: str) -> tuple[float, float]:
    """Wall seconds and peak MB of a Python process."""
    script = ("import os, sys, time; start = time.perf_counter(); to_null = (os.POSIX_SPAWN_OPEN, 1, os.devnull,"
              " os.O_WRONLY, 0); pid = os.posix_spawn(sys.executable, [sys.executable, *sys.argv[1:]], os.environ,"
              " file_actions=[to_null]); _, status, used = os.wait4(pid, 0);"
              " print(status, time.perf_counter() - start, used.ru_maxrss / 1e3)")
    done = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
    status, seconds, megabytes = done.stdout.split()
    assert status == "0", done.stderr
    return float(seconds), float(megabytes)


def many_clips(folder: Path, num_clips: int) -> None:
    path = make_large(folder / "large.h5", num_clips)
    size = path.stat().st_size / 1e6
    opening, = shortest(lambda: FeatureStore(path), repeats=10)
    rows = {"`import pipeline.store`": measured("-c", "import pipeline.store"),
            "… and open": measured("-c", f"from pipeline.store import FeatureStore; FeatureStore({str(path)!r})"),
            "`inspect`": measured("-m", "pipeline", "inspect", str(path)),
            "`inspect --json`": measured("-m", "pipeline", "inspect", "--json", str(path)),
            "`inspect --recipe`": measured("-m", "pipeline", "inspect", "--recipe", str(path))}
    print(f"\nA store of {num_clips:,} clips and three features ({size:.0f} MB): opening {1e3 * opening:.1f} ms\n")
    print("| process | seconds | peak MB |\n|---|---|---|")
    for name, (seconds, megabytes) in rows.items():
        print(f"| {name} | {seconds:.2f} | {megabytes:.0f} |")
    write_store(shard_folder(path) / "0.h5", corpus=CORPUS, clips=[Clip("train/new", split="train")], features={})
    seconds, megabytes = measured("-m", "pipeline", "pack", str(path))
    print(f"| `pack` of one more shard | {seconds:.2f} | {megabytes:.0f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=1.0, help="rows to pack, copy and read")
    parser.add_argument("--clips", type=int, default=1_000_000, help="clips of the large store")
    parser.add_argument("--folder", type=Path, help="where the files are made; by default a temporary folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        packing(folder, folder / "noise.h5", int(options.gigabytes * 1e9))
        reading(folder / "noise.h5")
        gathering(folder, folder / "noise.h5")
        (folder / "noise.h5").unlink()
        many_clips(folder, options.clips)
    print(f"\nPeak memory of this script: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB")


if __name__ == "__main__":
    main()
