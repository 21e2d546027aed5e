"""Your own clips, from a CSV: a path for each and, as you like, times, text, speakers, splits and labels.

=============  =====================================================================================================
column         meaning
=============  =====================================================================================================
``path``       needed: the media file, relative to the CSV's folder or absolute; empty for a clip of text alone
``id``         name of the clip; where empty, its path without suffix, relative to the CSV's folder; for a file outside
               of that folder its name without suffix; for a clip without a path ``row7``
``start``,     seconds of the stretch in the file, half-open; empty: from the beginning, to the end
``end``
``text``       words said
``speaker``,   who says it, in which conversation, at which place from 0
``dialogue``,
``turn``
``split``      ``train``, ``dev``, ``test`` or another name; without the column all clips are in ``all``
``group``      what must not straddle a split; where empty, the dialogue
any other      a task; an empty cell is a missing label
=============  =====================================================================================================

A task is a regression if all its labels are numbers and not all of them whole; its range is least to greatest.
Anything else is a classification; its classes are the distinct labels, numbers in their order and words by alphabet.
The header can say it instead: ``grade:class``, ``valence:regression``, ``valence:regression:1:5`` (with its range), and
``comment:ignore`` for a column that is no task. All rows count for classes and ranges, also of splits not asked for.
"""

from __future__ import annotations

import codecs
import math
import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import ClassVar, NamedTuple

from pipeline.clip import Clip, Corpus, Label, Task
from pipeline.config import setting
from pipeline.datasets import Dataset
from pipeline.datasets._table import Row, Table, parse_table, read_bytes, shown
from pipeline.errors import DatasetError, UsageError, unknown_name

COLUMNS = ("path", "id", "start", "end", "text", "speaker", "dialogue", "turn", "split", "group")
_KINDS = ("class", "regression", "ignore")
_MANY = 8
_MOST_NAME = 500  # characters of an id, a speaker, a class: a store keeps a column as wide as its longest
_MOST_NUMBER = 1e9


class LabelColumn(NamedTuple):
    """A column that names a task.

    Args:
        header: as it stands in the CSV.
        name: of the task.
        kind: ``"class"`` or ``"regression"`` as the header says; "" leaves it to the values.
        value_range: of a regression, as the header says.
    """

    header: str
    name: str
    kind: str
    value_range: tuple[float, float] | None


class Manifest(Dataset):
    """Reads one CSV: UTF-8, cells parted by comma, semicolon or tab; with semicolons numbers may have a decimal comma.

    A relative path stays in the CSV's folder; what a link directly in that folder points to counts as inside.
    """

    @dataclass(frozen=True)
    class Config(Dataset.Config):
        """The CSV, and how far its paths reach. ``root`` replaces the CSV's folder as the one paths start from."""

        manifest: Path | None = setting(None, "CSV of the clips; paths in it are relative to its folder")
        allow_outside: bool = setting(False, "relative paths may leave the CSV's folder")

    default_root: ClassVar[Path] = Path(".")

    def __init__(self, config: Manifest.Config | None = None) -> None:
        super().__init__(config)
        if self.config.root is None and self.config.manifest is not None:
            self.root = self.config.manifest.parent

    @property
    def corpus(self) -> Corpus:
        """The tasks that the CSV's columns name, in their order.

        Raises:
            UsageError: the settings name no manifest.
            DatasetError: the CSV is missing or malformed, or a label does not fit its column.
        """
        return Corpus("manifest", tasks=tuple(self._tasks.values()), licence="the user's own", redistribute="no")

    def clips(self) -> Iterator[Clip]:
        """Clips in the CSV's order.

        Raises:
            UsageError: the settings name no manifest, or a split that it does not have.
            DatasetError: the CSV is missing or malformed; a row's numbers, id or path make no sense; two rows have one
                id; a relative path leaves the folder.
        """
        self.notes.clear()
        rows = self._table.rows
        clips = [self._clip(row) for row in rows]
        self._check_ids(clips)
        splits = {clip.split for clip in clips}
        for name in self.config.splits:
            if name not in splits:
                raise unknown_name("split of the manifest", name, splits)
        chosen = [place for place, clip in enumerate(clips) if not self.config.splits
                  or clip.split in self.config.splits]
        self._note_columns()
        self._note_missing([(clips[place], rows[place]) for place in chosen])
        yield from (clips[place] for place in chosen)

    @cached_property
    def _table(self) -> Table:
        path = self.config.manifest
        if path is None:
            raise UsageError("--dataset manifest needs --manifest FILE: a CSV with a column 'path' and a row for each"
                             " clip")
        if not path.exists():
            raise DatasetError(f"no manifest {path}; expected a CSV with a column 'path' and a row for each clip")
        table = _read(path)
        for column in table.columns:
            if column not in COLUMNS and column.lower() in COLUMNS:
                raise DatasetError(f"{path} has a column {shown(column)}; expected it to be written {column.lower()!r}")
        table.require(["path"])
        return table

    @cached_property
    def _real_root(self) -> str:
        return os.path.realpath(self.root)

    @cached_property
    def _label_columns(self) -> tuple[LabelColumn, ...]:
        found = [_label_column(header, self._table.path) for header in self._table.columns if header not in COLUMNS]
        kept = tuple(column for column in found if column.kind != "ignore")
        names = [column.name for column in kept]
        for name in names:
            if names.count(name) > 1:
                raise DatasetError(f"{self._table.path} has two columns for the task {name!r}; rename one")
        return kept

    @cached_property
    def _tasks(self) -> dict[LabelColumn, Task]:
        """Task of each label column; a column without a label is none."""
        tasks = {column: self._task(column) for column in self._label_columns}
        return {column: task for column, task in tasks.items() if task is not None}

    def _task(self, column: LabelColumn) -> Task | None:
        cells = [(row, cell) for row in self._table.rows if (cell := row.cells[column.header].strip())]
        if not cells:
            return None
        numbers = [self._number(cell) for _, cell in cells]
        known = [number for number in numbers if number is not None]
        numeric = len(known) == len(cells)
        measured = column.kind == "" and numeric and not all(number.is_integer() for number in known)
        if column.kind != "regression" and not measured:
            for row, cell in cells:
                self._check_name(row, column.name, cell)
            classes = sorted({cell for _, cell in cells})
            return Task(column.name, tuple(sorted(classes, key=lambda name: self._number(name) or 0.0)
                                           if numeric else classes))
        low, high = column.value_range or (min(known, default=0.0), max(known, default=0.0))
        for (row, cell), number in zip(cells, numbers):
            if number is None or not math.isfinite(number) or not low <= number <= high:
                bounds = f" from {low:g} to {high:g}" if column.value_range else ""
                raise self._error(row, f"{column.name} is {shown(cell)}; expected a number{bounds}, or an empty cell"
                                       " where there is none")
        return Task(column.name, value_range=(low, high))

    def _clip(self, row: Row) -> Clip:
        source, derived = self._source(row)
        split = self._name(row, "split") if "split" in self._table.columns else "all"
        if not split or not split.isprintable() or "/" in split or split in (".", ".."):
            raise self._error(row, f"split is {shown(split)}; expected a name such as train, dev or test")
        turn = self._time(row, "turn", -1.0)
        if not turn.is_integer():
            raise self._error(row, f"turn is {turn:g}; expected a whole number")
        labels: dict[str, Label] = {}
        for column, task in self._tasks.items():
            cell = row.cells[column.header].strip()
            if cell:
                labels[task.name] = cell if task.classes else self._number(cell) or 0.0
        dialogue = self._name(row, "dialogue")
        try:
            return Clip(
                f"{split}/{self._id(row) or derived}", source=source, text=row.cells.get("text", ""),
                start_seconds=self._time(row, "start", 0.0),
                stop_seconds=self._time(row, "end", 0.0) if self._cell(row, "end") else None,
                speaker=self._name(row, "speaker"), dialogue=dialogue, turn=int(turn), split=split,
                group=self._name(row, "group") or dialogue, labels=labels)
        except ValueError as error:
            raise self._error(row, str(error)) from error

    def _source(self, row: Row) -> tuple[Path | None, str]:
        """The media file of a row, and the id that the clip has without one of its own."""
        text = self._cell(row, "path")
        if not text:
            if not row.cells.get("text", "").strip():
                raise self._error(row, "neither a path nor a text; expected one of them")
            return None, f"row{row.number}"
        # Lexically, as a reader of the CSV does: a/../b.mp4 is b.mp4 even where a is a link to elsewhere.
        path = Path(os.path.normpath(text))
        if path.name in ("", "..") or _has_controls(text):
            raise self._error(row, f"path is {shown(text)}; expected the path of a file")
        if not path.is_absolute() and not self.config.allow_outside and not self._is_inside(path):
            raise self._error(row, f"path {shown(text)} leaves {self.root}; put the file there, write an absolute path,"
                                   " or allow it with --allow-outside")
        below = Path(os.path.relpath(path, os.path.abspath(self.root))) if path.is_absolute() else path
        name = path.name if ".." in below.parts else below.as_posix()
        derived = name.removesuffix(path.suffix)
        if not self._cell(row, "id") and (len(derived) > _MOST_NAME or not derived.isprintable()):
            raise self._error(row, f"path {shown(text)} cannot name its clip (it is long, or not all of it prints);"
                                   " expected a name in a column 'id'")
        return self.root / path, derived

    def _is_inside(self, path: Path) -> bool:
        if ".." in path.parts:
            return False
        target = Path(os.path.realpath(self.root / path))
        return (target.is_relative_to(self._real_root)
                or target.is_relative_to(os.path.realpath(self.root / path.parts[0])))

    def _check_ids(self, clips: list[Clip]) -> None:
        by_id: dict[str, int] = {}
        by_path: dict[str, int] = {}
        for clip, row in zip(clips, self._table.rows):
            if not self._cell(row, "id"):
                derived = clip.clip_id.removeprefix(f"{clip.split}/")
                first = by_path.setdefault(derived, row.number)
                if first != row.number:
                    raise DatasetError(f"{self._table.path}: rows {first} and {row.number} are both {shown(derived)} by"
                                       " their paths; expected an id of its own for each, in a column 'id'")
            first = by_id.setdefault(clip.clip_id, row.number)
            if first != row.number:
                raise DatasetError(f"{self._table.path}: rows {first} and {row.number} are both {clip.clip_id!r};"
                                   " expected each id once in a split")

    def _cell(self, row: Row, column: str) -> str:
        return row.cells.get(column, "").strip()

    def _name(self, row: Row, column: str) -> str:
        return self._check_name(row, column, self._cell(row, column))

    def _check_name(self, row: Row, column: str, name: str) -> str:
        if len(name) > _MOST_NAME or _has_controls(name):
            raise self._error(row, f"{column} is {shown(name)}; expected at most {_MOST_NAME} characters and no control"
                                   " characters")
        return name

    def _id(self, row: Row) -> str:
        """A clip's own id; it may become the name of a file, so it climbs to no other folder."""
        name = self._name(row, "id")
        if name and {"", ".", ".."} & set(name.split("/")):
            raise self._error(row, f"id is {shown(name)}; expected a name without empty, '.' and '..' parts")
        return name

    def _number(self, text: str) -> float | None:
        """The number in a cell, NaN and infinity included, or None."""
        if self._table.delimiter == ";" and "." not in text:
            text = text.replace(",", ".")
        try:
            return None if "_" in text else float(text)
        except ValueError:
            return None

    def _time(self, row: Row, column: str, default: float) -> float:
        """A number from 0, or ``default`` for an empty cell."""
        text = self._cell(row, column)
        number = self._number(text) if text else default
        if number is None or not abs(number) <= _MOST_NUMBER or (text and number < 0):
            raise self._error(row, f"{column} is {shown(text)}; expected a number from 0 to {_MOST_NUMBER:,.0f}")
        return number

    def _error(self, row: Row, message: str) -> DatasetError:
        return DatasetError(f"{self._table.path}, row {row.number}: {message}")

    def _note_columns(self) -> None:
        for column in self._label_columns:
            task = self._tasks.get(column)
            count = sum(bool(row.cells[column.header].strip()) for row in self._table.rows)
            if task is None:
                self.notes.append(f"column {column.header!r} is empty and gives no task")
            elif count >= 20 and 2 * len(task.classes) > count:
                self.notes.append(f"column {column.header!r} has {len(task.classes):,} classes in {count:,} labels; if"
                                  f" it is no label, write {column.name}:ignore in the header")

    def _note_missing(self, clips: list[tuple[Clip, Row]]) -> None:
        missing = [f"{clip.source} (row {row.number})" for clip, row in clips
                   if clip.source is not None and not clip.source.is_file()]
        if missing:
            rest = f" and {len(missing) - _MANY:,} more" if len(missing) > _MANY else ""
            self.notes.append(f"{len(missing):,} of {len(clips):,} clips have no media file:"
                              f" {', '.join(missing[:_MANY])}{rest}")


def _read(path: Path) -> Table:
    content = read_bytes(path)
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise DatasetError(f"{path} is UTF-16; save the file as CSV UTF-8")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DatasetError(f"{path}, line {line}: byte {content[error.start]:#04x} is not UTF-8; save the file as CSV"
                           " UTF-8") from error
    return parse_table(text, path, delimiter=_delimiter(text.lstrip("\r\n").partition("\n")[0].partition("\r")[0]))


def _has_controls(text: str) -> bool:
    return not text.isprintable() and any(unicodedata.category(character) == "Cc" for character in text)


def _delimiter(header: str) -> str:
    """What parts the header into columns with a ``path`` among them, else into the most columns."""
    def fitness(candidate: str) -> tuple[bool, int]:
        columns = [name.strip(' "').lower() for name in header.split(candidate)]
        return "path" in columns, len(columns)
    return max(",;\t", key=fitness)


def _label_column(header: str, path: Path) -> LabelColumn:
    """``valence:regression:1:5`` → name, kind and range."""
    name, *rest = (part.strip() for part in header.split(":"))
    if (not 0 < len(name) <= _MOST_NAME or not name.isprintable() or "/" in name or name in (".", "..")
            or name.lower() in COLUMNS):
        raise DatasetError(f"{path}: column {shown(header)} cannot name a task; rename it")
    if not rest:
        return LabelColumn(header, name, "", None)
    kind, *bounds = rest
    form = (f"{path}: column {shown(header)}; expected {name}:class, {name}:ignore, {name}:regression or, with its"
            f" range, {name}:regression:1:5")
    if kind not in _KINDS or (bounds and (kind != "regression" or len(bounds) != 2)):
        raise DatasetError(form)
    if not bounds:
        return LabelColumn(header, name, kind, None)
    try:
        low, high = map(float, bounds)
    except ValueError as error:
        raise DatasetError(form) from error
    if not low < high or math.isinf(low) or math.isinf(high):
        raise DatasetError(f"{form}, the least value first")
    return LabelColumn(header, name, kind, (low, high))
