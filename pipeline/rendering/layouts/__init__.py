"""Forms in which the sample dataset is written: one file here is one ``sample --layout`` name.

A layout says which clips there are, how each is filmed, where its video lies and which tables stand beside them all;
``rendering.corpus`` does the rest.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import unknown_name

if TYPE_CHECKING:
    import numpy as np

    from pipeline.rendering.scene import Box, Scene, Track
    from pipeline.rendering.speech import Word

Rows = Sequence[Sequence[str]]


@dataclass(frozen=True)
class Shot:
    """A clip to be filmed.

    Args:
        video: its file below the corpus's folder, slashes between.
        effort: how long it takes, relative to the others; the longest are filmed first.
        film: says, acts and films it; what the layout leaves open comes from the generator. It travels to other
            processes.
        write_beside: writes what else the corpus holds of the clip, given the corpus's folder; it travels too.
    """

    video: str
    effort: float
    film: Callable[[np.random.Generator], Scene]
    write_beside: Callable[[Scene, Path], None] | None = None


@dataclass(frozen=True)
class Filmed:
    """What tables may need to know of a clip once its video is written; fields as in ``scene.Scene``."""

    num_frames: int
    height: int
    width: int
    rate_hz: Fraction
    words: tuple[Word, ...]
    speaking_box: Box
    listening_box: Box | None
    tracks: tuple[Track, ...] = ()

    @property
    def duration_seconds(self) -> float:
        return float(self.num_frames / self.rate_hz)


@dataclass(frozen=True)
class Table:
    """A CSV beside the videos: its header and its rows."""

    columns: tuple[str, ...]
    rows: Rows


@dataclass(frozen=True)
class Plan:
    """A whole corpus before it is filmed.

    Args:
        shots: its clips.
        tables: from what was filmed, in the shots' order, the CSVs by their path below the corpus's folder; a text
            is written as it is.
    """

    shots: tuple[Shot, ...]
    tables: Callable[[Sequence[Filmed]], Mapping[str, Table | str]]


@dataclass(frozen=True)
class Layout:
    """One corpus's form.

    Args:
        name: as after ``--layout``.
        num_clips: how many clips unless the user says.
        plan: from a number of clips and a seed, what to film.
        top: patterns of the names that it makes directly in the folder.
        readme: what a finder of the folder should know.
    """

    name: str
    num_clips: int
    plan: Callable[[int, int], Plan]
    top: tuple[str, ...]
    readme: str


def names() -> tuple[str, ...]:
    """Layouts that are known, sorted."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def find(name: str) -> Layout:
    """The layout of that name.

    Raises:
        UsageError: there is none; the nearest are given.
    """
    if name not in names():
        raise unknown_name("layout", name, names())
    found = importlib.import_module(f"{__name__}.{name}").LAYOUT
    assert isinstance(found, Layout)
    return found


def words_table(first: Sequence[str], clips: Sequence[tuple[Sequence[str], Filmed]]) -> Table:
    """When each word is said.

    Args:
        first: names of the columns that name a clip.
        clips: of each clip what stands in these columns, and what was filmed.
    """
    return Table((*first, "word", "start_seconds", "stop_seconds"),
                 [(*name, word.text, f"{word.start_seconds:.3f}", f"{word.stop_seconds:.3f}")
                  for name, filmed in clips for word in filmed.words])


def box_text(box: Box | None) -> str:
    """Left, top, right, bottom in pixels; "" for None."""
    return "" if box is None else " ".join(f"{side:.1f}" for side in box)
