"""How fast is an epoch? Prints a Markdown table.

    python -m tests.benchmarks.training [--clips 9989] [--epochs 3]

MELD's size: 9,989 clips with text (768), sound (512) and face (512) rows, the model ``intermediate``, batches of 128,
one thread. Compared are this package's epochs, the arithmetic alone (the same steps on one batch that is already there)
and the same model fed by a DataLoader that reads and pads each clip from the HDF5 file.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from models.intermediate import Intermediate
from pipeline.batch import Batch
from pipeline.clip import Clip, Corpus, Task
from pipeline.jobs import Job, prepare
from pipeline.joined import open_stores
from pipeline.media import FeatureSequence
from pipeline.packing import FeatureData, write_store
from pipeline.train_config import TrainConfig
from pipeline.training_loop import TrainingState, training_epoch, training_step

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


def seconds(work: Callable[[], object], repeats: int) -> float:
    """Shortest of some repeats after one to warm up."""
    work()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=9989, help="training clips")
    parser.add_argument("--epochs", type=int, default=3, help="repeats, of which the shortest counts")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        stores = open_stores(make_store(Path(folder) / "noise.h5", options.clips))
        start = time.perf_counter()
        job = prepare(Path(folder) / "run", stores, "intermediate", Intermediate.Config(), TrainConfig(device="cpu"))
        pooling = time.perf_counter() - start
        state = TrainingState.fresh(job, seed=0)
        resident = job.batches.take(job.train_clips[:job.batch_size])
        num_batches = -(-len(job.train_clips) // job.batch_size)
        loader: DataLoader[Any] = DataLoader(ClipReader(job), job.batch_size, shuffle=True, collate_fn=collate)
        rows = {
            "this package": seconds(lambda: training_epoch(job, state), options.epochs),
            "the arithmetic alone": seconds(lambda: [training_step(job, state, resident) for _ in range(num_batches)],
                                            options.epochs),
            "a DataLoader that reads each clip": seconds(lambda: [training_step(job, state, batch) for batch in loader],
                                                         1)}
    print(f"{len(job.train_clips)} clips, {', '.join(f'{name} {width}' for name, (_, width, _) in WIDTHS.items())};"
          f" opening, pooling and scaling once: {pooling:.2f} s\n")
    print("| fed by | seconds per epoch | against the arithmetic |\n|---|---|---|")
    for name, value in rows.items():
        print(f"| {name} | {value:.3f} | {value / rows['the arithmetic alone']:.2f} |")


if __name__ == "__main__":
    main()
