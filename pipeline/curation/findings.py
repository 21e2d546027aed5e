"""What can be wrong with a store, and what its tables alone say about that."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from pipeline.curation.contents import StoreContents
from pipeline.storage.layout import STATUSES, TIMES_KINDS

MISSING, DONE, EMPTY, FAILED = range(len(STATUSES))
NO_REASON = "failed, but the reason is not in the table of failures"
CHANGED = "what is noted of it (status, digests, kind of times) has changed since it was written"

Kind = Literal["file", "clip", "label", "feature", "cell", "failures"]


@dataclass(frozen=True)
class Finding:
    """Something that is wrong.

    Args:
        file: the store or shard.
        kind: ``"file"`` (nothing of it can be read), ``"clip"`` (a row of the clip table), ``"label"`` (as annotated,
            but outside its range), ``"feature"`` (all of it), ``"cell"`` (one clip of one feature) or ``"failures"``
            (the table of failures).
        message: what was found and what was expected.
        clip: id of the clip; "" where it is not about one.
        feature: name of the feature; "" where it is not about one.
        place: row of the clip table; −1 where it is not about a clip.
    """

    file: Path
    kind: Kind
    message: str
    clip: str = ""
    feature: str = ""
    place: int = -1


def check_clips(contents: StoreContents) -> Iterator[Finding]:
    """The clip table: its check values, ids, times and labels."""
    table, length = contents.clips, contents.num_clips
    problems = {place: f"row {place} of the clip table has changed since it was written"
                for place in np.flatnonzero(~table.intact(length)).tolist()}
    seen: set[bytes] = set()
    for place, clip_id in enumerate(table.array("clip_id").tolist()):
        if place not in problems:
            if clip_id in seen:
                problems[place] = "its id is that of an earlier clip"
            elif not _is_printable(clip_id):
                problems[place] = "its id is no printable text"
            seen.add(clip_id)
    start, stop = (table.array(name) for name in ("start_seconds", "stop_seconds"))
    for place in np.flatnonzero(~((start >= 0) & (start < np.where(np.isnan(stop), np.inf, stop)))).tolist():
        problems.setdefault(place, f"its span {start[place]:g}–{stop[place]:g} s is empty or starts before 0")
    strange: dict[int, str] = {}
    for task in contents.corpus.tasks:
        labels = table.array(f"labels/{task.name}")
        if task.classes:
            for place in np.flatnonzero((labels < -1) | (labels >= len(task.classes))).tolist():
                problems.setdefault(place, f"its {task.name} is class {labels[place]} of {len(task.classes)}")
        elif task.value_range:
            low, high = np.float32(task.value_range[0]), np.float32(task.value_range[1])
            for place in np.flatnonzero((labels < low) | (labels > high)).tolist():
                strange.setdefault(place, f"its {task.name} is {labels[place]:g}, annotated as {low:g} to {high:g};"
                                          " correct the annotation and extract again")
    for place in sorted(problems.keys() | strange.keys()):
        kind: Kind = "clip" if place in problems else "label"
        yield Finding(contents.path, kind, problems.get(place) or strange[place], contents.clip_name(place),
                      place=place)


def _is_printable(encoded: bytes) -> bool:
    try:
        text = encoded.decode("utf-8", "surrogatepass")
    except ValueError:
        return False
    return bool(text) and text.isprintable()


def check_notes(contents: StoreContents, name: str) -> Iterator[Finding]:
    """What is noted of each clip of a feature, as far as it can be judged without the rows."""
    part = contents.features[name]
    status, kinds, offsets = part.table.array("status"), part.table.array("times_kind"), part.table.array("offsets")
    counts, length = part.counts, contents.num_clips
    digested, num_rows = part.table.array("digest") != b"", part.values.shape[0]
    failed = np.zeros(length, bool)
    failed[list(part.failures)] = True
    rules: list[tuple[np.ndarray, str]] = [
        (status > FAILED, "its status is none"), (kinds >= len(TIMES_KINDS), "its kind of times is none"),
        ((offsets[:-1] < 0) | (counts < 0) | (offsets[1:] > num_rows), "its place among the rows makes no sense"),
        (_wrong_edges(offsets, num_rows), "rows before the first clip or behind the last are nobody's"),
        ((status == DONE) & (counts == 0), "done, but there are no rows"),
        ((status != DONE) & (counts > 0), "there are rows, but its status says that there are none"),
        ((status == MISSING) & digested, "missing, but there is a digest of its rows"),
        (((status == DONE) | (status == EMPTY)) & ~digested, "there is no digest of its rows"),
        ((status == FAILED) & ~failed, NO_REASON),
        ((status != FAILED) & failed, "there is a reason why it failed, but it did not"),
        (~part.table.intact(length), CHANGED),
    ]
    problems: dict[int, str] = {}
    for wrong, message in rules:
        for place in np.flatnonzero(wrong).tolist():
            problems.setdefault(place, message)
    for place in sorted(problems):
        yield Finding(contents.path, "cell", problems[place], contents.clip_name(place), name, place)


def _wrong_edges(offsets: np.ndarray, num_rows: int) -> np.ndarray:
    wrong = np.zeros(len(offsets) - 1, bool)
    if len(wrong):
        wrong[0], wrong[-1] = wrong[0] or offsets[0] != 0, wrong[-1] or offsets[-1] != num_rows
    return wrong
