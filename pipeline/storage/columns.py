"""One column of a table as it lies in a file: numbers, names of fixed length, or texts one after the other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Texts:
    """Many texts as one run of UTF-8 bytes; file names that are not UTF-8 keep Python's lone surrogates.

    Args:
        blob: all bytes, uint8.
        offsets: text ``i`` is ``blob[offsets[i]:offsets[i + 1]]``; int64 (N + 1,).

    Raises:
        ValueError: the offsets do not cut the bytes into texts.
    """

    blob: np.ndarray
    offsets: np.ndarray

    def __post_init__(self) -> None:
        if not len(self.offsets) or self.offsets[0] or self.offsets[-1] != len(self.blob) or (
                np.diff(self.offsets) < 0).any():
            raise ValueError(f"offsets do not cut {len(self.blob)} bytes into texts")

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def take(self, rows: np.ndarray) -> Texts:
        """Some of the texts, by their places; neighbours are copied together."""
        if not len(rows):
            return Texts(self.blob[:0], np.zeros(1, np.int64))
        lengths = np.diff(self.offsets)[rows]
        firsts = np.flatnonzero(np.diff(rows, prepend=-2) != 1)
        lasts = np.append(firsts[1:], len(rows)) - 1
        data, offsets = self.blob.data, self.offsets
        blob = b"".join([data[start:stop] for start, stop in zip(
            offsets[rows[firsts]].tolist(), offsets[rows[lasts] + 1].tolist(), strict=True)])
        return Texts(np.frombuffer(blob, np.uint8), np.concatenate([[0], np.cumsum(lengths)]))


Column = np.ndarray | Texts


def encode_texts(values: Iterable[str]) -> Texts:
    """Texts of any length."""
    encoded = [value.encode("utf-8", "surrogatepass") for value in values]
    return Texts(np.frombuffer(b"".join(encoded), np.uint8), np.cumsum([0, *map(len, encoded)], dtype=np.int64))


def encode_names(values: Iterable[str]) -> np.ndarray:
    """Short texts, all in the width of the longest, bytes (N,)."""
    encoded = [value.encode("utf-8", "surrogatepass") for value in values]
    return np.asarray(encoded, f"S{max([1, *map(len, encoded)])}")


def decode(column: Column) -> np.ndarray:
    """A column for Python, (N,): text as str objects, numbers as they are.

    Raises:
        ValueError: text that is not UTF-8.
    """
    if isinstance(column, np.ndarray) and column.dtype.kind != "S":
        return column
    if isinstance(column, Texts):
        data, offsets = column.blob.tobytes(), column.offsets.tolist()
        encoded = [data[start:stop] for start, stop in zip(offsets[:-1], offsets[1:], strict=True)]
    else:
        encoded = column.tolist()
    texts = np.empty(len(encoded), object)
    texts[:] = [text.decode("utf-8", "surrogatepass") for text in encoded]
    return texts


def concatenate(columns: Sequence[Column]) -> Column:
    """Columns of one kind, one after the other."""
    if len(columns) == 1:
        return columns[0]
    texts = [column for column in columns if isinstance(column, Texts)]
    if not texts:
        return np.concatenate([column for column in columns if isinstance(column, np.ndarray)])
    bases = np.cumsum([0, *(len(column.blob) for column in texts)])
    return Texts(np.concatenate([column.blob for column in texts]), np.concatenate(
        [[0], *(column.offsets[1:] + base for column, base in zip(texts, bases[:-1], strict=True))]).astype(np.int64))


def take(column: Column, rows: np.ndarray) -> Column:
    """Rows of a column by their places; the column itself where these are all of it, in order."""
    if len(rows) == len(column) and np.array_equal(rows, np.arange(len(rows))):
        return column
    return column[rows] if isinstance(column, np.ndarray) else column.take(rows)


def same(first: Column, second: Column) -> bool:
    """Do two columns hold the same? NaN equals NaN here."""
    if isinstance(first, Texts) and isinstance(second, Texts):
        return np.array_equal(first.offsets, second.offsets) and np.array_equal(first.blob, second.blob)
    if isinstance(first, Texts) or isinstance(second, Texts):
        return False
    return np.array_equal(first, second, equal_nan=first.dtype.kind == "f")
