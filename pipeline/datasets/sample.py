"""Talking faces made on the spot in MELD's form: everything works on them, and nothing has to be fetched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar

import joblib

from pipeline.clip import Corpus
from pipeline.config import setting
from pipeline.datasets import PublishedSplit
from pipeline.datasets._table import Row
from pipeline.datasets.meld import Meld
from pipeline.rendering.corpus import CITATION, LICENCE, is_finished, render_corpus


class Sample(Meld):
    """Rendered dialogues of six speakers, read exactly as MELD is: seven emotions, three sentiments, three splits."""

    @dataclass(frozen=True)
    class Config(Meld.Config):
        """Settings of the rendering; see ``Dataset.Config`` for the rest."""

        num_clips: int = setting(60, "clips to render, at least 3; from 21 on every split holds every emotion")
        seed: int = setting(0, "another seed gives other dialogues, faces and voices")

        def __post_init__(self) -> None:
            if self.num_clips < 3:
                raise ValueError(f"num_clips is at least 3, one for each split; found {self.num_clips}")
            if self.seed < 0:
                raise ValueError(f"seed is not below 0; found {self.seed}")

    config: Config
    default_root: ClassVar[Path] = Path("data/sample")
    known_defects: ClassVar[Mapping[str, str]] = MappingProxyType({})
    known_leaks: ClassVar[str] = "six speakers and a few dozen sentences serve all splits"
    published: ClassVar[Mapping[str, PublishedSplit]] = MappingProxyType({})
    where_to_get: ClassVar[str] = "make it with `python -m pipeline sample --out FOLDER`"

    @property
    def corpus(self) -> Corpus:
        """Tasks as in MELD; made here, so it may be passed on."""
        return replace(super().corpus, name="sample", licence=LICENCE, terms_url="", redistribute="yes",
                       citation=CITATION)

    def _recording(self, split: str, row: Row) -> str:
        """Every dialogue is a recording of its own, and each split numbers its own from the first."""
        return f"{split}, {super()._recording(split, row)}"

    def prepare(self) -> None:
        """Render the corpus unless its folder holds a finished one of these settings and this version.

        Raises:
            DatasetError: the folder holds files that are not a sample dataset's.
            PipelineError: ffmpeg cannot write a clip.
        """
        if not is_finished(self.root, num_clips=self.config.num_clips, seed=self.config.seed):
            render_corpus(self.root, num_clips=self.config.num_clips, seed=self.config.seed,
                          jobs=min(joblib.cpu_count(), 8))
