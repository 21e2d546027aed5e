"""MELD: 13,708 utterances of the series Friends with seven emotions and three sentiments (Poria et al. 2019)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

from pipeline.clip import Clip, Corpus, Task
from pipeline.datasets import Dataset, PublishedSplit, RecordedSpan
from pipeline.datasets._table import Row, Table, parse_table, read_bytes
from pipeline.errors import DatasetError, unknown_name

EMOTIONS = ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")
SENTIMENTS = ("neutral", "positive", "negative")
ANNOTATIONS = MappingProxyType({
    "train": "train_sent_emo.csv", "dev": "dev_sent_emo.csv", "test": "test_sent_emo.csv",
})
VIDEO_FOLDERS = MappingProxyType({
    "train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test",
})
_TIME_COLUMNS = ("StartTime", "EndTime")
COLUMNS = ("Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID")

# What is wrong with the published files, by clip id. The reader gives every annotated clip all the same: decoding finds
# what is bad in the copy at hand and records it. Durations are those of the files; the utterances last seconds.
KNOWN_DEFECTS: Mapping[str, str] = MappingProxyType({
    "train/dia125_utt3": "its video is corrupt",
    "train/dia309_utt0": "cut wrongly: 41 s",
    "dev/dia110_utt7": "published without a video",
    "test/dia38_utt4": "cut wrongly: 305 s",
    "test/dia220_utt0": "cut wrongly: 235 s",
    "dev/dia49_utt4": "a video without annotation",
    "dev/dia49_utt5": "a video without annotation",
    "dev/dia66_utt9": "a video without annotation",
    "dev/dia66_utt10": "a video without annotation",
    "test/dia108_utt2": "a video without annotation",
    "test/final_videos_test*": "left over from the cutting of the videos",
})
# From the paper and its web page, which count 1,039 dialogues in train where the published CSV has 1,038.
PUBLISHED: Mapping[str, PublishedSplit] = MappingProxyType({
    "train": PublishedSplit(9989, (1038, 1039), {
        "emotion": dict(zip(EMOTIONS, (4710, 1205, 268, 683, 1743, 271, 1109))),
        "sentiment": dict(zip(SENTIMENTS, (4710, 2334, 2945)))}),
    "dev": PublishedSplit(1109, (114,), {
        "emotion": dict(zip(EMOTIONS, (470, 150, 40, 111, 163, 22, 153))),
        "sentiment": dict(zip(SENTIMENTS, (470, 233, 406)))}),
    "test": PublishedSplit(2610, (280,), {
        "emotion": dict(zip(EMOTIONS, (1256, 281, 50, 208, 402, 68, 345))),
        "sentiment": dict(zip(SENTIMENTS, (1256, 521, 833)))}),
})

# Older copies of the CSVs hold CP1252's quotes and dashes: as single bytes or, converted as if they were Latin-1, as
# the control characters U+0080–U+009F. CP1252 is Latin-1 but for these; five of them it leaves undefined.
_CP1252 = {code: bytes([code]).decode("cp1252") for code in range(0x80, 0xA0)
           if code not in (0x81, 0x8D, 0x8F, 0x90, 0x9D)}
_TIME = re.compile(r"(\d+):(\d{1,2}):(\d{1,2})(?:[,.](\d{1,6}))?", re.ASCII)
_ID = re.compile(r"\d+", re.ASCII)
_MANY = 8


class Meld(Dataset):
    """Reads the official files wherever unpacking put them.

    The CSVs and the video folders may lie in the root, in ``train/``, ``dev/`` and ``test/``, or in a folder
    ``MELD.Raw`` below it. A split without a video folder gives clips of text alone.
    """

    default_root: ClassVar[Path] = Path("data/MELD.Raw")
    known_defects: ClassVar[Mapping[str, str]] = KNOWN_DEFECTS
    known_leaks: ClassVar[str] = "the official splits are disjoint by dialogue only, not by episode, speaker or text"
    published: ClassVar[Mapping[str, PublishedSplit]] = PUBLISHED
    where_to_get: ClassVar[str] = (
        "get MELD.Raw.tar.gz by the links at https://affective-meld.github.io, or the CSVs alone from data/MELD in"
        " https://github.com/declare-lab/MELD")

    @property
    def corpus(self) -> Corpus:
        """Tasks in the official order of their classes."""
        return Corpus(
            name="meld", tasks=(Task("emotion", EMOTIONS), Task("sentiment", SENTIMENTS)),
            licence="GPL-3.0 (annotations); the clips are from the television series Friends",
            terms_url="https://github.com/declare-lab/MELD", redistribute="no",
            citation="S. Poria, D. Hazarika, N. Majumder, G. Naik, E. Cambria, R. Mihalcea: MELD: A Multimodal"
                     " Multi-Party Dataset for Emotion Recognition in Conversations. ACL 2019.")

    def clips(self) -> Iterator[Clip]:
        """Clips of train, dev and test, each in its CSV's order.

        ``clip_id`` is ``"<split>/diaX_uttY"``: stems repeat across splits, and so do dialogue ids. A clip whose video
        is missing keeps the path where it should be, unless its split has no video folder at all.

        Raises:
            UsageError: the settings name a split that MELD does not have.
            DatasetError: the root, a CSV or a column is missing, or a row does not make sense.
        """
        self.notes.clear()
        tables = {split: self._table(split) for split in self._splits()}
        for split, table in tables.items():
            rows = _by_stem(table)
            folder = self._find(split, VIDEO_FOLDERS[split])
            self._note_videos(split, rows, folder)
            for stem, row in rows.items():
                yield _clip(split, stem, row, table, folder)

    def media_folders(self) -> Mapping[str, Path]:
        """The video folders of the splits asked for, as far as they are there."""
        found = {split: self._find(split, VIDEO_FOLDERS[split]) for split in self._splits()}
        return {split: folder for split, folder in found.items() if folder is not None}

    def recorded_spans(self) -> Mapping[str, RecordedSpan]:
        """Times in the episode, for copies of the CSVs that have the columns.

        Raises:
            DatasetError: as :meth:`clips`.
        """
        found = {}
        for split in self._splits():
            table = self._table(split)
            if {"Season", "Episode", *_TIME_COLUMNS} <= set(table.columns):
                for stem, row in _by_stem(table).items():
                    start, stop = (_seconds(table, row, column) for column in _TIME_COLUMNS)
                    found[f"{split}/{stem}"] = RecordedSpan(self._recording(split, row), start, stop)
        return found

    def _recording(self, split: str, row: Row) -> str:
        """The episode that a row's times are counted in; splits share episodes."""
        return f"season {row.cells['Season'].strip()}, episode {row.cells['Episode'].strip()}"

    def _splits(self) -> tuple[str, ...]:
        for name in self.config.splits:
            if name not in ANNOTATIONS:
                raise unknown_name(f"split of {self.corpus.name}", name, ANNOTATIONS)
        return tuple(name for name in ANNOTATIONS if name in self.config.splits or not self.config.splits)

    def _find(self, split: str, name: str) -> Path | None:
        """A file or folder at the first of the places where unpacking leaves it."""
        for base in (self.root, self.root / "MELD.Raw", self.root / "MELD-RAW" / "MELD.Raw"):
            for place in (base, base / split, base / split / split):
                if (place / name).exists():
                    return place / name
        return None

    def _table(self, split: str) -> Table:
        name = self.corpus.name
        if not self.root.is_dir():
            raise DatasetError(f"no folder {self.root}; expected the dataset {name} there: {self.where_to_get}; then"
                               " put it there or name its folder with --root")
        path = self._find(split, ANNOTATIONS[split])
        if path is None:
            others = ",".join(other for other in self._splits() if self._find(other, ANNOTATIONS[other]) is not None)
            leave = f", or leave {split} out with --splits {others}" if others else ""
            raise DatasetError(f"no {ANNOTATIONS[split]} in {self.root}, in {split}/ or in MELD.Raw/ below it:"
                               f" {self.where_to_get}{leave}")
        text, repaired = decode_text(read_bytes(path))
        note = f"{path.name}: text in CP1252 was mended, {repaired} characters"
        if repaired and note not in self.notes:
            self.notes.append(note)
        table = parse_table(text, path)
        if "Old_Dialogue_ID" in table.columns:
            raise DatasetError(f"{path} is of MELD-Dyadic (it has a column 'Old_Dialogue_ID'), whose ids are not those"
                               f" of the videos; expected MELD's own file: {self.where_to_get}")
        table.require(COLUMNS)
        return table

    def _note_videos(self, split: str, rows: Mapping[str, Row], folder: Path | None) -> None:
        if folder is None:
            self.notes.append(f"{split}: no folder {VIDEO_FOLDERS[split]}, so its {len(rows)} clips have text alone")
            return
        with os.scandir(folder) as entries:
            found = {entry.name.removesuffix(".mp4") for entry in entries
                     if entry.name.endswith(".mp4") and not entry.name.startswith("._")}
        extra = sorted(found - rows.keys(), key=_natural)
        if extra:
            self.notes.append(f"{folder.name} holds {_counted(extra, 'video')} without annotation: {_listed(extra)}")
        missing = [f"{split}/{stem}" for stem in rows if stem not in found]
        if missing:
            verb = "has" if len(missing) == 1 else "have"
            self.notes.append(f"{split}: {_counted(missing, 'clip')} {verb} no video: {_listed(missing)}")
        for stem in rows:
            defect = self.known_defects.get(f"{split}/{stem}")
            if defect and stem in found:
                self.notes.append(f"{split}/{stem} is known to be bad: {defect}")


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


def _by_stem(table: Table) -> dict[str, Row]:
    found: dict[str, Row] = {}
    for row in table.rows:
        stem = f"dia{_whole(table, row, 'Dialogue_ID')}_utt{_whole(table, row, 'Utterance_ID')}"
        if stem in found:
            raise DatasetError(f"{table.path}: rows {found[stem].number} and {row.number} are both {stem}; expected"
                               " each utterance once")
        found[stem] = row
    return found


def _clip(split: str, stem: str, row: Row, table: Table, folder: Path | None) -> Clip:
    for column in _TIME_COLUMNS:
        if column in row.cells:
            _seconds(table, row, column)
    dialogue = f"{split}/dia{_whole(table, row, 'Dialogue_ID')}"
    return Clip(
        f"{split}/{stem}", source=None if folder is None else folder / f"{stem}.mp4", text=row.cells["Utterance"],
        speaker=row.cells["Speaker"].strip(), dialogue=dialogue, turn=_whole(table, row, "Utterance_ID"), split=split,
        group=dialogue, labels={"emotion": _class(table, row, "Emotion", EMOTIONS),
                                "sentiment": _class(table, row, "Sentiment", SENTIMENTS)})


def _seconds(table: Table, row: Row, column: str) -> float:
    try:
        return parse_time(row.cells[column])
    except ValueError as error:
        raise DatasetError(f"{table.path}, row {row.number}: {column} {error}") from error


def _whole(table: Table, row: Row, column: str) -> int:
    text = row.cells[column].strip()
    if not _ID.fullmatch(text):
        raise DatasetError(f"{table.path}, row {row.number}: {column} is {row.cells[column]!r}; expected a whole"
                           " number")
    return int(text)


def _class(table: Table, row: Row, column: str, classes: Sequence[str]) -> str:
    name = row.cells[column].strip().lower()
    if name not in classes:
        raise DatasetError(f"{table.path}, row {row.number}: {column} is {row.cells[column]!r}; expected one of"
                           f" {', '.join(classes)}")
    return name


def _counted(things: Sequence[str], noun: str) -> str:
    return f"{len(things):,} {noun}{'' if len(things) == 1 else 's'}"


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - _MANY
    return ", ".join(names[:_MANY]) + (f" and {rest:,} more" if rest > 0 else "")


def _natural(stem: str) -> list[tuple[int, str]]:
    """Order in which ``dia9`` stands before ``dia10``."""
    return [(int(part) if part.isdecimal() else 0, part) for part in re.split(r"(\d+)", stem)]
