"""What does it gain to answer for whole clips rather than for windows? Prints two Markdown tables.

    python -m tests.benchmarks.levels FOLDER OUT [--actors 16] [--only handcrafted|raw] [--seeds 1]

FOLDER holds RAVDESS speech, sound alone. The store and all runs are kept in OUT; the same command goes on from there.
Actors are tested four by four, each once, by networks that learnt from others; the next four choose the epoch.
Handcrafted features are of 1 s every 0.5 s, raw sound is 66 ms five times a second. Networks learn from windows, each
labelled as its clip, whose answers become the clip's by majority or by mean probability; or from whole clips, whose
windows a sequence head joins.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from sklearn.metrics import recall_score

from pipeline.cli import main as pipeline
from pipeline.learning.train_config import TrainConfig
from pipeline.training import resume, train

HANDCRAFTED, RAW = "audio_functionals@w1", "audio_windows@w66"
EXTRACT = ("--extractors", f"{HANDCRAFTED},{RAW}", "--set", f"{HANDCRAFTED}.per=window", "--set", f"{RAW}.rate_hz=5",
           "--set", "ravdess.modality=audio")
SMALL = {"channels": "8"}       # a quarter of the usual: an epoch of windows takes seconds of one core
WAYS = {"each window": "", "majority of windows": "majority", "mean probability": "mean_probability"}


@dataclass(frozen=True)
class Trial:
    """One run: features, what it learns from, and how."""

    features: str
    name: str
    feature: str
    model: str
    level: str
    settings: dict[str, str]
    epochs: int

    @property
    def folder(self) -> str:
        return f"{self.features}-{self.name}".replace(" ", "-")


TRIALS = (Trial("handcrafted", "windows", HANDCRAFTED, "sequence", "frame", {"head": "mean"}, 20),
          *(Trial("handcrafted", f"clips, {head}", HANDCRAFTED, "sequence", "utterance", {"head": head}, 40)
            for head in ("mean", "attention", "gru")),
          Trial("raw", "windows", RAW, "raw_audio", "frame", SMALL, 8),
          Trial("raw", "clips, attention", RAW, "raw_audio", "utterance", SMALL, 25))


def trained(trial: Trial, store: Path, out: Path, folds: Path, seeds: int) -> tuple[Path, float]:
    """The run of a trial and the seconds of processor time that it took just now."""
    run, start = out / trial.folder, time.process_time()
    if (run / "config.json").exists():
        return resume(run), time.process_time() - start
    config = TrainConfig(folds=str(folds), select_by="uar", baselines=False, seeds=seeds, epochs=trial.epochs,
                         level=trial.level, device="cpu")  # type: ignore[arg-type]
    train(store, model=trial.model, settings=trial.settings, inputs=[trial.feature], tasks=["emotion"], config=config,
          out=run)
    return run, time.process_time() - start


def answers(run: Path, trial: Trial) -> dict[str, pd.DataFrame]:
    """By the way to an answer: seed, label and prediction of everything that was tested."""
    rows = pd.read_csv(run / "predictions.csv", dtype={"clip_id": str})
    if trial.level == "utterance":
        return {"the clip at once": rows}
    columns = [name for name in rows.columns if name.startswith("probability_")]
    votes = pd.get_dummies(rows["prediction"]).reindex(columns=[name[len("probability_"):] for name in columns],
                                                       fill_value=False).astype(float)
    found = {"each window": rows}
    for way, values in (("majority of windows", votes.set_axis(columns, axis=1)), ("mean probability", rows[columns])):
        means = pd.concat([rows[["seed", "clip_id", "label"]], values], axis=1).groupby(
            ["seed", "clip_id", "label"], as_index=False).mean()
        means["prediction"] = means[columns].idxmax(axis=1).str[len("probability_"):]
        found[way] = means
    return found


def checked(metrics: dict, way: str) -> dict[str, dict[str, float]]:
    """The run's own scores for a way to an answer."""
    key = WAYS.get(way, "")
    scores = metrics["utterances"][key]["test"] if key else metrics["test"]
    found: dict[str, dict[str, float]] = scores["emotion"]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="RAVDESS speech")
    parser.add_argument("out", type=Path, help="for the store and the runs")
    parser.add_argument("--actors", type=int, default=16, help="there are, a multiple of four, at least 12")
    parser.add_argument("--only", choices=["handcrafted", "raw"], help="one kind of features")
    parser.add_argument("--seeds", type=int, default=1, help="networks of each fold")
    options = parser.parse_args()
    store, folds = options.out / "levels.h5", options.out / "folds.csv"
    pipeline(["extract", "--dataset", "ravdess", "--root", str(options.folder), "--jobs", "1", "--out", str(store),
              *EXTRACT])
    folds.write_text("group,fold\n" + "".join(f"{actor:02d},{(actor - 1) // 4 + 1}\n"
                                              for actor in range(1, options.actors + 1)), encoding="utf-8")
    scores, recalls, classes = [], [], []
    for trial in TRIALS:
        if options.only not in (None, trial.features):
            continue
        run, seconds = trained(trial, store, options.out, folds, options.seeds)
        metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
        for way, table in answers(run, trial).items():
            own = checked(metrics, way)
            classes = sorted(table["label"].unique())
            parts = [part for _, part in table.groupby("seed")]
            each = sum(recall_score(part["label"], part["prediction"], labels=classes, average=None)
                       for part in parts) / len(parts)
            assert abs(each.mean() - own["uar"]["mean"]) < 0.002, "recalls are those of the run"
            about = f"| {trial.features} | {trial.name} | {way} |"
            scores.append(f"{about} {100 * own['uar']['mean']:.1f} | {100 * own['accuracy']['mean']:.1f} |"
                          f" {len(parts[0]):,} | {seconds:.0f} |")
            recalls.append(f"{about} {' | '.join(f'{100 * recall:.0f}' for recall in each)} |")
    print("| features | learnt from | answer | UAR, % | accuracy, % | answers | seconds of one core |")
    print("|---|---|---|---|---|---|---|", *scores, sep="\n")
    print(f"\n| recall, % | learnt from | answer | {' | '.join(classes)} |")
    print(f"|---|---|---|{'---|' * len(classes)}", *recalls, sep="\n")


if __name__ == "__main__":
    main()
