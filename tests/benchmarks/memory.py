"""Peak memory of an extraction, its workers and every ffmpeg together: for few and many clips, and for a long one.

    python -m tests.benchmarks.memory [--clips 60,600] [--minutes 20] [--jobs 1,2] [--extractors NAME,NAME]

Each row is one run of ``python -m pipeline extract`` with random weights in a process of its own. Memory is that of the
whole process tree, read about ten times a second: what each process holds of its own, and pages of files (programs and
libraries, mostly) once for each program, since its processes share them. The clip is a real face that moves, with a
tone; the long one is 720 lines at 25 frames a second.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.decode import ffmpeg_path
from tests.makers import make_video, write_manifest

MEDIA_EXTRACTORS = "audio_logmel,audio_resnet18,video_r3d18,faces,face_r3d18"
EVERY_SECONDS = 0.1


class Peak(NamedTuple):
    """The most that a process tree held, in MB, and the most that its ffmpegs held."""

    whole: float
    ffmpeg: float
    seconds: float


def tree(root: int) -> list[int]:
    """Ids of a process and of all that come from it."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, IndexError):
                continue  # it ended meanwhile
    found = [root]
    for process in found:
        found += [child for child, parent in parents.items() if parent == process]
    return found


class Held(NamedTuple):
    """What a process holds, in MB: of its own, and of files."""

    program: str
    own: float
    files: float


def held(process: int) -> Held:
    """What a process holds; nothing where it has ended."""
    try:
        name = Path(f"/proc/{process}/comm").read_text().strip()
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()[1:]
    except OSError:
        return Held("", 0.0, 0.0)
    kibibytes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    own, whole = (kibibytes.get(name, 0) * 1024 / 1e6 for name in ("Anonymous", "Rss"))
    return Held(name, own, whole - own)


def total(parts: Sequence[Held]) -> float:
    """Megabytes of several processes, pages of files once for each program."""
    files: dict[str, float] = {}
    for part in parts:
        files[part.program] = max(files.get(part.program, 0.0), part.files)
    return sum(part.own for part in parts) + sum(files.values())


def peak_of(command: Sequence[str], *, accept: tuple[int, ...] = (0,)) -> Peak:
    """Run a command and watch its tree."""
    began = time.perf_counter()
    whole = ffmpeg = 0.0
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=said, stderr=said)
        while process.poll() is None:
            parts = [held(member) for member in tree(process.pid)]
            whole = max(whole, total(parts))
            ffmpeg = max(ffmpeg, total([part for part in parts if part.program.startswith("ffmpeg")]))
            time.sleep(EVERY_SECONDS)
        if process.returncode not in accept:
            said.seek(0)
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{said.read().decode()[-2000:]}")
    return Peak(whole, ffmpeg, time.perf_counter() - began)


def extract_command(manifest: Path, out: Path, *, jobs: int, extractors: str) -> list[str]:
    """The command line of one run."""
    return [sys.executable, "-m", "pipeline", "extract", "--dataset", "manifest", "--manifest", str(manifest),
            "--out", str(out), "--extractors", extractors, "--weights", "random", "--jobs", str(jobs),
            "--device", "cpu"]


def long_video(folder: Path, *, minutes: float) -> Path:
    """Ten seconds of a face at 720 lines, over and over."""
    short = make_video(folder / "short.mp4", seconds=10.0, fps=25)
    large, path = folder / "large.mp4", folder / "long.mp4"
    quiet = [ffmpeg_path(), "-v", "error", "-nostdin", "-y"]
    subprocess.run([*quiet, "-i", str(short), "-vf", "scale=1280:720,noise=alls=8:allf=t", "-c:v", "libx264", "-preset",
                    "veryfast", "-c:a", "aac", str(large)], check=True)
    subprocess.run([*quiet, "-stream_loop", str(round(minutes * 6) - 1), "-i", str(large), "-c", "copy", str(path)],
                   check=True)
    return path


def row(label: str, jobs: int, peak: Peak) -> str:
    return f"| {label} | {jobs} | {peak.whole:.0f} | {peak.ffmpeg:.0f} | {peak.seconds:.0f} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", default="60,600", help="numbers of short clips; empty for none")
    parser.add_argument("--minutes", type=float, default=20.0, help="length of the long clip; 0 for none")
    parser.add_argument("--jobs", default="1,2")
    parser.add_argument("--extractors", default=MEDIA_EXTRACTORS)
    options = parser.parse_args()
    if not Path("/proc/self/smaps_rollup").exists():
        raise SystemExit(f"no /proc/self/smaps_rollup on {os.uname().sysname}; this needs Linux")
    print("| clips | workers | peak MB | of it ffmpeg | seconds |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = make_video(folder / "clip.mp4", seconds=3.0)
        video = long_video(folder, minutes=options.minutes) if options.minutes else None
        for jobs in map(int, options.jobs.split(",")):
            for count in map(int, filter(None, options.clips.split(","))):
                rows = [{"path": clip.name, "id": f"clip{place}"} for place in range(count)]
                command = extract_command(write_manifest(folder / "clips.csv", rows), folder / f"{jobs}-{count}.h5",
                                          jobs=jobs, extractors=options.extractors)
                print(row(f"{count} of 3 s", jobs, peak_of(command)), flush=True)
            if video is not None:
                command = extract_command(write_manifest(folder / "long.csv", [{"path": video.name}]),
                                          folder / f"{jobs}-long.h5", jobs=jobs, extractors=options.extractors)
                print(row(f"1 of {options.minutes:g} min", jobs, peak_of(command)), flush=True)


if __name__ == "__main__":
    main()
