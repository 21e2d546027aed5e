"""A folder of media that break decoders, extracted together with good clips: what came of each file."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.store import FeatureStore
from tests.makers import write_manifest


class Outcome(NamedTuple):
    """What came of one file.

    Args:
        rows: number of rows by feature that is done or empty.
        reasons: distinct reasons of the features that failed.
    """

    rows: dict[str, int]
    reasons: tuple[str, ...]


def extract_command(files: Sequence[Path], out: Path, *, extractors: str, jobs: int) -> list[str]:
    """The command line of a run over some files; its manifest lies beside ``out``."""
    manifest = write_manifest(out.with_suffix(".csv"), [{"path": file.resolve(), "id": file.name} for file in files])
    return [sys.executable, "-m", "pipeline", "extract", "--dataset", "manifest", "--manifest", str(manifest),
            "--out", str(out), "--extractors", extractors, "--weights", "random", "--jobs", str(jobs),
            "--device", "cpu"]


def extract_files(files: Sequence[Path], out: Path, *, extractors: str, jobs: int = 1) -> int:
    """Run the command; its exit code."""
    return subprocess.run(extract_command(files, out, extractors=extractors, jobs=jobs), capture_output=True,
                          check=False).returncode


def outcomes(out: Path) -> dict[str, Outcome]:
    """What came of each file, by its name."""
    store = FeatureStore(out)
    failures = store.failures
    found = {}
    for place, clip_id in enumerate(store.clips["clip_id"]):
        rows = {feature: len(store.cell(place, feature).values) for feature in store.features
                if store.status(feature)[place] in ("done", "empty")}
        mine = failures[failures["clip_id"] == clip_id]
        found[str(clip_id).removeprefix("all/")] = Outcome(rows, tuple(dict.fromkeys(mine["message"])))
    return found


def digests(out: Path, names: Sequence[str]) -> dict[tuple[str, str], bytes]:
    """Digest of every cell of some clips, by name and feature."""
    store = FeatureStore(out)
    return {(name, feature): store.cell_digests(feature)[store.place(f"all/{name}")]
            for name in names for feature in store.features}
