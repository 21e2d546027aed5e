"""Search for good settings of a model and of its training, by Optuna, on dev alone: the test split is never read.

::

    OUT/
      plan.json          what was asked for; a second call with the same wishes carries the search on
      trials.jsonl       one line a trial: number, settings, dev scores or why it failed, seconds
      trials.csv         the same as a table, best first
      runs/NUMBER/       config.json, history.jsonl, metrics.json, predictions.csv of each trial, without networks

What Optuna knows is told to it anew from ``trials.jsonl``, and each trial's chance is its own: a search that was
stopped goes on as if it had not been. The first trial has the settings as they were.
"""

from __future__ import annotations

import importlib
import json
import shlex
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.config import to_json
from pipeline.errors import TrainingError, UsageError
from pipeline.joined import JoinedStores, choose_inputs, open_stores
from pipeline.learning.search_space import LEFT_OUT, Range, ranges_of
from pipeline.learning.train_config import TrainConfig
from pipeline.learning.training_loop import Progress, Quiet
from pipeline.learning.wishes import settle_wishes
from pipeline.metrics import LOWER_IS_BETTER
from pipeline.runs import model_class, read_json, write_text
from pipeline.storage.lock import locked
from pipeline.training import settings_for, train

NEEDED = "optuna>=4"
UNREAD = "(never read)"         # no split has this name, so that none is scored as the test split

Watch = Callable[[int, int, Mapping[str, str]], AbstractContextManager[Progress]]


def tune(features: Path | Sequence[Path], out: Path, *, model: str = "intermediate", over: Sequence[str] = (),
         trials: int = 30, minutes: float | None = None, inputs: Sequence[str] | None = None,
         tasks: Sequence[str] | None = None, settings: Mapping[str, str] | None = None,
         config: TrainConfig = TrainConfig(),
         watch: Watch = lambda number, total, tried: nullcontext(Quiet())) -> dict[str, Any]:
    """Search until there are so many trials, or no time is left to begin another.

    Args:
        features: a store, or several that are joined by clip id.
        out: folder of the search.
        model, inputs, tasks, settings, config: as for :func:`pipeline.training.train`; without folds.
        over: as for :func:`ranges_of`.
        trials: in all, those of earlier calls counted.
        minutes: after which no further trial begins; None: no limit.
        watch: is called with a trial's number from 1, how many there will be and its settings, and gives who is told
            of its training.

    Returns:
        ``{"metric", "task", "split", "fields", "trials", "best", "command"}``: what chose, the fields that were
        searched over, trials as in ``trials.jsonl``, the best one, and the ``train`` command that has its settings.

    Raises:
        UsageError: Optuna is not installed, or what is asked for cannot be.
        TrainingError: nothing can be learnt, no trial succeeded, or ``out`` holds something else.
        StoreError: a store cannot be read, or another process searches there.
    """
    optuna, given = _optuna(), dict(settings or {})
    ranges = ranges_of(model, over, given, config)
    stores = open_stores(features)
    if config.folds or config.smoke or config.dev_is_test:
        raise UsageError("a search trains on train and chooses on dev: leave folds, smoke and dev_is_test out")
    if UNREAD in stores.clips["split"].to_numpy():
        raise UsageError(f"a split is named {UNREAD!r}, which stands for none; rename it")
    chosen = choose_inputs(stores, inputs, model_class(model).preferred_inputs)
    own = replace(config, test_split=UNREAD, baselines=False)
    begun = time.monotonic()
    with locked(out / "trials.jsonl"):
        wishes = {"model": model, "inputs": list(chosen), "tasks": tasks and list(tasks), "over": to_json(ranges),
                  "settings": given, "training": to_json(own)}
        settle_wishes(out, stores, wishes, what="a search", may_hold=("trials.jsonl.lock",))
        done = read_trials(out)
        while len(done) < trials and (minutes is None or time.monotonic() - begun < 60 * minutes):
            drawn = _draw(optuna, ranges, done, own.seed, _start(model, ranges, given, own))
            tried = {part.field: part.text(drawn[part.field]) for part in ranges}
            with watch(len(done) + 1, trials, tried) as progress:
                done.append(_try(out, len(done), drawn, {**given, **tried}, stores, model, chosen, tasks, own,
                                 progress))
            _write(out, done)
    return _found(out, done, ranges, stores, model, inputs, tasks, config)


def _optuna() -> Any:
    """The module.

    Raises:
        UsageError: it is not installed.
    """
    try:
        found = importlib.import_module("optuna")
    except ImportError as error:
        raise UsageError("tune needs Optuna, which is not installed; install it with: python -m pip install"
                         f" '{NEEDED}'") from error
    found.logging.set_verbosity(found.logging.WARNING)
    return found


def read_trials(out: Path) -> list[dict[str, Any]]:
    """The lines of ``trials.jsonl`` in order.

    Raises:
        TrainingError: it is not what a search writes.
    """
    path = out / "trials.jsonl"
    try:
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        found = [json.loads(line) for line in lines]
        if not all(trial["number"] == place and {"drawn", "settings", "score", "failure"} <= trial.keys()
                   for place, trial in enumerate(found)):
            raise ValueError("a trial is missing")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise TrainingError(f"{path} cannot be read ({error}); give another folder with --out") from error
    return found


def _start(model: str, ranges: Sequence[Range], given: Mapping[str, str], config: TrainConfig) -> dict[str, Any]:
    """The settings as they are, where each lies in its range; {} otherwise."""
    parts = settings_for(model, given, config)
    values = {part.field: getattr(next(own for own in parts if hasattr(own, part.field)), part.field)
              for part in ranges}
    texts = {name: ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
             for name, value in values.items()}
    fits = all(texts[part.field] in part.choices if part.choices else part.low <= values[part.field] <= part.high
               for part in ranges)
    return {part.field: texts[part.field] if part.choices else values[part.field] for part in ranges} if fits else {}


def _draw(optuna: Any, ranges: Sequence[Range], done: Sequence[Mapping[str, Any]], seed: int,
          start: Mapping[str, Any]) -> dict[str, Any]:
    """What the next trial tries, by the tree-structured Parzen estimator (Bergstra et al. 2011) over all before it."""
    space = {part.field: _distribution(optuna, part) for part in ranges}
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed + len(done)))
    for trial in done:
        state = optuna.trial.TrialState.COMPLETE if trial["score"] is not None else optuna.trial.TrialState.FAIL
        study.add_trial(optuna.trial.create_trial(state=state, params=trial["drawn"], distributions=space,
                                                  value=trial["rank"]))
    if not done and start:
        study.enqueue_trial(dict(start))
    return dict(study.ask(space).params)


def _distribution(optuna: Any, part: Range) -> Any:
    if part.choices:
        return optuna.distributions.CategoricalDistribution(part.choices)
    if part.whole:
        return optuna.distributions.IntDistribution(int(part.low), int(part.high), log=part.log)
    return optuna.distributions.FloatDistribution(part.low, part.high, log=part.log)


def _try(out: Path, number: int, drawn: Mapping[str, Any], settings: Mapping[str, str], stores: JoinedStores,
         model: str, inputs: Sequence[str], tasks: Sequence[str] | None, config: TrainConfig,
         progress: Progress) -> dict[str, Any]:
    """Train once; the line of ``trials.jsonl``.

    Raises:
        PipelineError: the very first trial fails, as the others then would.
    """
    run, begun = out / "runs" / f"{number:04d}", time.monotonic()
    if run.exists():            # left by a search that was stopped in this trial
        shutil.rmtree(run)
    line: dict[str, Any] = {"number": number, "drawn": dict(drawn), "settings": dict(settings), "score": None,
                            "rank": None, "sd": None, "scores": {}, "failure": ""}
    try:
        train(stores.paths, model=model, settings=settings, inputs=inputs, tasks=tasks, config=config, out=run,
              progress=progress)
    except (TrainingError, UsageError) as error:
        if not number:
            raise
        return {**line, "failure": str(error), "seconds": round(time.monotonic() - begun, 1)}
    plan, metrics = read_json(run / "config.json"), read_json(run / "metrics.json")
    scores = metrics[plan["splits"]["dev"]]
    first = scores[plan["tasks"][0]][plan["select_by"]]
    for folder in run.glob("seed*"):
        shutil.rmtree(folder)
    sign = -1 if plan["select_by"] in LOWER_IS_BETTER else 1
    return {**line, "score": first["mean"], "rank": sign * first["mean"], "sd": first["sd"],
            "scores": {f"{task}/{metric}": value["mean"] for task, part in scores.items()
                       for metric, value in part.items()}, "seconds": round(time.monotonic() - begun, 1)}


def _write(out: Path, done: Sequence[Mapping[str, Any]]) -> None:
    """All trials so far, as lines and as a table, best first."""
    write_text(out / "trials.jsonl", "".join(json.dumps(trial, allow_nan=False) + "\n" for trial in done))
    write_text(out / "trials.csv", pd.DataFrame([
        {"number": trial["number"], "score": trial["score"], "sd": trial["sd"], **trial["settings"], **trial["scores"],
         "seconds": trial["seconds"], "failure": trial["failure"]} for trial in best_first(done)]).to_csv(index=False))


def best_first(done: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Trials by their dev score, earlier ones before later ones of the same, failures last."""
    return sorted(done, key=lambda trial: (trial["rank"] is None, -(trial["rank"] or 0), trial["number"]))


def _found(out: Path, done: Sequence[Mapping[str, Any]], ranges: Sequence[Range], stores: JoinedStores, model: str,
           inputs: Sequence[str] | None, tasks: Sequence[str] | None, config: TrainConfig) -> dict[str, Any]:
    """What a search found; see :func:`tune`."""
    ranked = best_first(done)
    if not ranked or ranked[0]["score"] is None:
        raise TrainingError(f"{out} has no trial that succeeded; allow one more, or more time, with --trials and"
                            " --minutes")
    best = ranked[0]
    plan = read_json(out / "runs" / f"{best['number']:04d}" / "config.json")
    words = ["python", "-m", "pipeline", "train"]
    for path in stores.paths:
        words += ["--features", str(path)]
    words += ["--model", model]
    words += ["--inputs", ",".join(inputs)] if inputs else []
    words += ["--tasks", ",".join(tasks)] if tasks else []
    usual = to_json(TrainConfig())
    for name, value in to_json(config).items():
        if name not in (*best["settings"], *LEFT_OUT, "device") and value != usual[name]:
            words += ["--set", f"{name}={value}"]
    for name, value in best["settings"].items():
        words += ["--set", f"{name}={value}"]
    return {"metric": plan["select_by"], "task": plan["tasks"][0], "split": plan["splits"]["dev"],
            "fields": [part.field for part in ranges], "trials": list(done), "best": best,
            "command": shlex.join(words)}
