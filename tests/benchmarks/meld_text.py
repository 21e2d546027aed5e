"""How far does MELD's text go with an encoder that stays as it is? Prints a Markdown table.

    python -m tests.benchmarks.meld_text STORE [--out runs/meld-text] [--seeds 5] [--only dialogue]

``STORE`` is made by the command in ``docs/meld.md`` ("Real text"): the last layer, the middle one, the middle one of
an encoder that reads one and three utterances before, and all layers. Every row learns from train and is scored on
dev, which also chooses the epoch; test is not read. Finished rows in ``--out`` are kept, so a run that was stopped goes
on. Seconds are of the processor, for one network with all that belongs to it, as wall time says little on a busy
machine.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.joined import open_stores
from pipeline.metrics import score
from pipeline.training import train

TASK = "emotion"
LAST, MIDDLE, WITH_1, WITH_3, ALL = (f"text_bert@{name}" for name in ("last", "middle", "with1", "with3", "all"))
BEST = (MIDDLE, WITH_3)


@dataclass(frozen=True)
class Trial:
    """A row of the table: what is trained on which features."""

    name: str
    model: str
    inputs: Sequence[str]
    settings: Mapping[str, str] = field(default_factory=dict)
    baselines: bool = False


TRIALS = (
    Trial("intermediate, last layer", "intermediate", (LAST,), baselines=True),
    Trial("intermediate, middle layer", "intermediate", (MIDDLE,), baselines=True),
    Trial("intermediate, all layers by learnt weights", "intermediate", (ALL,)),
    Trial("intermediate, middle layer + with 1 before", "intermediate", (MIDDLE, WITH_1), baselines=True),
    Trial("intermediate, middle layer + with 3 before", "intermediate", BEST, baselines=True),
    Trial("dialogue attention both, middle layer", "dialogue", (MIDDLE,), {"variant": "attention", "reads": "both"}),
    *(Trial(f"dialogue {variant} {reads}, middle layer + with 3 before", "dialogue", BEST,
            {"variant": variant, "reads": reads})
      for variant in ("attention", "recurrent") for reads in ("both", "past")),
)


def finished(trial: Trial, store: Path, folder: Path, seeds: int) -> Path:
    """The run of a row, trained if it is not there."""
    run = folder / trial.name.replace(" ", "-").replace(",", "").replace("+", "and")
    if not (run / "seconds.json").exists():
        start = time.process_time()
        train(store, model=trial.model, inputs=trial.inputs, tasks=[TASK], out=run, settings={
            **trial.settings, "seeds": str(seeds), "baselines": "yes" if trial.baselines else "no"})
        (run / "seconds.json").write_text(json.dumps((time.process_time() - start) / seeds))
    return run


def line(name: str, alone: Iterable[str], together: Iterable[str] = ("", ""), seconds: str = "") -> str:
    """A row of the table."""
    return f"| {' | '.join([name, *alone, *together, seconds])} |"


def percent(scores: Mapping[str, Any], name: str) -> str:
    """Mean and, of several seeds, deviation."""
    spread = f" ± {100 * scores[name]['sd']:.1f}" if len(scores[name]["seeds"]) > 1 else ""
    return f"{100 * scores[name]['mean']:.1f}{spread}"


def both(scores: Mapping[str, Any]) -> list[str]:
    """Weighted and macro F1."""
    return [percent(scores, name) for name in ("weighted_f1", "macro_f1")]


def lines(trial: Trial, run: Path) -> list[str]:
    """Rows of a run, those of its baselines first."""
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    others = metrics.get("baselines", {})
    found = []
    if trial is TRIALS[0]:
        found = [line(text, both(others[name]["dev"][TASK])) for name, text in (
            ("majority", "always neutral"), ("tfidf", "TF-IDF of words and characters + logistic regression"))]
    if trial.baselines:
        found.append(line(f"logistic regression, {trial.name.split(', ')[1]}",
                          both(others["logistic_regression"]["dev"][TASK])))
    seconds = json.loads((run / "seconds.json").read_text(encoding="utf-8"))
    together = both(metrics["ensemble"]["dev"][TASK]) if "ensemble" in metrics else ("", "")
    return [*found, line(trial.name, both(metrics["dev"][TASK]), together, f"{seconds:.0f}")]


def mean_of_runs(runs: Sequence[Path], store: Path) -> list[str]:
    """Weighted and macro F1 of the mean probability over all networks of some runs."""
    task = next(task for task in open_stores(store).stores[0].corpus.tasks if task.name == TASK)
    answers = pd.concat([pd.read_csv(run / "predictions.csv", keep_default_na=False) for run in runs])
    answers = answers[(answers["split"] == "dev") & (answers["task"] == TASK)]
    clips = answers.groupby("clip_id")
    mean = clips[[f"probability_{name}" for name in task.classes]].mean().to_numpy()
    labels = np.array([task.classes.index(name) for name in clips["label"].first()])
    scores = score(task, labels, mean.argmax(1))
    return [f"{100 * scores[name]:.1f}" for name in ("weighted_f1", "macro_f1")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path, help="what extract made")
    parser.add_argument("--out", type=Path, default=Path("runs/meld-text"), help="where runs are and stay")
    parser.add_argument("--seeds", type=int, default=5, help="networks of each row")
    parser.add_argument("--only", default="", help="rows with this in their name")
    options = parser.parse_args()
    chosen = [trial for trial in TRIALS if options.only in trial.name]
    print("| what | weighted F1 | macro F1 | ensemble: weighted | macro | seconds |\n|---|---|---|---|---|---|",
          flush=True)
    best = []
    for trial in chosen:
        run = finished(trial, options.store, options.out, options.seeds)
        print("\n".join(lines(trial, run)), flush=True)
        if trial.settings.get("reads") == "both":
            best.append(run)
    if len(best) > 1:
        print(line("all networks of dialogue both", ("", ""), mean_of_runs(best, options.store)))


if __name__ == "__main__":
    main()
