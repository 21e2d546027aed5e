"""What the command line shows: progress and tables on stderr, in plain text where that is no terminal."""

from __future__ import annotations

import dataclasses
import inspect
import time
import typing
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn, DownloadColumn, Progress, ProgressColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn,
    TimeRemainingColumn, TransferSpeedColumn,
)
from rich.table import Table
from rich.text import Text

from pipeline import plugins

if TYPE_CHECKING:
    from pipeline.extraction import ExtractionReport
    from pipeline.running.forecast import Forecast
    from pipeline.recipes import PlannedFeature
    from pipeline.running.scheduling import Todo
    from pipeline.running.worker import ChunkReport

MOST_ROWS = 20  # of a table of failures; `inspect --json` has them all
PLAIN_WIDTH = 120  # columns where the output is no terminal


def _console(*, stderr: bool = False) -> Console:
    console = Console(stderr=stderr, highlight=False)
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    return console


console = _console(stderr=True)


class _Bar:
    """A progress bar that lasts as long as a ``with`` block."""

    def __init__(self, *columns: ProgressColumn) -> None:
        self.bar = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=28), *(columns or (TaskProgressColumn(),)),
            TextColumn("{task.fields[detail]}"), TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(),
            console=console, transient=True, disable=not console.is_terminal)

    def __enter__(self) -> typing.Any:
        self.bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 trace: TracebackType | None) -> None:
        self.bar.stop()


class ExtractionProgress(_Bar):
    """Clips a second, what is slow, time left and failures so far."""

    def waiting(self, message: str) -> None:
        console.print(f"[yellow]note[/] {escape(message)}", soft_wrap=True)

    def planned(self, num_clips: int, todos: Sequence[Todo], features: Sequence[PlannedFeature],
                notes: Sequence[str]) -> None:
        for note in notes:
            console.print(f"[yellow]note[/] {escape(note)}", soft_wrap=True)
        names = ", ".join(feature.name for feature in features)
        console.print(f"{num_clips} clips, {len(todos)} of them to work on: {escape(names)}", soft_wrap=True)
        for feature in features:
            sources = {record["source"] for record in feature.recipe["weights"]}
            if "random" in sources:
                console.print(f"[yellow]note[/] {escape(feature.name)} has random weights: for trying things out only")
        # The bar counts predicted work, so that a long clip at the end is no surprise; clips are told beside it.
        self._task = self.bar.add_task("extract", total=sum(todo.cost for todo in todos), detail="starting workers")
        self._seconds: dict[str, float] = defaultdict(float)
        self._all, self._done, self._failed, self._began = len(todos), 0, 0, time.perf_counter()

    def advanced(self, report: ChunkReport, cost: float) -> None:
        self._done += report.num_clips
        self._failed += len({clip_id for clip_id, _, _ in report.failures})
        for stage, spent in report.seconds.items():
            self._seconds[stage] += spent
        stages = {stage: spent for stage, spent in self._seconds.items() if stage != "total"}
        slowest = max(stages, key=lambda stage: stages[stage]) if stages else "–"
        rate = self._done / (time.perf_counter() - self._began)
        detail = f"{self._done} of {self._all} clips, {rate:.2g}/s, slowest {slowest}, {self._failed} failed"
        self.bar.update(self._task, advance=cost, detail=escape(detail))

    def stopping(self) -> None:
        console.print("finishing the clips in work, once more to stop at once; the same command goes on from there")

    def packing(self) -> None:
        if self.bar.task_ids:
            self.bar.update(self._task, detail="packing")


def _table(title: str, *, show_header: bool = True) -> Table:
    """A table with its title over it, on one line however narrow the table is."""
    table = Table(show_header=show_header, title_justify="left")
    table.title = Text(title, style="bold", no_wrap=True, overflow="ignore")
    return table


def show_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]], *, stdout: bool = False) -> None:
    """A table of plain values; columns that hold only numbers stand to the right."""
    kept = [list(row) for row in rows]
    table = _table(title)
    for place, column in enumerate(columns):
        numbers = bool(kept) and all(isinstance(row[place], (int, float)) for row in kept)
        table.add_column(escape(column), justify="right" if numbers else "left", overflow="fold")
    for row in kept:
        table.add_row(*(escape(f"{value:,}" if isinstance(value, int) else str(value)) for value in row))
    (_console() if stdout else console).print(table)


@contextmanager
def counting(description: str, *, in_bytes: bool = False) -> Iterator[Callable[[int, int], None]]:
    """A bar for work that tells how far it is: yields ``report(done, total)``; bytes are shown with their speed."""
    with _Bar(DownloadColumn(), TransferSpeedColumn()) if in_bytes else _Bar() as shown:
        task = shown.bar.add_task(description, total=None, detail="")
        yield lambda done, total: shown.bar.update(task, completed=done, total=total)


def show_extraction(report: ExtractionReport) -> None:
    """Time by stage and what failed."""
    if report.num_done:
        table = _table("Working time, seconds a clip")
        table.add_column("stage")
        table.add_column("seconds", justify="right")
        for stage, seconds in sorted(report.seconds.items(), key=lambda item: -item[1]):
            if stage not in ("total", "wall"):
                table.add_row(escape(stage), f"{seconds / report.num_done:.3f}")
        console.print(table)
    failed = {clip_id for clip_id, _, _ in report.failures}
    if failed:
        show_failures([{"clip": clip_id, "feature": feature, "stage": failure.stage, "kind": failure.kind,
                        "message": failure.message} for clip_id, feature, failure in report.failures])
    console.print(f"{report.num_done} clips in {report.seconds['wall']:.1f} s, {len(failed)} failed"
                  + (f" (exit code 3); look again with: python -m pipeline inspect {report.store}" if failed else ""),
                  soft_wrap=True)


def show_forecast(found: Forecast) -> None:
    """Clips, time and disk that a run will take, on stdout."""
    out = _console()
    out.print(f"{found.num_clips} clips, {found.num_todo} of them to work on")
    if not found.num_todo:
        return
    show_table(f"Predicted from {found.num_probed} clips", ("feature", "clips", "one worker", "rows"), [
        (feature.name, feature.num_clips, _duration(feature.seconds), _size(feature.num_bytes))
        for feature in found.features], stdout=True)
    packing = f" and {_size(found.pack_bytes)} more while it is packed" if found.pack_bytes else ""
    out.print(f"about {_duration(found.seconds)} with {found.jobs} workers; {_size(found.shard_bytes)} of rows{packing}"
              f"; {_size(found.free_bytes)} are free", soft_wrap=True)
    if found.num_failed:
        out.print(f"{found.num_failed} of the {found.num_probed} clips failed: a run will tell why")
    if not found.fits:
        out.print("[red]The disk is too small.[/] Make room, give another --out, or use --no-pack")


def _size(num_bytes: int) -> str:
    """``"850 kB"``, ``"3.2 GB"``: decimal units, as disks are sold."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6)):
        if num_bytes >= scale:
            return f"{num_bytes / scale:.1f} {unit}"
    return f"{num_bytes / 1e3:.0f} kB"


def _duration(seconds: float) -> str:
    """``"2 h 05 min"``, ``"5 min 12 s"``, ``"7.3 s"``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def show_failures(failures: Sequence[Mapping[str, str]]) -> None:
    """One line for each clip and reason."""
    features: dict[tuple[str, str, str, str], list[str]] = defaultdict(list)
    for row in failures:
        features[row["clip"], row["stage"], row["kind"], row["message"]].append(row["feature"])
    table = _table("Failed")
    for column in ("clip", "stage", "kind", "what was found", "so these are missing"):
        table.add_column(column, overflow="fold")
    for (clip, stage, kind, message), names in list(features.items())[:MOST_ROWS]:
        table.add_row(*map(escape, (clip, stage, kind, message, ", ".join(names))))
    console.print(table)
    if len(features) > MOST_ROWS:
        console.print(f"… and {len(features) - MOST_ROWS} more; `inspect --json` shows them all")


def show_store(summary: Mapping[str, Any]) -> None:
    """Everything of :func:`pipeline.curation.inspection.summarise`, on stdout."""
    out = _console()
    splits = ", ".join(f"{split} {count}" for split, count in summary["splits"].items())
    out.print(f"[bold]{escape(summary['path'])}[/]  {escape(summary['dataset'])}, {summary['clips']} clips"
              f" ({escape(splits)}), made {summary['created']}", soft_wrap=True)
    table = _table("Features")
    table.add_column("feature", no_wrap=True)
    for column in ("row", "rows", "MB", "done", "empty", "failed", "missing"):
        table.add_column(column, justify="right")
    table.add_column("weights")
    for name, counts in summary["features"].items():
        table.add_row(escape(name), "×".join(map(str, counts["row_shape"])), f"{counts['rows']:,}",
                      f"{counts['megabytes']:,.1f}", *(str(counts[status]) for status in
                                                       ("done", "empty", "failed", "missing")),
                      counts["weights"])
    out.print(table)
    if summary["identities"]:
        out.print(f"[yellow]holds identities of people[/] ({escape(', '.join(summary['identities']))}); only its owner"
                  " may read it", soft_wrap=True)
    coverage = {name: counts["coverage"] for name, counts in summary["features"].items() if "coverage" in counts}
    if coverage and summary["splits"]:
        show_table("Clips with a face, %", ("feature", *summary["splits"]), [
            (name, *(round(100 * shares[split], 1) for split in summary["splits"]))
            for name, shares in coverage.items()], stdout=True)
    for task, labels in summary["tasks"].items():
        out.print(f"[bold]{escape(task)}[/]  " + escape(", ".join(f"{name} {value}" for name, value in labels.items())),
                  soft_wrap=True)
    if summary["failures"]:
        show_failures(summary["failures"])


class TrainingProgress(_Bar):
    """Epoch by epoch: loss and the dev metric."""

    def on_start(self, plan: Mapping[str, Any]) -> None:
        console.print(f"{escape(plan['model'])} on {escape(', '.join(plan['inputs']))}; tasks:"
                      f" {escape(', '.join(plan['tasks']))}", soft_wrap=True)
        for note in plan.get("notes", ()):
            console.print(f"[yellow]note[/] {escape(str(note))}", soft_wrap=True)
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
                 *(_percent(values[metric]) for metric in shown))
                for name, fold in metrics["folds"].items() for task, values in fold["test"].items()
                if shown[0] in values]
        if rows:
            show_table(f"Folds of {metrics['protocol']['name']}, %, mean±sd over seeds",
                       ("fold", "tested groups", "task", "clips", *shown), rows)


def show_scores(metrics: Mapping[str, Any]) -> None:
    """One row for each split, task and model, on stderr."""
    table = _table("Scores, %, mean±sd over seeds")
    rows = [(split, task, "model", values) for split, tasks in metrics.items() if split in metrics["num_clips"]
            for task, values in tasks.items()]
    rows += [(split, task, name, values) for name, splits in metrics.get("baselines", {}).items()
             for split, tasks in splits.items() for task, values in tasks.items()]
    names = list(dict.fromkeys(name for *_, values in rows for name in values))
    for column, width in (("split", 5), ("task", 9), ("by", 10)):
        table.add_column(column, min_width=width)
    for name in names:
        table.add_column(name.replace("_", " "), justify="right", min_width=8)
    order = list(metrics["num_clips"])
    for split, task, name, values in sorted(rows, key=lambda row: (order.index(row[0]), row[1])):
        table.add_row(escape(split), escape(task), name.replace("_", " "),
                      *(_percent(values[metric]) if metric in values else "" for metric in names))
    console.print(table)
    for note in metrics.get("notes", ()):
        console.print(f"[yellow]note[/] {escape(str(note))}", soft_wrap=True)


def _percent(value: Mapping[str, Any]) -> str:
    if value["mean"] is None:
        return "–"
    spread = f"±{100 * value['sd']:.1f}" if len(value["seeds"]) > 1 else ""
    return f"{100 * value['mean']:.1f}{spread}"


def show_parameters(counts: Mapping[str, int]) -> None:
    """Parameters by module and in all, on stdout."""
    table = Table()
    table.add_column("module")
    table.add_column("parameters", justify="right")
    for name, count in counts.items():
        table.add_row(escape(name), f"{count:,}")
    table.add_row("[bold]in all[/]", f"[bold]{sum(counts.values()):,}[/]")
    _console().print(table)


def show_plugins(*, with_settings: bool) -> None:
    """Names of datasets, extractors and models with a line each, on stdout."""
    out = _console()
    for kind in ("dataset", "extractor", "model"):
        table = _table(f"{kind}s")
        table.add_column("name")
        table.add_column("what it is", overflow="fold")
        for name in plugins.names(kind):
            table.add_row(escape(name), escape(plugins.summary(kind, name)))
        out.print(table)
        if with_settings:
            for name in plugins.names(kind):
                found = plugins.plugin_class(kind, name)
                config = getattr(found, "Config", None) or getattr(inspect.getmodule(found), "Config")
                _show_settings(out, name, config, "" if kind == "model" else f"{name}.")
    if with_settings:
        from pipeline.decode import DecodeLimits
        from pipeline.learning.train_config import TrainConfig
        _show_settings(out, "extraction: decoding", DecodeLimits, "decode.")
        _show_settings(out, "training", TrainConfig, "")


def _show_settings(out: Console, title: str, config: typing.Any, prefix: str) -> None:
    table = _table(title, show_header=False)
    for field in dataclasses.fields(config):
        default = ",".join(field.default) if isinstance(field.default, tuple) else field.default
        table.add_row(escape(f"--set {prefix}{field.name}={default}"), escape(field.metadata.get("help", "")))
    out.print(table)
