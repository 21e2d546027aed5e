"""What does `active_speaker` learn from the rendered sample? Prints the Markdown table of the guide.

    python -m tests.benchmarks.active_speaker_sample [--folder FOLDER] [--seed N] [--epochs N] [--only NAME]

This shows that the parts work, not how good they are on people. Beside the network stand what knows nothing (the share
of rows that speak), the untrained score of ``speaking``, and the same network without sound, without pictures, without
what it learns of sound out of step, and with the faces in view looking at one another. The untrained score is given
what it is made for: the whole videos, in which faces are found first; a labelled row has the score of the face that is
found at its place and time, and 0 where none is. What a folder holds already is not made again.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pipeline.datasets.manifest import Manifest
from pipeline.datasets.unitalk import Unitalk
from pipeline.extraction import ExtractConfig, extract
from pipeline.learning.train_config import TrainConfig
from pipeline.predicting.sources import look
from pipeline.rendering.corpus import render_corpus
from pipeline.runs import read_history
from pipeline.speaking.active_speaker_metric import by_sub_category, read_sub_categories, read_truth, score_speakers
from pipeline.speaking.speaker_files import scores_of_run
from pipeline.speaking.speaker_tables import SpeakerTable
from pipeline.speaking.tracks import Faces, face_features, read_faces
from pipeline.store import FeatureStore
from pipeline.training import train

BOTH = "asd_faces", "asd_audio"
NETWORKS: Mapping[str, tuple[tuple[str, ...], Mapping[str, str]]] = {
    "compact": (BOTH, {}), "compact, without sound": (("asd_faces",), {}),
    "compact, without pictures": (("asd_audio",), {}), "compact, out_of_step=0": (BOTH, {"out_of_step": "0"}),
    "compact, context_faces=yes": (BOTH, {"context_faces": "yes"})}
NEAR_SECONDS = 0.07     # a face is sought 15 times a second
LEAST_OVERLAP = 0.3     # of its box with the labelled one, as intersection over union


def motion_scores(truth: SpeakerTable, videos: FeatureStore, files: Mapping[str, Path]) -> np.ndarray:
    """The untrained score of each labelled row, (N,); NaN where no face was found at its place and time.

    Args:
        truth: labels.
        videos: a store with ``faces`` and ``speaking`` of the whole videos, named as in the labels.
        files: the videos, by name.
    """
    found = np.full(len(truth), np.nan)
    names = face_features(videos)
    for place, clip_id in enumerate(videos.clips["clip_id"]):
        faces = read_faces(videos, place, *names)
        video = clip_id.rpartition("/")[2]
        height, width = look(files[video], video).size
        rows = np.flatnonzero(truth.video == video)
        found[rows] = [_score_at(faces, time, box) for time, box in zip(
            truth.time[rows], truth.box[rows] * (width, height, width, height), strict=True)]
    return found


def _score_at(faces: Faces, seconds: float, box: np.ndarray) -> float:
    """Score of the face that overlaps a box most at the nearest time."""
    apart = np.abs(faces.times[:, 0] - seconds)
    near = np.flatnonzero(apart <= min(NEAR_SECONDS, apart.min(initial=np.inf) + 1e-4))
    overlaps = overlap(faces.rows[near, 1:5], box)
    if not len(near) or overlaps.max() < LEAST_OVERLAP:
        return np.nan
    return float(faces.speaking[near[overlaps.argmax()]])


def overlap(boxes: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes (N, 4) with one (4,).

    >>> overlap(np.array([[0, 0, 2, 2.]]), np.array([1, 0, 3, 2.])).round(2).tolist()
    [0.33]
    """
    low, high = np.maximum(boxes[:, :2], box[:2]), np.minimum(boxes[:, 2:], box[2:])
    shared = (high - low).clip(min=0).prod(axis=1)
    return np.asarray(shared / ((boxes[:, 2:] - boxes[:, :2]).prod(axis=1) + (box[2:] - box[:2]).prod() - shared))


def line(name: str, truth: SpeakerTable, scores: np.ndarray, lists: Mapping[str, tuple[str, ...]],
         minutes: str = "") -> str:
    """A row of the table."""
    whole, parts = score_speakers(truth, scores), by_sub_category(truth, scores, lists, num_resamples=0)
    assert whole.interval is not None, "several videos"
    low, high = (100 * end for end in whole.interval)
    return " | ".join([f"| {name}", f"{100 * whole.average_precision:.1f}", f"{low:.0f}–{high:.0f}",
                       *(f"{100 * part.average_precision:.1f}" for part in parts.values()), f"{minutes} |"])


def _network(name: str, folder: Path, threads: int, settings: Mapping[str, str]) -> tuple[Path, str]:
    """A trained run and the minutes that it took."""
    run, (inputs, own) = folder / name.replace(",", "").replace(" ", "-"), NETWORKS[name]
    if not (run / "minutes.txt").exists():
        wall, processor = time.perf_counter(), time.process_time()
        train(folder / "tracks.h5", model="active_speaker", inputs=inputs, settings={**settings, **own}, out=run,
              config=TrainConfig(baselines=False, threads=threads))
        spent = (time.perf_counter() - wall) / 60, (time.process_time() - processor) / 60
        (run / "minutes.txt").write_text("{:.1f} ({:.1f})".format(*spent), encoding="utf-8")
    epochs = max(entry["epoch"] for entry in read_history(run))
    return run, f"{(run / 'minutes.txt').read_text(encoding='utf-8')}, {epochs} epochs"


def main() -> None:
    parser = argparse.ArgumentParser(description="Scores of active-speaker detection on the rendered sample.")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0, help="of the sample")
    parser.add_argument("--epochs", type=int, help="by default as the model says")
    parser.add_argument("--only", choices=list(NETWORKS), action="append", help="networks; by default all")
    arguments = parser.parse_args()
    settings = {} if arguments.epochs is None else {"epochs": str(arguments.epochs)}
    with tempfile.TemporaryDirectory() as made:
        measure(arguments.folder or Path(made), arguments.threads, seed=arguments.seed, settings=settings,
                networks=arguments.only or list(NETWORKS))


def measure(folder: Path, threads: int, *, seed: int, settings: Mapping[str, str], networks: Sequence[str]) -> None:
    """Make what is not there, and print the table."""
    sample = folder / "sample"
    if not sample.exists():
        render_corpus(sample, layout="unitalk", seed=seed, jobs=os.cpu_count() or 1)
    extract(Unitalk(Unitalk.Config(root=sample)), folder / "tracks.h5",
            extractors=("asd_faces", "asd_audio", "frame_labels"))
    listed = sorted((sample / "videos" / "val").glob("*.mp4"))
    manifest = folder / "videos.csv"
    manifest.write_text("".join(["path,split\n", *(f"{path.relative_to(sample)},test\n" for path in listed)]),
                        encoding="utf-8")
    extract(Manifest(Manifest.Config(root=sample, manifest=manifest)), folder / "videos.h5",
            extractors=("faces", "speaking"), config=ExtractConfig(jobs=1))
    truth, lists = read_truth(sample / "csv" / "val_orig.csv"), read_sub_categories(sample / "sub_categories")
    print("This shows that the parts work, not how good they are on people.\n")
    print(f"| scores of {len(truth):,} rows of {len(listed)} videos | AP | 95 % interval | {' | '.join(lists)}"
          " | minutes (of one core) |")
    print(f"|---|{'--:|' * (len(lists) + 3)}")
    nothing = np.zeros(len(truth))
    shares = [part.positive_rate for part in by_sub_category(truth, nothing, lists, num_resamples=0).values()]
    print(f"| share of rows that speak | {100 * truth.speaking.mean():.1f} | | "
          + " | ".join(f"{100 * share:.1f}" for share in shares) + " | |")
    motion = motion_scores(truth, FeatureStore(folder / "videos.h5"), {path.stem: path for path in listed})
    print(line("untrained: mouth motion and voice", truth, np.nan_to_num(motion), lists), flush=True)
    for name in networks:
        run, minutes = _network(name, folder, threads, settings)
        print(line(name, truth, scores_of_run(run, truth), lists, minutes), flush=True)
    print(f"\nNo face was found for {100 * np.isnan(motion).mean():.1f} % of the rows: untrained, their score is 0.")


if __name__ == "__main__":
    main()
