"""How fast is an epoch? Prints Markdown tables.

    python -m tests.benchmarks.training [--clips 9989] [--repeats 5] [--models intermediate,late] [--seeds 10]

MELD's size: 9,989 clips with text (768), sound (512) and face (512) rows, batches of 128, one thread. Compared are this
package's epochs with all that belongs to them (validation on a ninth as many clips, history, TensorBoard, checkpoints),
the arithmetic alone (the same steps on one batch that is already there), and the same model fed by a DataLoader that
reads and pads each clip from the HDF5 file. Then so many seeds that train together against one. What is compared runs
in turn, and medians count: of processor time, and of wall time, which on a busy machine says less.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pipeline.batch import Batch
from pipeline.clip import Clip, Corpus, Task
from pipeline.joined import open_stores
from pipeline.learning.jobs import Job, prepare
from pipeline.learning.stacked_training import train_together
from pipeline.learning.train_config import TrainConfig
from pipeline.learning.training_loop import Quiet, TrainingState, train_seed, training_step
from pipeline.media import FeatureSequence
from pipeline.runs import model_class
from pipeline.storage.packing import FeatureData, write_store

WIDTHS = {"text_bert": ("text", 768, 12), "audio_resnet18": ("audio", 512, 4), "face_r3d18": ("face", 512, 6)}
TASKS = (Task("emotion", tuple("abcdefg")), Task("sentiment", tuple("xyz")))


def make_store(path: Path, num_clips: int) -> Path:
    """A store of noise in MELD's shape: mean rows a clip as in ``WIDTHS``."""
    random = np.random.default_rng(0)
    clips = [Clip(f"clip{place}", split="dev" if place % 10 == 9 else "train", labels={
        task.name: str(random.choice(task.classes)) for task in TASKS}) for place in range(num_clips * 10 // 9)]
    features = {}
    for name, (modality, width, mean_rows) in WIDTHS.items():
        lengths = random.integers(1, 2 * mean_rows, len(clips))
        features[name] = FeatureData(modality, (width,), {"extractor": name}, {
            clip.clip_id: FeatureSequence(random.standard_normal((length, width), np.float32),
                                          np.full((length, 2), np.nan, np.float32), "none")
            for clip, length in zip(clips, lengths)})
    return write_store(path, corpus=Corpus("noise", TASKS), clips=clips, features=features)


class ClipReader(Dataset[dict[str, Any]]):
    """The usual way: open the file, read one clip's rows."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.offsets = {name: job.stores.owner(name).offsets(name) for name in job.inputs}

    def __len__(self) -> int:
        return len(self.job.train_clips)

    def __getitem__(self, index: int) -> dict[str, Any]:
        place = int(self.job.train_clips[index])
        with h5py.File(self.job.stores.paths[0], "r") as file:
            rows = {name: torch.from_numpy(file[f"features/{name}/values"][offsets[place]:offsets[place + 1]])
                    for name, offsets in self.offsets.items()}
        return {"rows": rows, "labels": {task: int(values[place]) for task, values in self.job.labels.items()}}


def collate(clips: list[dict[str, Any]]) -> Batch:
    """Pad every feature of some clips."""
    features, mask = {}, {}
    for name in WIDTHS:
        rows: list[Tensor] = [clip["rows"][name] for clip in clips]
        features[name] = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        mask[name] = torch.arange(features[name].shape[1]) < torch.tensor([[len(part)] for part in rows])
    labels = {task.name: torch.tensor([clip["labels"][task.name] for clip in clips]) for task in TASKS}
    return Batch(features, mask, labels, np.zeros(len(clips)))


def compared(works: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, tuple[float, float]]:
    """Median processor and wall seconds of each, run in turn after one turn to warm up."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
    for turn in range(repeats + 1):
        for name, work in works.items():
            cpu, wall = time.process_time(), time.perf_counter()
            work()
            if turn:
                times[name].append((time.process_time() - cpu, time.perf_counter() - wall))
    return {name: (median(cpu for cpu, _ in found), median(wall for _, wall in found))
            for name, found in times.items()}


def made_job(folder: Path, store: Path, model: str, seeds: int, epochs: int) -> Job:
    """A job that never stops early, in a folder of its own."""
    config = TrainConfig(device="cpu", epochs=epochs, patience=epochs, seeds=seeds)
    return prepare(Path(tempfile.mkdtemp(dir=folder)), open_stores(store), model, model_class(model).Config(), config)


def feeding(folder: Path, store: Path, model: str, repeats: int) -> None:
    """Print how long an epoch takes by who feeds the model; of the DataLoader one epoch is measured."""
    job = made_job(folder, store, model, 1, 1)
    state = TrainingState.fresh(job, seed=0)
    resident = job.batches.take(job.train_clips[:job.batch_size])
    num_batches = -(-len(job.train_clips) // job.batch_size)
    loader: DataLoader[Any] = DataLoader(ClipReader(job), job.batch_size, shuffle=True, collate_fn=collate)
    rows = compared({
        "this package": lambda: train_seed(made_job(folder, store, model, 1, 1), 0, Quiet()),
        "opening and pooling": lambda: made_job(folder, store, model, 1, 1),
        "the arithmetic alone": lambda: [training_step(job, state, resident) for _ in range(num_batches)]}, repeats)
    ours, once = rows["this package"], rows.pop("opening and pooling")
    rows["this package"] = ours[0] - once[0], ours[1] - once[1]             # one epoch and the files of a run
    rows |= compared({"a DataLoader that reads each clip":
                      lambda: [training_step(job, state, batch) for batch in loader]}, 1)
    alone = rows["the arithmetic alone"]
    for name, (cpu, wall) in rows.items():
        print(f"| {model} | {name} | {cpu:.3f} | {1 / cpu:.2f} | {cpu / alone[0]:.2f} | {wall:.3f} |"
              f" {wall / alone[1]:.2f} |")


def together(folder: Path, store: Path, model: str, seeds: int, repeats: int, epochs: int = 3) -> None:
    """Print how long the seeds take together against one."""
    def one() -> None:
        train_seed(made_job(folder, store, model, 1, epochs), 0, Quiet())

    def all_of_them() -> None:
        train_together(made_job(folder, store, model, seeds, epochs), Quiet())

    rows = compared({"one": one, "all": all_of_them, "opening": lambda: made_job(folder, store, model, 1, 1)}, repeats)
    for place, clock in enumerate(("processor", "wall")):
        first, every = (rows[name][place] - rows["opening"][place] for name in ("one", "all"))
        print(f"| {model} | {clock} | {first / epochs:.3f} | {every / epochs:.3f} | {every / first:.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=9989, help="training clips")
    parser.add_argument("--repeats", type=int, default=5, help="of which the median counts")
    parser.add_argument("--models", default="early,intermediate,late", help="all of pooled rows")
    parser.add_argument("--seeds", type=int, default=10, help="trained together")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = make_store(folder / "noise.h5", options.clips)
        print(f"{options.clips} clips, {', '.join(f'{name} {width}' for name, (_, width, _) in WIDTHS.items())}\n")
        print("| model | fed by | processor s per epoch | epochs per s | against arithmetic | wall s | against it |")
        print("|---|---|---|---|---|---|---|")
        for model in options.models.split(","):
            feeding(folder, store, model, options.repeats)
        print(f"\n| model | clock | one seed, s per epoch | {options.seeds} seeds together | ratio |")
        print("|---|---|---|---|---|")
        for model in options.models.split(","):
            together(folder, store, model, options.seeds, options.repeats)


if __name__ == "__main__":
    main()
