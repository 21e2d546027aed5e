"""How much a trained run leans on each input: scored again on the same clips, as if all of them lacked it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.clip import Task
from pipeline.devices import usable_device
from pipeline.errors import StoreError, UsageError
from pipeline.evaluation import check_features
from pipeline.joined import JoinedStores, Rows, is_labelled
from pipeline.learning.examples import Examples, lay_out
from pipeline.learning.scaling import Scaler
from pipeline.metrics import positive_scores, score
from pipeline.runs import Checkpoint, count_read, model_class, read_json, seed_folders
from pipeline.scores.answers import is_by_folds, read_answers, read_folds_plan
from pipeline.scores.scoring import decide, in_units, outputs_of, summarise


class Without(JoinedStores):
    """Stores whose clips lack some features.

    Args:
        stores: the stores.
        lacking: names of features, of which no clip has rows here.
    """

    def __init__(self, stores: JoinedStores, lacking: Collection[str]) -> None:
        super().__init__(stores.stores)
        self._lacking = frozenset(lacking)

    def rows(self, feature: str) -> Rows:
        found = super().rows(feature)
        return replace(found, lengths=np.zeros_like(found.lengths)) if feature in self._lacking else found


def scored_split(run: Path) -> str:
    """The split whose scores count: test, or dev of a run that had no test."""
    splits = read_json(run / "config.json")["splits"]
    return str(splits.get("test") or splits["dev"])


def scores_without(run: Path, stores: JoinedStores, lacking: Collection[str], *,
                   device: str = "auto") -> dict[str, dict[str, dict[str, Any]]]:
    """Score a finished run on the clips of its own scores, as if these lacked some inputs.

    Nothing is learnt anew. With nothing lacking the scores are those of the run.

    Args:
        run: its folder; one by folds is scored fold by fold, pooled as its own scores are.
        stores: those that it learnt from.
        lacking: inputs that are taken away.
        device: ``"auto"``, ``"cpu"`` or ``"cuda:N"``.

    Returns:
        ``{task: {metric: {"mean", "sd", "seeds"}}}``, of the split that :func:`scored_split` names.

    Raises:
        UsageError: the run has no such input, or answers for rows of clips.
        StoreError: the stores are not those of the run.
        TrainingError: the run is not finished.
    """
    plan, split = read_json(run / "config.json"), scored_split(run)
    if unknown := sorted(set(lacking) - set(plan["inputs"])):
        raise UsageError(f"{run} has no input {unknown[0]!r}, only {', '.join(plan['inputs'])}")
    if plan["training"].get("level") == "frame":
        raise UsageError(f"{run} answers for rows of clips, which a clip without an input has not; inputs are taken"
                         " away from runs that answer for whole clips")
    folders = [run / fold["folder"] for fold in read_folds_plan(run)["folds"]] if is_by_folds(run) else [run]
    networks = {folder: [Checkpoint.load(path / "best.pt") for path in seed_folders(folder)] for folder in folders}
    first = networks[folders[0]][0]
    check_features(first, stores)
    examples = lay_out(Without(stores, lacking), tuple(first.inputs), first.tasks, kind=model_class(first.model),
                       pools=first.network().config.pools, level="utterance", device=usable_device(device))
    if first.training.get("normalise") == "speaker":
        examples.batches.use_scaler(examples.batches.fit_speakers(stores.clips["speaker"].to_numpy()))
    outputs: dict[int, dict[str, np.ndarray]] = {}
    answered = np.zeros(len(stores), bool)
    for folder, checkpoints in networks.items():
        places = _places(folder, split, stores)
        answered[places] = True
        for checkpoint in checkpoints:
            _answer(checkpoint, examples, places, outputs)
    if plan["splits"].get("test"):
        count_read(stores.paths, split=plan.get("folds", {}).get("protocol", split), run=run, by="evaluate")
    return _scores(first.tasks, examples.units.labels, answered, outputs)


def _places(folder: Path, split: str, stores: JoinedStores) -> np.ndarray:
    """Clips of a split that a run answered for, by what it wrote down.

    Raises:
        StoreError: the stores lack one.
    """
    rows = read_answers(folder / "predictions.csv")
    wanted = rows.loc[rows["split"] == split, "clip_id"].unique()
    known = {clip_id: place for place, clip_id in enumerate(stores.clips["clip_id"])}
    if lost := [clip_id for clip_id in wanted if clip_id not in known]:
        raise StoreError(f"{' and '.join(map(str, stores.paths))} lacks {len(lost)} of the clips that {folder} was"
                         f" scored on, {lost[0]} first; name the stores that it learnt from")
    return np.array(sorted(known[clip_id] for clip_id in wanted), np.int64)


def _answer(checkpoint: Checkpoint, examples: Examples, places: np.ndarray,
            outputs: dict[int, dict[str, np.ndarray]]) -> None:
    """Write what a network says of some clips into ``outputs`` (by seed and task, for all clips)."""
    if checkpoint.training.get("normalise") != "speaker":
        examples.batches.use_scaler(Scaler.from_state(checkpoint.scaler))
    raw = outputs_of(checkpoint.network().to(examples.batches.device), examples.batches, places)
    mine = outputs.setdefault(checkpoint.seed, {})
    for task in checkpoint.tasks:
        values = in_units(task, raw[task.name], checkpoint.value_scale[task.name])
        mine.setdefault(task.name, np.zeros((len(examples.stores), values.shape[1]), np.float32))[places] = values


def _scores(tasks: tuple[Task, ...], labels: Mapping[str, np.ndarray], answered: np.ndarray,
            outputs: Mapping[int, Mapping[str, np.ndarray]]) -> dict[str, dict[str, dict[str, Any]]]:
    found = {}
    for task in tasks:
        places = np.flatnonzero(answered & is_labelled(labels[task.name]))
        if len(places):
            said = [part[task.name][places] for part in outputs.values()]
            found[task.name] = summarise([score(task, labels[task.name][places], decide(task, values),
                                                positive_scores(task, values)) for values in said])
    return found
