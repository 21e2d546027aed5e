"""What the cells of MELD's annotation files say, and of those made after them: words, times, numbers and names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from types import MappingProxyType

from pipeline.datasets._table import Row, Table
from pipeline.errors import DatasetError

# Older copies of the CSVs hold CP1252's quotes and dashes: as single bytes or, converted as if they were Latin-1, as
# the control characters U+0080–U+009F. CP1252 is Latin-1 but for these; five of them it leaves undefined.
_CP1252 = {code: bytes([code]).decode("cp1252") for code in range(0x80, 0xA0)
           if code not in (0x81, 0x8D, 0x8F, 0x90, 0x9D)}
_TIME = re.compile(r"(\d+):(\d{1,2}):(\d{1,2})(?:[,.](\d{1,6}))?", re.ASCII)
_ID = re.compile(r"\d+", re.ASCII)
_NAME = re.compile(r"""'([^']*)'|"([^"]*)\"""")

# One person under several names. Others that look alike are different people: Janine and Jeannine, Kristen and Kristin,
# and whoever is called Woman, Guy or Director, who is someone else in each episode.
_SAME = MappingProxyType({
    "phoebe sr": "Phoebe Sr.", "dr. leedbetter": "Dr. Ledbetter", "#all#": "All", "monica geller": "Monica",
    "ross geller": "Ross", "rachel green": "Rachel", "chandler bing": "Chandler", "joey tribbiani": "Joey",
    "phoebe buffay": "Phoebe",
})


def decode_text(content: bytes) -> tuple[str, int]:
    """Text of a MELD CSV: UTF-8, else CP1252, with CP1252's quotes restored where a conversion lost them.

    Returns:
        The text without a byte order mark, and how many characters were mended.

    >>> decode_text("it’s".encode()), decode_text(b"it\\x92s"), decode_text("it\\x92s".encode())
    (('it’s', 0), ('it’s', 1), ('it’s', 1))
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    mended = text.translate(_CP1252)
    return mended, sum(before != after for before, after in zip(text, mended)) if mended != text else 0


def parse_time(text: str) -> float:
    """Seconds of a time in an episode; hours and others may be un-padded.

    >>> parse_time("0:16:16,059"), parse_time("00:16:16,059")
    (976.059, 976.059)

    Raises:
        ValueError: the text is not of the form ``h:mm:ss,ms``.
    """
    match = _TIME.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a time; expected h:mm:ss,ms")
    hours, minutes, seconds, fraction = match.groups()
    return int(hours) * 3600 + int(minutes) * 60 + float(f"{seconds}.{fraction or 0}")


def same_name(speaker: str) -> str:
    """The one name of a speaker whom the annotations name in several ways.

    Spaces and quotes are made alike; who plays a part is named and not the part; names of two stand in their
    alphabetical order; the six friends have first names only.

    >>> same_name("Phoebe Sr"), same_name("Ross and Joey"), same_name("Joey/Drake"), same_name("Monica Geller")
    ('Phoebe Sr.', 'Joey and Ross', 'Joey', 'Monica')
    """
    name = " ".join(speaker.replace("’", "'").partition("/")[0].split())
    parts = [_SAME.get(part.lower(), part) for part in name.split(" and ")]
    return " and ".join(sorted(parts))


def listed_names(cell: str) -> str:
    """Names of a cell that holds a list of them, joined: ``"['Ross Geller', 'All']"``.

    >>> listed_names('["Joey\\'s Date"]'), listed_names("['A', 'B']"), listed_names("A")
    ("Joey's Date", 'A and B', 'A')
    """
    found = [single or double for single, double in _NAME.findall(cell)] if cell.strip().startswith("[") else [cell]
    return " and ".join(name.strip() for name in found)


def seconds(table: Table, row: Row, column: str) -> float:
    """A time of a row.

    Raises:
        DatasetError: the cell holds none.
    """
    try:
        return parse_time(row.cells[column])
    except ValueError as error:
        raise DatasetError(f"{table.path}, row {row.number}: {column} {error}") from error


def whole(table: Table, row: Row, column: str) -> int:
    """A whole number of a row.

    Raises:
        DatasetError: the cell holds none.
    """
    text = row.cells[column].strip()
    if not _ID.fullmatch(text):
        raise DatasetError(f"{table.path}, row {row.number}: {column} is {row.cells[column]!r}; expected a whole"
                           " number")
    return int(text)


def one_of(table: Table, row: Row, column: str, classes: Sequence[str]) -> str:
    """A class of a row, in small letters.

    Raises:
        DatasetError: the cell holds none of them.
    """
    name = row.cells[column].strip().lower()
    if name not in classes:
        raise DatasetError(f"{table.path}, row {row.number}: {column} is {row.cells[column]!r}; expected one of"
                           f" {', '.join(classes)}")
    return name


def natural(stem: str) -> list[tuple[int, str]]:
    """Order in which ``dia9`` stands before ``dia10``."""
    return [(int(part) if part.isdecimal() else 0, part) for part in re.split(r"(\d+)", stem)]
