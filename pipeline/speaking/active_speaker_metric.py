"""Scores of active-speaker predictions as the AVA benchmark gives them: overall, by sub-category, by track.

The joining follows ActivityNet's ``get_ava_active_speaker_performance.py``: a prediction belongs to the row of the same
track at the same time, its label is SPEAKING_AUDIBLE throughout and its box that of the truth. Where that script drops
rows in silence or fails with a traceback, this names the row.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.errors import DatasetError
from pipeline.scores.average_precision import average_precision
from pipeline.speaking.speaker_tables import (LABELS, SPEAKING, SpeakerTable, join_tables, read_ground_truth,
                                              read_predictions, read_video_list)

NUM_RESAMPLES = 200
_BOX_TOLERANCE = 1e-9  # as in the official script
TRACK_COLUMNS = ("video_id", "entity_id", "num_rows", "num_positive", "average_precision", "mean_score_speaking",
                 "mean_score_not_speaking")


@dataclass(frozen=True)
class SpeakerScore:
    """Average precision of some rows; fractions 0–1.

    Args:
        average_precision: among equal scores the earlier row of the truth comes first.
        lowest, highest: what it would be if among equal scores all negatives, or all positives, came first; without
            ties across labels both are ``average_precision``.
        interval: where 95 % of bootstrap draws over videos lie; None for fewer than two videos.
        num_rows, num_positive, num_videos: what was scored.
    """

    average_precision: float
    lowest: float
    highest: float
    interval: tuple[float, float] | None
    num_rows: int
    num_positive: int
    num_videos: int

    @property
    def positive_rate(self) -> float:
        """What scores that know nothing reach."""
        return self.num_positive / self.num_rows

    def to_json(self) -> dict[str, Any]:
        """All fields and the positive rate, for JSON."""
        return {**asdict(self), "positive_rate": self.positive_rate,
                "interval": None if self.interval is None else list(self.interval)}


def read_truth(path: Path) -> SpeakerTable:
    """Labels of a file, or of all ``*.csv`` of a folder, as AVA has one for each video.

    Raises:
        DatasetError: as :func:`read_ground_truth`, or a folder without such files.
    """
    return join_tables([read_ground_truth(file) for file in _files(path)], path)


def read_scores(path: Path) -> SpeakerTable:
    """Predictions of a file, or of all ``*.csv`` of a folder.

    Raises:
        DatasetError: as :func:`read_predictions`, or a folder without such files.
    """
    return join_tables([read_predictions(file) for file in _files(path)], path)


def read_sub_categories(path: Path) -> dict[str, tuple[str, ...]]:
    """Videos of each sub-category, by name, from one list or a folder of lists named ``test_NAME.csv``.

    Raises:
        DatasetError: a folder without lists, or a list that cannot be read.
    """
    return {file.stem.removeprefix("test_"): read_video_list(file) for file in _files(path)}


def scores_of(truth: SpeakerTable, predictions: SpeakerTable, *, missing_as_zero: bool = False) -> np.ndarray:
    """The score of each row of the truth, float64 (N,).

    Args:
        truth: labels.
        predictions: scores; their order does not matter.
        missing_as_zero: give rows that were not predicted the score 0 instead of refusing.

    Raises:
        DatasetError: predictions without scores or with another label than SPEAKING_AUDIBLE, for rows that the truth
            does not have, of another box, or none for a row that it has; the message names the first such row.
    """
    if predictions.score is None:
        raise DatasetError(f"{predictions.path} holds no scores; expected one in the last column")
    other = np.flatnonzero(predictions.label != SPEAKING)
    if len(other):
        raise DatasetError(f"{predictions.path}, row {predictions.row[other[0]]}: the label is"
                           f" {LABELS[int(predictions.label[other[0]])]}; predictions have SPEAKING_AUDIBLE in every"
                           " row, and say with the score how likely it is")
    wanted, found = _keys(truth, predictions)
    place = pd.Index(wanted).get_indexer(pd.Index(found))
    unknown = np.flatnonzero(place < 0)
    if len(unknown):
        raise DatasetError(f"{predictions.path}, row {predictions.row[unknown[0]]}: {truth.path} has no row of"
                           f" {predictions.entity[unknown[0]]} at {predictions.time_text[unknown[0]]} s, and so for"
                           f" {len(unknown):,} predictions; expected rows of the truth only")
    moved = np.flatnonzero((np.abs(truth.box[place] - predictions.box) > _BOX_TOLERANCE).any(axis=1))
    if len(moved):
        raise DatasetError(f"{predictions.path}, row {predictions.row[moved[0]]}: the box of"
                           f" {predictions.entity[moved[0]]} at {predictions.time_text[moved[0]]} s is not that of"
                           f" {truth.path}, row {truth.row[place[moved[0]]]}; copy boxes as they are printed there")
    scores: np.ndarray = np.full(len(truth), 0.0 if missing_as_zero else np.nan)
    scores[place] = predictions.score
    missing = np.flatnonzero(np.isnan(scores))
    if len(missing):
        raise DatasetError(f"{predictions.path} has no prediction for {truth.entity[missing[0]]} at"
                           f" {truth.time_text[missing[0]]} s ({truth.path}, row {truth.row[missing[0]]}), nor for"
                           f" {len(missing) - 1:,} more of {len(truth):,} rows; predict them, or give them the score 0"
                           " with --missing-as-zero")
    return scores


def score_speakers(truth: SpeakerTable, scores: np.ndarray, *, num_resamples: int = NUM_RESAMPLES,
                   seed: int = 0) -> SpeakerScore:
    """Average precision over all rows, with what ties and the choice of videos could make of it.

    Args:
        truth: labels.
        scores: of its rows, float64 (N,).
        num_resamples: draws of videos with replacement; draws without a positive row are passed over; 0 for no
            interval.
        seed: of the draws.

    Raises:
        DatasetError: no positive row, or no negative one: then the figure would say nothing.
    """
    labels = truth.speaking
    if not labels.any() or labels.all():
        raise DatasetError(f"{truth.path} holds {len(labels):,} rows, {int(labels.sum()):,} of them SPEAKING_AUDIBLE;"
                           " average precision needs rows that speak and rows that do not")
    order = np.argsort(-scores, kind="stable")
    first = {name: average_precision(labels[by], scores[by]) for name, by in (
        ("lowest", np.lexsort((labels, -scores))), ("highest", np.lexsort((~labels, -scores))))}
    videos, names = pd.factorize(truth.video)
    interval = None
    if len(names) > 1 and num_resamples:
        draws = _resampled(labels[order], scores[order], videos[order], len(names), num_resamples, seed)
        low, high = np.quantile(draws, (.025, .975))
        interval = float(low), float(high)
    return SpeakerScore(average_precision(labels[order], scores[order]), first["lowest"], first["highest"], interval,
                        len(labels), int(labels.sum()), len(names))


def by_sub_category(truth: SpeakerTable, scores: np.ndarray, categories: Mapping[str, Sequence[str]], *,
                    num_resamples: int = NUM_RESAMPLES) -> dict[str, SpeakerScore]:
    """The score of each sub-category's videos alone.

    Args:
        truth, scores: as for :func:`score_speakers`.
        categories: videos of each, by name.
        num_resamples: as there.

    Raises:
        DatasetError: a sub-category of which the truth has no row, or none that speaks, or none that does not.
    """
    videos, names = pd.factorize(truth.video)
    found = {}
    for category, wanted in categories.items():
        inside = np.isin(names, list(wanted))[videos]
        if not inside.any():
            raise DatasetError(f"{truth.path} has no video of the sub-category {category}: expected some of"
                               f" {', '.join(wanted[:3])}")
        try:
            found[category] = score_speakers(truth.take(inside), scores[inside], num_resamples=num_resamples)
        except DatasetError as error:
            raise DatasetError(f"sub-category {category}: {error}") from error
    return found


def track_rows(truth: SpeakerTable, scores: np.ndarray) -> Iterator[tuple[str, ...]]:
    """A line for each track, as ``TRACK_COLUMNS`` say; empty where a track has no rows of the kind."""
    tracks = truth.tracks()
    speaking = truth.speaking
    for start, stop in zip(tracks.starts[:-1], tracks.starts[1:]):
        rows = tracks.order[start:stop]
        labels, given = speaking[rows], scores[rows]
        both = labels.any() and not labels.all()
        yield (str(truth.video[rows[0]]), str(truth.entity[rows[0]]), str(len(rows)), str(int(labels.sum())),
               f"{average_precision(labels, given):.6f}" if both else "",
               *(f"{given[kind].mean():.6f}" if kind.any() else "" for kind in (labels, ~labels)))


def _files(path: Path) -> list[Path]:
    files = sorted(path.glob("*.csv")) if path.is_dir() else [path]
    if not files:
        raise DatasetError(f"{path} holds no *.csv; expected a file, or a folder of them")
    return files


def _keys(truth: SpeakerTable, predictions: SpeakerTable) -> tuple[np.ndarray, np.ndarray]:
    """One int64 a row that is equal where track and time are."""
    entities, _ = pd.factorize(np.concatenate([truth.entity, predictions.entity]))
    times, known = pd.factorize(np.concatenate([truth.time, predictions.time]))
    keys = entities.astype(np.int64) * len(known) + times
    return keys[:len(truth)], keys[len(truth):]


def _resampled(labels: np.ndarray, scores: np.ndarray, videos: np.ndarray, num_videos: int, num_resamples: int,
               seed: int) -> list[float]:
    """Average precision of each draw; rows come sorted, so that sorting again costs little."""
    draws = np.random.default_rng(seed).multinomial(num_videos, np.full(num_videos, 1 / num_videos), num_resamples)
    positive = np.bincount(videos[labels], minlength=num_videos) > 0
    return [average_precision(labels, scores, draw[videos]) for draw in draws if (draw * positive).any()]
