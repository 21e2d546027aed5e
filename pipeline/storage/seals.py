"""A check value for each row of a store's tables, so that a damaged byte in them is seen and its clip named.

Rows of features have their own digests. This covers the rest: the clip table with its labels, what is noted of each
clip of a feature, and the reasons of failures. CRC-32 finds every damage of up to 32 neighbouring bits for certain, and
all but one in four thousand million others; it is no protection against someone who means harm.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Protocol

import numpy as np

CHECKS = "crc32"  # name of the dataset beside the columns that it covers
BLOCK_ROWS = 1 << 14


class TextColumn(Protocol):
    """Texts one after the other, as in :class:`pipeline.storage.columns.Texts`, but with offsets that may be wrong."""

    @property
    def blob(self) -> np.ndarray:
        """All bytes, uint8."""

    @property
    def offsets(self) -> np.ndarray:
        """Where each text begins and the last ends, int64 (N + 1,)."""


def row_checks(columns: Mapping[str, np.ndarray | TextColumn]) -> np.ndarray:
    """CRC-32 of each row of a table, uint32 (N,).

    Args:
        columns: by name: numbers or bytes (N,), or texts. ``"offsets"`` (N + 1,) stands for the distances between them.
    """
    parts = [np.diff(column) if name == "offsets" and isinstance(column, np.ndarray) else column
             for name, column in sorted(columns.items())]
    length = min((_length(part) for part in parts), default=0)
    found = np.empty(length, np.uint32)
    for start in range(0, length, BLOCK_ROWS):
        stop = min(length, start + BLOCK_ROWS)
        rows = zip(*(_row_bytes(part, start, stop) for part in parts), strict=True)
        found[start:stop] = [zlib.crc32(b"\0".join(row)) for row in rows]
    return found


def _length(column: np.ndarray | TextColumn) -> int:
    return len(column) if isinstance(column, np.ndarray) else len(column.offsets) - 1


def _row_bytes(column: np.ndarray | TextColumn, start: int, stop: int) -> list[bytes]:
    if isinstance(column, np.ndarray):
        rows = np.ascontiguousarray(column[start:stop])
        return list((rows if rows.dtype.kind == "S" else rows.view(f"V{rows.dtype.itemsize}")).tolist())
    bounds = column.offsets[start:stop + 1].tolist()
    return [b"%d " % (last - first) + column.blob[max(0, first):max(0, last)].tobytes()
            for first, last in zip(bounds[:-1], bounds[1:], strict=True)]
