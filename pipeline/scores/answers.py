"""Reading back what networks of a run answered, and which clips the networks of each fold have not seen."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.errors import TrainingError
from pipeline.joined import JoinedStores
from pipeline.learning.folds import TEST
from pipeline.runs import read_json

COLUMNS = ["clip_id", "split", "task", "label", "prediction"]


def read_answers(path: Path) -> pd.DataFrame:
    """``predictions.csv`` or ``baselines.csv``, every cell as text.

    Raises:
        TrainingError: it cannot be read, or is neither.
    """
    try:
        rows = pd.read_csv(path, dtype=str, keep_default_na=False)
        rows[COLUMNS]
    except (OSError, ValueError, KeyError) as error:
        raise TrainingError(f"{path} cannot be read ({error}); finish the run with: python -m pipeline train --resume"
                            f" {path.parent}") from error
    return rows


def is_by_folds(run: Path) -> bool:
    """Does a folder hold a run by folds?"""
    return any(run.glob("fold-*/config.json"))


def learnt_from_rendered(run: Path) -> tuple[str, ...]:
    """What must stand beside all that a run answers where it learnt from a rendered corpus; else nothing.

    Raises:
        TrainingError: its ``config.json`` cannot be read.
    """
    found = read_json(run / "config.json").get("rendered", []) if (run / "config.json").exists() else []
    names = ", ".join(name for name in found if isinstance(name, str)) if isinstance(found, list) else ""
    return (f"the run learnt from rendered clips of {names}, not from film: its answers show that the parts work, not"
            " how good they are on people",) if names else ()


def read_folds_plan(run: Path) -> Mapping[str, Any]:
    """The part ``folds`` of a run's ``config.json``, as :meth:`pipeline.learning.folds.Folds.plan` gives it.

    Raises:
        TrainingError: it is not there or of another layout.
    """
    plan = read_json(run / "config.json").get("folds")
    try:
        texts = [plan["protocol"], plan["source"], plan["warning"], *plan["groups"]]
        for fold in plan["folds"]:
            texts += [fold["name"], fold["folder"], *fold["test_groups"], *fold["dev_groups"]]
            if not re.fullmatch(r"fold-\d{1,9}", fold["folder"]):
                raise ValueError(f"a fold lies in {fold['folder']!r}")
        if not plan["folds"] or not all(isinstance(text, str) for text in texts):
            raise ValueError("no folds, or names that are no text")
    except (LookupError, TypeError, ValueError) as error:
        raise TrainingError(f"{run / 'config.json'} does not describe folds as train writes them ({error!r}); train"
                            " again") from error
    return dict(plan)


def unseen(run: Path, plan: Mapping[str, Any], stores: JoinedStores) -> np.ndarray:
    """Which clips the networks of each fold neither learnt from nor were chosen by.

    In a store of the run's own corpus a clip is seen where its group was outside the fold's test groups, or its id was
    (clips without a group, and those dealt one by one). Clips of another corpus are unseen by all.

    Args:
        run: a run by folds.
        plan: its folds.
        stores: whose clips.

    Returns:
        bool (folds, N).

    Raises:
        TrainingError: predictions of a fold cannot be read.
    """
    found = np.ones((len(plan["folds"]), len(stores)), bool)
    if stores.stores[0].corpus.name != read_json(run / "config.json")["dataset"]:
        return found
    groups, clip_ids = stores.clips["group"].to_numpy(), stores.clips["clip_id"].to_numpy()
    for place, fold in enumerate(plan["folds"]):
        rows = read_answers(run / fold["folder"] / "predictions.csv")
        others = sorted(set(plan["groups"]) - set(fold["test_groups"]))
        learnt = rows.loc[rows["split"] != TEST, "clip_id"].unique()
        found[place] = ~(np.isin(groups, others) | np.isin(clip_ids, learnt))
    return found
