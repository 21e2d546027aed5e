"""EmoryNLP: 9,489 utterances of the series Friends with seven other emotions than MELD's (Zahiri and Choi 2018)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

from pipeline.clip import Clip, Corpus, Task
from pipeline.config import setting
from pipeline.datasets import PublishedSplit, RecordedSpan
from pipeline.datasets._media import counted
from pipeline.datasets._meld_files import MeldFiles
from pipeline.datasets._meld_rows import decode_text, listed_names, one_of, same_name, seconds, whole
from pipeline.datasets._table import Row, Table, parse_table, read_bytes
from pipeline.datasets.meld import ANNOTATIONS
from pipeline.errors import DatasetError

EMOTIONS = ("neutral", "joyful", "peaceful", "powerful", "scared", "mad", "sad")
Spans = dict[tuple[int, int], list[tuple[float, float]]]  # start and stop by season and episode


class EmoryNlp(MeldFiles):
    """Reads ``emorynlp_train_final.csv``, ``…_dev_final.csv`` and ``…_test_final.csv``.

    Dialogues are scenes. Videos, where someone has cut them, lie in ``emorynlp_train_splits/`` and its like as
    ``sea1_ep2_sc3_utt4.mp4``, as the publishers' own script names them; without, clips have text alone.
    """

    @dataclass(frozen=True)
    class Config(MeldFiles.Config):
        """Whether scenes that MELD has too are read; see ``Dataset.Config`` for the rest."""

        apart_from: Path | None = setting(None, "folder of MELD's CSVs: scenes during which one of its utterances is"
                                                " said are left out, as both corpora annotate the same episodes")

    config: Config
    default_root: ClassVar[Path] = Path("data/EmoryNLP")
    annotations: ClassVar[Mapping[str, str]] = MappingProxyType(
        {split: f"emorynlp_{split}_final.csv" for split in ("train", "dev", "test")})
    video_folders: ClassVar[Mapping[str, str]] = MappingProxyType(
        {split: f"emorynlp_{split}_splits" for split in ("train", "dev", "test")})
    columns: ClassVar[tuple[str, ...]] = ("Utterance", "Speaker", "Emotion", "Scene_ID", "Utterance_ID", "Season",
                                          "Episode")
    known_leaks: ClassVar[str] = ("MELD annotates the same episodes: a network that learnt from one has seen lines of"
                                  " the other, in whichever split")
    published: ClassVar[Mapping[str, PublishedSplit]] = MappingProxyType(
        {"train": PublishedSplit(7551), "dev": PublishedSplit(954), "test": PublishedSplit(984)})
    where_to_get: ClassVar[str] = "get its three CSVs from data/emorynlp in https://github.com/declare-lab/MELD"

    @property
    def corpus(self) -> Corpus:
        """One task; its classes are not MELD's, so the two are never learnt from together."""
        return Corpus(
            name="emorynlp", tasks=(Task("emotion", EMOTIONS),), redistribute="no",
            licence="GPL-3.0 (annotations, as MELD's repository has them); the clips are from the television series"
                    " Friends",
            terms_url="https://github.com/emorynlp/emotion-detection",
            citation="S. M. Zahiri, J. D. Choi: Emotion Detection on TV Show Transcripts with Sequence-based"
                     " Convolutional Neural Networks. AAAI Workshop on Affective Content Analysis 2018.")

    def clips(self) -> Iterator[Clip]:
        """Clips of train, dev and test, each in its CSV's order: ``"train/sea1_ep2_sc3_utt4"``.

        Ids that a file uses again get a number: ``"train/sea1_ep2_sc3_utt4_2"``; a note says how often.

        Raises:
            UsageError: the settings name a split that the corpus does not have.
            DatasetError: the root, a CSV or a column is missing, or a row does not make sense; MELD's CSVs are not in
                the folder that the settings name.
        """
        self.notes.clear()
        tables = {split: self._table(split) for split in self._splits()}
        taken = _meld_spans(self.config.apart_from) if self.config.apart_from is not None else None
        for split, table in tables.items():
            rows, folder = self._rows(split, table), self._videos(split)
            if taken is not None:
                rows = self._apart(split, table, rows, taken)
            self._note_missing(split, {f"{split}/{stem}": stem for stem in rows}, folder)
            for stem, row in rows.items():
                scene = f"{split}/{stem.partition('_utt')[0]}"
                yield Clip(
                    f"{split}/{stem}", source=None if folder is None else folder / f"{stem}.mp4",
                    text=row.cells["Utterance"], speaker=self._name(row), dialogue=scene, group=scene, split=split,
                    turn=whole(table, row, "Utterance_ID"), labels={"emotion": one_of(table, row, "Emotion", EMOTIONS)})

    def _name(self, row: Row) -> str:
        names = listed_names(row.cells["Speaker"])
        return same_name(names) if self.config.speakers == "one_name" else names

    def _rows(self, split: str, table: Table) -> dict[str, Row]:
        rows: dict[str, Row] = {}
        again = 0
        for row in table.rows:
            season, episode, scene, utterance = (
                whole(table, row, column) for column in ("Season", "Episode", "Scene_ID", "Utterance_ID"))
            first = stem = f"sea{season}_ep{episode}_sc{scene}_utt{utterance}"
            number = 1
            while stem in rows:
                number += 1
                stem = f"{first}_{number}"
            again += number > 1
            rows[stem] = row
        if again:
            self.notes.append(f"{split}: {counted(again, 'row')} with ids that another row has, told apart by a number")
        return rows

    def _apart(self, split: str, table: Table, rows: Mapping[str, Row], taken: Spans) -> dict[str, Row]:
        """The rows of scenes during which MELD has no utterance."""
        table.require(("Start_Time", "End_Time"))
        scenes: dict[str, list[Row]] = {}
        for stem, row in rows.items():
            scenes.setdefault(stem.partition("_utt")[0], []).append(row)
        shared = {scene for scene, of in scenes.items() if _overlap(table, of, taken)}
        kept = {stem: row for stem, row in rows.items() if stem.partition("_utt")[0] not in shared}
        self.notes.append(f"{split}: {len(shared)} of {counted(len(scenes), 'scene')}, with {len(rows) - len(kept)} of"
                          f" {counted(len(rows), 'clip')}, are left out because MELD has them too")
        return kept

    def recorded_spans(self) -> Mapping[str, RecordedSpan]:
        """Times in the episode.

        Raises:
            DatasetError: as :meth:`clips`.
        """
        found = {}
        for split in self._splits():
            table = self._table(split)
            if {"Start_Time", "End_Time"} <= set(table.columns) and self.config.apart_from is None:
                for stem, row in self._rows(split, table).items():
                    start, stop = (seconds(table, row, column) for column in ("Start_Time", "End_Time"))
                    found[f"{split}/{stem}"] = RecordedSpan(
                        f"season {row.cells['Season'].strip()}, episode {row.cells['Episode'].strip()}", start, stop)
        return found


def _overlap(table: Table, rows: list[Row], taken: Spans) -> bool:
    episode = whole(table, rows[0], "Season"), whole(table, rows[0], "Episode")
    start = min(seconds(table, row, "Start_Time") for row in rows)
    stop = max(seconds(table, row, "End_Time") for row in rows)
    return any(began < stop and start < ended for began, ended in taken.get(episode, ()))


def _meld_spans(folder: Path) -> Spans:
    """When in each episode an utterance of MELD is said, in any split whose CSV is there."""
    found: Spans = {}
    paths = [path for name in ANNOTATIONS.values()
             for path in (folder / name, folder / name.partition("_")[0] / name) if path.is_file()]
    if not paths:
        raise DatasetError(f"none of {', '.join(ANNOTATIONS.values())} in {folder}; expected the folder of MELD's CSVs"
                           " after emorynlp.apart_from")
    for path in paths:
        table = parse_table(decode_text(read_bytes(path))[0], path)
        table.require(("Season", "Episode", "StartTime", "EndTime"))
        for row in table.rows:
            episode = whole(table, row, "Season"), whole(table, row, "Episode")
            found.setdefault(episode, []).append((seconds(table, row, "StartTime"), seconds(table, row, "EndTime")))
    return found
