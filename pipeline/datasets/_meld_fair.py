"""MELD-FAIR: where in MELD's videos each utterance really is said (Carneiro, Weber and Wermter 2023).

Its file ``MELD_video_realignment_timestamps.csv`` has a row for each stretch: split, dialogue and place of the
utterance in it, and the published video with times in it in which the stretch lies, often the neighbour's. The place
counts the dialogue's rows from 0; MELD's own utterance ids have holes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from pipeline.datasets._meld_rows import whole
from pipeline.datasets._table import Row, Table, parse_table, read_bytes
from pipeline.errors import DatasetError

WHERE_TO_GET = "csvs/MELD_video_realignment_timestamps.csv of https://github.com/knowledgetechnologyuhh/MELD-FAIR"
COLUMNS = ("Split", "Dialogue ID", "Utterance ID", "Original Dialogue ID", "Original Utterance ID", "Start Time",
           "End Time")


class Stretch(NamedTuple):
    """Part of a published video.

    Args:
        stem: of the video.
        start_seconds, stop_seconds: in it.
    """

    stem: str
    start_seconds: float
    stop_seconds: float

    @property
    def length_seconds(self) -> float:
        return self.stop_seconds - self.start_seconds


def read_times(path: Path) -> Mapping[tuple[str, int, int], tuple[Stretch, ...]]:
    """Stretches by split, dialogue and place of the utterance in it.

    Raises:
        DatasetError: the file cannot be read, lacks a column or a row does not make sense.
    """
    if not path.is_file():
        raise DatasetError(f"no file {path}; expected {WHERE_TO_GET}")
    try:
        table = parse_table(read_bytes(path).decode("utf-8-sig"), path)
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is not text in UTF-8; expected {WHERE_TO_GET}") from error
    table.require(COLUMNS)
    found: dict[tuple[str, int, int], list[Stretch]] = {}
    for row in table.rows:
        key = row.cells["Split"].strip(), whole(table, row, "Dialogue ID"), whole(table, row, "Utterance ID")
        found.setdefault(key, []).append(_stretch(table, row))
    return {key: tuple(stretches) for key, stretches in found.items()}


def _stretch(table: Table, row: Row) -> Stretch:
    dialogue, utterance = (whole(table, row, f"Original {column} ID") for column in ("Dialogue", "Utterance"))
    try:
        start, stop = (float(row.cells[column]) for column in ("Start Time", "End Time"))
    except ValueError:
        start, stop = 0.0, 0.0
    if not 0 <= start < stop < float("inf"):
        raise DatasetError(f"{table.path}, row {row.number}: from {row.cells['Start Time']!r} to"
                           f" {row.cells['End Time']!r}; expected seconds, the end behind the start")
    return Stretch(f"dia{dialogue}_utt{utterance}", start, stop)


def one_stretch(stretches: Iterable[Stretch]) -> tuple[Stretch, float]:
    """A clip is one stretch of one file: from the first to the last stretch in the video that holds most of them.

    Returns:
        That, and how many seconds lie in other videos and are left out.

    >>> one_stretch([Stretch("a", 0.0, 1.0), Stretch("a", 2.0, 3.0), Stretch("b", 0.0, 0.5)])
    (Stretch(stem='a', start_seconds=0.0, stop_seconds=3.0), 0.5)
    """
    lengths: dict[str, float] = {}
    spans: dict[str, Stretch] = {}
    for one in stretches:
        lengths[one.stem] = lengths.get(one.stem, 0.0) + one.length_seconds
        known = spans.get(one.stem, one)
        spans[one.stem] = Stretch(one.stem, min(known.start_seconds, one.start_seconds),
                                  max(known.stop_seconds, one.stop_seconds))
    most = max(lengths, key=lambda stem: lengths[stem])  # of equals the first
    return spans[most], sum(lengths.values()) - lengths[most]
