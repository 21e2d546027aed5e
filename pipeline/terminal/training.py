"""What training and scoring show: epoch by epoch, then scores beside what they must beat."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.terminal import Bar, console, escape, new_table, note, show_table

WAYS = {"majority": "majority of its rows", "mean_probability": "mean of its rows"}


class TrainingProgress(Bar):
    """Epoch by epoch: loss and the dev metric."""

    def on_start(self, plan: Mapping[str, Any]) -> None:
        console.print(f"{escape(plan['model'])} on {escape(', '.join(plan['inputs']))}; tasks:"
                      f" {escape(', '.join(plan['tasks']))}", soft_wrap=True)
        for line in plan.get("notes", ()):
            note(str(line))
        self._tasks: dict[str, Any] = {}
        self._fold = ""

    def on_fold(self, name: str, number: int, num_folds: int) -> None:
        self._fold = f"fold {number} of {num_folds}, "
        for task in self._tasks.values():
            self.bar.remove_task(task)
        self._tasks.clear()

    def on_epoch(self, seed: int, epoch: int, num_epochs: int, metrics: Mapping[str, Any]) -> None:
        name = f"{self._fold}seed {seed}"
        if name not in self._tasks:
            self._tasks[name] = self.bar.add_task(name, total=num_epochs, detail="")
        self.bar.update(self._tasks[name], completed=epoch,
                        detail=f"loss {metrics['train_loss']:.3f}, dev {metrics['dev_loss']:.3f}")


def show_metrics(run: Path) -> None:
    """Scores of a finished run, beside its baselines; of a run by folds each fold's too."""
    from pipeline.runs import read_json
    metrics = read_json(run / "metrics.json")
    if "folds" in metrics:
        show_folds(metrics)
    show_scores(metrics)


def show_folds(metrics: Mapping[str, Any]) -> None:
    """One row for each fold and task."""
    from pipeline.learning.folds import few
    for shown in (("accuracy", "uar"), ("ccc", "mae")):
        rows = [(name, few(fold["test_groups"]) or "–", task, fold["num_clips"]["test"]["scored"][task],
                 *(_figure(values, metric) for metric in shown))
                for name, fold in metrics["folds"].items() for task, values in fold["test"].items()
                if shown[0] in values]
        if rows:
            show_table(f"Folds of {metrics['protocol']['name']}{_unit(shown)}, mean±sd over seeds",
                       ("fold", "tested groups", "task", "clips", *shown), rows)


def show_scores(metrics: Mapping[str, Any]) -> None:
    """One row for each split, task and model, on stderr; then whole clips', and what trivial cues reach."""
    from pipeline.pages.audit_tables import CUES
    splits = list(metrics["num_clips"])
    of_model = {"model": {split: metrics[split] for split in splits if split in metrics}}
    _show_systems("Scores", splits, {**of_model, **metrics.get("baselines", {})})
    _show_systems("Whole clips, by their rows' answers", splits, {
        WAYS.get(way, way): scores for way, scores in metrics.get("utterances", {}).items()})
    # Of one split, the last: that of test, where there is one.
    _show_systems("What could be guessed without looking", splits[-1:], {
        CUES.get(cue, cue): scores for cue, scores in metrics.get("shortcuts", {}).items()})
    for line in metrics.get("notes", ()):
        note(str(line))


def _show_systems(title: str, splits: Sequence[str], systems: Mapping[str, Mapping[str, Any]]) -> None:
    """One row for each split, task and system; nothing where none was scored.

    Args:
        title: of the table.
        splits: to show, in order.
        systems: ``{name: {split: {task: {metric: …}}}}``.
    """
    rows = [(split, task, name, values) for split in splits for name, scores in systems.items()
            for task, values in scores.get(split, {}).items()]
    if not rows:
        return
    metrics = list(dict.fromkeys(metric for *_, values in rows for metric in values))
    table = new_table(f"{title}{_unit(metrics)}, mean±sd over seeds")
    for column, width in (("split", 5), ("task", 9), ("by", 10)):
        table.add_column(column, min_width=width)
    for metric in metrics:
        table.add_column(metric.replace("_", " "), justify="right", min_width=8)
    for split, task, name, values in sorted(rows, key=lambda row: (splits.index(row[0]), row[1])):
        table.add_row(escape(split), escape(task), name.replace("_", " "),
                      *(_figure(values, metric) if metric in values else "" for metric in metrics))
    console.print(table)


def _unit(metrics: Iterable[str]) -> str:
    """What the figures of some metrics are in: correlations and errors are as they are."""
    from pipeline.metrics import SHARES
    return ", %" if set(metrics) <= set(SHARES) else ", shares in %" if set(metrics) & set(SHARES) else ""


def _figure(scores: Mapping[str, Any], metric: str) -> str:
    """A score with its spread over several seeds; "–" where there is none."""
    from pipeline.pages.tables import printed
    value = scores[metric]
    if value["mean"] is None:
        return "–"
    return printed(metric, value["mean"]) + (f"±{printed(metric, value['sd'])}" if len(value["seeds"]) > 1 else "")
