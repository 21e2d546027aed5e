"""Every table of BENCHMARKS.md, made by one command.

    python -m tests.benchmarks [NAME ...] [--data FOLDER] [--gpu] [--out BENCHMARKS.md]

Runs the named benchmarks, or all that can run, each in a process of its own, and puts what they print into their
sections of the file; the sections of others stay as they are. Each section says by which command, when, and on what
machine it was made. ``--data`` is a folder with real material (``video``, ``faces``, ``ravdess``, ``odd``); without it
the benchmarks that need some are left out, and that is said. ``--gpu`` has those that can compute on a graphics card
do so. On a machine with other work to do, only what is counted in the processor's time or as a ratio means anything.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

HEAD = """# Benchmarks

Made by `python -m tests.benchmarks`; each section says when and on what machine. Ratios are of one run on one machine
and travel well; seconds do not. What limits each stage is said in the sections' words.
"""


@dataclass(frozen=True)
class Benchmark:
    """One section.

    Args:
        name: of the module in ``tests/benchmarks``.
        title: of the section.
        arguments: after it; ``{data}`` stands for the folder with real material, a ``*`` for files that match.
        on_gpu: further arguments with which it computes on a graphics card; None if it cannot.
    """

    name: str
    title: str
    arguments: tuple[str, ...] = ()
    on_gpu: tuple[str, ...] | None = None

    @property
    def needs_data(self) -> bool:
        return any("{data}" in argument for argument in self.arguments)


BENCHMARKS = (
    Benchmark("extraction", "Extraction, by stage and against a straightforward script", ("{data}/video/*.mp4",)),
    Benchmark("faces", "Faces, by level of detection", ("{data}",)),
    Benchmark("speaking", "Who is speaking", ("{data}/video", "{data}/faces")),
    Benchmark("r3d101", "Maps of R3D-101", (), ("--device", "cuda")),
    Benchmark("store", "The store against plain reading and copying"),
    Benchmark("memory", "Memory of an extraction"),
    Benchmark("odd", "Odd media", ("{data}/odd",)),
    Benchmark("training", "Training"),
    Benchmark("track_packing", "Face tracks against their files"),
    Benchmark("active_speaker_sample", "Who speaks, on the rendered sample"),
    Benchmark("ravdess_audio", "Emotions of actors never heard, from handcrafted features", ("{data}/ravdess",)),
    Benchmark("alignment", "Words in time"),
)


def machine() -> str:
    """This machine and the libraries whose speed counts, in a line."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return (f"{processor()}, {cores} cores{gpu}, Python {platform.python_version()}, torch {torch.__version__},"
            f" load {os.getloadavg()[0]:.1f} at the start")


def processor() -> str:
    """What the processor calls itself."""
    if Path("/proc/cpuinfo").exists():
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.M)
        if found:
            return " ".join(found[1].split())
    return platform.processor() or platform.machine()


def command(benchmark: Benchmark, data: Path | None, *, gpu: bool) -> list[str]:
    """The arguments behind ``python``; patterns are replaced by the files that match, sorted."""
    found = ["-m", f"tests.benchmarks.{benchmark.name}"]
    for argument in benchmark.arguments:
        text = argument.format(data=data)
        folder, _, pattern = text.rpartition("/")
        found += [str(path) for path in sorted(Path(folder).glob(pattern))] if "*" in pattern else [text]
    return found + list(benchmark.on_gpu or () if gpu else ())


def section(benchmark: Benchmark, data: Path | None, *, gpu: bool) -> str:
    """Run one and lay out what it printed.

    Raises:
        SystemExit: it failed; its last words are shown.
    """
    begun, where = datetime.datetime.now(), machine()
    arguments = command(benchmark, data, gpu=gpu)
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{benchmark.name} failed with {done.returncode}:\n{done.stderr[-2000:]}")
    minutes = (datetime.datetime.now() - begun).total_seconds() / 60
    shown = shlex.join(["python", *arguments])
    shown = shown.replace(str(data), "DATA") if data else shown
    summary = (importlib.import_module(f"tests.benchmarks.{benchmark.name}").__doc__ or "").splitlines()[0]
    summary = re.sub(r" Prints [^.]*\.$", "", summary)
    return (f"## {benchmark.title}\n\n{summary}\n\n`{shown}`: {begun:%Y-%m-%d}, {minutes:.1f} minutes; {where}.\n\n"
            f"{done.stdout.strip()}\n")


def sections_of(text: str) -> dict[str, str]:
    """Sections of a file by title, each with its heading."""
    return {part.splitlines()[0].removeprefix("## "): part.rstrip() + "\n"
            for part in re.split(r"(?m)^(?=## )", text)[1:]}


def written(sections: Mapping[str, str]) -> str:
    """The file: known sections in their order."""
    return "\n".join([HEAD, *(sections[known.title] for known in BENCHMARKS if known.title in sections)])


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(one.name for one in BENCHMARKS)}")
    parser.add_argument("--data", type=Path, help="folder with real material")
    parser.add_argument("--gpu", action="store_true", help="compute on a graphics card where one can")
    parser.add_argument("--out", type=Path, default=Path("BENCHMARKS.md"), help="the file")
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - {one.name for one in BENCHMARKS}:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(o.name for o in BENCHMARKS)}")
    sections = sections_of(options.out.read_text(encoding="utf-8")) if options.out.exists() else {}
    for benchmark in BENCHMARKS:
        if options.names and benchmark.name not in options.names:
            continue
        if benchmark.needs_data and options.data is None:
            print(f"{benchmark.name} is left out: it needs --data FOLDER", file=sys.stderr)
            continue
        print(f"{benchmark.name} …", file=sys.stderr)
        sections[benchmark.title] = section(benchmark, options.data, gpu=options.gpu)
        options.out.write_text(written(sections), encoding="utf-8")


if __name__ == "__main__":
    main()
