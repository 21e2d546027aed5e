"""What is learnt from and scored, laid out for a model: whole clips, or rows of clips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from models import Model
from pipeline.batch import Batches
from pipeline.clip import Task
from pipeline.errors import UsageError
from pipeline.joined import JoinedStores
from pipeline.learning.conversations import contexts
from pipeline.learning.units import Level, RowsAsClips, Units, align, clip_units, frame_units, settle_level


@dataclass(frozen=True)
class Examples:
    """Clips as a model takes them.

    Args:
        stores: whose clips are divided, taught and tested; for a model that answers once for each clip, and is asked
            about rows, every row is a clip here.
        units: what is answered for at these clips.
        batches: of these clips.
        level, clock: what came of the wishes.
        owner: place of the corpus's clip that each of these is, or is a row of, int64.
    """

    stores: JoinedStores
    units: Units
    batches: Batches
    level: Level
    clock: str
    owner: np.ndarray

    def clips_of(self, places: np.ndarray) -> np.ndarray:
        """Places here of some clips of the corpus, in the order of the clips."""
        rows_stand_as_clips = self.stores.unit_rows is not None
        return np.flatnonzero(np.isin(self.owner, places)) if rows_stand_as_clips else places


def lay_out(stores: JoinedStores, inputs: Sequence[str], tasks: Sequence[Task], *, kind: type[Model],
            pools: Sequence[str], level: Level = "auto", clock: str = "", context: bool | None = None,
            device: torch.device | str = "cpu") -> Examples:
    """Lay out some stores for a model.

    Args:
        stores: whose clips.
        inputs: features to learn from.
        tasks: what is answered.
        kind: the model's class.
        pools: of its config.
        level, clock: what is answered for, as :func:`pipeline.learning.units.settle_level` takes it.
        context: is the model given a context? None: as its class says.
        device: where batches come out.

    Raises:
        UsageError: level, clock, model and tasks do not go together.
        StoreError: a feature or a task's labels are not stored.
        TrainingError: rows cannot be told apart by their times.
    """
    level, clock = settle_level(level, clock, model_level=kind.level, tasks=tasks, stores=stores, inputs=inputs)
    every = np.arange(len(stores))
    if level == "frame" and kind.level == "clip":
        if kind.context:
            raise UsageError(f"{kind.__name__} looks at conversations and not at rows; train it with --level utterance,"
                             " or name another model")
        rows = frame_units(stores, tasks, clock)
        stores, every = RowsAsClips(stores, rows), rows.owner
    where = contexts(stores.clips) if (kind.context if context is None else context) else None
    parts, clip_ids = {name: stores.rows(name) for name in inputs}, stores.clips["clip_id"].to_numpy()
    if kind.level == "frame":
        units = frame_units(stores, tasks, clock)
        aligned = {name: align(stores, name, units) for name in inputs}
        batches = Batches(parts, units.labels, clip_ids, device=device, units=units, aligned=aligned, context=where)
    else:
        labels = {task.name: stores.labels(task.name) for task in tasks}
        units = clip_units(labels, len(stores))
        batches = Batches(parts, labels, clip_ids, pools=pools, device=device, context=where)
    return Examples(stores, units, batches, level, clock, every)
