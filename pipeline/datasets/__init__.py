"""Corpora: one file here is one ``--dataset`` name; it turns a folder and its annotations into clips.

A dataset reads annotations only. It never opens media, so listing the clips of a large corpus takes a second, and it
never drops a clip because its media are bad: that is found, recorded and counted later.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

from pipeline.clip import Clip, Corpus
from pipeline.config import setting


@dataclass(frozen=True)
class PublishedSplit:
    """Figures that a corpus's authors state for one of its splits.

    Args:
        num_clips: how many clips.
        num_groups: how many groups (dialogues, actors); several where the authors contradict themselves, all accepted.
        labels: clips by class, for each task.
    """

    num_clips: int
    num_groups: tuple[int, ...] = ()
    labels: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


class RecordedSpan(NamedTuple):
    """Where a clip was cut from, as the annotation says.

    Args:
        recording: an episode, a session, a file: clips of one recording share its clock.
        start_seconds, stop_seconds: on that clock; as annotated, so the stop may not lie behind the start.
    """

    recording: str
    start_seconds: float
    stop_seconds: float


class Dataset(ABC):
    """The contract of a corpus reader.

    What a reader declares of its corpus beyond the clips serves the ``doctor``; all of it may stay empty.

    Attributes:
        notes: after :meth:`clips`, what the reader met that a user should know, one line each.
        known_defects: what is wrong with the files as published, by clip id; a key with ``*`` stands for all ids of
            that form. A file without annotation has the id that its clip would have.
        known_leaks: what the official splits share by design, in a sentence.
        published: figures to check a copy against, by split.
        default_extractors: features that are made of it where the user names none.
    """

    known_defects: ClassVar[Mapping[str, str]] = MappingProxyType({})
    known_leaks: ClassVar[str] = ""
    published: ClassVar[Mapping[str, PublishedSplit]] = MappingProxyType({})
    default_extractors: ClassVar[tuple[str, ...]] = ("text_bert", "audio_resnet18", "face_r3d18")

    @dataclass(frozen=True)
    class Config:
        """Settings that every corpus has; a reader may add its own in a subclass."""

        root: Path | None = setting(None, "folder of the corpus; by default its place under data/")
        splits: tuple[str, ...] = setting((), "only these splits, for instance train,dev; empty: all")

    default_root: ClassVar[Path]

    def __init__(self, config: Any = None) -> None:
        self.config: Any = config if config is not None else self.Config()
        self.root: Path = self.config.root if self.config.root is not None else self.default_root
        self.notes: list[str] = []

    @property
    @abstractmethod
    def corpus(self) -> Corpus:
        """Name, tasks, licence and citation; for a manifest the tasks are those its columns name."""

    @abstractmethod
    def clips(self) -> Iterator[Clip]:
        """All clips in a fixed order, without opening any media.

        Raises:
            DatasetError: an annotation file is missing or malformed; the message names it, the row, and for a missing
                one where to get it.
        """

    def media_folders(self) -> Mapping[str, Path]:
        """Folders in which every media file should be a clip's, by the split that it would belong to."""
        return {}

    def recorded_spans(self) -> Mapping[str, RecordedSpan]:
        """By clip id, where the annotation says that a clip lies in its recording.

        Clips with times of their own in a file need no entry; others without one have no known length.

        Raises:
            DatasetError: as :meth:`clips`.
        """
        return {}

    def prepare(self) -> None:
        """Make or fetch what the corpus needs before it can be read; most need nothing."""
