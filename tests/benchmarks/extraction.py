"""Seconds a clip by stage, against a straightforward script in the same run.

    python -m tests.benchmarks.extraction VIDEO [VIDEO ...] [--jobs 2] [--passes 4] [--face speaking] [--detection fast]

Both do the same work on the same clips: BERT tokens, ResNet-18 on the sound, R3D-18 on six snippets of one
face, with random weights. Loading of networks is left out of both.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections import defaultdict
from pathlib import Path

import joblib
import torch

from pipeline.clip import Clip, Corpus
from pipeline.decode import ffmpeg_path
from pipeline.devices import compute_dtype
from pipeline.recipes import choose_extractors, plan_features
from pipeline.running import orders
from pipeline.running.worker import Chunk, run_chunk

SENTENCE = "Well , I think that we should tell them before they hear it from somebody else , don't you ?"
FEATURES = ("text_bert", "audio_resnet18", "face_r3d18")
SETTINGS = {"face_r3d18": {"snippets": "six_by_sixteen"}}


def chunks(videos: list[Path], passes: int, folder: Path, shared: dict[str, str]) -> list[Chunk]:
    """All videos in one chunk, ``passes`` times."""
    features = tuple(plan_features(
        choose_extractors(FEATURES, SETTINGS, shared={"weights": "random", **shared}, device=torch.device("cpu"))))
    clips = tuple(Clip(f"all/{place}", video, text=SENTENCE) for place, video in enumerate(videos))
    token = orders.begin(folder)
    return [Chunk(number, clips, features, (), Corpus("benchmark"), folder / f"{number}.h5", None, token, "cpu")
            for number in range(passes)]


def ours(videos: list[Path], jobs: int, passes: int, shared: dict[str, str]) -> tuple[float, dict[str, float]]:
    """Wall seconds a clip and working seconds a clip by stage."""
    with tempfile.TemporaryDirectory() as folder, joblib.parallel_config("loky", inner_max_num_threads=1):
        work = chunks(videos, passes, Path(folder), shared)
        with joblib.Parallel(n_jobs=jobs, batch_size=1) as parallel:
            parallel(joblib.delayed(run_chunk)(chunk) for chunk in work[:jobs])
            began = time.perf_counter()
            reports = parallel(joblib.delayed(run_chunk)(chunk) for chunk in work)
            wall = time.perf_counter() - began
    stages: dict[str, float] = defaultdict(float)
    for report in reports:
        if report.failures:
            raise SystemExit(f"a clip failed: {report.failures[0]}")
        for stage, seconds in report.seconds.items():
            stages[stage] += seconds / (passes * len(videos))
    return wall / (passes * len(videos)), dict(stages)


def straightforward(videos: list[Path]) -> tuple[float, dict[str, float]]:
    """Wall seconds a clip and seconds a clip by stage, with all cores for every network."""
    from tests.benchmarks.straightforward import Straightforward
    script = Straightforward(ffmpeg_path())
    ids = torch.randint(1000, 30_000, (1, 24))
    script(videos[0], ids)
    script.seconds.clear()
    began = time.perf_counter()
    for video in videos:
        script(video, ids)
    return (time.perf_counter() - began) / len(videos), {
        stage: seconds / len(videos) for stage, seconds in script.seconds.items()}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", nargs="+", type=Path)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--passes", type=int, default=4)
    parser.add_argument("--face", default="largest", help="which face is followed")
    parser.add_argument("--detection", default="balanced", help="how thoroughly faces are sought")
    options = parser.parse_args()
    shared = {"face": options.face, "detection": options.detection}
    wall, stages = ours(options.videos, options.jobs, options.passes, shared)
    slow, slow_stages = straightforward(options.videos)
    native = compute_dtype("auto", torch.device("cpu"))
    print(f"{len(options.videos)} clips, {options.jobs} workers of one thread, networks in {native}"
          f" ({torch.backends.cpu.get_cpu_capability()}), {options.detection} detection, face: {options.face}\n")
    print("| | seconds a clip | stages (seconds a clip, of one worker) |\n|---|---|---|")
    for name, seconds, parts in (("straightforward script", slow, slow_stages), ("this pipeline", wall, stages)):
        detail = ", ".join(f"{stage} {value:.2f}" for stage, value in parts.items() if stage != "total")
        print(f"| {name} | {seconds:.2f} | {detail} |")
    print(f"| **ratio** | **{slow / wall:.1f}** | |")


if __name__ == "__main__":
    main()
