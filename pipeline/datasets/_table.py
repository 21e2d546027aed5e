"""Annotation files as rows: a CSV whose every oddity becomes one error that names the file and the row."""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from pipeline.errors import DatasetError

# Far above any corpus and far below what fills a machine's memory.
MOST_BYTES, MOST_ROWS, MOST_COLUMNS, MOST_CHARACTERS = 2 ** 28, 2_000_000, 1000, 100_000


class Row(NamedTuple):
    """One record of a table.

    Args:
        number: as a spreadsheet counts: the header is row 1.
        cells: text by column.
    """

    number: int
    cells: dict[str, str]


class Table(NamedTuple):
    """A whole annotation file.

    Args:
        path: the file, for messages.
        columns: names in the header, stripped.
        rows: records that are not blank.
        delimiter: what parted the cells.
    """

    path: Path
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    delimiter: str

    def require(self, columns: Iterable[str]) -> None:
        """Check that columns are there.

        Raises:
            DatasetError: one is not; the columns found are shown.
        """
        missing = [column for column in columns if column not in self.columns]
        if missing:
            raise DatasetError(f"{self.path} has no column {' and no column '.join(map(repr, missing))}; its columns"
                               f" are: {shown(', '.join(self.columns), 1000)[1:-1]}")


def shown(text: str, most: int = 80) -> str:
    """Someone's text for a message: in quotes, on one line, cut where it is long.

    >>> shown("a\\nb"), shown("abcdef", 4)
    ("'a\\\\nb'", "'abc…'")
    """
    return repr(text if len(text) <= most else text[:most - 1] + "…")


def read_bytes(path: Path) -> bytes:
    """The content of an annotation file.

    Raises:
        DatasetError: it is a folder, larger than ``MOST_BYTES`` or cannot be read.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise DatasetError(f"{path} is larger than {MOST_BYTES // 2 ** 20} MiB; expected a table of clips: split it"
                               " into several")
        return content
    except IsADirectoryError as error:
        raise DatasetError(f"{path} is a folder; expected a CSV file") from error
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from error


def parse_table(text: str, path: Path, *, delimiter: str = ",") -> Table:
    """Cut the text of a CSV into rows; lines in which every cell is empty are passed over.

    Args:
        text: the file's content, without a byte order mark.
        path: where it came from, for messages.
        delimiter: one character between cells.

    Raises:
        DatasetError: no rows, a column without a name or named twice, a row of another length than the header, a
            quote that is never closed, a NUL, or more than ``MOST_ROWS``, ``MOST_COLUMNS`` or, in a cell,
            ``MOST_CHARACTERS``.
    """
    records: list[tuple[int, list[str]]] = []
    if "\0" in text:
        raise DatasetError(f"{path}, line {text.count(chr(10), 0, text.index(chr(0))) + 1}: a NUL character; expected"
                           " text, saved as CSV UTF-8")
    try:
        with _cells_of_any_length(len(text)):
            for number, record in enumerate(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True),
                                            1):
                if any(cell.strip() for cell in record):
                    records.append((number, record))
                if len(records) > MOST_ROWS + 1:
                    raise DatasetError(f"{path} has more than {MOST_ROWS:,} rows; split it into several")
    except csv.Error as error:
        after = records[-1][0] if records else 0
        raise DatasetError(f"{path}, after row {after}: {error}; a cell that holds a quote or a line break stands in"
                           ' quotes, and a quote in it is doubled: "he said ""no"""') from error
    if len(records) < 2:
        raise DatasetError(f"{path} is empty; expected a header and at least one row")
    columns = tuple(name.strip() for name in records[0][1])
    _check_header(columns, path)
    for number, record in records:
        for column, cell in zip(columns, record):
            if len(cell) > MOST_CHARACTERS:
                raise DatasetError(f"{path}, row {number}: {shown(column)} has {len(cell):,} characters; expected at"
                                   f" most {MOST_CHARACTERS:,}: is a quote missing?")
        if len(record) != len(columns):
            raise DatasetError(f"{path}, row {number} has {len(record)} cells, its header {len(columns)}; a cell that"
                               f" holds {delimiter!r} stands in quotes")
    rows = tuple(Row(number, dict(zip(columns, record))) for number, record in records[1:])
    return Table(path, columns, rows, delimiter)


@contextlib.contextmanager
def _cells_of_any_length(most: int) -> Iterator[None]:
    """The csv module's own limit knows neither row nor column; it is for the whole process."""
    before = csv.field_size_limit(max(most, 1))
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _check_header(columns: tuple[str, ...], path: Path) -> None:
    if len(columns) > MOST_COLUMNS:
        raise DatasetError(f"{path} has {len(columns):,} columns; expected at most {MOST_COLUMNS:,}")
    for place, name in enumerate(columns, 1):
        if not name:
            raise DatasetError(f"{path}: column {place} has no name; name it or remove it (an index that pandas wrote:"
                               " to_csv(…, index=False))")
        if columns.index(name) != place - 1:
            raise DatasetError(f"{path} has two columns named {shown(name)}; rename one")
