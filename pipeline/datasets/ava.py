"""AVA-ActiveSpeaker: 37,738 face tracks of films, labelled frame by frame: who is speaking (Roth et al. 2020)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

from pipeline.clip import Clip, Corpus
from pipeline.config import setting
from pipeline.datasets import Dataset, PublishedSplit
from pipeline.datasets._speaker_tracks import (PUBLISHED_NAMES, SPEAKING, TRACK_EXTRACTORS, LabelFiles, find_places,
                                               mean_rates, track_clips)
from pipeline.speaking.speaker_tables import OnDamage

# Tracks; the labels of the challenge's test videos are not among those published with the others.
PUBLISHED: Mapping[str, PublishedSplit] = MappingProxyType({
    "train": PublishedSplit(29_723), "test": PublishedSplit(8_015)})


class Ava(Dataset):
    """Reads the published labels, and the pictures and sound that are cut out of the films by TalkNet's script.

    Labels are in ``csv/train_orig.csv`` and ``csv/val_orig.csv``, or by video in a folder as Google publishes them:
    ``train/VIDEO-activespeaker.csv``. The folder of pictures is ``clips_videos/SPLIT/VIDEO/ENTITY`` or, as ASC and
    ASDNet have it, ``clips_videos/SPLIT/ENTITY``; sound is in ``clips_audios`` likewise. The published ``val`` is the
    split ``test``; there is no ``dev``.
    """

    @dataclass(frozen=True)
    class Config(Dataset.Config):
        """What happens to damaged labels; see ``Dataset.Config`` for the rest."""

        on_damage: OnDamage = setting(
            "fail", "rows of labels that are wrong: fail, or partial: leave them out and say which")

    config: Config
    default_root: ClassVar[Path] = Path("data/AVA")
    default_extractors: ClassVar[tuple[str, ...]] = TRACK_EXTRACTORS
    published: ClassVar[Mapping[str, PublishedSplit]] = PUBLISHED
    where_to_get: ClassVar[str] = "`python -m pipeline download --dataset ava` fetches the labels"

    @property
    def corpus(self) -> Corpus:
        """The one task: is this face speaking, and heard, in this frame?"""
        return Corpus(
            name="ava", tasks=(SPEAKING,), dev_fraction=0.1, terms_url="https://research.google.com/ava/download.html",
            licence="CC BY 4.0 (labels); the films belong to their makers", redistribute="no",
            citation="J. Roth, S. Chaudhuri, O. Klejch, R. Marvin, A. Gallagher, L. Kaver, S. Ramaswamy,"
                     " A. Stopczynski, C. Schmid, Z. Xi, C. Pantofaru: AVA-ActiveSpeaker: An Audio-Visual Dataset for"
                     " Active Speaker Detection. ICASSP 2020; arXiv:1901.01342.")

    def clips(self) -> Iterator[Clip]:
        """Tracks of train, then test, each in its files' order; ``clip_id`` is ``"<split>/VIDEO_START_STOP:NUMBER"``.

        Group and dialogue are the video, the speaker is the track. Pictures and sound have the paths where they should
        be, there or not. The frame rate of a video is told by the times of its tracks.

        Raises:
            UsageError: the settings name a split that AVA does not have.
            DatasetError: there are no labels for a split, or a row of them is wrong.
        """
        self.notes.clear()
        labels = LabelFiles("ava", self.root, ("csv/{}_orig.csv", "csv/{}", "{}", "ava_activespeaker_{}_v1.0"),
                            self.where_to_get, self.config.on_damage)
        for split, table in labels.tables(self.config.splits, self.notes):
            places = find_places(self.root, PUBLISHED_NAMES[split], table.video)
            yield from track_clips(table, places, split, mean_rates(table).__getitem__, self.notes)
