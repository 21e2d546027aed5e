"""The report of a run: one self-contained page that says what was learnt, from what, and how far to trust it."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
from markupsafe import Markup

import pipeline
from pipeline.clip import Task
from pipeline.metrics import SHARES, main_metric
from pipeline.pages import figures
from pipeline.pages.audit_tables import audit_section
from pipeline.pages.face_sheet import face_sheet
from pipeline.pages.finished_run import FinishedRun
from pipeline.pages.prose import DIGITS, describe_training, listing
from pipeline.pages.tables import (METRIC_TITLES, ScoreTable, confusion, coverage, fold_table, printed, scaled,
                                   score_table)
from pipeline.runs import write_text

MOST_LISTED = 50                    # rows of a table of clips before "and N more"
FEW_CLIPS, FEW_GROUPS = 100, 10     # below these a bootstrap interval is itself a rough guess
LIBRARIES = ("torch", "numpy", "pandas", "scikit-learn", "h5py", "matplotlib")


def write_report(run: Path, *, features: Sequence[Path] | None = None, thumbnails: bool = False) -> Path:
    """Write ``report.html`` into the folder of a finished run.

    The page loads nothing from anywhere and runs no script. It is made from the run's files and its stores; of the
    clips' media one frame each is read for the sheet of faces, where the files are still there.

    Args:
        run: folder of a run that was scored.
        features: its stores, where they are no longer where the run found them.
        thumbnails: show faces although the corpus forbids passing them on.

    Returns:
        The page.

    Raises:
        TrainingError: the folder holds no finished run, or its predictions cannot be read.
        StoreError: a store cannot be read.
    """
    finished = FinishedRun.load(Path(run), features)
    page = templates().get_template("report.html.jinja").render(
        run=finished, headline=_headline(finished), recipe=_recipe(finished), curves=_curves(finished),
        results=[_result(finished, task) for task in finished.tasks], gaps=_gaps(finished), versions=_versions(),
        audit=audit_section(finished), sheet=face_sheet(finished, thumbnails=thumbnails), corpora=finished.corpora,
        made=datetime.now(timezone.utc).strftime("%d %B %Y, %H:%M UTC"))
    write_text(finished.folder / "report.html", page)
    return finished.folder / "report.html"


def templates() -> jinja2.Environment:
    """The pages' templates; whatever is put into one is escaped."""
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(Path(__file__).parent / "pages" / "templates"),
                                     autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True,
                                     lstrip_blocks=True)
    environment.filters.update(listing=listing, printed=lambda value, metric: printed(metric, value), short=_short)
    environment.globals.update(metric_titles=METRIC_TITLES, unit=_unit)
    return environment


def _headline(run: FinishedRun) -> dict[str, Any]:
    """Section 1: scores of each task with a plot, and what makes them less than they seem."""
    tables = [score_table(run.metrics, task, run.shown_split, model=run.config["model"]) for task in run.tasks
              if task.name in run.metrics[run.shown_split]]
    ways = {way: [(task, figures_of[run.shown_split][task.name]) for task in run.tasks
                  if task.name in figures_of.get(run.shown_split, {})]
            for way, figures_of in run.metrics.get("utterances", {}).items()}
    return {"tables": tables, "utterances": ways, "plots": [Markup(_score_plot(table)) for table in tables],
            "warnings": _warnings(run, tables), "verdicts": [_verdict(table) for table in tables],
            "folds": [fold_table(run.metrics, table.task) for table in tables] if run.by_folds else []}


def _score_plot(table: ScoreTable) -> str:
    bars = []
    for row in table.rows:
        low_high = row.interval and (scaled(table.main, row.interval[0]), scaled(table.main, row.interval[1]))
        bars.append(figures.Bar(row.name, scaled(table.main, row.figures[0].value),
                                tuple(scaled(table.main, value) for value in row.seeds), low_high, row.is_model))
    return figures.score_plot(bars, unit=f"{METRIC_TITLES[table.main]}{_unit(table.main)} on {table.split}",
                              title=f"{METRIC_TITLES[table.main]} of {table.task.name} by system")


def _verdict(table: ScoreTable) -> str:
    """Does the model beat what it must? In one sentence."""
    if not table.baselines or table.model.interval is None:
        return "No baseline was scored beside it."
    sign = -1 if table.main in ("mae", "rmse") else 1
    best = max(table.baselines, key=lambda row: sign * row.figures[0].value)
    worst_edge = table.model.interval[0 if sign == 1 else 1]
    behind = sign * (table.model.figures[0].value - best.figures[0].value) <= 0
    if behind:
        return f"It does not beat the best baseline, {best.name}, at {best.figures[0].text}."
    if sign * (worst_edge - best.figures[0].value) > 0:
        return (f"Its whole interval lies {'above' if sign == 1 else 'below'} the best baseline, {best.name}, at"
                f" {best.figures[0].text}.")
    return (f"Its mean is better than the best baseline, {best.name}, at {best.figures[0].text}, but its interval holds"
            " that figure too: these clips do not settle which is better.")


def _warnings(run: FinishedRun, tables: Sequence[ScoreTable]) -> list[str]:
    """What a reader must know before believing the scores, gravest first."""
    found = []
    random = [feature.name for feature in run.features if feature.has_random_weights]
    if random:
        found.append(f"Random weights: {listing(random)} {'was' if len(random) == 1 else 'were'} made by networks that"
                     " never learnt. The scores show that the steps work, not what such features are worth.")
    if run.metrics["smoke"]:
        found.append("A smoke test: one batch, one epoch. The scores mean nothing.")
    found += [f"{note[0].upper()}{note[1:]}." for note in run.metrics["notes"]]
    for path, reads in run.metrics["test_reads"].items():
        times = "an unknown number of times (its folder cannot be written)" if reads is None else \
            "once" if reads == 1 else f"{reads} times"
        again = " Every look that leads to a change makes test scores less honest." if reads != 1 else ""
        what = "test clips of the folds" if run.by_folds else "test split"
        found.append(f"The {what} of {Path(path).name} {'have' if run.by_folds else 'has'} been read {times}.{again}")
    few: dict[tuple[int, int], list[str]] = {}
    for table in tables:
        if table.num_clips < FEW_CLIPS or table.num_groups < FEW_GROUPS:
            few.setdefault((table.num_clips, table.num_groups), []).append(table.task.name)
    for (num_clips, num_groups), names in few.items():
        found.append(f"Few {'clips' if num_clips < FEW_CLIPS else 'groups'}: {listing(names)}"
                     f" {'is' if len(names) == 1 else 'are'} scored on {num_clips:,} {run.units} in {num_groups}"
                     f" {'group' if num_groups == 1 else 'groups'}, so that the interval is wide and itself rough.")
    if len(run.config["seeds"]) == 1:
        found.append("One seed: how far chance in training moves the scores is not known.")
    return found


def _recipe(run: FinishedRun) -> dict[str, Any]:
    """Section 2: how features and model were made."""
    made: dict[str, list[str]] = {}
    for feature in run.features:
        libraries = run.stores.owner(feature.name).recipe(feature.name).get("made_with", {})
        text = ", ".join(f"{name} {version}" for name, version in libraries.items())
        made.setdefault(text or "versions that the store does not record", []).append(feature.name)
    others = [name for name in run.stores.features if name not in {feature.name for feature in run.features}]
    pixels = [name for name in run.config["inputs"] if run.stores.owner(name).head(name)["dtype"] == "uint8"]
    training = describe_training(run.config, has_classes=any(task.classes for task in run.tasks),
                                 has_values=any(not task.classes for task in run.tasks), pixels=pixels)
    return {"features": run.features, "made_with": made, "others": others, "training": training,
            "settings": {**run.config["training"], "folds": Path(run.config["training"].get("folds", "")).name}}


def _curves(run: FinishedRun) -> list[Markup]:
    """Section 3: loss, and the main dev score of each task, by epoch, fold and seed."""
    networks: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for line in run.history:
        networks.setdefault((line.get("fold", ""), str(line["seed"])), []).append(line)
    folds = run.metrics["folds"] if run.by_folds else {"": run.metrics}

    def lines(pick: Any) -> list[figures.Line]:
        return [figures.Line([line["epoch"] for line in part], [pick(line) for line in part],
                             folds[fold]["best_epochs"].get(seed)) for (fold, seed), part in networks.items()]

    plots = [figures.curve_plot({"train": lines(lambda line: line["train_loss"]),
                                 "dev": lines(lambda line: line["dev_loss"])}, unit="loss", title="Loss by epoch")]
    for task in run.tasks:
        if all(task.name in line["dev"] for line in run.history):
            metric = run.config["select_by"] if task == run.tasks[0] else main_metric(task)
            scores = lines(lambda line: scaled(metric, line["dev"][task.name][metric]))
            unit = f"{METRIC_TITLES[metric]}{_unit(metric)} of {task.name} on dev"
            plots.append(figures.curve_plot({"dev": scores}, unit=unit, title=f"{unit} by epoch"))
    return [Markup(plot) for plot in plots] if run.history else []


def _result(run: FinishedRun, task: Task) -> dict[str, Any]:
    """Section 4 for one task: confusion and scores by class, or a scatter plot."""
    split = run.shown_split
    rows = run.labelled(task, split)
    result: dict[str, Any] = {"task": task, "split": split, "num_clips": rows["clip_id"].nunique(), "confusion": None,
                              "plot": None, "scores": run.metrics[split].get(task.name)}
    if len(rows) and task.classes:
        result["confusion"] = confusion(task, rows)
    elif len(rows):
        mean = rows.assign(label=rows["label"].astype(float), prediction=rows["prediction"].astype(float)) \
            .groupby("clip_id", sort=False)[["label", "prediction"]].mean()
        result["plot"] = Markup(figures.scatter_plot(
            mean["label"].to_numpy(), mean["prediction"].to_numpy(), name=task.name,
            title=f"Predicted against labelled {task.name}"))
        result["num_drawn"] = min(len(mean), figures.MOST_POINTS)
    return result


def _gaps(run: FinishedRun) -> dict[str, Any]:
    """Section 5: what features lack, what failed, and who did not take part in training."""
    failures = pd.concat([store.failures for store in run.stores.stores], ignore_index=True)
    # Each clip that a fold tests is among the training clips of others, so that these stand for all that train.
    train = run.config["splits"]["test" if run.by_folds else "train"]
    training = run.predictions[run.predictions["split"] == train]
    places = pd.Index(run.stores.clips["clip_id"]).get_indexer(pd.Index(training["clip_id"].unique()))
    has_rows = np.any([run.stores.rows(name).lengths[places] > 0 for name in run.config["inputs"]], axis=0)
    labelled = set(training.loc[training["label"] != "", "clip_id"])
    left_out = []
    for clip_id, there in zip(training["clip_id"].unique().tolist(), has_rows.tolist(), strict=True):
        if clip_id not in labelled or not there:
            left_out.append((clip_id, "no label" if clip_id not in labelled else "no rows of any input"))
    return {"coverage": coverage(run.stores.stores), "failures": failures.head(MOST_LISTED).to_dict("records"),
            "num_failures": len(failures), "left_out": left_out[:MOST_LISTED], "num_left_out": len(left_out),
            "train": "the folds" if run.by_folds else train, "most": MOST_LISTED}


def _versions() -> dict[str, str]:
    return {"pipeline": pipeline.__version__, "Python": platform.python_version(),
            **{name: metadata.version(name) for name in LIBRARIES}}


def _unit(metric: str) -> str:
    return ", %" if metric in SHARES else ""


def _short(digest: str) -> str:
    return digest[:DIGITS]
