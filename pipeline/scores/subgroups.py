"""For whom does a run do well? Its score by speaker, and by sex or gender where the corpus tells it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline.clip import Task
from pipeline.errors import TrainingError
from pipeline.joined import JoinedStores
from pipeline.metrics import mean_and_sd, score
from pipeline.scores.resampling import confidence_intervals

GENDER_TASKS = ("gender", "sex")
FEWEST = 20             # answers of a speaker below which a score says little; such speakers are scored together
OTHERS = "all others"


@dataclass(frozen=True)
class Subgroup:
    """How a run does on some of the answers.

    Args:
        kind: by what they are chosen: ``"speaker"``, ``"gender"``.
        name: whose they are; of others the speakers with too few of their own.
        num_answers: clips, or rows of clips.
        num_groups: of the corpus that they lie in.
        mean, sd: of the score over seeds.
        low, high: 95 % interval by bootstrap over groups, over clips where all lie in one group.
    """

    kind: str
    name: str
    num_answers: int
    num_groups: int
    mean: float
    sd: float
    low: float
    high: float


def subgroups(predictions: pd.DataFrame, task: Task, split: str, metric: str,
              stores: JoinedStores) -> list[Subgroup]:
    """Score the answers of every subgroup by itself.

    Args:
        predictions: ``predictions.csv``.
        task: what was answered.
        split: whose answers.
        metric: which score.
        stores: which know speakers, genders and groups.

    Returns:
        Speakers with the most answers first, then all others together; then genders in the order of their classes.
        None where one speaker alone is known, likewise of genders. A gender is not told where it is what is answered.

    Raises:
        TrainingError: an answer is none that the task knows.
    """
    rows = predictions[(predictions["task"] == task.name) & (predictions["split"] == split)
                       & (predictions["label"] != "")]
    seeds = [part for _, part in rows.groupby("seed", sort=True)]
    if not seeds:
        return []
    answers = _Answers.of(task, seeds)
    clips = stores.clips.drop_duplicates("clip_id").set_index("clip_id")
    places = clips.index.get_indexer(pd.Index(seeds[0]["clip_id"]))
    groups, speakers = (np.where(places >= 0, clips[name].to_numpy().astype(str)[places], "")
                        for name in ("group", "speaker"))
    found = []
    for name, chosen in _by_speaker(speakers):
        found.append(_score("speaker", name, answers, chosen, groups, metric))
    for name in [name for name in GENDER_TASKS if name in stores.tasks and name != task.name]:
        labels = pd.Series(stores.labels(name), stores.clips["clip_id"])
        own = labels[~labels.index.duplicated()].to_numpy()[places]
        for place, label in enumerate(stores.tasks[name].classes):
            chosen = (own == place) & (places >= 0)
            if chosen.any() and not chosen.all():
                found.append(_score(name, label, answers, chosen, groups, metric))
    return [part for part in found if part is not None]


def _by_speaker(speakers: np.ndarray) -> list[tuple[str, np.ndarray]]:
    """Speakers with enough answers, most first, and all others together; which answers are theirs, bool (N,)."""
    names, counts = np.unique(speakers[speakers != ""], return_counts=True)
    if len(names) < 2:
        return []
    order = sorted(range(len(names)), key=lambda place: (-counts[place], names[place]))
    large = [str(names[place]) for place in order if counts[place] >= FEWEST]
    others = ~np.isin(speakers, [*large, ""])
    return [*((name, speakers == name) for name in large), *([(OTHERS, others)] if others.any() and large else [])]


@dataclass(frozen=True)
class _Answers:
    """Labels (N,), and of each seed predictions (N,) and how likely the class looked for is (N,) or None."""

    task: Task
    labels: np.ndarray
    predictions: Sequence[np.ndarray]
    certain: Sequence[np.ndarray | None]

    @classmethod
    def of(cls, task: Task, seeds: Sequence[pd.DataFrame]) -> _Answers:
        try:
            if task.classes:
                known: Mapping[str, int] = {name: place for place, name in enumerate(task.classes)}
                labels, *predictions = [np.array([known[cell] for cell in cells], np.int64) for cells in (
                    seeds[0]["label"], *(part["prediction"] for part in seeds))]
            else:
                labels, *predictions = [cells.astype(float).to_numpy() for cells in (
                    seeds[0]["label"], *(part["prediction"] for part in seeds))]
            column = f"probability_{task.positive}"
            certain: list[Any] = [part[column].astype(float).to_numpy() if task.positive else None for part in seeds]
        except (KeyError, ValueError) as error:
            raise TrainingError(f"predictions.csv has an answer for {task.name!r} that the store does not know"
                                f" ({error}); train again") from error
        if any(len(part) != len(labels) for part in predictions):
            raise TrainingError(f"predictions.csv has not as many answers of every seed for {task.name!r}; train again")
        return cls(task, labels, predictions, certain)


def _score(kind: str, name: str, answers: _Answers, chosen: np.ndarray, groups: np.ndarray,
           metric: str) -> Subgroup | None:
    """None where the metric says nothing of these answers: average precision with nothing to be found."""
    labels = answers.labels[chosen]
    predictions = [part[chosen] for part in answers.predictions]
    certain = [None if part is None else part[chosen] for part in answers.certain]
    scores = [score(answers.task, labels, *pair) for pair in zip(predictions, certain, strict=True)]
    if metric not in scores[0]:
        return None
    own = groups[chosen]
    num_groups = len(set(own.tolist()) - {""}) + int((own == "").sum())
    drawn = own.astype(object) if num_groups > 1 else np.full(len(own), "", object)
    low, high = confidence_intervals(answers.task, labels, predictions, drawn, scores=certain)[metric]
    mean, sd = mean_and_sd([part[metric] for part in scores])
    return Subgroup(kind, name, len(labels), num_groups, mean, sd, low, high)
