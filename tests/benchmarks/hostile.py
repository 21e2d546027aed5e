"""What comes of inputs that mean harm.

    python -m tests.benchmarks.hostile

Makes each input in a temporary folder, gives it to the program and prints a Markdown table; ends with code 1 where the
bait (a file that is watched, a port that listens) was taken or a payload ran.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

from tests import hostile_files, hostile_media
from tests.hostile_media import bait


def media() -> Iterator[tuple[str, str, bool]]:
    """Name, outcome and whether anything else was opened."""
    with tempfile.TemporaryDirectory() as name, bait(Path(name)) as laid:
        for number, trial in enumerate(hostile_media.MEDIA):
            folder = Path(name) / str(number)
            folder.mkdir()
            os.chdir(folder)  # relative names are part of some trials
            path = trial.make(folder, laid)
            laid.taken()
            said = hostile_media.attempt_media(path, trial.limits)
            yield trial.name, said.replace(str(folder), "…"), bool(laid.taken())
        os.chdir("/")


def manifests() -> Iterator[tuple[str, str, bool]]:
    """Name, outcome and False: a manifest alone opens nothing."""
    for title, data, _ in hostile_files.MANIFESTS:
        with tempfile.TemporaryDirectory() as name:
            yield title, hostile_files.attempt_manifest(Path(name), data).replace(name, "…"), False


def runs() -> Iterator[tuple[str, str, bool]]:
    """Name, outcome and whether the payload ran."""
    for title, make, _ in hostile_files.CHECKPOINTS:
        with tempfile.TemporaryDirectory() as name:
            folder, mark = Path(name) / "run" / "seed0", Path(name) / "broken in"
            folder.mkdir(parents=True)
            make(folder / "best.pt", mark)
            yield title, hostile_files.attempt_checkpoint(folder.parent).replace(name, "…"), mark.exists()
    for title, text, _ in hostile_files.CONFIGS:
        with tempfile.TemporaryDirectory() as name:
            yield title, hostile_files.attempt_config(Path(name), text).replace(name, "…"), False


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    print("| input | what happened |\n|---|---|")
    harmed = []
    for title, outcome, harm in (*media(), *manifests(), *runs()):
        harmed += [title] if harm else []
        shown = (outcome if len(outcome) <= 200 else outcome[:199] + "…").replace("|", "\\|").replace("<", "&lt;")
        print(f"| {title.replace('|', chr(92) + '|')} | {'**HARM DONE** ' if harm else ''}{shown} |", flush=True)
    print(f"\n{len(harmed)} of these opened another file or address, or ran a payload.")
    raise SystemExit(1 if harmed else 0)


if __name__ == "__main__":
    main()
