"""Is one run better than another? Both are scored on the same clips, and on the same redrawn groups of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.clip import Task
from pipeline.errors import TrainingError, UsageError
from pipeline.joined import JoinedStores, open_stores
from pipeline.metrics import metric_names
from pipeline.runs import read_json
from pipeline.scores.answers import read_answers
from pipeline.scores.resampling import paired_difference


def compare(first: Path, second: Path, *, split: str | None = None, seed: int = 0) -> dict[str, Any]:
    """Compare two runs on the clips that both answered.

    Args:
        first, second: folders of finished runs, of one corpus.
        split: whose clips; by default test, or dev where a run has no test split.
        seed: of the draws.

    Returns:
        ``{"first", "second", "split", "num_resamples", "tasks": {TASK: {"num_clips", "num_groups", "only_first",
        "only_second", "metrics": {METRIC: {"first", "second", "difference", "low", "high", "p_value"}}}}}``; scores as
        fractions 0–1, means over seeds; the difference is that of the second run, with its 95 % interval and two-sided
        p-value by a paired bootstrap over groups.

    Raises:
        TrainingError: a folder holds no finished run, or the runs give a clip other labels.
        UsageError: they share no split, task or clip.
        StoreError: the store of the first run, which knows the groups, cannot be read.
    """
    answers = [_answers(run) for run in (first, second)]
    plans = [read_json(run / "config.json") for run in (first, second)]
    split = split or _shared_split(answers)
    stores = open_stores([Path(path) for path in plans[0]["features"]])
    tasks = [name for name in plans[0]["tasks"] if name in plans[1]["tasks"]]
    if not tasks:
        raise UsageError(f"{first} answers {', '.join(plans[0]['tasks'])} and {second} {', '.join(plans[1]['tasks'])};"
                         " compare runs that share a task")
    found = {name: _compare_task(stores.tasks[name], [_of(part, name, split) for part in answers], stores, seed,
                                 names=(str(first), str(second))) for name in tasks}
    return {"first": str(first), "second": str(second), "split": split, "num_resamples": 2000, "tasks": found}


def _answers(run: Path) -> pd.DataFrame:
    table = read_answers(run / "predictions.csv")
    if "seed" not in table:
        raise TrainingError(f"{run / 'predictions.csv'} has no column seed; expected the table that train writes")
    return table


def _shared_split(answers: list[pd.DataFrame]) -> str:
    shared = set(answers[0]["split"]) & set(answers[1]["split"])
    for name in ("test", "dev"):
        if name in shared:
            return name
    raise UsageError(f"the runs were scored on {', '.join(sorted(set(answers[0]['split'])))} and"
                     f" {', '.join(sorted(set(answers[1]['split'])))}; name a split that both have with --split")


def _of(answers: pd.DataFrame, task: str, split: str) -> Mapping[str, pd.DataFrame]:
    """Labelled rows of a task and split by seed, indexed by what was answered for."""
    rows = answers[(answers["task"] == task) & (answers["split"] == split) & (answers["label"] != "")]
    keys = [name for name in ("clip_id", "row") if name in rows]
    return {str(seed): part.set_index(keys) for seed, part in rows.groupby("seed", sort=False)}


def _compare_task(task: Task, runs: list[Mapping[str, pd.DataFrame]], stores: JoinedStores, seed: int, *,
                  names: tuple[str, str]) -> dict[str, Any]:
    if not runs[0] or not runs[1]:
        raise UsageError(f"{names[0] if not runs[0] else names[1]} has no labelled answers for {task.name!r} there")
    indices = [next(iter(run.values())).index for run in runs]
    shared = indices[0].intersection(indices[1] if indices[0].names == indices[1].names else indices[0][:0], sort=False)
    if not len(shared):
        raise UsageError(f"{names[0]} and {names[1]} share no clip for {task.name!r}: compare runs on one corpus, both"
                         " of clips or both of rows")
    parts = [[part.loc[shared] for part in run.values()] for run in runs]
    labels = [_values(task, part[0]["label"]) for part in parts]
    if not np.array_equal(labels[0], labels[1]):
        place = int(np.flatnonzero(labels[0] != labels[1])[0])
        raise TrainingError(f"{shared[place]} has one label for {task.name!r} in {names[0]} and another in {names[1]};"
                            " compare runs on one reading of the corpus")
    groups = stores.clips.set_index("clip_id")["group"].reindex(shared.get_level_values("clip_id")).fillna("")
    predictions = [[_values(task, rows["prediction"]) for rows in part] for part in parts]
    certain = [[rows[f"probability_{task.positive}"].astype(float).to_numpy() if task.positive else None
                for rows in part] for part in parts]
    found = paired_difference(task, labels[0], predictions[0], predictions[1], groups.to_numpy(object),
                              certain=certain, seed=seed)
    return {"num_clips": len(shared), "num_groups": len(set(groups) - {""}) + int((groups == "").sum()),
            "only_first": len(indices[0]) - len(shared), "only_second": len(indices[1]) - len(shared),
            "metrics": {name: {**asdict(found[name]), "difference": found[name].difference}
                        for name in metric_names(task) if name in found}}


def _values(task: Task, cells: pd.Series) -> np.ndarray:
    """Class indices or values, (N,).

    Raises:
        TrainingError: a cell that is neither.
    """
    try:
        if task.classes:
            return np.array([task.classes.index(cell) for cell in cells], np.int64)
        return cells.astype(float).to_numpy()
    except ValueError as error:
        raise TrainingError(f"predictions.csv has an answer for {task.name!r} that the store does not know ({error});"
                            " train again") from error
