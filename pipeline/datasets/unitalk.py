"""UniTalk: 48,693 face tracks of web videos, labelled frame by frame: who is speaking (Nguyen et al. 2025)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, get_args

import pandas as pd

from pipeline.clip import Clip, Corpus
from pipeline.config import setting
from pipeline.datasets import Dataset
from pipeline.datasets._media import counted, listed
from pipeline.datasets._speaker_tracks import (PUBLISHED_NAMES, SPEAKING, TRACK_EXTRACTORS, LabelFiles, find_places,
                                               track_clips)
from pipeline.errors import DatasetError
from pipeline.rendering.corpus import CITATION, LICENCE, rendered_layout
from pipeline.speaking.speaker_tables import OnDamage, SpeakerTable, read_video_list

RATE_HZ = 25.0  # the authors sampled every video so

Category = Literal["language", "noise", "visual", "mixed"]
CATEGORIES: tuple[Category, ...] = get_args(Category)


class Unitalk(Dataset):
    """Reads the layout that the authors' download leaves, the one that it converts to for ASC and ASDNet, and trims.

    Labels are in ``csv/train_orig.csv`` and ``csv/val_orig.csv``, or by video in ``csv/train`` and ``csv/val`` as the
    hub has them; pictures in ``clips_videos/SPLIT/VIDEO/ENTITY/TIME.jpg`` or ``clips_videos/SPLIT/ENTITY/TIME.jpg``,
    sound in ``clips_audios`` likewise. The published ``val`` is the split ``test``; there is no ``dev``.
    """

    @dataclass(frozen=True)
    class Config(Dataset.Config):
        """Which tracks are read; see ``Dataset.Config`` for the rest."""

        sub_category: Literal["all", "language", "noise", "visual", "mixed"] = setting(
            "all", "of the test videos only those of this kind of difficulty: language, noise, visual (crowded), mixed;"
                   " the training videos have none")
        on_damage: OnDamage = setting(
            "fail", "rows of labels that are wrong: fail, or partial: leave them out and say which")

    config: Config
    default_extractors: ClassVar[tuple[str, ...]] = TRACK_EXTRACTORS
    default_root: ClassVar[Path] = Path("data/UniTalk")
    where_to_get: ClassVar[str] = "`python -m pipeline download --dataset unitalk` fetches it"

    @property
    def corpus(self) -> Corpus:
        """The one task: is this face speaking, and heard? Terms are the sample's where it was rendered here."""
        if rendered_layout(self.root) == "unitalk":
            return Corpus(name="unitalk", tasks=(SPEAKING,), dev_fraction=0.1, licence=LICENCE, redistribute="yes",
                          citation=CITATION)
        return Corpus(
            name="unitalk", tasks=(SPEAKING,), dev_fraction=0.1,
            terms_url="https://huggingface.co/datasets/plnguyen2908/UniTalk-ASD",
            licence="CC BY-NC 4.0 by the paper, which forbids surveillance and biometric identification; the videos"
                    " belong to their makers", redistribute="no",
            citation="L. T. P. Nguyen, Z. Yu, K. Q. N. Cao, Y. Guo, T. H. M. Pham, T. T. Nguyen, T. N. D. Vo, L. Poon,"
                     " S. Lee, Y. J. Lee: UniTalk: Towards Universal Active Speaker Detection in Real World Scenarios."
                     " arXiv:2505.21954, 2025.")

    def clips(self) -> Iterator[Clip]:
        """Tracks of train, then test, each in its file's order; ``clip_id`` is ``"<split>/VIDEO:NUMBER"``.

        Group and dialogue are the video, the speaker is the track. Pictures and sound have the paths where they should
        be, there or not.

        Raises:
            UsageError: the settings name a split that UniTalk does not have.
            DatasetError: there are no labels for a split, a row of them is wrong, or a list of videos is missing.
        """
        self.notes.clear()
        labels = LabelFiles("unitalk", self.root, ("csv/{}_orig.csv", "csv/{}"), self.where_to_get,
                            self.config.on_damage)
        for split, table in labels.tables(self.config.splits, self.notes):
            if split == "test" and self.config.sub_category != "all":
                table = self._trimmed(table)
            places = find_places(self.root, PUBLISHED_NAMES[split], table.video)
            yield from track_clips(table, places, split, lambda _video: RATE_HZ, self.notes)

    def _trimmed(self, table: SpeakerTable) -> SpeakerTable:
        """Rows of the videos of the sub-category asked for."""
        of = sub_categories(self.root)
        unlisted = [video for video in pd.unique(table.video) if video not in of]
        if unlisted:
            self.notes.append(f"test: {counted(len(unlisted), 'video')} in no list of a sub-category, left out:"
                              f" {listed(unlisted)}")
        wanted = [video for video, name in of.items() if name == self.config.sub_category]
        trimmed = table.take(pd.Series(table.video).isin(wanted).to_numpy())
        if not len(trimmed):
            raise DatasetError(f"{table.path} labels none of the {counted(len(wanted), 'video')} of the sub-category"
                               f" {self.config.sub_category}; expected at least one: get the whole test split")
        return trimmed


def sub_categories(root: Path) -> dict[str, Category]:
    """Which kind of difficulty each test video is of.

    Scores can be divided by it: a clip's group is its video.

    Args:
        root: folder of the corpus, with the authors' lists in ``sub_categories/test_noise.csv`` and so on.

    Returns:
        Name by video, in the order of :data:`CATEGORIES` and of the lists.

    Raises:
        DatasetError: a list is missing, is empty or holds no ids; a video is in two of them.
    """
    found: dict[str, Category] = {}
    for name in CATEGORIES:
        path = root / "sub_categories" / f"test_{name}.csv"
        if not path.exists():
            raise DatasetError(f"no {path}; expected the authors' list of the test videos of the sub-category {name}:"
                               " `python -m pipeline download --dataset unitalk --parts lists` fetches it, or take"
                               " sub_categories from https://github.com/plnguyen2908/UniTalk-ASD-code")
        for video in read_video_list(path):
            if video in found:
                raise DatasetError(f"{path}: the video {video} is in the list of {found[video]} as well; expected each"
                                   " in one")
            found[video] = name
    return found
