"""What a training run leaves behind when its networks are trained: predictions and scores, of one run or of its folds.

``predictions.csv`` has a line for each clip, seed and task, ``baselines.csv`` one for each clip, baseline and task. A
run by folds has both once for every fold, and at its top the lines of all folds' test clips with a column ``fold``;
its ``metrics.json`` scores those lines as if one network had written them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from models import count_parameters
from models._layers import Mixed
from pipeline.audit import leak_notes, shared_with_train
from pipeline.batch import Batches
from pipeline.clip import Task
from pipeline.joined import JoinedStores
from pipeline.learning.folds import TEST, TRAIN, Folds, few
from pipeline.learning.jobs import Job, Material
from pipeline.learning.units import align
from pipeline.metrics import main_metric, score
from pipeline.runs import Checkpoint, count_read, read_json, write_json, write_text
from pipeline.scores.answers import read_answers
from pipeline.scores.baselines import Baselines, Clips, score_baselines
from pipeline.scores.scoring import Scored, in_units, interval, named, split_outputs, summarise
from pipeline.scores.shortcuts import Cues, score_fold_shortcuts, score_shortcuts


def write_results(job: Job) -> None:
    """Score the best network of every seed once on every labelled split."""
    checkpoints = [Checkpoint.load(job.run / f"seed{seed}" / "best.pt") for seed in job.seeds]
    outputs = {}
    for checkpoint in checkpoints:
        raw = split_outputs(checkpoint.network().to(job.batches.device), job.batches, job.scored_places().values(),
                            len(job.units), job.tasks)
        outputs[checkpoint.seed] = {task.name: in_units(task, raw[task.name], checkpoint.value_scale[task.name])
                                    for task in job.tasks}
    scored = Scored.of(outputs, job.scored_places(), job.units, job.stores, job.batches.has, job.tasks)
    metrics = scored.metrics(bootstrap_seed=job.config.seed, chosen_by=job.select_by)
    notes = list(job.notes)
    if job.config.baselines and not job.config.smoke:
        texts = np.full(len(job.units), "", object) if job.units.clock else job.stores.clips["text"].to_numpy()
        clips = Clips(_linear_features(job), texts, job.units.labels, scored.places, job.units.of(job.train_clips),
                      job.splits.dev)
        baselines = score_baselines(clips, job.tasks, weighting=job.config.class_weights)
        metrics["baselines"] = baselines.scores
        notes += baselines.notes
        write_text(job.run / "baselines.csv", _answers(baselines, scored).to_csv(index=False))
        metrics["shortcuts"] = score_shortcuts(_cues(job), job.units.labels, scored.places, clips.train, job.tasks,
                                               weighting=job.config.class_weights)
        if not job.fold and job.stores.unit_rows is None:
            metrics["shared_with_train"] = shared_with_train(job.stores.clips, job.splits.places, job.splits.train)
            notes += leak_notes(job.stores, metrics["shared_with_train"])
    reads = job.test_split in scored.places and not job.fold
    write_text(job.run / "predictions.csv", scored.table().to_csv(index=False))
    write_json(job.run / "metrics.json", {
        **metrics, "best_epochs": {str(checkpoint.seed): checkpoint.epoch for checkpoint in checkpoints},
        "num_parameters": count_parameters(checkpoints[0].network()), "dev_is_test": job.config.dev_is_test,
        "normalise": job.config.normalise, "smoke": job.config.smoke, "notes": notes,
        **_layer_weights(checkpoints),
        "test_reads": count_read(job.stores.paths, split=job.test_split, run=job.run, by="train") if reads else {}})


def _cues(material: Material) -> Cues:
    """What is known of each unit without looking at it."""
    whole = JoinedStores(material.stores.stores)
    owners = material.stores.clips["clip_id"].iloc[material.units.owner]
    return Cues.of(whole).at(pd.Index(whole.clips["clip_id"]).get_indexer(pd.Index(owners)))


def _layer_weights(checkpoints: Sequence[Checkpoint]) -> dict[str, Any]:
    """How much each layer of an encoder counts, ``{"layer_weights": {seed: {feature: [share]}}}``; {} without layers.
    """
    networks = {str(checkpoint.seed): checkpoint.network() for checkpoint in checkpoints}
    found = {seed: {name: [round(share, 6) for share in shares.tolist()]
                    for name, shares in network.layer_weights().items()}
             for seed, network in networks.items() if isinstance(network, Mixed)}
    return {"layer_weights": found} if found else {}


def _linear_features(job: Job) -> np.ndarray:
    """Every unit's inputs as one row of standardised numbers side by side, float32 (U, D).

    Of clips these are the pooled rows; of rows the numbers that stand there, 0 where there are none, without pixels.
    """
    if job.units.clock:
        parts = [_aligned(job, name) for name in job.inputs if job.stores.rows(name).values.dtype != np.uint8]
        return np.concatenate(parts, axis=1) if parts else np.zeros((len(job.units), 0), np.float32)
    batches, every = job.batches, np.arange(len(job.stores))
    if not batches.pools:
        batches = Batches({name: job.stores.rows(name) for name in job.inputs}, {}, batches.clip_ids, pools=("mean",))
        job.standardise(batches, job.train_clips)
    features = batches.take(every).features.values()
    return np.concatenate([values.flatten(1).cpu().numpy() for values in features], axis=1)


def _aligned(job: Job, name: str) -> np.ndarray:
    """One feature at every unit, standardised, float32 (U, D); 0 where it has no row."""
    index, values = align(job.stores, name, job.units), job.stores.rows(name).values
    has = torch.from_numpy(index >= 0).view(-1, *[1] * (values.ndim - 1))
    rows = torch.from_numpy(values[np.maximum(index, 0)])
    found = torch.where(has, job.scaler.apply(name, rows, job.units.owner), 0.0)
    return np.asarray(found.flatten(1))


def _answers(baselines: Baselines, scored: Scored) -> pd.DataFrame:
    """One row for each labelled clip, baseline and task: clip_id, split, baseline, task, label, prediction."""
    tasks = {task.name: task for task in scored.tasks}
    parts = []
    for split in scored.places:
        for (baseline, task), predicted in baselines.predictions.items():
            places = scored.labelled(split, tasks[task])
            parts.append(pd.DataFrame({
                "clip_id": scored.clip_ids[places], "split": split, "baseline": baseline, "task": task,
                "label": named(tasks[task], scored.labels[task][places]),
                "prediction": named(tasks[task], predicted[places])}))
    joined: pd.DataFrame = pd.concat(parts, ignore_index=True)
    return joined


def pool_folds(run: Path, material: Material, folds: Folds, notes: Sequence[str]) -> None:
    """Join the test predictions of all folds and score them together.

    Args:
        run: folder of all folds, each of which is scored.
        material: of the run.
        folds: of its clips.
        notes: what the run said before it began.

    Raises:
        TrainingError: a file of a fold cannot be read.
    """
    metrics = {fold.name: read_json(run / fold.folder / "metrics.json") for fold in folds.folds}
    answers = pd.concat([_tested(run / fold.folder / "predictions.csv", fold.name) for fold in folds.folds],
                        ignore_index=True)
    write_text(run / "predictions.csv", answers.to_csv(index=False))
    pooled = _pooled(material, folds, answers)
    if material.config.baselines:
        others = pd.concat([_tested(run / fold.folder / "baselines.csv", fold.name) for fold in folds.folds],
                           ignore_index=True)
        write_text(run / "baselines.csv", others.to_csv(index=False))
        pooled["baselines"] = {
            str(name): {TEST: {task.name: summarise([_score(task, part[part["task"] == task.name])])
                               for task in material.tasks if (part["task"] == task.name).any()}}
            for name, part in others.groupby("baseline", sort=False)}
        parts = [fold.splits.places for fold in folds.folds]
        pooled["shortcuts"] = score_fold_shortcuts(
            _cues(material), material.units.labels, [(material.units.of(part[TRAIN]), material.units.of(part[TEST]))
                                                     for part in parts],
            material.tasks, weighting=material.config.class_weights)
    first = metrics[folds.folds[0].name]
    write_json(run / "metrics.json", {
        **pooled, "protocol": {"name": folds.protocol, "source": folds.source, "warning": folds.warning,
                               "leaks": folds.leaks},
        "folds": {fold.name: {"folder": fold.folder, "test_groups": fold.test_groups, "dev_groups": fold.dev_groups,
                              **{part: metrics[fold.name][part] for part in (TEST, "num_clips", "best_epochs")}}
                  for fold in folds.folds},
        "num_parameters": first["num_parameters"], "dev_is_test": False, "normalise": material.config.normalise,
        "smoke": False, "notes": [*notes, *_later_notes(run, folds, metrics)],
        "test_reads": count_read(material.stores.paths, split=folds.protocol, run=run, by="train")})


def _pooled(material: Material, folds: Folds, answers: pd.DataFrame) -> dict[str, Any]:
    """Scores and intervals of all folds' predictions, one figure a seed."""
    clips = material.stores.clips.drop_duplicates("clip_id")
    group_of = clips.set_index("clip_id")["group"]
    scores, intervals, num_scored = {}, {}, {}
    for index, task in enumerate(material.tasks):
        rows = answers[(answers["task"] == task.name) & (answers["label"] != "")]
        num_scored[task.name] = int((rows["seed"] == str(material.seeds[0])).sum())
        if not len(rows):
            continue
        seeds = [rows[rows["seed"] == str(seed)] for seed in material.seeds]
        scores[task.name] = summarise([_score(task, part) for part in seeds])
        labels = _values(task, seeds[0]["label"])
        intervals[task.name] = interval(
            task, material.select_by if index == 0 else main_metric(task), labels,
            [_values(task, part["prediction"]) for part in seeds], group_of[seeds[0]["clip_id"]].to_numpy(),
            scores=[_certain(task, part) for part in seeds], seed=material.config.seed)
    tested = np.concatenate([fold.splits.places[TEST] for fold in folds.folds])
    has = {name: part[tested] for name, part in material.batches.has.items()}
    without = int((~np.any(list(has.values()), axis=0)).sum())
    more = {"utterances": _tested_rows(material, answers).utterances()} if material.config.level == "frame" else {}
    return {TEST: scores, "intervals": {TEST: intervals}, "level": material.config.level, **more,
            "num_clips": {TEST: {"scored": num_scored, "without_inputs": without}},
            "missing_modalities": {TEST: {name: int((~part).sum()) for name, part in has.items()}}}


def _tested_rows(material: Material, answers: pd.DataFrame) -> Scored:
    """What all folds' networks said about the rows that they were tested on, read back from their predictions."""
    outputs: dict[int, dict[str, np.ndarray]] = {seed: {} for seed in material.seeds}
    labels, first = {}, answers.iloc[:0]
    for task in material.tasks:
        columns = [f"probability_{name}" for name in task.classes] or ["prediction"]
        for seed in material.seeds:
            first = answers[(answers["task"] == task.name) & (answers["seed"] == str(seed))]
            outputs[seed][task.name] = first[columns].astype(float).to_numpy()
        labels[task.name] = _values(task, first["label"]) if task.classes else pd.to_numeric(first["label"]).to_numpy()
    every = np.arange(len(first))
    return Scored(outputs, {TEST: every}, labels, np.full(len(every), ""), first["clip_id"].to_numpy(), {},
                  material.tasks, first[["row"]])


def _later_notes(run: Path, folds: Folds, metrics: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What folds had to say after they began (of their baselines), each once with the names of the folds."""
    said: dict[str, list[str]] = {}
    for fold in folds.folds:
        before = read_json(run / fold.folder / "config.json")["notes"]
        for note in metrics[fold.name]["notes"]:
            if note not in before:
                said.setdefault(note, []).append(fold.name)
    return [f"fold {few(names)}: {note}" for note, names in said.items()]


def _tested(path: Path, fold: str) -> pd.DataFrame:
    """The lines of one fold's test clips, every cell as text, with the fold's name in front.

    Raises:
        TrainingError: the file cannot be read.
    """
    rows = read_answers(path)
    tested: pd.DataFrame = rows[rows["split"] == TEST].reset_index(drop=True)
    tested.insert(0, "fold", fold)
    return tested


def _score(task: Task, rows: pd.DataFrame) -> dict[str, float]:
    return score(task, _values(task, rows["label"]), _values(task, rows["prediction"]), _certain(task, rows))


def _certain(task: Task, rows: pd.DataFrame) -> np.ndarray | None:
    """How likely the class that is looked for is, (n,); None where none is, or the rows do not say."""
    name = f"probability_{task.positive}"
    return rows[name].astype(float).to_numpy() if task.positive and name in rows else None


def _values(task: Task, cells: Iterable[str]) -> np.ndarray:
    """Class indices or values of the cells of a table, (N,)."""
    if task.classes:
        places = {"": -1, **{name: place for place, name in enumerate(task.classes)}}
        return np.array([places[cell] for cell in cells], np.int64)
    return np.array(list(cells), np.float64)
