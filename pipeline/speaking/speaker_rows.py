"""Rows of an active-speaker CSV, checked and parsed a block of bytes at a time: nothing here knows what they mean."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from pipeline.errors import DatasetError

COLUMNS = ("video_id", "frame_timestamp", "entity_box_x1", "entity_box_y1", "entity_box_x2", "entity_box_y2", "label",
           "entity_id", "label_id", "instance_id")
BOX = COLUMNS[2:6]
SCORE = "score"
LABELS = ("NOT_SPEAKING", "SPEAKING_AUDIBLE", "SPEAKING_NOT_AUDIBLE")

BLOCK_BYTES = 1 << 25
_NUM_SHORT, _NUM_LONG = 8, 10  # columns of AVA's files and of UniTalk's
_NEWLINE, _RETURN, _COMMA = b"\n\r,"
_TEXTS = ("video_id", "frame_timestamp", "entity_id", "instance_id")
_LABEL_IDS = {"0": 0, "1": 1, "2": 2}
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", re.ASCII)
_ENTITY = re.compile(r".+:\d+", re.ASCII)


class Damage(NamedTuple):
    """A row that cannot be used.

    Args:
        row: its number, as a spreadsheet counts.
        what: is wrong with it, and what was expected.
    """

    row: int
    what: str


class Texts(NamedTuple):
    """Text of one column, each value kept once.

    Args:
        names: the values; object (values,).
        codes: place in ``names`` of each row's; int64 (rows,).
    """

    names: np.ndarray
    codes: np.ndarray

    def which(self, good: Callable[[str], bool]) -> np.ndarray:
        """Rows whose text is good; bool (rows,)."""
        known: np.ndarray = np.array([good(name) for name in self.names], bool)[self.codes]
        return known

    def numbers(self, number: Callable[[str], float]) -> np.ndarray:
        """A number for each row's text; float64 (rows,)."""
        known: np.ndarray = np.array([number(name) for name in self.names], np.float64)[self.codes]
        return known


class Block(NamedTuple):
    """Good rows of a stretch of the file.

    Args:
        texts: video, time, entity and instance as they are printed, by column.
        numbers: box and score float64, ``label`` and ``label_id`` int8, by column; and ``"row"``, the number of each
            row, int64.
        damaged: the other rows.
        cut: does the file end here without the end of a line?
    """

    texts: dict[str, Texts]
    numbers: dict[str, np.ndarray]
    damaged: list[Damage]
    cut: bool


def blocks(path: Path, *, scored: bool) -> Iterator[Block]:
    """The whole file, block by block.

    Args:
        path: a CSV file of AVA's or UniTalk's columns, with or without a header.
        scored: is the last column a score?

    Raises:
        DatasetError: the file cannot be read, is empty, or has columns of another number or name.
    """
    columns: tuple[str, ...] | None = None
    first_row = 1
    for content in _stretches(path):
        if columns is None:
            content = content.removeprefix(codecs.BOM_UTF8)
            columns, header = _columns(path, content.partition(b"\n")[0], scored)
            if header:
                content, first_row = content.partition(b"\n")[2], 2
        block, num_lines = _parse(content, columns, first_row)
        first_row += num_lines
        yield block
    if columns is None:
        raise DatasetError(f"{path} is empty (0 bytes); expected rows of faces: get the file again")


def _stretches(path: Path) -> Iterator[bytes]:
    """The file in pieces that end where a line does."""
    try:
        with path.open("rb") as file:
            rest = b""
            while content := file.read(BLOCK_BYTES):
                whole, newline, rest_of = (rest + content).rpartition(b"\n")
                if not newline and len(rest_of) > BLOCK_BYTES:
                    raise DatasetError(f"{path} has a line of more than {BLOCK_BYTES:,} bytes; expected a CSV file of"
                                       " one row for each face")
                rest = rest_of
                if newline:
                    yield whole + newline
            if rest:
                yield rest
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}; expected a CSV file") from error


def _columns(path: Path, line: bytes, scored: bool) -> tuple[tuple[str, ...], bool]:
    """Names of the file's columns ("" for one to pass over), and whether its first line holds them."""
    cells = [cell.strip().strip('"') for cell in line.decode("utf-8", "replace").split(",")]
    short, long = ((*COLUMNS[:number], *((SCORE,) if scored else ())) for number in (_NUM_SHORT, _NUM_LONG))
    if "entity_id" not in cells:
        for names in (short, long):
            if len(cells) == len(names):
                return names, False
        raise DatasetError(f"{path} has {len(cells)} cells in its row 1, and no header; expected {len(short)} as AVA's"
                           f" files or {len(long)} as UniTalk's: {', '.join(long)}")
    missing = [name for name in short if name not in cells]
    if missing:
        raise DatasetError(f"{path} has no column {' and no column '.join(missing)}; its header names"
                           f" {', '.join(cells)[:300]}")
    names = tuple(cell if cell in long and cell not in cells[:place] else "" for place, cell in enumerate(cells))
    return names, True


def _parse(content: bytes, columns: Sequence[str], first_row: int) -> tuple[Block, int]:
    """Good and bad rows of some whole lines, and how many lines there are."""
    content = content.replace(b"\r\n", b"\n").replace(b'"', b"")
    cut = not content.endswith(b"\n")
    data = np.frombuffer(content, np.uint8)
    ends = np.append(np.flatnonzero(data == _NEWLINE), [len(data)] if cut else []).astype(np.int64)
    starts = np.append(0, ends[:-1] + 1)
    before = np.searchsorted(np.flatnonzero(data == _COMMA), np.stack([starts, ends]))
    num_cells = before[1] - before[0] + 1
    rows = first_row + np.arange(len(ends))
    blank, garbled = starts == ends, _garbled(content, data, starts)
    wrong = ~blank & ((num_cells != len(columns)) | garbled)
    damaged = [Damage(int(rows[at]), "it holds bytes that are no text" if garbled[at] else
                      f"it has {num_cells[at]} cells; expected {len(columns)}") for at in np.flatnonzero(wrong)]
    good = ~blank & ~wrong
    if not good.all():
        content = data[np.repeat(good, np.diff(np.append(starts, len(data))))].tobytes()
    texts, numbers = _cells(content, columns)
    checks = _Checks(rows[good])
    numbers |= checks.all(texts, numbers) | {"row": rows[good]}
    fine = checks.fine
    return Block({name: Texts(column.names, column.codes[fine]) for name, column in texts.items() if name in _TEXTS},
                 {name: column[fine] for name, column in numbers.items()}, sorted([*damaged, *checks.damaged]),
                 cut), len(ends)


def _garbled(content: bytes, data: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Which lines hold a NUL or a stray carriage return, or are no UTF-8."""
    found = np.zeros(len(starts), bool)
    found[np.searchsorted(starts, np.flatnonzero((data == 0) | (data == _RETURN)), "right") - 1] = True
    if not content.isascii():
        stops = np.append(starts[1:], len(data))
        for line in np.unique(np.searchsorted(starts, np.flatnonzero(data > 127), "right") - 1):
            try:
                content[starts[line]:stops[line]].decode("utf-8")
            except UnicodeDecodeError:
                found[line] = True
    return found


def _cells(content: bytes, columns: Sequence[str]) -> tuple[dict[str, Texts], dict[str, np.ndarray]]:
    """Text and numbers of lines that all have as many cells; what should be a number and is none becomes NaN."""
    used = [place for place, name in enumerate(columns) if name]
    boxes = [place for place in used if columns[place] in BOX]

    def parsed(**kinds: Any) -> pd.DataFrame:
        found: pd.DataFrame = pd.read_csv(
            io.BytesIO(content), header=None, names=range(len(columns)), usecols=used, na_filter=False, engine="c",
            quoting=csv.QUOTE_NONE, encoding="utf-8", index_col=False, **kinds)
        return found

    if not content:
        cells = pd.DataFrame({place: np.zeros(0, object) for place in used})
    else:
        try:
            cells = parsed(dtype={place: np.float64 if place in boxes else object for place in used})
        except ValueError:  # some box is no number: find out which
            cells = parsed(dtype=object)
    texts, numbers = {}, {}
    for place in used:
        values, name = cells[place].to_numpy(), columns[place]
        if name not in (*BOX, SCORE):
            codes, names = pd.factorize(values)
            texts[name] = Texts(names, codes)
        elif values.dtype == np.float64:
            numbers[name] = values
        else:  # exactly as Python reads it, so that equal scores stay equal and others apart
            numbers[name] = np.array([seconds(text) for text in values], np.float64)
    return texts, numbers


class _Checks:
    """Which rows of a block make sense, and what is wrong with the others."""

    def __init__(self, rows: np.ndarray) -> None:
        self.rows = rows
        self.fine = np.ones(len(rows), bool)
        self.damaged: list[Damage] = []

    def all(self, texts: Mapping[str, Texts], numbers: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Look at every column; gives the codes of ``label`` and, where there is one, ``label_id``."""
        self._text(texts, "video_id", names_a_file, "an id that can be the name of a folder")
        self._text(texts, "frame_timestamp", lambda text: 0 <= seconds(text) < np.inf, "seconds, at least 0")
        for name, column in numbers.items():
            self._refuse(~np.isfinite(column), f"its {name} is no finite number".format)
        self._text(texts, "label", LABELS.__contains__, f"one of {', '.join(LABELS)}")
        self._text(texts, "entity_id", lambda text: names_a_file(text) and bool(_ENTITY.fullmatch(text)),
                   "video and number of a face track, VIDEO:1")
        label = texts["label"].numbers(lambda text: LABELS.index(text) if text in LABELS else -1).astype(np.int8)
        if "label_id" not in texts:
            return {"label": label}
        self._text(texts, "label_id", _LABEL_IDS.__contains__, "0, 1 or 2")
        label_id = texts["label_id"].numbers(lambda text: _LABEL_IDS.get(text, -1)).astype(np.int8)
        self._refuse((label_id == 1) != (label == 1), lambda at: f"its label is {LABELS[label[at]]} and its label_id"
                     f" {label_id[at]}; expected 1 for SPEAKING_AUDIBLE and for nothing else")
        return {"label": label, "label_id": label_id}

    def _text(self, texts: Mapping[str, Texts], name: str, good: Callable[[str], bool], expected: str) -> None:
        column = texts[name]
        self._refuse(~column.which(good), lambda at: f"its {name} is {column.names[column.codes[at]][:80]!r}; expected"
                     f" {expected}")

    def _refuse(self, bad: np.ndarray, what: Callable[[int], str]) -> None:
        self.damaged += [Damage(int(self.rows[at]), what(at)) for at in np.flatnonzero(bad & self.fine).tolist()]
        self.fine &= ~bad


def seconds(text: str) -> float:
    """A number as these files print it; NaN for text that is none."""
    return float(text) if _NUMBER.fullmatch(text) else float("nan")


def names_a_file(text: str) -> bool:
    """Can it be the name of a file or folder, on one line, and of nothing elsewhere?"""
    return bool(text) and text.isprintable() and text not in (".", "..") and not set(text) & {"/", "\\"} \
        and len(text) <= 200 and text == text.strip()
