"""IEMOCAP's own files: EmoEvaluation (who felt what was said, with every vote) and transcriptions (the words).

A file of EmoEvaluation holds blocks: a line with the turn's times, name, agreed emotion and mean ratings, then a line
for each annotator's emotions (``C-…``) and ratings (``A-…``)::

    [6.2901 - 8.2357]	Ses01F_impro01_F000	neu	[2.5000, 2.5000, 2.5000]
    C-E2:	Neutral;	()
    C-F1:	Neutral; Sadness;	(tired)
    A-E3:	val 3; act 2; dom  2;	()

The files are in Latin-1 or UTF-8, with either kind of line end, and their turns in no order of time.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from pipeline.datasets._table import read_bytes, shown
from pipeline.errors import DatasetError

UNDECIDED = "xxx"
# What the release agreed on, by its code.
EMOTIONS: Mapping[str, str] = MappingProxyType({
    "neu": "neutral", "hap": "happy", "exc": "excited", "sad": "sad", "ang": "angry", "fru": "frustrated",
    "fea": "fearful", "dis": "disgusted", "sur": "surprised", "oth": "other"})
# What annotators name.
VOTES: Mapping[str, str] = MappingProxyType({
    "neutral": "neutral", "neutral state": "neutral", "happiness": "happy", "excited": "excited", "sadness": "sad",
    "anger": "angry", "frustration": "frustrated", "fear": "fearful", "disgust": "disgusted",
    "surprise": "surprised", "other": "other"})
DIMENSIONS = ("valence", "arousal", "dominance")
LOWEST, HIGHEST = 1.0, 5.0  # of a rating

_NAME = re.compile(r"(Ses(\d\d)([FM])_(impro|script)\d{2}\w*)_([FM])(\d{3})", re.ASCII)
_RECORDING = re.compile(r"Ses\d\d[FM]_(?:impro|script)\d{2}\w*", re.ASCII)
_NUMBER = r"\s*(\d+(?:\.\d+)?)\s*"
_TIMES = re.compile(rf"\[{_NUMBER}-{_NUMBER}\]", re.ASCII)
_VOTE = re.compile(r"C-([EFM])(\w*)\s*:(.*)", re.ASCII)
_RATING = re.compile(r"A-([EFM])(\w*)\s*:([^(]*).*", re.ASCII)
_DIMENSION = re.compile(r"\s*(val|act|dom)\s*(\d+(?:\.\d+)?)\s*", re.ASCII)
_SPOKEN = re.compile(rf"(Ses\S+)\s*\[{_NUMBER}-{_NUMBER}\]\s*:(.*)", re.ASCII)


class TurnName(NamedTuple):
    """What a turn's name says.

    Args:
        recording: ``"Ses01F_impro01"``.
        session: 1 to 5.
        marked: who wears the markers in the recording, ``"F"`` or ``"M"``.
        is_scripted: of a written scene, or improvised.
        speaker: who says the turn, ``"F"`` or ``"M"``.
        number: among the speaker's turns.
    """

    recording: str
    session: int
    marked: str
    is_scripted: bool
    speaker: str
    number: int


@dataclass(frozen=True)
class Vote:
    """What one annotator named.

    Args:
        annotator: ``"E2"``; the actors about themselves are ``"F1"`` and ``"M1"``.
        emotions: the first comes first; names as in ``EMOTIONS``' values.
    """

    annotator: str
    emotions: tuple[str, ...]

    @property
    def is_own(self) -> bool:
        """Is it of one of the two actors?"""
        return not self.annotator.startswith("E")


@dataclass(frozen=True)
class Rating:
    """How one annotator rated a turn.

    Args:
        annotator: as of a :class:`Vote`.
        values: valence, arousal and dominance; NaN where one is missing or no number.
    """

    annotator: str
    values: tuple[float, float, float]

    @property
    def is_own(self) -> bool:
        """Is it of one of the two actors?"""
        return not self.annotator.startswith("E")


@dataclass(frozen=True)
class Turn:
    """One block of a file.

    Args:
        stem: the turn's name as written.
        name: what it says.
        start_seconds, stop_seconds: in its recording.
        emotion: as agreed, one of ``EMOTIONS``' values; "" where nothing was.
        ratings: mean valence, arousal (the release says activation) and dominance; NaN where one is missing.
        votes: of the annotators, in the file's order.
        line: where its block begins, from 1.
        rated: how annotators rated it, in the file's order.
    """

    stem: str
    name: TurnName
    start_seconds: float
    stop_seconds: float
    emotion: str
    ratings: tuple[float, float, float]
    votes: tuple[Vote, ...]
    line: int
    rated: tuple[Rating, ...] = ()


def parse_turn_name(stem: str) -> TurnName:
    """What a turn's name says.

    Raises:
        ValueError: it is not recording, speaker and number.

    >>> parse_turn_name("Ses01F_script01_1_M012")
    TurnName(recording='Ses01F_script01_1', session=1, marked='F', is_scripted=True, speaker='M', number=12)
    """
    match = _NAME.fullmatch(stem)
    if match is None or not 1 <= int(match[2]) <= 5:
        raise ValueError(f"{shown(stem)} is no turn; expected a name as Ses01F_impro01_F000, of session 01 to 05")
    return TurnName(match[1], int(match[2]), match[3], match[4] == "script", match[5], int(match[6]))


def is_recording(stem: str) -> bool:
    """Is a file's name, without suffix, one of a recording?"""
    return _RECORDING.fullmatch(stem) is not None


def read_evaluation(path: Path) -> list[Turn]:
    """The turns of one file, in its order.

    Args:
        path: ``…/EmoEvaluation/Ses01F_impro01.txt``.

    Raises:
        DatasetError: the file cannot be read, or a line says nothing, contradicts itself or another one; the message
            names it.
    """
    turns: dict[str, Turn] = {}
    head: Turn | None = None
    votes: list[Vote] = []
    rated: list[Rating] = []
    for number, line in enumerate(read_lines(path), 1):
        try:
            if line.startswith("["):
                _close(turns, head, votes, rated)
                head, votes, rated = _read_head(line, path.stem, number), [], []
                if head.stem in turns:
                    raise ValueError(f"{head.stem} is there already, in line {turns[head.stem].line}; expected each"
                                     " turn once")
            elif line.startswith("C-"):
                if head is None:
                    raise ValueError("a vote before the first turn; expected the turn's line above it")
                votes.append(_read_vote(line))
            elif line.startswith("A-"):
                rated += _read_rating(line)
            elif line.strip() and not line.startswith("%"):
                raise ValueError(f"{shown(line)}; expected a turn ([start - end], name, emotion, ratings), a vote (C-…)"
                                 " or ratings (A-…), parted by tabs")
        except ValueError as error:
            raise DatasetError(f"{path}, line {number}: {error}") from error
    _close(turns, head, votes, rated)
    return list(turns.values())


def read_words(path: Path) -> dict[str, str]:
    """What is said by turn: the lines ``NAME [start-end]: words``; others (who laughs in between) are passed over.

    Raises:
        DatasetError: the file cannot be read, or a turn stands in it twice with other words.
    """
    words: dict[str, str] = {}
    for number, line in enumerate(read_lines(path), 1):
        match = _SPOKEN.fullmatch(line.strip())
        if match is None:
            continue
        text = match[4].strip()
        if words.setdefault(match[1], text) != text:
            raise DatasetError(f"{path}, line {number}: {match[1]} is there already with other words; expected each"
                               " turn once")
    return words


def read_lines(path: Path) -> list[str]:
    """A file's lines without their ends: UTF-8 with or without a mark in front, else Latin-1.

    Raises:
        DatasetError: it cannot be read, or holds NUL characters and so is no text.
    """
    content = read_bytes(path)
    if b"\0" in content:
        raise DatasetError(f"{path}, line {content.count(bytes([10]), 0, content.index(bytes([0]))) + 1}: a NUL"
                           " character; expected text: copy the file again")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _close(turns: dict[str, Turn], head: Turn | None, votes: list[Vote], rated: list[Rating]) -> None:
    if head is not None:
        turns[head.stem] = replace(head, votes=tuple(votes), rated=tuple(rated))


def _read_head(line: str, recording: str, number: int) -> Turn:
    fields = [field.strip() for field in line.strip().split("\t")]
    if len(fields) not in (3, 4):
        raise ValueError(f"{len(fields)} fields; expected four parted by tabs: [start - end], name, emotion, ratings")
    name = parse_turn_name(fields[1])
    if name.recording != recording:
        raise ValueError(f"{fields[1]} is no turn of {recording}, which the file is named after")
    times = _TIMES.fullmatch(fields[0])
    if times is None or not float(times[1]) < float(times[2]):
        raise ValueError(f"{fields[1]} has the times {shown(fields[0])}; expected [start - end] in seconds, the end"
                         " behind the start")
    if fields[2] != UNDECIDED and fields[2] not in EMOTIONS:
        raise ValueError(f"{fields[1]} has the emotion {shown(fields[2])}; expected one of {', '.join(EMOTIONS)} or"
                         f" {UNDECIDED}")
    return Turn(fields[1], name, float(times[1]), float(times[2]), EMOTIONS.get(fields[2], ""),
                _read_ratings(fields[3] if len(fields) == 4 else "", fields[1]), (), number)


def _read_ratings(text: str, stem: str) -> tuple[float, float, float]:
    """Three numbers in brackets; an empty place, ``nan`` or no brackets at all are missing."""
    parts = [part.strip() for part in text.strip("[] ").split(",")] if text.strip("[] ") else [""] * 3
    try:
        numbers = [math.nan if part.lower() in ("", "nan", "-") else float(part) for part in parts]
    except ValueError:
        numbers = []
    if len(numbers) != 3 or any(map(math.isinf, numbers)):
        raise ValueError(f"{stem} has the ratings {shown(text)}; expected [valence, activation, dominance], a missing"
                         " one empty")
    return numbers[0], numbers[1], numbers[2]


def _read_vote(line: str) -> Vote:
    match = _VOTE.fullmatch(line.rstrip())
    if match is None:
        raise ValueError(f"{shown(line)}; expected a vote as C-E2:, its emotions and a remark in brackets")
    named = [part.strip() for part in match[3].partition("(")[0].split(";")]
    unknown = [part for part in named if part and part.lower() not in VOTES]
    if unknown:
        raise ValueError(f"a vote for {shown(unknown[0])}; expected one of {', '.join(sorted(VOTES))}")
    return Vote(match[1] + match[2], tuple(dict.fromkeys(VOTES[part.lower()] for part in named if part)))


def _read_rating(line: str) -> list[Rating]:
    """What an annotator rated; none where the line has no annotator, as nothing but agreement hangs on it."""
    match = _RATING.fullmatch(line.rstrip())
    if match is None:
        return []
    said = [_DIMENSION.fullmatch(part) for part in match[3].split(";")]
    numbers = {part[1]: float(part[2]) for part in said if part is not None}
    valence, arousal, dominance = (numbers.get(name, math.nan) for name in ("val", "act", "dom"))
    return [Rating(match[1] + match[2], (valence, arousal, dominance))]
