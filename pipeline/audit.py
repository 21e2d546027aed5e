"""The audit of a store or a run: what trivial cues give away, what its splits share, and for whom a run does well."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline import plugins
from pipeline.clip import Task
from pipeline.errors import StoreError, TrainingError, UsageError
from pipeline.joined import JoinedStores, is_labelled, open_stores
from pipeline.learning.folds import TEST, TRAIN, choose_folds
from pipeline.learning.splits import choose_splits
from pipeline.metrics import main_metric
from pipeline.runs import count_read, read_json
from pipeline.scores.answers import read_answers
from pipeline.scores.shortcuts import Cues, score_fold_shortcuts, score_shortcuts
from pipeline.scores.subgroups import subgroups


def shared_with_train(clips: pd.DataFrame, splits: Mapping[str, np.ndarray],
                      train: str) -> dict[str, dict[str, float]]:
    """What the clips of other splits have in common with those that train.

    Args:
        clips: the clip table.
        splits: places of clips by split name.
        train: name of the split that trains.

    Returns:
        ``{split: {"texts", "speakers", "half_speakers", "train_speakers"}}``: shares of the split's clips whose words
        (without regard to case and spaces) are said in training clips, and whose speaker speaks there, of those clips
        that have words and a speaker; how many of the training speakers say half of the split's clips; and how many
        training speakers there are. What is not known is left out, and so is a split about which nothing is.
    """
    texts = np.array([" ".join(str(text).casefold().split()) for text in clips["text"]], object)
    speakers = clips["speaker"].to_numpy().astype(object)
    found: dict[str, dict[str, float]] = {}
    trained = {"texts": set(texts[splits[train]]) - {""}, "speakers": set(speakers[splits[train]]) - {""}}
    for split, places in splits.items():
        if split == train:
            continue
        part: dict[str, float] = {}
        for name, values in (("texts", texts), ("speakers", speakers)):
            own = [value for value in values[places].tolist() if value]
            if own and trained[name]:
                part[name] = sum(value in trained[name] for value in own) / len(own)
        if part.get("speakers"):
            own = [value for value in speakers[places].tolist() if value]
            counts = pd.Series([value for value in own if value in trained["speakers"]]).value_counts().to_numpy()
            enough = np.flatnonzero(np.cumsum(counts) * 2 >= len(own))
            part["train_speakers"] = len(trained["speakers"])
            if len(enough):
                part["half_speakers"] = int(enough[0]) + 1
        if part:
            found[split] = part
    return found


def statements(shared: Mapping[str, Mapping[str, float]]) -> list[str]:
    """What :func:`shared_with_train` found, a sentence for each split.

    >>> statements({"test": {"texts": 0.153, "speakers": 0.5, "train_speakers": 9, "half_speakers": 2}})[0][:66]
    '15.3 % of the clips of test have a text of train, 50.0 % a speaker'
    """
    found = []
    for split, part in shared.items():
        text = [f"{100 * part['texts']:.1f} % of the clips of {split} have a text of train"] if "texts" in part else []
        if "speakers" in part:
            who = "" if text else f" of the clips of {split} have"
            text.append(f"{100 * part['speakers']:.1f} %{who} a speaker of train")
        half = part.get("half_speakers")
        few = f"; {half:.0f} of train's {part['train_speakers']:.0f} speakers say half of them" if half else ""
        found.append(", ".join(text) + few)
    return found


def known_leaks(corpora: Iterable[str]) -> dict[str, str]:
    """What the readers of some corpora say that the official splits share by design; by corpus, those that do."""
    found = {}
    for name in dict.fromkeys(corpora):
        if name in plugins.names("dataset"):
            said: Any = plugins.plugin_class("dataset", name)
            if said.known_leaks:
                found[name] = str(said.known_leaks)
    return found


def leak_notes(stores: JoinedStores, shared: Mapping[str, Mapping[str, float]]) -> list[str]:
    """What must stand beside results on the official splits of a corpus that is known to leak: that, and how much."""
    known = known_leaks(store.corpus.name for store in stores.stores)
    said = [f"{name}: {leak}" for name, leak in known.items()]
    return ["; ".join([*said, *statements(shared)])] if said and shared else []


def audit_stores(features: Path | Sequence[Path], *, tasks: Sequence[str] | None = None, folds: str = "",
                 seed: int = 0) -> dict[str, Any]:
    """Try the trivial cues of a corpus on its own splits, or by folds; nothing of its features is learnt from.

    Args:
        features: a store, or several that are joined by clip id.
        tasks: which; by default all that label whole clips.
        folds: a protocol as for ``train``; "" takes the corpus's splits, and carves dev where it has none.
        seed: of carving and dealing.

    Returns:
        ``{"cues", "shortcuts", "shared_with_train", "known_leaks", "notes", "main_metrics": {task: metric},
        "test_reads"}``; see :func:`pipeline.scores.shortcuts.score_shortcuts` and :func:`shared_with_train`.

    Raises:
        StoreError: a store cannot be read, or has no such task.
        UsageError: no task of whole clips, or no such protocol.
        TrainingError: nothing is labelled, or there is nothing to divide.
    """
    stores = open_stores(features)
    chosen = _tasks(stores, tasks)
    labels = {task.name: stores.labels(task.name) for task in chosen}
    first, cues = chosen[0], Cues.of(stores)
    shared: dict[str, dict[str, float]] = {}
    fraction = stores.stores[0].corpus.dev_fraction
    if folds:
        plan = choose_folds(stores, folds, chosen, labels, dev_fraction=fraction, seed=seed)
        places = [(fold.splits.places[TRAIN], fold.splits.places[TEST]) for fold in plan.folds]
        shortcuts, read = score_fold_shortcuts(cues, labels, places, chosen), plan.protocol
    else:
        splits = choose_splits(stores.clips, first, labels[first.name], dev_fraction=fraction, seed=seed)
        train, read = splits.places[splits.train], splits.test or ""
        if not is_labelled(labels[first.name][train]).any():
            raise TrainingError(f"no clip of {splits.train!r} is labelled for {first.name!r}; there is nothing to"
                                " learn")
        shortcuts = score_shortcuts(cues, labels, splits.places, train, chosen)
        shared = shared_with_train(stores.clips, splits.places, splits.train)
    reads = count_read(stores.paths, split=read, run=Path("audit"), by="audit") if read else {}
    return {"cues": list(cues.names), "shortcuts": shortcuts, "shared_with_train": shared,
            "known_leaks": known_leaks(store.corpus.name for store in stores.stores), "notes": stores.notices,
            "main_metrics": {task.name: main_metric(task) for task in chosen}, "test_reads": reads}


def _tasks(stores: JoinedStores, tasks: Sequence[str] | None) -> list[Task]:
    for name in tasks or ():
        if name not in stores.tasks:
            raise StoreError(f"{' and '.join(map(str, stores.paths))} has no task {name!r}, only"
                             f" {', '.join(stores.tasks) or 'none'}")
    chosen = [task for task in stores.tasks.values() if task.level == "clip" and (not tasks or task.name in tasks)]
    if not chosen:
        raise UsageError(f"{' and '.join(map(str, stores.paths))} labels no whole clips"
                         f"{' for ' + ', '.join(tasks) if tasks else ''}; a run on frames has its audit in its report")
    return chosen


def audit_run(run: Path, features: Sequence[Path] | None = None) -> dict[str, Any]:
    """Lay what a finished run was scored with beside its trivial cues, and score it by speaker and gender.

    Args:
        run: its folder.
        features: its stores, where they are no longer where the run found them.

    Returns:
        ``{"split", "main_metrics", "model", "scores", "shortcuts", "shared_with_train", "known_leaks", "notes",
        "subgroups": {task: [...]}}``; of the split that the report shows. Subgroups as
        :class:`pipeline.scores.subgroups.Subgroup`.

    Raises:
        TrainingError: the folder holds no finished run.
        StoreError: a store cannot be read.
    """
    config, metrics = read_json(run / "config.json"), read_json(run / "metrics.json")
    answers = read_answers(run / "predictions.csv")
    stores = open_stores([Path(path) for path in features or config["features"]])
    try:
        split = TEST if "folds" in config else config["splits"]["test"] or config["splits"]["dev"]
        split = split if split in metrics else config["splits"]["dev"]
        tasks = [stores.tasks[name] for name in config["tasks"] if name in metrics[split]]
        chief = {task.name: str(metrics["intervals"][split][task.name]["metric"]) for task in tasks}
        scores = metrics[split]
        shortcuts = {cue: scored[split] for cue, scored in metrics.get("shortcuts", {}).items() if split in scored}
    except (KeyError, TypeError, AttributeError) as error:
        raise TrainingError(f"{run} has not the layout of a run ({error!r}), or its store has not its tasks; train"
                            " again") from error
    return {"split": split, "main_metrics": chief, "model": config["model"], "scores": scores, "shortcuts": shortcuts,
            "shared_with_train": metrics.get("shared_with_train", {}), "known_leaks": known_leaks([config["dataset"]]),
            "notes": stores.notices, "subgroups": {task.name: [asdict(part) for part in subgroups(
                answers, task, split, chief[task.name], stores)] for task in tasks}}
