"""Features of a store brought to one clock, as a store of their own that is joined with it by clip id."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.config import digest
from pipeline.curation.alignment import How, onto, steps
from pipeline.errors import StoreError, UsageError, unknown_name
from pipeline.media import FeatureSequence
from pipeline.storage.lock import locked
from pipeline.storage.packing import Cell, Failure, FeatureData, stored_clips, stored_sources, write_store
from pipeline.storage.shards import open_store
from pipeline.store import TIMES_KINDS, FeatureStore

VERSION = 1
WORDS = "words"  # as a clock: the feature text_words


@dataclass(frozen=True)
class Aligned:
    """What came of it.

    Args:
        path: the new store.
        features: of each new feature its rows, the clips that have some, and clips whose times are guessed.
    """

    path: Path
    features: Mapping[str, tuple[int, int, int]]


def align(store: Path, out: Path, sources: Sequence[str], clock: str, *, how: How = "mean",
          progress: Callable[[int, int], None] = lambda done, total: None) -> Aligned:
    """Write features of a store with one row for each row of another, or for each step of a fixed length.

    A row of the clock that no row of the feature overlaps is left out, so that rows say by their times, and never by
    their number, what they belong to. Times are guessed where those of the feature or of the clock are. A clip that
    failed in the feature or the clock fails here. Clips pass one by one.

    Args:
        store: what to align; it is not changed.
        out: the new store, which must not be there. Its features are named ``"SOURCE@CLOCK"``.
        sources: the features.
        clock: a feature; ``"words"`` for ``text_words``; or the length of a step in seconds, ``"0.04"``.
        how: see :func:`pipeline.curation.alignment.onto`.
        progress: told how many clips are done, and of how many.

    Raises:
        UsageError: a feature that is not there, a step that is not above 0 s, no source, pixels that are to be
            averaged, or ``out`` is there.
        StoreError: the store cannot be read, rows of a feature or of the clock have no times, or ``out`` cannot be
            written.
    """
    if out.exists():
        raise UsageError(f"{out} is there already; name another --out, or remove it first")
    if not sources:
        raise UsageError("no feature to align; name some with --source")
    opened = open_store(store)
    step = _step(clock)
    if step is None:
        clock = "text_words" if clock == WORDS else clock
    for name in (*sources, *((clock,) if step is None else ())):
        if name not in opened.features:
            raise unknown_name(f"feature of {store}", name, opened.features)
        _check_times(opened, name)
    for name in sources:
        if how != "nearest" and np.dtype(opened.head(name)["dtype"]) != np.float32:
            raise UsageError(f"rows of {name} are pixels, which are only taken as they are; use --how nearest")
    jobs = [_Job(opened, name, clock, step, how) for name in sources]
    total, done = len(jobs) * opened.num_clips, 0
    features, counts = {}, {}
    for job in jobs:
        cells = {}
        for place, clip_id in enumerate(opened.column("clip_id").tolist()):
            cells[clip_id] = job.cell(place)
            done += 1
            progress(done, total)
        features[job.name] = job.feature(cells)
        counts[job.name] = (sum(cell.num_rows for cell in cells.values()),
                            sum(cell.num_rows > 0 for cell in cells.values()),
                            sum(cell.num_rows > 0 and cell.times_kind == "proportional" for cell in cells.values()))
    with locked(out):
        write_store(out, corpus=opened.corpus, clips=stored_clips(opened), sources=stored_sources(opened),
                    features=features)
    return Aligned(out, counts)


def _step(clock: str) -> float | None:
    """Seconds of a clock of steps; None for a feature's name."""
    try:
        step = float(clock)
    except ValueError:
        return None
    if not 0 < step < float("inf"):
        raise UsageError(f"--clock {clock}: a step is above 0 s, for instance 0.04; or name a feature")
    return step


def _check_times(store: FeatureStore, name: str) -> None:
    kinds = store.times_kinds(name)[np.diff(store.offsets(name)) > 0]
    if (kinds == TIMES_KINDS.index("none")).any():
        raise StoreError(f"rows of {name} in {store.path} have no times, so none can be told to belong to another;"
                         " choose a feature whose rows have times (python -m pipeline inspect shows them)")


@dataclass(frozen=True)
class _Job:
    """One feature and its clock."""

    store: FeatureStore
    source: str
    clock: str
    step: float | None
    how: How

    @property
    def name(self) -> str:
        """``"audio_logmel@0.04s"``; an ``@`` in either name becomes ``-``, so that one stays."""
        clock = f"{self.step:g}s" if self.step is not None else self.clock
        return f"{self.source.replace('@', '-')}@{clock.replace('@', '-')}"

    def cell(self, place: int) -> Cell:
        """One clip's rows, worked out now for their digest and again when they are written."""
        for name in (self.source, *(() if self.step is not None else (self.clock,))):
            status = self.store.status(name)[place]
            if status == "failed":
                return Cell.failed(Failure("align", "permanent", f"{name} failed, which this is made from"))
            if status == "missing":
                return Cell()
        return replace(Cell.of(self._rows(place)), load=lambda: self._rows(place))

    def _rows(self, place: int) -> FeatureSequence:
        rows = self.store.cell(place, self.source)
        if self.step is not None:
            stop = float(rows.times[:, 1].max()) if len(rows.times) else 0.0
            clock, kinds = steps(self.step, stop), {rows.times_kind}
        else:
            other = self.store.cell(place, self.clock)
            clock, kinds = other.times, {rows.times_kind, other.times_kind}
        values, which = onto(np.asarray(rows.values), np.asarray(rows.times), np.asarray(clock), self.how)
        return FeatureSequence(values, np.ascontiguousarray(clock[which]),
                               "proportional" if "proportional" in kinds else "measured")

    def feature(self, cells: Mapping[str, Cell]) -> FeatureData:
        """The cells with how they were made."""
        head = self.store.head(self.source)
        made: Mapping[str, Any] = self.store.recipe(self.source)
        settings: dict[str, Any] = {"source": self.source, "clock": self.clock if self.step is None else self.step,
                                    "how": self.how}
        if "layers" in (made.get("settings") or {}):
            settings["layers"] = made["settings"]["layers"]  # tells that a row is one of layers, as in the source
        upstream = {name: self.store.fingerprint(name)
                    for name in (self.source, *(() if self.step is not None else (self.clock,)))}
        made_by = {"extractor": "align", "version": VERSION, "settings": settings, "upstream": upstream}
        recipe = {"feature": self.name, **made_by, "weights": [], "fingerprint": digest(made_by)}
        return FeatureData(self.store.modality(self.source), self.store.row_shape(self.source), recipe, cells=cells,
                           dtype=head["dtype"], columns=tuple(head.get("columns", ())),
                           is_input=self.store.is_input(self.source))
