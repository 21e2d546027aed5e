"""How well do the trained models of sound tell emotions of actors never heard? Prints a Markdown table.

    python -m tests.benchmarks.ravdess_training STORE [--out runs/ravdess-sound] [--seeds 3] [--only audio_cnn]

``STORE`` holds ``audio_logmel`` and ``audio_functionals`` of RAVDESS speech, sound alone. Actors are tested four by
four, each once, by networks trained on the others, of which some choose the epoch; every seed carves those anew.
Figures are of all clips pooled, mean ± sd over seeds. Finished runs in ``--out`` are kept, so ``--seeds 1`` first and 3
later costs no more; one that was stopped goes on. Seconds are of the processor (since it went on), for one fold of one
seed with all that belongs to it, as wall time says little on a busy machine.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.joined import open_stores
from pipeline.learning.train_config import TrainConfig
from pipeline.training import resume, train

TASK = "emotion"
ACTORS = 4                      # tested together


@dataclass(frozen=True)
class Trial:
    """A row of the table: what is trained on which features."""

    model: str
    inputs: Sequence[str]

    @property
    def name(self) -> str:
        return f"`{self.model}`, {' + '.join(self.inputs)}"


TRIALS = (Trial("early", ("audio_functionals",)), Trial("audio_cnn", ("audio_functionals",)),
          Trial("audio_cnn", ("audio_logmel",)), Trial("audio_cnn", ("audio_logmel", "audio_functionals")))


def folds_file(store: Path, folder: Path) -> Path:
    """A file that deals the store's actors, in order, into folds of four."""
    actors = sorted(set(open_stores([store]).clips["group"]))
    path = folder / "folds.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("group,fold\n" + "".join(f"{actor},{place // ACTORS + 1}\n" for place, actor in enumerate(actors)),
                    encoding="utf-8")
    return path


def finished(trial: Trial, store: Path, folder: Path, seed: int) -> Path:
    """The run of a row and seed, trained if it is not there."""
    run = folder / f"{trial.model}-{'-'.join(trial.inputs)}-{seed}"
    if not (run / "seconds.json").exists():
        start = time.process_time()
        if (run / "config.json").exists():
            resume(run)
        else:
            config = TrainConfig(folds=str(folds_file(store, folder)), seed=seed, baselines=False)
            train([store], model=trial.model, inputs=trial.inputs, tasks=[TASK], config=config, out=run)
        (run / "seconds.json").write_text(json.dumps(time.process_time() - start), encoding="utf-8")
    return run


def row(trial: Trial, runs: Sequence[Path]) -> str:
    metrics = [json.loads((run / "metrics.json").read_text(encoding="utf-8")) for run in runs]
    seconds = [json.loads((run / "seconds.json").read_text(encoding="utf-8")) / len(one["folds"])
               for run, one in zip(runs, metrics, strict=True)]
    cells = [_spread([one["test"][TASK][name]["mean"] for one in metrics]) for name in ("accuracy", "uar")]
    by_fold = " ".join(f"{100 * np.mean([one['folds'][fold]['test'][TASK]['accuracy']['mean'] for one in metrics]):.0f}"
                       for fold in metrics[0]["folds"])
    return f"| {trial.name} | {len(runs)} | {cells[0]} | {cells[1]} | {by_fold} | {np.mean(seconds):.0f} |"


def _spread(shares: Sequence[float]) -> str:
    sd = f" ± {100 * np.std(shares, ddof=1):.1f}" if len(shares) > 1 else ""
    return f"{100 * np.mean(shares):.1f}{sd}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path, help="features of RAVDESS speech")
    parser.add_argument("--out", type=Path, default=Path("runs/ravdess-sound"), help="folder for the runs")
    parser.add_argument("--seeds", type=int, default=3, help="networks of each kind")
    parser.add_argument("--only", default="", help="rows whose name has this in it")
    options = parser.parse_args()
    trials = [trial for trial in TRIALS if options.only in trial.name]
    runs = {trial: [finished(trial, options.store, options.out, seed) for seed in range(options.seeds)]
            for trial in trials}
    print("| model, features | seeds | accuracy, % | UAR, % | accuracy by fold | seconds a fold |\n"
          "|---|---|---|---|---|---|")
    for trial in trials:
        print(row(trial, runs[trial]), flush=True)


if __name__ == "__main__":
    main()
