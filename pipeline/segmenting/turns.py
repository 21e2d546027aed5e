"""Who speaks when: turns of recordings, and the files that hold them (RTTM, CSV, Audacity labels, JSON).

RTTM is NIST's format ("The 2009 (RT-09) Rich Transcription Meeting Recognition Evaluation Plan", appendix A): a line
``SPEAKER recording channel start duration <NA> <NA> speaker <NA> <NA>`` for each turn, times in seconds. Turns of
different speakers may overlap. Files are read as hostile: a line that is not as it should be is named.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import DatasetError, UsageError

MOST_BYTES = 2 ** 26               # of a file of turns: a million lines
MOST_SECONDS = 1e7                 # a recording of four months; what is later is a mistake
CSV_COLUMNS = "recording", "start", "stop", "speaker"
_RTTM_FIELDS = 8                   # up to the speaker; what follows may be left out
# Other lines that NIST's format has beside the turns.
_RTTM_TYPES = ("SPEAKER", "SPKR-INFO", "SEGMENT", "NOSCORE", "NO_RT_METADATA", "LEXEME", "NON-LEX", "NON-SPEECH",
               "FILLER", "EDIT", "IP", "SU", "CB", "A/P")


@dataclass(frozen=True, order=True)
class Turn:
    """One speaker's uninterrupted stretch of a recording.

    Args:
        start_seconds, stop_seconds: half-open, from the recording's start.
        speaker: a name without spaces; it means nothing beyond its recording.

    Raises:
        ValueError: times that are no numbers, before 0 or not in order; no name or one with spaces.
    """

    start_seconds: float
    stop_seconds: float
    speaker: str

    def __post_init__(self) -> None:
        if not 0 <= self.start_seconds < self.stop_seconds <= MOST_SECONDS:
            raise ValueError(f"a turn starts at 0 s or later, stops after that and before {MOST_SECONDS:g} s, found"
                             f" {self.start_seconds:g} to {self.stop_seconds:g} s")
        if not self.speaker.isprintable() or len(self.speaker.split()) != 1 or self.speaker.strip() != self.speaker:
            raise ValueError(f"a speaker is a name without spaces, found {self.speaker!r}")

    @property
    def seconds(self) -> float:
        """How long the turn lasts."""
        return self.stop_seconds - self.start_seconds


@dataclass(frozen=True)
class Turns:
    """All turns of one recording.

    Args:
        recording: its name, without spaces.
        turns: by their starts.
        duration_seconds: of the recording; None where only the turns are known.
        notes: what a reader should know of how they were found.

    Raises:
        ValueError: a name with spaces, or turns that are out of order.
    """

    recording: str
    turns: tuple[Turn, ...]
    duration_seconds: float | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.recording.isprintable() or len(self.recording.split()) != 1 \
                or self.recording.strip() != self.recording:
            raise ValueError(f"a recording is a name without spaces, found {self.recording!r}")
        if list(self.turns) != sorted(self.turns):
            raise ValueError(f"turns of {self.recording} are not in order of their starts")

    @property
    def speakers(self) -> tuple[str, ...]:
        """Their names in the order in which they first speak."""
        return tuple(dict.fromkeys(turn.speaker for turn in self.turns))


def recording_name(name: str) -> str:
    """A file's name as files of turns can hold it: spaces and what cannot be printed become underscores.

    >>> recording_name("my talk")
    'my_talk'
    """
    return "".join(letter if letter.isprintable() and not letter.isspace() else "_" for letter in name) or "_"


def to_rttm(recordings: Iterable[Turns]) -> str:
    """RTTM, times rounded to milliseconds."""
    return "".join(f"SPEAKER {found.recording} 1 {turn.start_seconds:.3f} {turn.seconds:.3f} <NA> <NA> {turn.speaker}"
                   " <NA> <NA>\n" for found in recordings for turn in found.turns)


def to_csv(recordings: Iterable[Turns]) -> str:
    """A table with a header: recording, start, stop (seconds), speaker."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for found in recordings:
        writer.writerows((found.recording, f"{turn.start_seconds:.3f}", f"{turn.stop_seconds:.3f}", turn.speaker)
                         for turn in found.turns)
    return text.getvalue()


def to_labels(recordings: Iterable[Turns]) -> str:
    """A label track of Audacity: start, stop and speaker between tabs.

    Raises:
        UsageError: more than one recording: a label track belongs to one.
    """
    kept = list(recordings)
    if len(kept) > 1:
        raise UsageError(f"a label track of Audacity is for one recording, found {len(kept)}; write rttm, csv or json")
    return "".join(f"{turn.start_seconds:.6f}\t{turn.stop_seconds:.6f}\t{turn.speaker}\n"
                   for found in kept for turn in found.turns)


def to_json(recordings: Iterable[Turns]) -> str:
    """Everything of :class:`Turns` by recording."""
    return json.dumps({found.recording: {
        "duration_seconds": found.duration_seconds, "speakers": list(found.speakers), "notes": list(found.notes),
        "turns": [{"start": round(turn.start_seconds, 3), "stop": round(turn.stop_seconds, 3), "speaker": turn.speaker}
                  for turn in found.turns]} for found in recordings}, indent=2, ensure_ascii=False) + "\n"


WRITERS: dict[str, Callable[[Iterable[Turns]], str]] = {
    "rttm": to_rttm, "csv": to_csv, "labels": to_labels, "json": to_json}
_SUFFIXES = {".rttm": "rttm", ".csv": "csv", ".txt": "labels", ".labels": "labels", ".json": "json"}


def format_of(path: Path) -> str:
    """The format that a file's name says.

    Raises:
        UsageError: another suffix than .rttm, .csv, .txt, .labels or .json.
    """
    found = _SUFFIXES.get(path.suffix.lower())
    if found is None:
        raise UsageError(f"{path}: expected a file that ends in {', '.join(_SUFFIXES)}")
    return found


def read_turns(path: Path) -> dict[str, Turns]:
    """Read a file of turns of one or many recordings, in the format that its suffix says (RTTM where it says none).

    Turns that last no time are left out. A label track belongs to the recording of its own name.

    Returns:
        By recording, in the order of the file.

    Raises:
        DatasetError: the file is missing, too large, no text, or a line of it is not as it should be.
    """
    records, row_of = _READERS[_SUFFIXES.get(path.suffix.lower(), "rttm")]
    found: dict[str, list[Turn]] = {}
    place = "the file"
    try:
        for place, record in records(_text(path)):
            row = row_of(record)
            if row is None:
                continue
            start, stop = _seconds(row[1]), _seconds(row[2])
            turns = found.setdefault(row[0] or recording_name(path.stem), [])
            if start != stop:
                turns.append(Turn(start, stop, row[3]))
        return {recording: Turns(recording, tuple(sorted(turns))) for recording, turns in found.items()}
    except (ValueError, RecursionError, csv.Error) as error:
        raise DatasetError(f"{path}, {place}: {error}; mend it or leave it out") from error


def read_uem(path: Path) -> dict[str, tuple[tuple[float, float], ...]]:
    """Read NIST's list of stretches to score: lines of recording, channel, start and stop.

    Raises:
        DatasetError: the file is missing, too large, no text, or a line of it is not as it should be.
    """
    found: dict[str, list[tuple[float, float]]] = {}
    for place, line in _lines(_text(path)):
        fields = line.split()
        try:
            if len(fields) != 4:
                raise ValueError(f"expected recording, channel, start and stop, found {len(fields)} fields")
            start, stop = _seconds(fields[2]), _seconds(fields[3])
            if not 0 <= start < stop:
                raise ValueError(f"a stretch starts at 0 s or later and stops after that, found {start:g} to {stop:g}")
        except ValueError as error:
            raise DatasetError(f"{path}, {place}: {error}; mend it or leave it out") from error
        found.setdefault(fields[0], []).append((start, stop))
    return {recording: tuple(sorted(spans)) for recording, spans in found.items()}


# Recording ("" for that of the file's name), start, stop, speaker; None for what is no turn.
_Row = tuple[str, Any, Any, str] | None


def _rttm_row(line: str) -> _Row:
    fields = line.split()
    if fields[0] not in _RTTM_TYPES:
        raise ValueError(f"expected a line that begins with SPEAKER, found {line[:40]!r}")
    if fields[0] != "SPEAKER":
        return None
    if len(fields) < _RTTM_FIELDS:
        raise ValueError(f"expected at least {_RTTM_FIELDS} fields of a SPEAKER line, found {len(fields)}")
    start, lasts = _seconds(fields[3]), _seconds(fields[4])
    if lasts < 0:
        raise ValueError(f"a turn lasts 0 s or more, found {lasts:g} s; the 5th field is how long, not when it stops")
    return fields[1], start, start + lasts, fields[7]


def _label_row(line: str) -> _Row:
    if line.startswith("\\"):  # the line below a label may hold its range of frequencies
        return None
    fields = line.split("\t")
    if len(fields) != 3:
        raise ValueError(f"expected start, stop and speaker between tabs, found {line[:40]!r}")
    return "", fields[0], fields[1], recording_name(fields[2].strip())


def _lines(text: str) -> Iterator[tuple[str, str]]:
    """Lines that say something, with their places; ``;;`` begins a remark."""
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip() and not line.startswith(";"):
            yield f"line {number}", line


def _csv_records(text: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    table = csv.DictReader(io.StringIO(text), strict=True)
    lacking = {"start", "stop", "speaker"} - set(table.fieldnames or ())
    if lacking:
        raise ValueError(f"expected the columns {', '.join(CSV_COLUMNS)}, found {table.fieldnames}")
    for row in table:
        yield f"line {table.line_num}", row


def _csv_row(row: Mapping[str, str]) -> _Row:
    return row.get("recording") or "", row["start"], row["stop"], row["speaker"] or ""


def _json_records(text: str) -> Iterator[tuple[str, tuple[str, Mapping[str, Any]]]]:
    table = json.loads(text)
    if not isinstance(table, dict):
        raise ValueError("expected an object of recordings")
    for recording, found in table.items():
        turns = found.get("turns") if isinstance(found, dict) else None
        if not isinstance(turns, list):
            raise ValueError(f"expected {recording!r} to have a list of turns")
        for number, turn in enumerate(turns, 1):
            yield f"turn {number} of {recording!r}", (recording, turn)


def _json_row(record: tuple[str, Mapping[str, Any]]) -> _Row:
    recording, turn = record
    if not isinstance(turn, dict) or not {"start", "stop", "speaker"} <= turn.keys():
        raise ValueError("expected an object with start, stop and speaker")
    return recording, turn["start"], turn["stop"], str(turn["speaker"])


_READERS: dict[str, tuple[Callable[[str], Iterator[tuple[str, Any]]], Callable[[Any], _Row]]] = {
    "rttm": (_lines, _rttm_row), "csv": (_csv_records, _csv_row), "labels": (_lines, _label_row),
    "json": (_json_records, _json_row)}


def _seconds(value: Any) -> float:
    """A time; what is no finite number is named."""
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    if not math.isfinite(seconds) or isinstance(value, bool):
        raise ValueError(f"expected a time in seconds, found {str(value)[:40]!r}")
    return seconds


def _text(path: Path) -> str:
    """What a file says, in UTF-8, a byte order mark left out."""
    try:
        if path.stat().st_size > MOST_BYTES:
            raise DatasetError(f"{path} has {path.stat().st_size / 2 ** 20:.0f} MiB, more than a file of turns can have"
                               f" ({MOST_BYTES / 2 ** 20:.0f} MiB); name the right file, or split it")
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror or error}; expected a file of turns") from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{path} is no text (byte {error.start} is not UTF-8); expected a file of turns: save it"
                           " as UTF-8") from error
