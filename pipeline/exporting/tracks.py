"""`tracks`: every face of every frame as one table, with its speaking score, in a CSV or JSON file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config import to_json
from pipeline.errors import UsageError
from pipeline.exporting.selection import Selection
from pipeline.faces import COLUMNS
from pipeline.speaking.tracks import read_faces
from pipeline.storage.durable import replacing

SUFFIXES = (".csv", ".json")
HEADER = ("clip", "track", "start_seconds", "stop_seconds", *COLUMNS[1:], "speaking")
Row = list[str]


def check_name(out: Path, *, share: bool) -> None:
    """Make sure that a file can be written under a name.

    Raises:
        UsageError: it is no CSV or JSON, or a CSV that is to be passed on, which has no place for the corpus's terms.
    """
    if out.suffix.lower() not in SUFFIXES:
        raise UsageError(f"--out {out}: tracks are written to a file that ends in {' or '.join(SUFFIXES)}")
    if share and out.suffix.lower() != ".json":
        raise UsageError(f"--out {out}: a CSV has no place for the corpus's terms, which --share passes on; write a"
                         " .json")


def write(selection: Selection, speaking: str | None, out: Path) -> int:
    """Write the faces of some clips; the file appears whole or not at all.

    A CSV has the columns of :data:`HEADER`; a JSON file has ``{"dataset", "corpus", "permission", "faces", "speaking",
    "rows"}``, each row an object with the same names. Numbers are written so that they read back as the same float32.
    Without a speaking score the field is empty, or null.

    Args:
        selection: the clips; its first feature holds the faces.
        speaking: the feature with their scores, None without one.
        out: ``.csv`` or ``.json``.

    Returns:
        Size of the file in bytes.

    Raises:
        StoreError: scores that do not fit the faces, or a damaged store.
        OSError: it cannot be written.
    """
    parts = _csv if out.suffix.lower() == ".csv" else _json
    size = 0
    with replacing(out) as file:
        for part in parts(selection, speaking):
            size += file.write(part.encode())
            file.check()
    return size


def _csv(selection: Selection, speaking: str | None) -> Iterator[str]:
    yield _csv_lines([list(HEADER)])
    for rows in _clips(selection, speaking):
        yield _csv_lines(rows)


def _csv_lines(rows: list[Row]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _json(selection: Selection, speaking: str | None) -> Iterator[str]:
    store = selection.store
    head: dict[str, Any] = {"dataset": store.corpus.name, "corpus": to_json(store.corpus),
                            "permission": selection.permission}
    for role, name in (("faces", selection.features[0]), ("speaking", speaking)):
        head[role] = None if name is None else {"feature": name, "fingerprint": store.fingerprint(name)}
    yield json.dumps(head, indent=1)[:-2] + ',\n "rows": ['
    between = "\n"
    for rows in _clips(selection, speaking):
        if rows:
            yield between + ",\n".join(map(_object, rows))
            between = ",\n"
    yield "\n ]\n}\n"


def _object(row: Row) -> str:
    values = (json.dumps(row[0]), *row[1:-1], row[-1] or "null")
    return "  {" + ", ".join(f'"{name}": {value}' for name, value in zip(HEADER, values, strict=True)) + "}"


def _clips(selection: Selection, speaking: str | None) -> Iterator[list[Row]]:
    """The rows of each clip as text, in the columns' order."""
    for place, clip_id in zip(selection.places.tolist(), selection.clip_ids(), strict=True):
        faces = read_faces(selection.store, place, selection.features[0], speaking)
        # numpy's text of a float32 is the shortest that reads back as the same number
        numbers = np.column_stack([faces.times, faces.rows[:, 1:], faces.speaking]).astype(str)
        numbers[:, -1][np.isnan(faces.speaking)] = ""
        yield [[clip_id, str(track), *row] for track, row in zip(faces.tracks.tolist(), numbers.tolist(), strict=True)]
        selection.advance(len(faces))
