"""MELD-Dyadic: MELD's dialogues cut into conversations of two people each, whose utterances repeat."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

from pipeline.clip import Clip, Corpus
from pipeline.datasets._media import counted
from pipeline.datasets._meld_files import CORPUS, MeldFiles, by_stem, meld_clip
from pipeline.datasets._meld_rows import whole


class MeldDyadic(MeldFiles):
    """Reads ``train_sent_emo_dya.csv`` and its like beside MELD's own files; the videos are MELD's.

    A clip is an utterance in one conversation: ``"train/dya12_utt3"``, utterance 3 of conversation 12. The same
    utterance may stand in several; its video is that of its old ids, and its group the old dialogue, so that copies
    never straddle a split. Extract the features of pictures and sound once, from ``meld``: here each copy costs again.
    """

    default_root: ClassVar[Path] = Path("data/MELD.Raw")
    annotations: ClassVar[Mapping[str, str]] = MappingProxyType({
        "train": "train_sent_emo_dya.csv", "dev": "dev_sent_emo_dya.csv", "test": "test_sent_emo_dya.csv"})
    columns: ClassVar[tuple[str, ...]] = (
        "Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID", "Old_Dialogue_ID",
        "Old_Utterance_ID")
    known_leaks: ClassVar[str] = ("utterances repeat within a split (train: 12,840 clips of 9,766 utterances); the"
                                  " splits are disjoint by dialogue only, not by episode, speaker or text")
    where_to_get: ClassVar[str] = "get the CSVs from data/MELD_Dyadic in https://github.com/declare-lab/MELD"

    @property
    def corpus(self) -> Corpus:
        """MELD's tasks and terms."""
        return replace(CORPUS, name="meld_dyadic")

    def clips(self) -> Iterator[Clip]:
        """Clips of train, dev and test, each in its CSV's order.

        Raises:
            UsageError: the settings name a split that MELD does not have.
            DatasetError: the root, a CSV or a column is missing, or a row does not make sense.
        """
        self.notes.clear()
        for split in self._splits():
            table, folder = self._table(split), self._videos(split)
            rows = by_stem(table, "Dialogue_ID", "Utterance_ID", prefix="dya")
            old = {stem: (whole(table, row, "Old_Dialogue_ID"), whole(table, row, "Old_Utterance_ID"))
                   for stem, row in rows.items()}
            self.notes.append(f"{split}: {counted(len(rows), 'clip')} of {counted(len(set(old.values())), 'utterance')}"
                              f" in {counted(len({stem.partition('_')[0] for stem in rows}), 'conversation')} of two")
            if folder is None:
                self.notes.append(f"{split}: no folder {self.video_folders[split]}, so its clips have text alone")
            for stem, row in rows.items():
                dialogue, utterance = old[stem]
                yield meld_clip(
                    f"{split}/{stem}", row, table, speaker=self._name(row), group=f"{split}/dia{dialogue}",
                    dialogue=f"{split}/{stem.partition('_')[0]}",
                    source=None if folder is None else folder / f"dia{dialogue}_utt{utterance}.mp4")
