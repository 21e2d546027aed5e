"""Annotation files and videos of MELD wherever unpacking put them, for its readers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, Literal

from pipeline.clip import Clip, Corpus, Task
from pipeline.config import setting
from pipeline.datasets import Dataset
from pipeline.datasets._media import counted, listed
from pipeline.datasets._meld_rows import decode_text, natural, one_of, same_name, whole
from pipeline.datasets._table import Row, Table, parse_table, read_bytes
from pipeline.errors import DatasetError, unknown_name

EMOTIONS = ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")
SENTIMENTS = ("neutral", "positive", "negative")
VIDEO_FOLDERS = MappingProxyType({
    "train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test",
})
CORPUS = Corpus(
    name="meld", tasks=(Task("emotion", EMOTIONS), Task("sentiment", SENTIMENTS)),
    licence="GPL-3.0 (annotations); the clips are from the television series Friends",
    terms_url="https://github.com/declare-lab/MELD", redistribute="no",
    citation="S. Poria, D. Hazarika, N. Majumder, G. Naik, E. Cambria, R. Mihalcea: MELD: A Multimodal"
             " Multi-Party Dataset for Emotion Recognition in Conversations. ACL 2019.")


class MeldFiles(Dataset):
    """What the readers of MELD and of its kin share: places of files, tables, and the fields of a row.

    Attributes:
        annotations: name of each split's CSV.
        video_folders: name of the folder of each split's videos.
        columns: that a CSV must have.
        where_to_get: how its files are had.
    """

    @dataclass(frozen=True)
    class Config(Dataset.Config):
        """How speakers are called; see ``Dataset.Config`` for the rest."""

        speakers: Literal["one_name", "as_published"] = setting(
            "one_name", "one name for each person (Phoebe Sr. for Phoebe Sr, Joey for Joey/Drake), or the names as they"
                        " stand in the files")

    config: Config
    annotations: ClassVar[Mapping[str, str]]
    video_folders: ClassVar[Mapping[str, str]] = VIDEO_FOLDERS
    columns: ClassVar[tuple[str, ...]]
    where_to_get: ClassVar[str]

    def _splits(self) -> tuple[str, ...]:
        for name in self.config.splits:
            if name not in self.annotations:
                raise unknown_name(f"split of {self.corpus.name}", name, self.annotations)
        return tuple(name for name in self.annotations if name in self.config.splits or not self.config.splits)

    def _find(self, split: str, name: str) -> Path | None:
        """A file or folder at the first of the places where unpacking leaves it."""
        for base in (self.root, self.root / "MELD.Raw", self.root / "MELD-RAW" / "MELD.Raw"):
            for place in (base, base / split, base / split / split):
                if (place / name).exists():
                    return place / name
        return None

    def _videos(self, split: str) -> Path | None:
        return self._find(split, self.video_folders[split])

    def _table(self, split: str) -> Table:
        name = self.corpus.name
        if not self.root.is_dir():
            raise DatasetError(f"no folder {self.root}; expected the dataset {name} there: {self.where_to_get}; then"
                               " put it there or name its folder with --root")
        path = self._find(split, self.annotations[split])
        if path is None:
            others = ",".join(other for other in self._splits()
                              if self._find(other, self.annotations[other]) is not None)
            leave = f", or leave {split} out with --splits {others}" if others else ""
            raise DatasetError(f"no {self.annotations[split]} in {self.root}, in {split}/ or in MELD.Raw/ below it:"
                               f" {self.where_to_get}{leave}")
        text, repaired = decode_text(read_bytes(path))
        note = f"{path.name}: text in CP1252 was mended, {repaired} characters"
        if repaired and note not in self.notes:
            self.notes.append(note)
        table = parse_table(text, path)
        self._check_columns(table)
        table.require(self.columns)
        return table

    def _check_columns(self, table: Table) -> None:
        """Refuse a table of a relative of the corpus."""

    def _name(self, row: Row) -> str:
        published = row.cells["Speaker"].strip()
        return same_name(published) if self.config.speakers == "one_name" else published

    def _note_missing(self, split: str, stems: Mapping[str, str], folder: Path | None) -> None:
        """Note clips without video and videos without clip.

        Args:
            split: theirs.
            stems: of the videos, by clip id.
            folder: that should hold them.
        """
        if folder is None:
            self.notes.append(f"{split}: no folder {self.video_folders[split]}, so its {len(stems)} clips have text"
                              " alone")
            return
        with os.scandir(folder) as entries:
            found = {entry.name.removesuffix(".mp4") for entry in entries
                     if entry.name.endswith(".mp4") and not entry.name.startswith("._")}
        extra = sorted(found - set(stems.values()), key=natural)
        if extra:
            self.notes.append(f"{folder.name} holds {counted(len(extra), 'video')} without annotation:"
                              f" {listed(extra)}")
        missing = [clip_id for clip_id, stem in stems.items() if stem not in found]
        if missing:
            verb = "has" if len(missing) == 1 else "have"
            self.notes.append(f"{split}: {counted(len(missing), 'clip')} {verb} no video: {listed(missing)}")
        for clip_id, stem in stems.items():
            defect = self.known_defects.get(clip_id)
            if defect and stem in found:
                self.notes.append(f"{clip_id} is known to be bad: {defect}")


def by_stem(table: Table, dialogue: str, utterance: str, *, prefix: str = "dia") -> dict[str, Row]:
    """Rows by ``"dia0_utt3"``, after two columns of ids.

    Raises:
        DatasetError: an id is no number, or two rows have the same.
    """
    found: dict[str, Row] = {}
    for row in table.rows:
        stem = f"{prefix}{whole(table, row, dialogue)}_utt{whole(table, row, utterance)}"
        if stem in found:
            raise DatasetError(f"{table.path}: rows {found[stem].number} and {row.number} are both {stem}; expected"
                               " each utterance once")
        found[stem] = row
    return found


def meld_clip(clip_id: str, row: Row, table: Table, *, speaker: str, dialogue: str, group: str,
              source: Path | None) -> Clip:
    """A clip of a row of MELD's or of MELD-Dyadic's.

    Raises:
        DatasetError: the row does not make sense.
    """
    return Clip(
        clip_id, source=source, text=row.cells["Utterance"], speaker=speaker, dialogue=dialogue, group=group,
        turn=whole(table, row, "Utterance_ID"), split=clip_id.partition("/")[0],
        labels={"emotion": one_of(table, row, "Emotion", EMOTIONS),
                "sentiment": one_of(table, row, "Sentiment", SENTIMENTS)})
