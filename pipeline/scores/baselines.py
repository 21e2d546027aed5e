"""What a model must beat: the commonest class, a linear model on the same features, and one on the words.

They learn from the same clips as the model, are scored on the same ones, and their one choice (how strongly to
regularise) is made on dev, as the model's epoch is.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_union

from pipeline.clip import Task
from pipeline.joined import is_labelled
from pipeline.learning.losses import class_weights
from pipeline.metrics import main_metric, positive_scores, score
from pipeline.scores.scoring import summarise

STRENGTHS = (0.001, 0.01, 0.1, 1.0)         # inverse regularisation C to choose from; each fit starts at the last
MAX_ITERATIONS = 200
TOLERANCE = 1e-3                            # of the gradient; a tenth of it moves no score on MELD in the third place
MAX_COLUMNS = 8192                          # a wider row (pixels) is no input for a linear model
MOST_TRAINING = 100_000                     # more training rows than this make a linear model slower, not better
RARE_FROM_CLIPS = 1000                      # with more training texts, what occurs in a single one is left out


@dataclass
class Baselines:
    """Scores, predictions and remarks, filled by :func:`score_baselines`."""

    scores: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    predictions: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Clips:
    """What the baselines see: clips, or rows of clips.

    Args:
        features: standardised inputs side by side, float32 (N, D).
        texts: (N,) str.
        labels: by task (N,).
        splits: places of clips by split name.
        train: places of the clips to learn from.
        dev: name of the split that makes choices.
    """

    features: np.ndarray
    texts: np.ndarray
    labels: Mapping[str, np.ndarray]
    splits: Mapping[str, np.ndarray]
    train: np.ndarray
    dev: str

    def taught(self, task: Task) -> np.ndarray:
        """Places that a linear model learns from; of very many an even share, in order."""
        known = self.known(self.train, task)
        return known[np.linspace(0, len(known) - 1, MOST_TRAINING).astype(int)] if len(known) > MOST_TRAINING else known

    def known(self, places: np.ndarray, task: Task) -> np.ndarray:
        """Those of ``places`` that have a label."""
        return np.asarray(places[is_labelled(self.labels[task.name][places])])


def score_baselines(clips: Clips, tasks: Sequence[Task], *, weighting: str = "sqrt") -> Baselines:
    """Fit and score every baseline that the data allow.

    ``majority`` is the commonest training class, or the mean of the training values; ``logistic_regression`` (for
    values ``ridge``) learns from the features; ``tfidf`` is a logistic regression on TF-IDF of words (one and two) and
    cased characters (two to five, within words), where there are texts and classes.

    Args:
        clips: see there.
        tasks: what to answer.
        weighting: of classes in the logistic regressions, as in :func:`pipeline.learning.losses.class_weights`.

    Returns:
        Scores ``{baseline: {split: {task: {metric: {"mean", "sd", "seeds"}}}}}``; class indices or values (N,) by
        baseline and task, which count where there is a label; and remarks, such as a fit that was stopped before it
        converged.
    """
    found = Baselines()
    words = _word_features(clips) if any(task.classes for task in tasks) else None
    for task in tasks:
        everywhere = np.unique(np.concatenate([clips.known(places, task) for places in clips.splits.values()]))
        _add(found, "majority", clips, task, np.full(len(clips.texts), _commonest(clips, task)))
        if not clips.features.shape[1]:
            found.notes.append("no linear baseline: the inputs are pixels")
        elif clips.features.shape[1] > MAX_COLUMNS:
            found.notes.append(f"no linear baseline: {clips.features.shape[1]} columns are more than {MAX_COLUMNS}")
        elif task.classes:
            _add(found, "logistic_regression", clips, task, *_logistic(
                clips, task, clips.features, everywhere, STRENGTHS, weighting, found, "logistic_regression"))
        else:
            _add(found, "ridge", clips, task, _ridge(clips, task, everywhere))
        if words is not None and task.classes:
            _add(found, "tfidf", clips, task, *_logistic(clips, task, words, everywhere, (1.0,), weighting, found,
                                                         "tfidf"))
    return found


def _commonest(clips: Clips, task: Task) -> float | int:
    labels = clips.labels[task.name][clips.known(clips.train, task)]
    return int(np.bincount(labels).argmax()) if task.classes else float(labels.mean())


def _add(found: Baselines, name: str, clips: Clips, task: Task, predicted: np.ndarray,
         certain: np.ndarray | None = None) -> None:
    """Score predictions (N,), and how sure of the class that is looked for, on every split that has labels."""
    found.predictions[name, task.name] = predicted
    for split, places in clips.splits.items():
        known = clips.known(places, task)
        if len(known):
            scores = score(task, clips.labels[task.name][known], predicted[known],
                           None if certain is None else certain[known])
            found.scores.setdefault(name, {}).setdefault(split, {})[task.name] = summarise([scores])


def _logistic(clips: Clips, task: Task, features: np.ndarray | csr_matrix, places: np.ndarray,
              strengths: Sequence[float], weighting: str, found: Baselines,
              name: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Classes (N,) by the logistic regression that does best on dev, −1 outside ``places``; and the probability of the
    class that is looked for, if one is."""
    train, dev = clips.taught(task), clips.known(clips.splits[clips.dev], task)
    labels = clips.labels[task.name]
    weights = dict(enumerate(class_weights(labels[train], len(task.classes), weighting).tolist()))
    weights = {place: weights[place] for place in np.unique(labels[train]).tolist()}
    regression = LogisticRegression(max_iter=MAX_ITERATIONS, tol=TOLERANCE, class_weight=weights, warm_start=True)
    best, chosen, certain = -1.0, np.full(len(labels), -1, np.int64), None
    for strength in strengths:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            regression.set_params(C=strength).fit(features[train], labels[train])
        if int(regression.n_iter_.max()) >= MAX_ITERATIONS:
            found.notes.append(f"{name} for {task.name} with C={strength:g} was stopped after {MAX_ITERATIONS}"
                               " iterations, before it converged")
        on_dev = score(task, labels[dev], regression.predict(features[dev]), _probability(
            regression, task, features[dev])).get(main_metric(task), 0.0) if len(dev) else 0.0
        if on_dev > best:
            best = on_dev
            chosen[places] = regression.predict(features[places])
            if (found_there := _probability(regression, task, features[places])) is not None:
                certain = np.zeros(len(labels))
                certain[places] = found_there
    return chosen, certain


def _probability(regression: LogisticRegression, task: Task, features: np.ndarray | csr_matrix) -> np.ndarray | None:
    """How likely the class that is looked for is, (n,); None where none is."""
    if not task.positive:
        return None
    outputs = np.zeros((features.shape[0], len(task.classes)))
    outputs[:, regression.classes_] = regression.predict_proba(features)
    return positive_scores(task, outputs)


def _ridge(clips: Clips, task: Task, places: np.ndarray) -> np.ndarray:
    """Values (N,) by the ridge regression that does best on dev; NaN outside ``places``."""
    train, dev = clips.taught(task), clips.known(clips.splits[clips.dev], task)
    labels = clips.labels[task.name]
    best, chosen = -np.inf, np.full(len(labels), np.nan, np.float32)
    for strength in STRENGTHS:
        regression = Ridge(alpha=1 / strength).fit(clips.features[train], labels[train])
        on_dev = score(task, labels[dev], regression.predict(clips.features[dev]))["ccc"] if len(dev) else 0.0
        if on_dev > best:
            best = on_dev
            chosen[places] = regression.predict(clips.features[places])
    return chosen


def _word_features(clips: Clips) -> csr_matrix | None:
    """TF-IDF of every clip's text, sparse float32 (N, words and characters); None when no training clip has words."""
    training = clips.texts[clips.train]
    if not any(text.strip() for text in training):
        return None
    rarest = 2 if len(training) > RARE_FROM_CLIPS else 1
    shared: dict[str, Any] = {"min_df": rarest, "sublinear_tf": True, "dtype": np.float32}
    union = make_union(
        TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\S+", **shared),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), lowercase=False, **shared))
    return csr_matrix(union.fit(training).transform(clips.texts))
