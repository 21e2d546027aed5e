"""A run made once more from its own settings and stores, and how far the second comes from the first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.errors import TrainingError
from pipeline.learning.training_loop import Progress
from pipeline.runs import read_json
from pipeline.scores.answers import read_answers
from pipeline.training import train_again

KEY = ("fold", "clip_id", "row", "split", "seed", "task")   # what names an answer; not all runs have folds or rows
TOLERANCE = 0.005       # half a point: what another processor's rounding has been seen to move


def reproduce(run: Path, *, out: Path | None = None, features: Sequence[Path] | None = None,
              tolerance: float = TOLERANCE, progress: Progress | None = None) -> dict[str, Any]:
    """Train a finished run anew and compare every score and every answer.

    On one kind of processor, with the same versions, all are equal. The test split is read once more, which is counted
    as any reading is.

    Args:
        run: folder of a finished run.
        out: a new folder for the second; by default beside the first, with ``-again`` behind its name.
        features: the stores, where they are no longer where the run found them.
        tolerance: by how much a score's mean over seeds may differ.
        progress: is told what happens.

    Returns:
        ``{"run", "again", "tolerance", "reproduced", "scores": [{"split", "task", "metric", "first", "again"}],
        "answers": {"compared", "other", "largest_difference"}}``: scores are means over seeds, ``other`` counts the
        answers that became another class, and the largest difference is of a probability or value.

    Raises:
        TrainingError: the folder holds no finished run, its stores or folds changed, or ``out`` holds a run.
        UsageError, StoreError: as for :func:`pipeline.training.train`.
    """
    metrics, answers = read_json(run / "metrics.json"), read_answers(run / "predictions.csv")
    out = out if out is not None else run.with_name(run.name + "-again")
    train_again(run, out, features=features, progress=progress)
    scores = _scores(metrics, read_json(out / "metrics.json"))
    return {"run": str(run), "again": str(out), "tolerance": tolerance,
            "reproduced": all(_near(line, tolerance) for line in scores), "scores": scores,
            "answers": _answers(answers, read_answers(out / "predictions.csv"))}


def _near(line: Mapping[str, Any], tolerance: float) -> bool:
    first, again = line["first"], line["again"]
    return first == again or (first is not None and again is not None and abs(first - again) <= tolerance)


def _scores(first: Mapping[str, Any], again: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Means of all scores that either has; None where one lacks it."""
    parts = [_means(metrics) for metrics in (first, again)]
    return [dict(zip(("split", "task", "metric"), key, strict=True), first=parts[0].get(key), again=parts[1].get(key))
            for key in dict.fromkeys([*parts[0], *parts[1]])]


def _means(metrics: Mapping[str, Any]) -> dict[tuple[str, str, str], float]:
    try:
        return {(split, task, metric): values["mean"] for split in metrics["num_clips"]
                for task, scores in metrics[split].items() for metric, values in scores.items()}
    except (LookupError, TypeError, AttributeError) as error:
        raise TrainingError(f"metrics.json does not hold scores as train writes them ({error!r}); train the run"
                            " anew") from error


def _answers(first: pd.DataFrame, again: pd.DataFrame) -> dict[str, Any]:
    key = [name for name in KEY if name in first]
    try:
        both = first.merge(again, on=key, how="outer", suffixes=("", " again"), validate="one_to_one")
    except (KeyError, pd.errors.MergeError) as error:
        raise TrainingError(f"predictions.csv does not hold one answer a line as train writes them ({error}); train"
                            " the run anew") from error
    numbers = [name for name in map(str, first) if name.startswith("probability_")]
    is_class = (both[numbers] != "").any(axis=1).to_numpy() if numbers else np.zeros(len(both), bool)
    apart = {name: np.abs(_numbers(both[name]) - _numbers(both[f"{name} again"])) for name in [*numbers, "prediction"]}
    apart["prediction"][is_class] = np.nan          # a class that is called by a number is no number
    other = is_class & (both["prediction"] != both["prediction again"]).to_numpy()
    return {"compared": len(both), "other": int(other.sum()),
            "largest_difference": float(max(np.nanmax(values, initial=0.0) for values in apart.values()))}


def _numbers(texts: pd.Series[Any]) -> np.ndarray:
    return np.array(pd.to_numeric(texts, errors="coerce"), dtype=float)
