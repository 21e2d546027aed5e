"""Corpora: one file here is one ``--dataset`` name; it turns a folder and its annotations into clips.

A dataset reads annotations only. It never opens media, so listing the clips of a large corpus takes a second, and it
never drops a clip because its media are bad: that is found, recorded and counted later.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from pipeline.clip import Clip, Corpus
from pipeline.config import setting


class Dataset(ABC):
    """The contract of a corpus reader.

    Attributes:
        notes: after :meth:`clips`, what the reader met that a user should know, one line each.
    """

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

    def prepare(self) -> None:
        """Make or fetch what the corpus needs before it can be read; most need nothing."""
