"""A part of a store as a store of its own: some clips, some features."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.curation.contents import Choice, StoreContents, gather_column, gather_feature
from pipeline.curation.merging import running_total
from pipeline.curation.queries import find
from pipeline.curation.verification import read_whole
from pipeline.errors import StoreError, UsageError, unknown_name
from pipeline.storage.layout import CLIP_COLUMNS, NUMBER_COLUMNS
from pipeline.storage.lock import locked
from pipeline.storage.writing import write_file


@dataclass(frozen=True)
class Selection:
    """What a subset keeps: clips that all of these hold for.

    Args:
        where: a query over the clip table and the labels; see :func:`pipeline.curation.queries.find`.
        splits: any of these.
        labels: pairs of a task and a class; of several classes of one task any.
        clips: any of these ids.
        features: any of these; None for all.
    """

    where: str | None = None
    splits: tuple[str, ...] | None = None
    labels: tuple[tuple[str, str], ...] = ()
    clips: tuple[str, ...] | None = None
    features: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Subset:
    """What came of a cut.

    Args:
        path: the new store.
        num_clips, of_clips: in it, and in the store that it was cut from.
        features: rows by feature.
    """

    path: Path
    num_clips: int
    of_clips: int
    features: dict[str, int]


def subset(store: Path, out: Path, selection: Selection, *,
           progress: Callable[[int, int], None] = lambda done, total: None) -> Subset:
    """Write some clips and features of a store as a store of its own.

    Rows keep their digests, clips their order; what is known of their files, their failures and how all was made goes
    along. Rows pass through a few megabytes of memory.

    Args:
        store: what to cut from.
        out: the new store, which must not be there.
        selection: what to keep.
        progress: told how many bytes of rows are written, and of how many.

    Raises:
        UsageError: nothing to cut by, a query that is refused, a column, split, task, class or feature that is not
            there, or ``out`` is.
        StoreError: the store cannot be read or is damaged, no clip is left, a clip id is unknown, or ``out`` cannot be
            written.
    """
    if selection == Selection():
        raise UsageError("there is nothing to cut by; expected --where, --split, --label, --clips or --features")
    if out.exists():
        raise UsageError(f"{out} is there already; name another --out, or remove it first")
    with locked(out):
        contents = read_whole(store)
        names = _features(contents, selection.features)
        places = choose_clips(contents, selection)
        choice = Choice(np.zeros(len(places), np.int64), places)
        ids = [contents.clips.encoded("clip_id", place).decode("utf-8", "surrogatepass") for place in places.tolist()]
        columns = {name: gather_column([column], choice) for name, column in contents.clips.columns.items()}
        features = {name: gather_feature(name, ids, [(store, contents.features[name])], choice) for name in names}
        total = sum(int(rows.counts.sum()) * (8 + contents.features[name].row_bytes)
                    for name, rows in features.items())
        write_file(out, corpus=contents.corpus, clips=columns, features=features.items(), requests=contents.requests,
                   attributes=contents.extra_attributes, written=running_total(progress, total))
    return Subset(out, len(ids), contents.num_clips, {name: int(rows.counts.sum()) for name, rows in features.items()})


def _features(contents: StoreContents, wanted: Sequence[str] | None) -> list[str]:
    for name in wanted or ():
        if name not in contents.features:
            raise unknown_name("feature", name, contents.features)
    return sorted(contents.features if wanted is None else set(wanted))


def choose_clips(contents: StoreContents, selection: Selection) -> np.ndarray:
    """Places of the clips that a selection keeps, int64, rising.

    Raises:
        UsageError: see :func:`subset`.
        StoreError: no clip is left, or an id is unknown.
    """
    table = clip_table(contents)
    kept = np.ones(contents.num_clips, bool)
    if selection.splits is not None:
        kept &= _any_of("split", table["split"], selection.splits, set(table["split"]))
    by_task: dict[str, list[str]] = defaultdict(list)
    for task, label in selection.labels:
        by_task[task].append(label)
    for name, labels in by_task.items():
        kept &= _labelled(contents, table, name, labels)
    if selection.clips is not None:
        kept &= _named(contents, table["clip_id"], selection.clips)
    if selection.where is not None:
        mask = np.zeros(contents.num_clips, bool)
        mask[find(table, selection.where)] = True
        kept &= mask
    if not kept.any():
        splits = ", ".join(f"{split} {count}" for split, count in table["split"].value_counts(sort=False).items())
        raise StoreError(f"no clip of {contents.path} is left by that; it has {contents.num_clips} clips"
                         f" ({splits or 'none'}), see them with: python -m pipeline inspect {contents.path}")
    return np.flatnonzero(kept)


def clip_table(contents: StoreContents) -> pd.DataFrame:
    """What a query asks about: the columns of the clip table, and labels by the name of their task.

    Labels are class names, "" where there is none, or numbers, NaN where there is none. A task that is named like a
    column is there as ``labels/TASK`` alone.
    """
    columns: dict[str, pd.Series] = {}
    for name in CLIP_COLUMNS:
        if name in NUMBER_COLUMNS:
            columns[name] = pd.Series(contents.clips.array(name))
        else:
            columns[name] = _texts(contents.clips.text(name, place) for place in range(contents.num_clips))
    for task in contents.corpus.tasks:
        labels = contents.clips.array(f"labels/{task.name}")
        found = _texts((*task.classes, "")[label] for label in labels.tolist()) if task.classes else pd.Series(labels)
        columns[f"labels/{task.name}" if task.name in columns else task.name] = found
    table: pd.DataFrame = pd.DataFrame(columns)
    return table


def _texts(values: Iterable[str]) -> pd.Series:
    return pd.Series(list(values), dtype=object)


def _any_of(kind: str, column: pd.Series, wanted: Sequence[str], known: set[str]) -> np.ndarray:
    for name in wanted:
        if name not in known:
            raise unknown_name(kind, name, known)
    return column.isin(list(wanted)).to_numpy(bool)


def _labelled(contents: StoreContents, table: pd.DataFrame, name: str, labels: Sequence[str]) -> np.ndarray:
    tasks = {task.name: task for task in contents.corpus.tasks}
    if name not in tasks:
        raise unknown_name("task", name, tasks)
    if not tasks[name].classes:
        raise UsageError(f"{name} is a number and has no classes; ask for it with --where \"{name} > 0.5\"")
    column = table[f"labels/{name}" if f"labels/{name}" in table else name]
    return _any_of(f"class of {name}", column, labels, set(tasks[name].classes))


def _named(contents: StoreContents, ids: pd.Series, wanted: Sequence[str]) -> np.ndarray:
    known = set(ids)
    if unknown := [clip_id for clip_id in dict.fromkeys(wanted) if clip_id not in known]:
        raise StoreError(f"{contents.path} has no clip {unknown[0]!r}"
                         + (f", nor {len(unknown) - 1} others of the list" if len(unknown) > 1 else "")
                         + f"; ids look like {', '.join(ids.head(3)) or '(it is empty)'}")
    return ids.isin(list(wanted)).to_numpy(bool)


def read_ids(path: Path) -> tuple[str, ...]:
    """Clip ids from a text file, one a line; empty lines do not count.

    Raises:
        UsageError: the file cannot be read, is no text, or names no clip.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UsageError(f"{path} cannot be read ({reason}); expected a text file with one clip id a line") from error
    found = tuple(line.strip() for line in lines if line.strip())
    if not found:
        raise UsageError(f"{path} names no clip; expected one clip id a line")
    return found
