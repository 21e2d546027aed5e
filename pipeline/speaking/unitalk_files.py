"""UniTalk's folders rearranged: some videos alone, or tracks without their videos' folders as ASC and ASDNet want them.

Nothing that is there is ever changed or deleted: the new tree is made beside its destination, which has to be new or an
empty folder, and takes its name when it is whole.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.datasets._speaker_tracks import PUBLISHED_NAMES, LabelFiles, find_places
from pipeline.errors import DatasetError
from pipeline.speaking.speaker_files import write_table
from pipeline.speaking.speaker_tables import SpeakerTable

_LISTS = ("sub_categories", "video_list")  # small files that go along
_PLACES = ("csv/{}_orig.csv", "csv/{}")
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Rearranged:
    """What a new tree holds.

    Args:
        out: its folder.
        num_tracks, num_videos, num_rows: what is in it.
        missing: tracks of the labels without pictures or sound in the source, first to last; their labels are kept.
    """

    out: Path
    num_tracks: int
    num_videos: int
    num_rows: int
    missing: tuple[str, ...]


def read_labels(root: Path) -> dict[str, SpeakerTable]:
    """The labels of a release, by the publisher's names of its splits: train, val.

    Raises:
        DatasetError: there are none, or a row is wrong.
    """
    files = LabelFiles("unitalk", root, _PLACES, "`python -m pipeline download --dataset unitalk` fetches it", "fail")
    return {PUBLISHED_NAMES[split]: table for split, table in files.tables((), [])}


def trim(root: Path, out: Path, videos: Sequence[str], *, split: str = "val", copy: bool = False,
         progress: Progress | None = None) -> Rearranged:
    """A release of some videos of one split alone, as the published ``trim_dataset.py`` makes it.

    Args:
        root: of the release, by videos or flat.
        out: where to make the new one.
        videos: ids of the videos to keep, of any length; those that the labels do not have are an error.
        split: as published, ``"val"`` or ``"train"``; the new release has no other.
        copy: copy pictures and sound; by default the new tree links to them.
        progress: told how many tracks are done.

    Raises:
        DatasetError: the destination is not new or empty; there are no labels; none of a video.
    """
    table = _of_split(read_labels(root), split, root)
    known = set(pd.unique(table.video).tolist())
    strangers = [video for video in videos if video not in known]
    if strangers or not videos:
        raise DatasetError(f"{table.path} has no rows of {strangers[0] if strangers else 'no videos'}"
                           f" ({len(strangers):,} of {len(videos):,}); expected ids out of its {len(known):,} videos")
    return _rearrange(root, out, {split: table.take(np.isin(table.video.astype(str), list(videos)))}, flat=False,
                      copy=copy, progress=progress)


def to_asc(root: Path, out: Path, *, copy: bool = False, progress: Progress | None = None) -> Rearranged:
    """The layout of ASC and ASDNet: ``clips_videos/SPLIT/ENTITY``, ``clips_audios/SPLIT/ENTITY.wav``.

    The labels stand in ``csv`` as before, and those of val by video and without a header in ``gt`` besides.

    Args:
        root, out, copy, progress: as for :func:`trim`.

    Raises:
        DatasetError: the destination is not new or empty, or there are no labels.
    """
    return _rearrange(root, out, read_labels(root), flat=True, copy=copy, progress=progress)


def from_asc(root: Path, out: Path, *, copy: bool = False, progress: Progress | None = None) -> Rearranged:
    """The published layout again: ``clips_videos/SPLIT/VIDEO/ENTITY``.

    The labels say which video a track is of, so ids may have any length.

    Args:
        root, out, copy, progress: as for :func:`trim`.

    Raises:
        DatasetError: the destination is not new or empty, or there are no labels.
    """
    return _rearrange(root, out, read_labels(root), flat=False, copy=copy, progress=progress)


def _of_split(tables: dict[str, SpeakerTable], split: str, root: Path) -> SpeakerTable:
    if split not in tables:
        raise DatasetError(f"{root} has no labels of {split}; it has {', '.join(tables)}")
    return tables[split]


def _rearrange(root: Path, out: Path, tables: dict[str, SpeakerTable], *, flat: bool, copy: bool,
               progress: Progress | None) -> Rearranged:
    root, out = root.absolute(), out.absolute()
    _refuse_full(out)
    parts = [(split, table, video, entity) for split, table in tables.items() for video, entity in _tracks(table)]
    missing: list[str] = []
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
        work = Path(scratch) / "new"
        places = {split: find_places(root, split, table.video) for split, table in tables.items()}
        for number, (split, table, video, entity) in enumerate(parts, 1):
            below = split if flat else f"{split}/{video}"
            for kind, (source, is_there) in (("clips_videos", places[split].folder_of(video, entity)),
                                             ("clips_audios", places[split].sound_of(video, entity))):
                if is_there and source is not None:
                    _put(source, work / kind / below / source.name, copy=copy)
                elif entity not in missing[-1:]:
                    missing.append(entity)
            if progress is not None:
                progress(number, len(parts))
        _write_labels(work, tables, flat=flat)
        for name in _LISTS:
            if (root / name).is_dir():
                shutil.copytree(root / name, work / name)
        _refuse_full(out)
        os.replace(work, out)
    num_videos = sum(len(pd.unique(table.video)) for table in tables.values())
    return Rearranged(out, len(parts), num_videos, sum(map(len, tables.values())), tuple(missing))


def _refuse_full(out: Path) -> None:
    if out.is_symlink() or (out.exists() and not out.is_dir()):
        raise DatasetError(f"{out} is a file or a link; name a new folder")
    if out.is_dir() and any(out.iterdir()):
        raise DatasetError(f"{out} is not empty, and nothing in it will be replaced; name a new or empty folder")


def _tracks(table: SpeakerTable) -> Iterator[tuple[str, str]]:
    """Video and name of each track, in the table's order."""
    tracks = table.tracks()
    for row in tracks.order[tracks.starts[:-1]]:
        yield str(table.video[row]), str(table.entity[row])


def _put(source: Path, target: Path, *, copy: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if not copy:
        target.symlink_to(source.resolve(), target_is_directory=source.is_dir())
    elif source.is_dir():
        shutil.copytree(source, target)
    else:
        shutil.copy2(source, target)


def _write_labels(work: Path, tables: dict[str, SpeakerTable], *, flat: bool) -> None:
    (work / "csv").mkdir(parents=True)
    for split, table in tables.items():
        write_table(work / "csv" / f"{split}_orig.csv", table)
    if flat and "val" in tables:
        (work / "gt").mkdir()
        table, (videos, names) = tables["val"], pd.factorize(tables["val"].video)
        for place, name in enumerate(names):
            write_table(work / "gt" / f"{name}.csv", table.take(np.flatnonzero(videos == place)), header=False)
