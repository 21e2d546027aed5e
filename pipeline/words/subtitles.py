"""Words with times: SRT and WebVTT files read strictly, WebVTT and ASS tracks written.

Files of subtitles come from anywhere, so a line that makes no sense is an error that names it, never a cue that is
silently left out. Formatting (``<i>``, ``{\\an8}``) and positions are dropped; a WebVTT voice (``<v Name>``) becomes
the speaker.
"""

from __future__ import annotations

import codecs
import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import DatasetError, UsageError

TIMED, PLAIN = (".srt", ".vtt"), ".txt"
_MOST_BYTES = 2 ** 24
_MOST_SECONDS = 100 * 3600
_TIME = r"(?:(\d{1,3}):)?(\d{1,2}):(\d{1,2})(?:[,.](\d{1,3}))?"
# WebVTT settings or SRT coordinates may follow.
_TIMING = re.compile(rf"\s*{_TIME}\s*-->\s*{_TIME}(?:\s.*)?", re.ASCII)
_VOICE = re.compile(r"<v(?:\.[^\s>]*)?\s+([^>]+)>")
_TAG = re.compile(r"</?[a-zA-Z][^<>\n]*>|<\d\d:[\d:.]+>|\{\\[^{}]*\}")


@dataclass(frozen=True)
class Cue:
    """Words that are said in a stretch.

    Args:
        start_seconds, stop_seconds: the stretch, half-open.
        text: the words, on one line for a file that was read; lines are kept where a track is written.
        speaker: who says them; "" where that is not known.

    Raises:
        ValueError: the stretch is empty or starts before 0.
    """

    start_seconds: float
    stop_seconds: float
    text: str
    speaker: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.start_seconds < self.stop_seconds:
            raise ValueError(f"the stretch {self.start_seconds:g}–{self.stop_seconds:g} s is empty or starts before 0")


def read_cues(path: Path) -> list[Cue]:
    """The cues of an ``.srt`` or ``.vtt`` file, by their start; those without words are left out. They may overlap.

    Raises:
        UsageError: the name ends in neither.
        DatasetError: the file cannot be read, is not UTF-8 or UTF-16, or a line of it makes no sense; the line's number
            is given.
    """
    if path.suffix.lower() not in TIMED:
        raise UsageError(f"{path}: expected a file of subtitles, .srt or .vtt")
    lines = _read(path).splitlines()
    is_vtt = path.suffix.lower() == ".vtt"
    if is_vtt and not (lines and re.match(r"WEBVTT(\s|$)", lines[0])):
        raise DatasetError(f"{path}, line 1: expected WEBVTT, found {_shown(lines[0] if lines else '')}; if it is an"
                           " SRT file, name it .srt")
    cues = sorted(_cues(lines, path, is_vtt=is_vtt), key=lambda cue: (cue.start_seconds, cue.stop_seconds))
    if not cues:
        raise DatasetError(f"{path} holds no cue with words; expected lines such as 00:00:01,000 --> 00:00:02,500 with"
                           " words below them")
    return cues


def read_transcript(path: Path) -> str:
    """The words of a plain text file, on one line.

    Raises:
        DatasetError: the file cannot be read, is not UTF-8 or UTF-16, or holds no words.
    """
    words = _plain(_read(path))
    if not words:
        raise DatasetError(f"{path} holds no words; expected what is said in the recording")
    return words


def _read(path: Path) -> str:
    try:
        if not path.is_file():
            raise DatasetError(f"there is no file {path}; expected subtitles (.srt, .vtt) or a transcript (.txt)")
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror or error})") from error
    if len(content) > _MOST_BYTES:
        raise DatasetError(f"{path} is larger than {_MOST_BYTES // 2 ** 20} MiB; expected the words of one recording")
    wide = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = content.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DatasetError(f"{path}, line {line}: byte {content[error.start]:#04x} is not"
                           f" {'UTF-16' if wide else 'UTF-8'}; save the file as UTF-8") from error
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _cues(lines: Sequence[str], path: Path, *, is_vtt: bool) -> Iterator[Cue]:
    places = [place for place, line in enumerate(lines) if "-->" in line]
    if not is_vtt:
        _check_beginning(lines[:places[0]] if places else lines, path)
    for place, following in zip(places, [*places[1:], len(lines)]):
        start, stop = _timing(lines[place], path, place + 1)
        said = list(lines[place + 1:following])
        if is_vtt:  # an empty line ends a cue: names, notes and styles may follow
            said = said[:next((number for number, line in enumerate(said) if not line.strip()), len(said))]
        elif following < len(lines) and said and said[-1].strip().isdecimal() and not "".join(said[-2:-1]).strip():
            said.pop()  # the next cue's number, alone after an empty line
        words = "\n".join(said)
        voice = _VOICE.search(words) if is_vtt else None
        if text := _plain(html.unescape(_TAG.sub("", _VOICE.sub("", words) if is_vtt else words))):
            yield Cue(start, stop, text, _plain(html.unescape(voice[1])) if voice else "")


def _check_beginning(lines: Sequence[str], path: Path) -> None:
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.strip().isdecimal():
            raise DatasetError(f"{path}, line {number}: expected the number of a cue or its times (00:00:01,000 -->"
                               f" 00:00:02,500), found {_shown(line)}")


def _timing(line: str, path: Path, number: int) -> tuple[float, float]:
    found = _TIMING.fullmatch(line)
    if found is None:
        raise DatasetError(f"{path}, line {number}: expected times such as 00:00:01,000 --> 00:00:02,500, found"
                           f" {_shown(line)}")
    parts = [found.groups()[:4], found.groups()[4:]]
    if any(int(minutes) > 59 or int(seconds) > 59 for _, minutes, seconds, _ in parts):
        raise DatasetError(f"{path}, line {number}: minutes and seconds go to 59, found {_shown(line)}")
    start, stop = (int(hours or 0) * 3600 + int(minutes) * 60 + int(seconds) + float(f"0.{rest or 0}")
                   for hours, minutes, seconds, rest in parts)
    if not start < stop <= _MOST_SECONDS:
        raise DatasetError(f"{path}, line {number}: a cue ends after it starts and within"
                           f" {_MOST_SECONDS // 3600} hours, found {_shown(line)}")
    return start, stop


def _plain(text: str) -> str:
    """On one line, without control characters."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def _shown(line: str) -> str:
    return ascii(line if len(line) <= 60 else f"{line[:60]}…")


def as_vtt(cues: Sequence[Cue], note: str = "") -> str:
    """A WebVTT track; ``note`` is a comment at its top."""
    blocks = ["WEBVTT"]
    if note:
        blocks.append("NOTE\n" + _vtt(note))
    for number, cue in enumerate(cues, 1):
        words = "\n".join(_vtt(line) for line in cue.text.splitlines() if line.strip())
        voice = f"<v {_vtt(_plain(cue.speaker))}>" if cue.speaker else ""
        blocks.append(f"{number}\n{_clock(cue.start_seconds)} --> {_clock(cue.stop_seconds)}\n{voice}{words}")
    return "\n\n".join(blocks) + "\n"


def _vtt(text: str) -> str:
    """Escaped; an arrow would be read as times."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _clock(seconds: float) -> str:
    """``"00:01:02.500"``."""
    thousandths = round(seconds * 1000)
    return f"{thousandths // 3_600_000:02d}:{thousandths // 60_000 % 60:02d}:{thousandths // 1000 % 60:02d}" \
           f".{thousandths % 1000:03d}"


def as_ass(cues: Sequence[Cue], title: str) -> str:
    """A track of Advanced SubStation Alpha (ASS), white words with a dark edge at the bottom.

    Source of the format: the specification that comes with Aegisub, "Advanced SubStation Alpha v4.00+".
    """
    head = ["[Script Info]", f"Title: {_ass(title)}", "ScriptType: v4.00+", "PlayResX: 640", "PlayResY: 360",
            "WrapStyle: 0", "ScaledBorderAndShadow: yes", "", "[V4+ Styles]",
            "Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic,"
            " Underline, StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL,"
            " MarginR, MarginV, Encoding",
            "Style: Default,Arial,18,&H00FFFFFF,&H00FFFFFF,&H00101010,&H80000000,0,0,0,0,100,100,0,0,1,2,0,2,20,20,14,"
            "1",
            "", "[Events]", "Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text"]
    for cue in cues:
        start, stop = (_ass_clock(seconds) for seconds in (cue.start_seconds, cue.stop_seconds))
        name = _ass(_plain(cue.speaker)).replace(",", ";")
        words = "\\N".join(_ass(line) for line in cue.text.splitlines() if line.strip())
        head.append(f"Dialogue: 0,{start},{stop},Default,{name},0,0,0,,{words}")
    return "\n".join(head) + "\n"


def _ass(text: str) -> str:
    """Braces and backslashes would be read as formatting."""
    return _plain(text).replace("\\", "⧵").replace("{", "(").replace("}", ")")


def _ass_clock(seconds: float) -> str:
    """``"0:01:02.50"``: the format has hundredths."""
    hundredths = round(seconds * 100)
    return f"{hundredths // 360_000}:{hundredths // 6000 % 60:02d}:{hundredths // 100 % 60:02d}.{hundredths % 100:02d}"
