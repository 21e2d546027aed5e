"""Files against annotations: what is missing, what nobody names, and what is there twice byte for byte."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import joblib

from pipeline.clip import Clip
from pipeline.datasets import Dataset
from pipeline.doctor.findings import Finding, marked
from pipeline.weights import file_digest

SUFFIXES = frozenset((
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".flv", ".wmv", ".mpg", ".mpeg", ".ts", ".ogv", ".mxf",
    ".wav", ".w64", ".mp3", ".m4a", ".aac", ".ac3", ".flac", ".ogg", ".oga", ".opus", ".aiff", ".aif", ".amr"))


def shown(path: Path, root: Path) -> str:
    """A file's name for a finding: relative to the corpus's root if it lies there."""
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def splits_without_media(clips: Sequence[Clip]) -> set[str]:
    """Splits of which not one clip has a file that is there."""
    return {clip.split for clip in clips} - {
        clip.split for clip in clips if clip.source is not None and os.path.exists(clip.source)}


def no_media(clips: Sequence[Clip], bare: set[str], root: Path) -> Iterator[Finding]:
    """One finding for all splits without files, where their clips name none; one for those whose files are all gone."""
    for named in (False, True):
        of = [clip for clip in clips if clip.split in bare and (clip.source is not None) == named]
        if not of:
            continue
        splits = ", ".join(dict.fromkeys(clip.split for clip in of))
        if named:
            folders = list(dict.fromkeys(shown(clip.source.parent, root) for clip in of if clip.source is not None))
            yield Finding("missing file", tuple(clip.clip_id for clip in of), folders[0] if len(folders) == 1 else "",
                          f"none of the {len(of):,} files of {splits} is there", "a file for each clip")
        else:
            yield Finding("no media", tuple(clip.clip_id for clip in of), "",
                          f"the {len(of):,} clips of {splits} have text alone", "a file for each clip")


def extras(dataset: Dataset, clips: Iterable[Clip]) -> Iterator[Finding]:
    """Media in the corpus's folders that no clip names; what macOS leaves there is one finding a folder."""
    named = {os.path.abspath(clip.source) for clip in clips if clip.source is not None}
    for split, top in dataset.media_folders().items():
        for folder, subfolders, names in os.walk(top):
            subfolders.sort()
            here = Path(folder)
            litter = [name for name in sorted(names) if name.startswith("._")]
            if litter:
                yield Finding("macOS file", (), shown(here, dataset.root),
                              f"{len(litter):,} of them, for instance {ascii(litter[0])}", "media files only")
            for name in sorted(names):
                path = here / name
                if not name.startswith("._") and path.suffix.lower() in SUFFIXES and os.path.abspath(path) not in named:
                    clip_id = f"{split}/{path.relative_to(top).with_suffix('').as_posix()}"
                    yield marked(Finding("extra file", (), shown(path, dataset.root), "no annotation names it",
                                         "a row in the annotation"), dataset.known_defects, clip_id)


def same_bytes(clips: Iterable[Clip], dataset: Dataset, *, jobs: int) -> list[Finding]:
    """Different files with the same content; only files of one size are read."""
    users: dict[Path, list[str]] = defaultdict(list)
    for clip in clips:
        if clip.source is not None:
            users[clip.source].append(clip.clip_id)
    by_size: dict[int, list[Path]] = defaultdict(list)
    for path in users:
        try:
            if path.is_file() and path.stat().st_size:
                by_size[path.stat().st_size].append(path)
        except OSError:
            continue  # what cannot be looked at is found when it is opened
    alike = [path for paths in by_size.values() if len(paths) > 1 for path in paths]
    digests = joblib.Parallel(n_jobs=jobs, prefer="threads")(joblib.delayed(_digest)(path) for path in alike)
    by_digest: dict[str, list[Path]] = defaultdict(list)
    for path, digest in zip(alike, digests):
        if digest:
            by_digest[digest].append(path)
    return [_twins(paths, users, dataset.root) for paths in by_digest.values() if len(paths) > 1]


def _twins(paths: Sequence[Path], users: Mapping[Path, Sequence[str]], root: Path) -> Finding:
    ids = tuple(clip_id for path in paths for clip_id in users[path])
    splits = {clip_id.split("/")[0] for clip_id in ids}
    across = f", in {len(splits)} splits" if len(splits) > 1 else ""
    return Finding("same bytes", ids, shown(paths[0], root),
                   f"{len(paths)} files are the same byte for byte{across}", "a file of its own for each clip")


def _digest(path: Path) -> str:
    try:
        return file_digest(path)
    except OSError:
        return ""
