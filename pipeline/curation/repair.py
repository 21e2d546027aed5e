"""Dropping what verification finds wrong, so that the next extraction computes it again and all else is kept."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.curation.contents import NO_FILE, Choice, StoreContents, gather_column, gather_feature
from pipeline.curation.findings import Finding, Kind
from pipeline.curation.verification import FileCheck, Verification, verify
from pipeline.storage.lock import locked
from pipeline.storage.writing import FeatureRows, write_file

DROPPED: dict[Kind, str] = {
    "cell": "single features of a clip", "clip": "whole clips", "feature": "whole features",
    "file": "unreadable shards", "failures": "lines of the table of failures"}


@dataclass(frozen=True)
class Repair:
    """What was done to a store and its shards.

    Args:
        before: what verification found.
        removed: shards that could not be read at all and are gone.
        left: what could not be repaired.
    """

    before: Verification
    removed: tuple[Path, ...]
    left: tuple[Finding, ...]

    @property
    def dropped(self) -> list[Finding]:
        """What is no longer in the files."""
        return [finding for finding in self.before.findings if finding not in self.left]

    @property
    def command(self) -> str:
        """What computes again what was dropped; "" where that is nothing."""
        names = {finding.feature for finding in self.dropped if finding.feature}
        contents = [file.contents for file in self.before.files if file.contents is not None]
        if any(finding.kind in ("clip", "file") for finding in self.dropped):
            names |= {name for content in contents for name in content.features}
        if not self.dropped or not contents:
            return ""
        return shlex.join(["python", "-m", "pipeline", "extract", "--dataset", contents[0].corpus.name,
                           *(["--extractors", ",".join(sorted(names))] if names else []),
                           "--out", str(self.before.store)])

    @property
    def summary(self) -> str:
        """What was done, in a line."""
        if not self.before.findings:
            return self.before.summary
        kinds = Counter(finding.kind for finding in self.dropped)
        done = [f"{name}: {kinds[kind]:,}" for kind, name in DROPPED.items() if kinds[kind]]
        return (f"{self.before.store}: dropped {', '.join(done) or 'nothing'}"
                + (f"; could not be repaired: {len(self.left):,}" if self.left else ""))

    def to_json(self) -> dict[str, Any]:
        """For programs: the verification under ``"before"``, ``"dropped"`` and ``"left"`` as its findings are,
        ``"removed"`` (paths of shards) and ``"next"`` (a command, or "")."""
        found = self.before.to_json()
        left = [number for number, finding in enumerate(self.before.findings) if finding in self.left]
        return {"before": found, "removed": [str(path) for path in self.removed], "next": self.command,
                "dropped": [finding for number, finding in enumerate(found["findings"]) if number not in left],
                "left": [found["findings"][number] for number in left]}


def repair(store: Path, *, jobs: int = 0, progress: Callable[[int, int], None] = lambda done, total: None) -> Repair:
    """Verify a store with its shards and write each damaged file anew without what is wrong.

    A damaged cell becomes missing, a feature that cannot be read goes, and a clip whose row of the clip table is
    damaged goes with all its features: the next extraction makes them again. A shard that cannot be read at all is
    removed. The new file takes the old one's place when it is whole.

    Args:
        store, jobs, progress: see :func:`pipeline.curation.verification.verify`.

    Raises:
        StoreError: there is nothing to repair, another process writes the store, or the folder cannot be written.
    """
    with locked(store):
        before = verify(store, jobs=jobs, progress=progress)
        removed, left = [], []
        for file in before.files:
            if file.contents is not None:
                left += [finding for finding in file.findings if finding.kind == "label"]
                _rewrite(file, file.contents)
            elif file.damaged and file.path != store:
                file.path.unlink()
                removed.append(file.path)
            else:
                left += file.findings
    return Repair(before, tuple(removed), tuple(left))


def _rewrite(file: FileCheck, contents: StoreContents) -> None:
    wrong = [finding for finding in file.findings if finding.kind != "label"]
    if not wrong:
        return
    bad_clips = [finding.place for finding in wrong if finding.kind == "clip"]
    kept = np.setdiff1d(np.arange(contents.num_clips), bad_clips)
    choice = Choice(np.zeros(len(kept), np.int64), kept)
    clips = {name: gather_column([column], choice) for name, column in contents.clips.columns.items()}
    ids = [contents.clips.encoded("clip_id", place).decode("utf-8", "surrogatepass") for place in kept.tolist()]

    def features() -> Iterator[tuple[str, FeatureRows]]:
        for name, part in sorted(contents.features.items()):
            bad = [finding.place for finding in wrong if finding.kind == "cell" and finding.feature == name]
            owner = np.where(np.isin(kept, bad), NO_FILE, 0)
            yield name, gather_feature(name, ids, [(contents.path, part)], Choice(owner, kept))

    write_file(contents.path, corpus=contents.corpus, clips=clips, features=features(), requests=contents.requests,
               attributes=contents.extra_attributes)


def advice(repaired: Repair) -> list[str]:
    """What to do about what could not be repaired, a line each."""
    lines = []
    for finding in repaired.left:
        if finding.kind == "label":
            lines.append(f"{finding.clip}: {finding.message}")
        elif finding.file == repaired.before.store:
            lines.append(f"{finding.message}; nothing of it can be saved: restore it from a copy, or move it away and"
                         " extract again")
        else:
            lines.append(f"{finding.message}; it was left as it is: remove {finding.file} if it is not yours")
    return lines
