"""What could be guessed without looking: how well trivial cues do on the same clips as a model.

Who speaks, how long, how loud, in how many words, before how many faces: cues that a corpus may give away by the way it
was made. A model that does hardly better than they has perhaps learnt no more than they know.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import softmax
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge

from pipeline.clip import Task
from pipeline.joined import JoinedStores, is_labelled, row_index
from pipeline.learning.folds import TEST
from pipeline.learning.losses import class_weights
from pipeline.media import TimesKind
from pipeline.metrics import positive_scores, score
from pipeline.scores.scoring import decide, summarise
from pipeline.storage.layout import TIMES_KINDS

SPEAKER, TOGETHER = "speaker", "together"
MEASURED: TimesKind = "measured"
MOST_SPEAKERS = 50              # commonest training speakers that are told apart among all cues together
MOST_TRAINING = 20_000          # more clips or rows than these move no fit of a handful of numbers
ROWS_HEARD = 16                 # rows of a log-mel spectrogram, evenly spread, that a clip's loudness is taken from
LOUDEST_DB = 200                # no sound is louder, or as much quieter
FACES, LOGMEL, FUNCTIONALS = "faces", "audio_logmel", "audio_functionals"
LEVEL_COLUMN = "equivalentSoundLevel_dBp"


@dataclass(frozen=True)
class Cues:
    """What is known of clips, or of rows of clips, without looking at them.

    Args:
        speakers: who speaks, (N,) str; "" unknown.
        numbers: by cue, float32 (N, k), NaN unknown; only cues that the stores know and that differ between clips.
    """

    speakers: np.ndarray
    numbers: Mapping[str, np.ndarray]

    @classmethod
    def of(cls, stores: JoinedStores) -> Cues:
        """The cues that some stores' clips have.

        ``duration`` is the annotated one in seconds, or where the measured rows of any feature end; ``loudness`` the
        level in dB of the functionals or of the log-mel spectrogram, where one is stored; ``text`` the numbers of words
        and of characters; ``faces`` how many people's tracks there are. All but the loudness are taken as log(1 + x).
        """
        clips = stores.clips
        texts = [str(text).strip() for text in clips["text"]]
        lengths = np.array([(len(text.split()), len(text)) for text in texts], np.float64).reshape(-1, 2)
        found = {"duration": np.log1p(_durations(stores))[:, None], "loudness": _loudness(stores)[:, None],
                 "text": np.log1p(lengths), "faces": np.log1p(_num_faces(stores))[:, None]}
        return cls(clips["speaker"].to_numpy().astype(str), {name: values.astype(np.float32) for name, values
                                                             in found.items() if _differs(values)})

    def at(self, places: np.ndarray) -> Cues:
        """Those of some clips, in the order given."""
        return Cues(self.speakers[places], {name: values[places] for name, values in self.numbers.items()})

    @property
    def names(self) -> tuple[str, ...]:
        """Cues that can be tried: who speaks, each number, and all together where there are several."""
        speaker = (SPEAKER,) if len(set(self.speakers.tolist()) - {""}) > 1 else ()
        single = (*speaker, *self.numbers)
        return (*single, TOGETHER) if len(single) > 1 else single


def score_shortcuts(cues: Cues, labels: Mapping[str, np.ndarray], splits: Mapping[str, np.ndarray], train: np.ndarray,
                    tasks: Sequence[Task], *, weighting: str = "sqrt") -> dict[str, Any]:
    """Learn each task from each cue alone, and from all together.

    By ``speaker`` it is the commonest class of the speaker's training clips, or their mean value; of strangers what all
    training clips say. The others are logistic (or ridge) regressions on the numbers and their squares, all together
    also on who of the commonest speakers it is. Nothing is chosen on dev.

    Args:
        cues: of all clips.
        labels: by task (N,).
        splits: places of the clips that are scored, by split name.
        train: places of those that are learnt from.
        tasks: what to answer.
        weighting: of classes, as in :func:`pipeline.learning.losses.class_weights`.

    Returns:
        ``{cue: {split: {task: {metric: {"mean", "sd", "seeds"}}}}}``, as the baselines' scores.
    """
    found: dict[str, Any] = {}
    for task, cue, outputs in _answers(cues, labels, train, tasks, weighting):
        for split, places in splits.items():
            known = _known(labels[task.name], places)
            if len(known):
                found.setdefault(cue, {}).setdefault(split, {})[task.name] = _scores(
                    task, labels[task.name][known], outputs[known])
    return found


def score_fold_shortcuts(cues: Cues, labels: Mapping[str, np.ndarray],
                         folds: Iterable[tuple[np.ndarray, np.ndarray]], tasks: Sequence[Task], *,
                         weighting: str = "sqrt") -> dict[str, Any]:
    """Learn anew in every fold and score what all folds test together.

    Args:
        cues, labels, tasks, weighting: as for :func:`score_shortcuts`.
        folds: places of the clips that train and of those that are tested, fold by fold.

    Returns:
        ``{cue: {"test": {task: {metric: {"mean", "sd", "seeds"}}}}}``.
    """
    told: dict[tuple[str, str], list[tuple[np.ndarray, np.ndarray]]] = {}
    for train, tested in folds:
        for task, cue, outputs in _answers(cues, labels, train, tasks, weighting):
            known = _known(labels[task.name], tested)
            told.setdefault((cue, task.name), []).append((labels[task.name][known], outputs[known]))
    found: dict[str, Any] = {}
    by_name = {task.name: task for task in tasks}
    for (cue, name), pairs in told.items():
        tested_labels, outputs = (np.concatenate([pair[side] for pair in pairs]) for side in (0, 1))
        if len(tested_labels):
            found.setdefault(cue, {}).setdefault(TEST, {})[name] = _scores(by_name[name], tested_labels, outputs)
    return found


def _known(labels: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Those of some places that have a label."""
    return np.asarray(places[is_labelled(labels[places])])


def _scores(task: Task, labels: np.ndarray, outputs: np.ndarray) -> dict[str, Any]:
    """All scores of answers (N, C), as of one seed."""
    return summarise([score(task, labels, decide(task, outputs), positive_scores(task, outputs))])


def _answers(cues: Cues, labels: Mapping[str, np.ndarray], train: np.ndarray, tasks: Sequence[Task],
             weighting: str) -> Iterator[tuple[Task, str, np.ndarray]]:
    """Task, cue and what it says: shares of classes, or values; (N, C)."""
    for task in tasks:
        own, known = labels[task.name], _known(labels[task.name], train)
        if not len(known):
            continue
        taught = known[np.linspace(0, len(known) - 1, min(len(known), MOST_TRAINING)).astype(int)]
        for cue in cues.names:
            if cue == SPEAKER:
                yield task, cue, _by_speaker(cues.speakers, own, known, task)
            else:
                yield task, cue, _regression(_columns(cues, cue, train), own, taught, task, weighting)


def _by_speaker(speakers: np.ndarray, labels: np.ndarray, train: np.ndarray, task: Task) -> np.ndarray:
    """What a speaker's training clips mostly say; the answer of all settles ties and stands for strangers; (N, C)."""
    names, who = np.unique(speakers, return_inverse=True)
    if task.classes:
        counts = np.zeros((len(names), len(task.classes)))
        np.add.at(counts, (who[train], labels[train]), 1)
        prior = counts.sum(0) / len(train)
    else:
        counts = np.stack([np.bincount(who[train], labels[train], len(names))], axis=1)
        prior = labels[train].mean(keepdims=True)
    number = np.bincount(who[train], minlength=len(names))[:, None]
    counts[names == ""], number[names == ""] = 0, 0
    share = np.where(number > 0, (counts + 1e-3 * prior) / (number + 1e-3), prior)
    return np.asarray(share[who])


def _columns(cues: Cues, cue: str, train: np.ndarray) -> np.ndarray:
    """What a regression is given, float64 (N, D): numbers in units of the training clips, squares, flags of what is
    unknown; all together with a column for each of the commonest training speakers."""
    parts = []
    for values in cues.numbers.values() if cue == TOGETHER else [cues.numbers[cue]]:
        unknown = np.isnan(values)
        known = np.where(unknown, 0, values).astype(np.float64)
        num_known = np.maximum((~unknown[train]).sum(0), 1)
        mean = known[train].sum(0) / num_known
        away = np.where(unknown, 0, known - mean)
        sd = np.sqrt(np.square(away[train]).sum(0) / num_known)
        scaled = np.clip(away / np.where(sd > 0, sd, 1), -5, 5)
        parts += [scaled, np.square(scaled), *([unknown[:, :1]] if unknown.any() else [])]
    if cue == TOGETHER and SPEAKER in cues.names:
        names, counts = np.unique(cues.speakers[train], return_counts=True)
        order = np.argsort(-counts, kind="stable")
        common = [name for name in names[order].tolist() if name][:MOST_SPEAKERS]
        parts.append(cues.speakers[:, None] == np.array(common or [""])[None])
    return np.concatenate([part.astype(np.float64) for part in parts], axis=1)


def _regression(columns: np.ndarray, labels: np.ndarray, train: np.ndarray, task: Task, weighting: str) -> np.ndarray:
    """Shares of classes, or values, by a regression on a few columns; (N, C)."""
    if not task.classes:
        return np.asarray(Ridge().fit(columns[train], labels[train]).predict(columns))[:, None]
    outputs = np.zeros((len(columns), len(task.classes)))
    occurring = np.unique(labels[train])
    if len(occurring) == 1:
        outputs[:, occurring] = 1
        return outputs
    weights = class_weights(labels[train], len(task.classes), weighting).tolist()
    regression = LogisticRegression(class_weight={place: weights[place] for place in occurring.tolist()}, tol=1e-2,
                                    max_iter=100)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)     # a step further moves no score that anyone would print
        regression.fit(columns[train], labels[train])
    raw = regression.decision_function(columns)
    raw = np.stack([np.zeros(len(raw)), raw], axis=1) if raw.ndim == 1 else raw
    outputs[:, regression.classes_] = softmax(raw, axis=1)
    return outputs


def _differs(values: np.ndarray) -> bool:
    known = values[~np.isnan(values).any(1)]
    return bool(len(known)) and bool((known != known[0]).any())


def _durations(stores: JoinedStores) -> np.ndarray:
    """Seconds of each clip, (N,); NaN unknown."""
    clips = stores.clips
    seconds = clips["stop_seconds"].to_numpy(np.float64) - clips["start_seconds"].to_numpy(np.float64)
    ends = np.full(len(seconds), np.nan)
    for feature in stores.features:
        if MEASURED not in np.take(TIMES_KINDS, np.unique(stores.owner(feature).times_kinds(feature))):
            continue
        rows, times = stores.rows(feature), stores.times(feature)
        has = np.flatnonzero(rows.lengths)
        last = np.asarray(times[rows.starts[has] + rows.lengths[has] - 1, 1], np.float64)
        ends[has] = np.fmax(ends[has], last)
    return np.maximum(np.where(np.isfinite(seconds), seconds, ends), 0)


def _plain(stores: JoinedStores, name: str) -> str | None:
    """The stored feature of an extractor, a plain one before its variants; None without."""
    found = [feature for feature in stores.features if feature.split("@")[0] == name]
    return min(found) if found else None


def _loudness(stores: JoinedStores) -> np.ndarray:
    """Level of each clip in dB, (N,); NaN unknown."""
    found = np.full(len(stores), np.nan)
    feature = _plain(stores, FUNCTIONALS)
    if feature is not None and LEVEL_COLUMN in stores.columns(feature):
        rows = stores.rows(feature)
        values = np.asarray(rows.values[:, stores.columns(feature).index(LEVEL_COLUMN)], np.float64)
        lengths = rows.lengths
        index = row_index(rows.starts, lengths)
    elif (feature := _plain(stores, LOGMEL)) is not None:
        rows = stores.rows(feature)
        lengths = np.minimum(rows.lengths, ROWS_HEARD)
        within = row_index(np.zeros(len(lengths), np.int64), lengths)
        step = np.repeat(rows.lengths / np.maximum(lengths, 1), lengths)
        places = np.repeat(rows.starts, lengths) + (within * step).astype(np.int64)
        values = np.asarray(rows.values[places], np.float64).reshape(len(places), -1).mean(1)
        index = np.arange(len(places))
    else:
        return found
    power = 10 ** (np.clip(values[index], -LOUDEST_DB, LOUDEST_DB) / 10)
    power = np.bincount(np.repeat(np.arange(len(lengths)), lengths), power, len(lengths))
    has = lengths > 0
    found[has] = 10 * np.log10(np.maximum(power[has] / lengths[has], 1e-12))
    return found


def _num_faces(stores: JoinedStores) -> np.ndarray:
    """People's tracks in each clip, (N,); NaN where faces were not looked for."""
    found = np.full(len(stores), np.nan)
    feature = _plain(stores, FACES)
    if feature is None or "track" not in stores.columns(feature):
        return found
    owner, rows = stores.owner(feature), stores.rows(feature)
    looked = np.isin(owner.status(feature), ("done", "empty"))
    ids = dict(zip(owner.column("clip_id").tolist(), looked.tolist(), strict=True))
    track = np.asarray(rows.values[:, stores.columns(feature).index("track")])
    _, number = np.unique(track[row_index(rows.starts, rows.lengths)], return_inverse=True)
    size = int(number.max(initial=0)) + 1
    different = np.unique(np.repeat(np.arange(len(stores)), rows.lengths) * size + number)
    counts = np.bincount(different // size, minlength=len(stores))
    known = np.array([ids.get(clip_id, False) for clip_id in stores.clips["clip_id"].tolist()], bool)
    found[known] = counts[known]
    return found
