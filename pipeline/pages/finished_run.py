"""A finished run as pages show it: its files and stores, read once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.clip import Corpus, Task
from pipeline.errors import TrainingError
from pipeline.joined import JoinedStores, open_stores
from pipeline.pages.prose import FeatureText, describe_feature
from pipeline.runs import read_history, read_json
from pipeline.scores.answers import read_answers, read_folds_plan


@dataclass(frozen=True)
class FinishedRun:
    """What a run left behind, read once.

    Args:
        folder: of the run.
        config, metrics: ``config.json`` and ``metrics.json``.
        history: lines of ``history.jsonl``; those of all folds with ``fold``, its name.
        predictions: ``predictions.csv``, every cell as text but ``seed``.
        stores: what it learnt from.
    """

    folder: Path
    config: Mapping[str, Any]
    metrics: Mapping[str, Any]
    history: Sequence[Mapping[str, Any]]
    predictions: pd.DataFrame
    stores: JoinedStores

    @classmethod
    def load(cls, folder: Path, features: Sequence[Path] | None = None) -> FinishedRun:
        """Read everything.

        Raises:
            TrainingError: a file of the run is missing or damaged.
            StoreError: a store cannot be read, or is not labelled for the run's tasks.
        """
        config, metrics = read_json(folder / "config.json"), read_json(folder / "metrics.json")
        predictions = read_answers(folder / "predictions.csv")
        try:
            predictions["seed"] = predictions["seed"].astype(int)
        except (ValueError, KeyError) as error:
            raise TrainingError(f"{folder / 'predictions.csv'} cannot be read ({error}); train again") from error
        stores = open_stores([Path(path) for path in features or config["features"]])
        for task in config["tasks"]:
            stores.labels(task)
        folds = read_folds_plan(folder)["folds"] if "folds" in config else []
        history = [{**line, "fold": fold["name"]} for fold in folds for line in read_history(folder / fold["folder"])]
        return cls(folder, config, metrics, history or read_history(folder), predictions, stores)

    @property
    def tasks(self) -> list[Task]:
        return [self.stores.tasks[name] for name in self.config["tasks"]]

    @property
    def shown_split(self) -> str:
        """The split whose scores the page shows: test, or dev where there is no scored test split."""
        test = self.config["splits"]["test"]
        return str(test if test in self.metrics else self.config["splits"]["dev"])

    @property
    def by_folds(self) -> bool:
        return "folds" in self.config

    @property
    def units(self) -> str:
        """What the scores count."""
        return "rows of clips" if self.metrics.get("level") == "frame" else "clips"

    @property
    def corpora(self) -> list[Corpus]:
        """Of all stores, each once."""
        return list({store.corpus.name: store.corpus for store in self.stores.stores}.values())

    def labelled(self, task: Task, split: str) -> pd.DataFrame:
        """Predictions of a task for a split's labelled clips, all seeds."""
        rows = self.predictions
        found: pd.DataFrame = rows[(rows["task"] == task.name) & (rows["split"] == split) & (rows["label"] != "")]
        return found

    @cached_property
    def features(self) -> list[FeatureText]:
        """Recipes of the inputs and of what they are made from."""
        names = list(self.config["inputs"])
        for name in names:
            names += [upstream for upstream in self.stores.owner(name).recipe(name).get("upstream", {})
                      if upstream not in names and upstream in self.stores.features]
        return [describe_feature(name, self.stores.owner(name).head(name)) for name in names]
