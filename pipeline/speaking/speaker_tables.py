"""Who speaks in which face, frame by frame: the CSV files of AVA-ActiveSpeaker and UniTalk, read as whole columns.

AVA's files have eight columns and no header, UniTalk's ten and a header; predictions have one more, the score, at the
end. A copy that pandas wrote with its index is read by the names in its header. Four million rows take seconds: text
is kept once and shared, and rows are checked by operations on columns.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from pipeline.errors import DatasetError
from pipeline.speaking.speaker_rows import BOX, LABELS, SCORE, Damage, Texts, blocks, names_a_file, seconds

__all__ = ["LABELS", "SPEAKING", "OnDamage", "SpeakerTable", "Tracks", "join_tables", "read_ground_truth",
           "read_predictions", "read_video_list"]

SPEAKING = LABELS.index("SPEAKING_AUDIBLE")  # the one label that is positive; speech that is not heard is negative

OnDamage = Literal["fail", "partial"]

_MANY = 8


@dataclass(frozen=True, eq=False)
class SpeakerTable:
    """Rows of one file in its order, one for each face in each frame: N rows, and arrays as long.

    Columns of text are object arrays of ``str`` in which equal values of one file are one and the same object.

    Args:
        path: the file, for messages; the folder of several that were joined.
        row: number of each row as a spreadsheet counts, a header being row 1; int64 (N,).
        video: ``video_id``, of any length; text.
        time: ``frame_timestamp``, seconds in the video, float64 (N,).
        time_text: the same exactly as it is printed (``"1440"``, ``"1440.04"``); text.
        box: left, top, right and bottom of the face, 0 to 1 of width and height, float64 (N, 4).
        label: place in :data:`LABELS`, int8 (N,).
        entity: ``entity_id``, the face track: ``"VIDEO:1"`` or ``"VIDEO_START_STOP:1"``; text.
        label_id: as in the file, int8 (N,); None where it has no such column.
        instance: ``instance_id``; text; None where the file has no such column.
        score: of a prediction, float64 (N,); None for ground truth.
        notes: what was met that a user should know, one line each: rows left out, a last row that may be cut.
    """

    path: Path
    row: np.ndarray
    video: np.ndarray
    time: np.ndarray
    time_text: np.ndarray
    box: np.ndarray
    label: np.ndarray
    entity: np.ndarray
    label_id: np.ndarray | None = None
    instance: np.ndarray | None = None
    score: np.ndarray | None = None
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.row)

    @property
    def speaking(self) -> np.ndarray:
        """Is each row positive? bool (N,): SPEAKING_AUDIBLE alone is."""
        positive: np.ndarray = self.label == SPEAKING
        return positive

    def take(self, places: np.ndarray) -> SpeakerTable:
        """The rows at some places (int64, or a bool mask of N), in the order given."""
        return replace(self, **{name: column[places] for name, column in self._columns().items()})

    def tracks(self) -> Tracks:
        """Rows by face track, then by time."""
        codes, names = pd.factorize(self.entity)
        order = np.lexsort((self.time, codes))
        starts = np.searchsorted(codes[order], np.arange(len(names) + 1))
        return Tracks(order, starts.astype(np.int64))

    def _columns(self) -> dict[str, np.ndarray]:
        values = ((one.name, getattr(self, one.name)) for one in fields(self))
        return {name: value for name, value in values if isinstance(value, np.ndarray)}


@dataclass(frozen=True, eq=False)
class Tracks:
    """Rows of a table by face track.

    Args:
        order: places of rows in the table: by track in the order in which the file first names them, then by time;
            int64 (N,).
        starts: where in ``order`` each track begins, and N at the end; int64 (tracks + 1,).
    """

    order: np.ndarray
    starts: np.ndarray

    def __len__(self) -> int:
        return len(self.starts) - 1


def read_ground_truth(path: Path, *, on_damage: OnDamage = "fail") -> SpeakerTable:
    """Read a file of labels: 8 columns as AVA's or 10 as UniTalk's, with or without a header.

    Blank lines are passed over, and so are quotes around cells. A file that ends without the end of a line may be cut:
    if its last row makes sense all the same it is kept, and ``notes`` say so.

    Args:
        path: a CSV file.
        on_damage: ``"fail"``: a row that is wrong is an error. ``"partial"``: such rows are left out and ``notes`` say
            which, so that the rest of a file that was cut in the middle of a row can be used. A file without one good
            row is an error either way.

    Raises:
        DatasetError: the file cannot be read, is empty or cut, or has columns of another number or name; a row has
            cells of another number, or bytes that are no text, a time, box or label that is none, an id that can be no
            name of a folder, a ``label_id`` that contradicts the label, the track of another video, or the time of an
            earlier row of its track. The message names the file and the row.
    """
    return _read(path, scored=False, on_damage=on_damage)


def read_predictions(path: Path, *, on_damage: OnDamage = "fail") -> SpeakerTable:
    """Read a file of scores: the columns of :func:`read_ground_truth` and a score, higher for speaking, at the end.

    Args:
        path: a CSV file of 9 or 11 columns, with or without a header.
        on_damage: as for :func:`read_ground_truth`.

    Raises:
        DatasetError: as :func:`read_ground_truth`, or a score is no finite number.
    """
    return _read(path, scored=True, on_damage=on_damage)


def join_tables(tables: Sequence[SpeakerTable], path: Path) -> SpeakerTable:
    """One table of several files, for instance one for each video.

    Args:
        tables: at least one; columns that not all of them have are left out.
        path: what the whole is called in messages.

    Raises:
        DatasetError: two files hold rows of the same track.
    """
    if len(tables) == 1:
        return tables[0]
    seen: dict[str, Path] = {}
    for table in tables:
        names = set(pd.unique(table.entity).tolist())
        twice = sorted(names & seen.keys())
        if twice:
            raise DatasetError(f"{table.path} and {seen[twice[0]]} both hold the track {twice[0]}; expected each in one"
                               " file: remove one of them")
        seen |= dict.fromkeys(names, table.path)
    shared = set.intersection(*(set(table._columns()) for table in tables))
    columns: dict[str, Any] = {name: np.concatenate([getattr(table, name) for table in tables])
                               for name in tables[0]._columns() if name in shared}
    return SpeakerTable(path, **columns, notes=tuple(note for table in tables for note in table.notes))


def read_video_list(path: Path) -> tuple[str, ...]:
    """Ids of videos, one in each line, or addresses that end in ``v=ID`` below the word ``Link``; in their order.

    The last line may lack its end, and blank ones are passed over.

    Args:
        path: such a list, as UniTalk's authors publish for its splits and sub-categories.

    Raises:
        DatasetError: the file cannot be read, is empty, or a line holds something else, or an id a second time.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} cannot be read: {error}; expected a list of videos, one in each line") from error
    found: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        video = line.strip().partition("v=")[2].partition("&")[0] if "://" in line else line.strip()
        if not line.strip() or (number == 1 and video == "Link"):
            continue
        if not names_a_file(video) or any(sign in video for sign in ", ;\t:"):
            raise DatasetError(f"{path}, row {number}: {line[:80]!r} is no id of a video; expected one in each line")
        if video in found:
            raise DatasetError(f"{path}, row {number}: {video} is in row {found[video]} already; expected it once")
        found[video] = number
    if not found:
        raise DatasetError(f"{path} names no video; expected one in each line")
    return tuple(found)


class _Column:
    """Text of one column, block by block, each value kept once."""

    def __init__(self) -> None:
        self.codes: dict[str, int] = {}
        self.parts: list[np.ndarray] = []

    def take(self, column: Texts) -> None:
        """The column's text in the next block."""
        known = np.array([self.codes.setdefault(name, len(self.codes)) for name in column.names], np.int32)
        self.parts.append(known[column.codes])

    def whole(self) -> Texts:
        """The text of every row."""
        return Texts(np.array(list(self.codes), object), np.concatenate(self.parts))


def _read(path: Path, *, scored: bool, on_damage: OnDamage) -> SpeakerTable:
    texts: dict[str, _Column] = defaultdict(_Column)
    numbers: dict[str, list[np.ndarray]] = defaultdict(list)
    damaged: list[Damage] = []
    num_damaged, last_row, cut = 0, 0, False
    for block in blocks(path, scored=scored):
        for name, text in block.texts.items():
            texts[name].take(text)
        for name, column in block.numbers.items():
            numbers[name].append(column)
        last_row = max([last_row, *block.numbers["row"][-1:], *(one.row for one in block.damaged[-1:])])
        _refuse(path, block.damaged, on_damage, last_row if block.cut else 0)
        damaged, num_damaged, cut = (damaged + block.damaged)[:_MANY], num_damaged + len(block.damaged), block.cut
    if not sum(map(len, numbers["row"])):
        why = f": {_told(path, damaged[0])}" if damaged else ""
        raise DatasetError(f"{path} holds no row of a face{why}; expected one for each face in each frame")
    table, wrong = _unlike_rows_before(_table(path, texts, numbers))
    _refuse(path, wrong, on_damage, 0)
    notes = _notes(path, damaged + wrong, num_damaged + len(wrong), last_row if cut else 0)
    if cut and table.row[-1] == last_row:
        notes.append(f"{path} ends without the end of a line: its last row, {last_row}, may be cut")
    return replace(table, notes=tuple(notes))


def _table(path: Path, texts: dict[str, _Column], numbers: dict[str, list[np.ndarray]]) -> SpeakerTable:
    whole = {name: column.whole() for name, column in texts.items()}
    words = {name: column.names[column.codes] for name, column in whole.items()}
    found = {name: np.concatenate(parts) for name, parts in numbers.items()}
    return SpeakerTable(
        path, found["row"], words["video_id"], whole["frame_timestamp"].numbers(seconds), words["frame_timestamp"],
        np.stack([found[name] for name in BOX], axis=1), found["label"], words["entity_id"], found.get("label_id"),
        words.get("instance_id"), found.get(SCORE))


def _unlike_rows_before(table: SpeakerTable) -> tuple[SpeakerTable, list[Damage]]:
    """Leave out rows that contradict an earlier one: the same track in another video, or twice at one time."""
    tracks = table.tracks()
    videos, _ = pd.factorize(table.video)
    in_order = np.repeat(np.arange(len(tracks)), np.diff(tracks.starts))
    first = np.minimum.reduceat(tracks.order, tracks.starts[:-1])
    elsewhere = np.zeros(len(table), bool)
    elsewhere[tracks.order] = videos[tracks.order] != videos[first][in_order]
    same = np.flatnonzero((np.diff(in_order) == 0) & (np.diff(table.time[tracks.order]) == 0))
    twice = dict(zip(tracks.order[same + 1].tolist(), tracks.order[same].tolist()))
    wrong = elsewhere.copy()
    wrong[list(twice)] = True
    damaged = []
    for at in np.flatnonzero(wrong).tolist():
        entity = table.entity[at]
        damaged.append(Damage(int(table.row[at]), f"its track {entity} is of the video {table.video[at]} here and of"
                              " another before; expected one video for each track" if elsewhere[at] else
                              f"its track {entity} has the time {table.time_text[at]} in row {table.row[twice[at]]}"
                              " already; expected each time once"))
    return (table.take(~wrong) if damaged else table), damaged


def _refuse(path: Path, damaged: Sequence[Damage], on_damage: OnDamage, cut_row: int) -> None:
    if damaged and on_damage == "fail":
        raise DatasetError(f"{_told(path, damaged[0], damaged[0].row == cut_row)}. Get the file again, or read it with"
                           " on_damage=partial, which leaves out the rows that are wrong and says so")


def _told(path: Path, one: Damage, cut: bool = False) -> str:
    return f"{path}, row {one.row}: " + (f"the file was cut in the middle of this row: {one.what}" if cut else one.what)


def _notes(path: Path, damaged: Sequence[Damage], number: int, cut_row: int) -> list[str]:
    """What is said of the rows that were left out; ``cut_row`` is the last of a file whose last line has no end."""
    notes = [f"{_told(path, one, one.row == cut_row)}; left out" for one in damaged[:_MANY]]
    if number > _MANY:
        notes.append(f"{path}: {number - _MANY:,} more rows are wrong and were left out")
    return notes
