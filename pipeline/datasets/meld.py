"""MELD: 13,708 utterances of the series Friends with seven emotions and three sentiments (Poria et al. 2019)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

from pipeline.clip import Clip, Corpus
from pipeline.config import setting
from pipeline.datasets import PublishedSplit, RecordedSpan
from pipeline.datasets._media import counted
from pipeline.datasets._meld_fair import Stretch, one_stretch, read_times
from pipeline.datasets._meld_files import CORPUS
from pipeline.datasets._meld_files import EMOTIONS as EMOTIONS
from pipeline.datasets._meld_files import SENTIMENTS as SENTIMENTS
from pipeline.datasets._meld_files import VIDEO_FOLDERS as VIDEO_FOLDERS
from pipeline.datasets._meld_files import MeldFiles, by_stem, meld_clip
from pipeline.datasets._meld_lists import Lists, Subset, read_list, subset_lists
from pipeline.datasets._meld_rows import seconds
from pipeline.datasets._table import Row, Table
from pipeline.errors import DatasetError

ANNOTATIONS = MappingProxyType({
    "train": "train_sent_emo.csv", "dev": "dev_sent_emo.csv", "test": "test_sent_emo.csv",
})
_TIME_COLUMNS = ("StartTime", "EndTime")

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
# Utterances of the published subsets.
_SUBSET_SIZES = MappingProxyType({"large": (584, 97, 108), "medium": (297, 47, 31), "small": (173, 14, 17)})


class Meld(MeldFiles):
    """Reads the official files wherever unpacking put them, whole or as a published subset of the train split.

    The CSVs and the video folders may lie in the root, in ``train/``, ``dev/`` and ``test/``, or in a folder
    ``MELD.Raw`` below it. A split without a video folder gives clips of text alone.

    A subset or a list is a corpus of its own, ``meld-small`` or ``meld-NAME``, as its splits are not the official ones:
    ``dev/dia0_utt0`` may be another clip in it.
    """

    @dataclass(frozen=True)
    class Config(MeldFiles.Config):
        """Which clips are read, and where in the videos they lie; see ``Dataset.Config`` for the rest."""

        subset: Subset = setting("none", "a published subset of train with splits of its own: large, medium, small")
        list: Path | None = setting(None, 'a list of clips of train in the published form of the subsets: {"train":'
                                          ' ["dia0_utt0.mp4", …], "dev": […], "test": […]}')
        times: Path | None = setting(None, "MELD-FAIR's MELD_video_realignment_timestamps.csv: where in the videos the"
                                           " utterances really are said; without it each is its whole video")

        def __post_init__(self) -> None:
            if self.subset != "none" and self.list is not None:
                raise ValueError(f"subset={self.subset} and list={self.list} both say which clips; leave one out")

    config: Config
    default_root: ClassVar[Path] = Path("data/MELD.Raw")
    annotations: ClassVar[Mapping[str, str]] = ANNOTATIONS
    video_folders: ClassVar[Mapping[str, str]] = VIDEO_FOLDERS
    columns: ClassVar[tuple[str, ...]] = ("Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID")
    known_defects: ClassVar[Mapping[str, str]] = KNOWN_DEFECTS
    known_leaks: ClassVar[str] = "the official splits are disjoint by dialogue only, not by episode, speaker or text"
    published: ClassVar[Mapping[str, PublishedSplit]] = PUBLISHED
    where_to_get: ClassVar[str] = (
        "get MELD.Raw.tar.gz by the links at https://affective-meld.github.io, or the CSVs alone from data/MELD in"
        " https://github.com/declare-lab/MELD")

    def __init__(self, config: Any = None) -> None:
        super().__init__(config)
        if self._part:  # what was published of the official splits is not true of others that have their names
            sizes = _SUBSET_SIZES.get(self.config.subset, ())
            self.published = {  # type: ignore[misc]
                split: PublishedSplit(size) for split, size in zip(ANNOTATIONS, sizes)}

    @property
    def _part(self) -> str:
        """Name of the subset or list; "" for all of MELD."""
        if self.config.list is not None:
            return str(self.config.list.stem.removeprefix("dataset-"))
        return "" if self.config.subset == "none" else str(self.config.subset)

    @property
    def corpus(self) -> Corpus:
        """Tasks in the official order of their classes."""
        return replace(CORPUS, name=f"meld-{self._part}") if self._part else CORPUS

    def clips(self) -> Iterator[Clip]:
        """Clips of train, dev and test, each in its CSV's order, or in that of the list.

        ``clip_id`` is ``"<split>/diaX_uttY"``: stems repeat across splits, and so do dialogue ids. A clip whose video
        is missing keeps the path where it should be, unless its split has no video folder at all.

        Raises:
            UsageError: the settings name a split that MELD does not have.
            DatasetError: the root, a CSV or a column is missing, or a row does not make sense; a list names a clip that
                train does not have.
        """
        self.notes.clear()
        splits = self._splits()
        if not self._part:
            tables = {split: self._table(split) for split in splits}
            for split, table in tables.items():
                yield from self._official(split, table).values()
            return
        official = self._official("train", self._table("train"))
        for split, stems in self.lists(tuple(official)).items():
            if unknown := [stem for stem in stems if stem not in official]:
                raise DatasetError(f"{self.config.list} names {unknown[0]} in {split}; expected clips of MELD's train"
                                   " split, which has none of that name")
            if split in splits:
                yield from (replace(official[stem], clip_id=f"{split}/{stem}", split=split) for stem in stems)

    def lists(self, stems: tuple[str, ...]) -> Lists:
        """Stems of the subset or list by split.

        Args:
            stems: all of train, in its order.

        Raises:
            DatasetError: the list cannot be read, or these are not MELD's.
        """
        return read_list(self.config.list) if self.config.list is not None else subset_lists(stems, self.config.subset)

    def train_stems(self) -> tuple[str, ...]:
        """``"dia0_utt3"`` of all clips of the official train split, in its order.

        Raises:
            DatasetError: as :meth:`clips`.
        """
        return tuple(by_stem(self._table("train"), "Dialogue_ID", "Utterance_ID"))

    def _official(self, split: str, table: Table) -> dict[str, Clip]:
        """Clips of an official split by stem."""
        rows, folder = by_stem(table, "Dialogue_ID", "Utterance_ID"), self._videos(split)
        self._note_missing(split, {f"{split}/{stem}": stem for stem in rows}, folder)
        clips = {}
        for stem, row in rows.items():
            for column in _TIME_COLUMNS:
                if column in row.cells:
                    seconds(table, row, column)
            dialogue = f"{split}/{stem.partition('_')[0]}"
            clips[stem] = meld_clip(
                f"{split}/{stem}", row, table, speaker=self._name(row), dialogue=dialogue, group=dialogue,
                source=None if folder is None else folder / f"{stem}.mp4")
        if self.config.times is None or folder is None:
            return clips
        return self._realigned(split, clips, folder, self.config.times)

    def _realigned(self, split: str, clips: dict[str, Clip], folder: Path, path: Path) -> dict[str, Clip]:
        """The clips where MELD-FAIR finds them; those that it leaves out stay as they were cut."""
        times, order = read_times(path), sorted(clips.values(), key=lambda clip: clip.turn)
        found: dict[str, tuple[Stretch, float]] = {}
        places: dict[str, int] = {}
        for clip in order:
            place = places[clip.dialogue] = places.get(clip.dialogue, -1) + 1
            if stretches := times.get((split, int(clip.dialogue.partition("dia")[2]), place)):
                found[clip.clip_id.partition("/")[2]] = one_stretch(stretches)
        if not found:
            raise DatasetError(f"{path} has none of the clips of {split}; expected MELD-FAIR's times")
        left = [seconds for _, seconds in found.values() if seconds]
        self.notes.append(f"{split}: {counted(len(found), 'clip')} by MELD-FAIR's times,"
                          f" {counted(len(clips) - len(found), 'clip')} that it leaves out as published;"
                          f" {counted(len(left), 'clip')} lie in several videos, of which {sum(left):.0f} s in others"
                          " than the main one are left out")
        return {stem: clip if stem not in found else replace(
            clip, source=folder / f"{found[stem][0].stem}.mp4", start_seconds=found[stem][0].start_seconds,
            stop_seconds=found[stem][0].stop_seconds) for stem, clip in clips.items()}

    def media_folders(self) -> Mapping[str, Path]:
        """The video folders of the splits asked for, as far as they are there; none for a part of a split."""
        found = {} if self._part else {split: self._videos(split) for split in self._splits()}
        return {split: folder for split, folder in found.items() if folder is not None}

    def recorded_spans(self) -> Mapping[str, RecordedSpan]:
        """Times in the episode, for copies of the CSVs that have the columns; none for parts and realigned clips.

        Raises:
            DatasetError: as :meth:`clips`.
        """
        found = {}
        for split in () if self._part or self.config.times is not None else self._splits():
            table = self._table(split)
            if {"Season", "Episode", *_TIME_COLUMNS} <= set(table.columns):
                for stem, row in by_stem(table, "Dialogue_ID", "Utterance_ID").items():
                    start, stop = (seconds(table, row, column) for column in _TIME_COLUMNS)
                    found[f"{split}/{stem}"] = RecordedSpan(self._recording(split, row), start, stop)
        return found

    def _recording(self, split: str, row: Row) -> str:
        """The episode that a row's times are counted in; splits share episodes."""
        return f"season {row.cells['Season'].strip()}, episode {row.cells['Episode'].strip()}"

    def _check_columns(self, table: Table) -> None:
        if "Old_Dialogue_ID" in table.columns:
            raise DatasetError(f"{table.path} is of MELD-Dyadic (it has a column 'Old_Dialogue_ID'), whose ids are not"
                               f" those of the videos; expected MELD's own file: {self.where_to_get}; or read it with"
                               " --dataset meld_dyadic")
