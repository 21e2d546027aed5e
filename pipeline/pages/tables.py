"""Tables of the report as plain values: scores beside baselines, confusion, scores by class, coverage."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.metrics import classification_report, confusion_matrix

from pipeline.clip import Task
from pipeline.learning.folds import few
from pipeline.metrics import SHARES, metric_names
from pipeline.store import FeatureStore

METRIC_TITLES = {"average_precision": "average precision", "accuracy": "accuracy", "weighted_f1": "weighted F1",
                 "macro_f1": "macro F1", "uar": "UAR", "ccc": "CCC", "pearson": "Pearson’s r",
                 "mae": "mean error", "rmse": "RMSE"}
BASELINES = {"majority": "the commonest class", "logistic_regression": "logistic regression",
             "ridge": "ridge regression", "tfidf": "TF-IDF of the words"}
MEAN_BASELINE = "the mean value"


def scaled(metric: str, value: float) -> float:
    """A score as it is printed: shares in per cent, correlations and errors as they are."""
    return value * 100 if metric in SHARES else value


def printed(metric: str, value: float) -> str:
    """One decimal for per cents, three otherwise, with a true minus sign.

    >>> printed("accuracy", 0.62149), printed("ccc", -0.1)
    ('62.1', '−0.100')
    """
    return f"{scaled(metric, value):.{1 if metric in SHARES else 3}f}".replace("-", "−")


@dataclass(frozen=True)
class Figure:
    """One printed score: exact value, its text, and the spread over seeds, "" for a single one."""

    value: float
    text: str
    spread: str = ""


@dataclass(frozen=True)
class SystemRow:
    """Scores of the model or of one baseline on one task.

    Args:
        name: of the system, in words.
        is_model: is it the model?
        figures: in the order of the table's metrics.
        seeds: main score of each seed.
        interval: low and high of the main score; None for baselines.
    """

    name: str
    is_model: bool
    figures: tuple[Figure, ...]
    seeds: tuple[float, ...]
    interval: tuple[float, float] | None = None


@dataclass(frozen=True)
class ScoreTable:
    """All systems on one task and split; the first metric is the main one."""

    task: Task
    split: str
    metrics: tuple[str, ...]
    rows: tuple[SystemRow, ...]
    num_clips: int
    num_groups: int

    @property
    def main(self) -> str:
        return self.metrics[0]

    @property
    def model(self) -> SystemRow:
        return self.rows[-1]

    @property
    def baselines(self) -> tuple[SystemRow, ...]:
        return self.rows[:-1]


def score_table(metrics: Mapping[str, Any], task: Task, split: str, *, model: str) -> ScoreTable:
    """The scores of ``metrics.json`` for one task and split, baselines first and the model last."""
    interval = metrics["intervals"][split][task.name]
    order = (interval["metric"], *(name for name in metric_names(task) if name != interval["metric"]))
    rows = []
    for name, scores in metrics.get("baselines", {}).items():
        if task.name in scores.get(split, {}):
            title = MEAN_BASELINE if name == "majority" and not task.classes else BASELINES.get(name, name)
            rows.append(_system(title, scores[split][task.name], order))
    own = _system(model, metrics[split][task.name], order, (interval["low"], interval["high"]), is_model=True)
    return ScoreTable(task, split, order, (*rows, own), metrics["num_clips"][split]["scored"][task.name],
                      interval["num_groups"])


def _system(name: str, scores: Mapping[str, Any], order: Sequence[str], interval: tuple[float, float] | None = None,
            *, is_model: bool = False) -> SystemRow:
    return SystemRow(name, is_model, _figures(scores, order), tuple(scores[order[0]]["seeds"]), interval)


@dataclass(frozen=True)
class FoldRow:
    """Scores of the networks of one fold on its test clips."""

    name: str
    groups: str
    num_clips: int
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class FoldTable:
    """One task fold by fold, and all folds' predictions scored together, with an interval for each figure."""

    task: Task
    metrics: tuple[str, ...]
    rows: tuple[FoldRow, ...]
    num_clips: int
    pooled: tuple[Figure, ...]
    intervals: tuple[tuple[float, float], ...]


def fold_table(metrics: Mapping[str, Any], task: Task) -> FoldTable:
    """The folds of ``metrics.json`` for one task: accuracy and UAR, or CCC and the mean error."""
    order = ("accuracy", "uar") if task.classes else ("ccc", "mae")
    rows = []
    for name, fold in metrics["folds"].items():
        if task.name in fold["test"]:
            rows.append(FoldRow(name, few(fold["test_groups"]), fold["num_clips"]["test"]["scored"][task.name],
                                _figures(fold["test"][task.name], order)))
    found = metrics["intervals"]["test"][task.name]["by_metric"]
    return FoldTable(task, order, tuple(rows), metrics["num_clips"]["test"]["scored"][task.name],
                     _figures(metrics["test"][task.name], order),
                     tuple((found[metric]["low"], found[metric]["high"]) for metric in order))


def _figures(scores: Mapping[str, Any], order: Sequence[str]) -> tuple[Figure, ...]:
    return tuple(Figure(scores[metric]["mean"], printed(metric, scores[metric]["mean"]),
                        printed(metric, scores[metric]["sd"]) if len(scores[metric]["seeds"]) > 1 else "")
                 for metric in order)


@dataclass(frozen=True)
class ClassRow:
    """How one class fares, as means over seeds; shares 0–1."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Confusion:
    """Answers by true class, as means over seeds.

    Args:
        classes: names.
        counts: true class by predicted class, (C, C).
        rows: scores by class.
    """

    classes: tuple[str, ...]
    counts: np.ndarray
    rows: tuple[ClassRow, ...]

    def shares(self) -> np.ndarray:
        """``counts`` with every row that has clips summing to 1."""
        shares: np.ndarray = self.counts / np.maximum(self.counts.sum(1, keepdims=True), 1)
        return shares


def confusion(task: Task, predictions: pd.DataFrame) -> Confusion:
    """What was taken for what.

    Args:
        task: a classification.
        predictions: rows of ``predictions.csv`` of one split and this task, labelled ones only.
    """
    names = list(task.classes)
    counts, reports = [], []
    for _, seed in predictions.groupby("seed", sort=True):
        counts.append(confusion_matrix(seed["label"], seed["prediction"], labels=names))
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "y_pred contains classes not in y_true")
            reports.append(classification_report(seed["label"], seed["prediction"], labels=names, output_dict=True,
                                                 zero_division=0))
    means = {name: {key: float(np.mean([report[name][key] for report in reports]))
                    for key in ("precision", "recall", "f1-score", "support")} for name in names}
    rows = [ClassRow(name, mean["precision"], mean["recall"], mean["f1-score"], round(mean["support"]))
            for name, mean in means.items()]
    return Confusion(task.classes, np.mean(counts, axis=0), tuple(rows))


@dataclass(frozen=True)
class Coverage:
    """How many clips of a split have a feature."""

    feature: str
    split: str
    done: int
    empty: int
    failed: int
    missing: int


def coverage(stores: Sequence[FeatureStore]) -> list[Coverage]:
    """Counts for every feature of some stores, by the stores' own splits in their order."""
    rows = []
    for store in stores:
        splits = store.column("split")
        for feature in store.features:
            statuses = store.status(feature)
            for split in dict.fromkeys(splits.tolist()):
                there = statuses[splits == split]
                rows.append(Coverage(feature, split, **{name: int((there == name).sum())
                                                        for name in ("done", "empty", "failed", "missing")}))
    return rows
