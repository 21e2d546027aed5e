"""Active-speaker tables written as CSV: labels, a run's predictions in the benchmark's form, and TalkNet's lists."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.datasets._speaker_tracks import mean_rates
from pipeline.errors import DatasetError, TrainingError
from pipeline.scores.answers import read_answers
from pipeline.speaking.speaker_rows import COLUMNS
from pipeline.speaking.speaker_tables import LABELS, SpeakerTable

_AVA_STRETCH = re.compile(r"_\d{4}_\d{4}$")  # of AVA's tracks: VIDEO_START_STOP:NUMBER
_SAME_SECONDS = 0.005  # a quarter of the step at 50 frames a second
_FAR_SECONDS = 1e6  # longer than any video
_SCORE = "probability_speaking"


def write_table(path: Path, table: SpeakerTable, scores: np.ndarray | None = None, *, header: bool = True) -> None:
    """Write labels, or predictions of the same rows, in the form in which the table came.

    A table with ``label_id`` and ``instance_id`` gets UniTalk's ten columns and a header, another AVA's eight and none.
    Predictions say SPEAKING_AUDIBLE in every row, with the score at the end, as the official script wants them.

    Args:
        path: a file that is not there yet.
        table: N rows.
        scores: of its rows, (N,); None to write the labels.
        header: write one above ten columns.

    Raises:
        DatasetError: the file is there already.
    """
    full = table.label_id is not None and table.instance is not None
    labels = np.array(LABELS, object)[table.label] if scores is None else "SPEAKING_AUDIBLE"
    columns: dict[str, Any] = {
        "video_id": table.video, "frame_timestamp": table.time_text,
        **{name: table.box[:, side] for side, name in enumerate(COLUMNS[2:6])},
        "label": labels, "entity_id": table.entity}
    if full:
        columns |= {"label_id": table.label_id if scores is None else 1, "instance_id": table.instance}
    if scores is not None:
        columns["score"] = np.asarray(scores, np.float64)
    _write(path, pd.DataFrame(columns).to_csv(index=False, header=full and header, lineterminator="\n"))


def scores_of_run(run: Path, truth: SpeakerTable, *, split: str = "test", seed: int | None = None) -> np.ndarray:
    """What a run by frames says of each row of a file of labels; NaN for rows that it did not answer for.

    A run's clip is the track whose ``entity_id`` follows the split in its id; its times count from the track's first
    row.

    Args:
        run: folder of a run with ``predictions.csv``.
        truth: the labels of the tracks.
        split: the run's name for their split; what is published as ``val`` is ``test``.
        seed: of the network; None for the mean over all.

    Returns:
        Probability of speaking, float64 (N,).

    Raises:
        TrainingError: the run did not answer row by row, holds nothing of that split or seed, or has no class
            ``speaking``.
        DatasetError: an answer is for a track or a time that the labels do not have.
    """
    rows = read_answers(run / "predictions.csv")
    if "start_seconds" not in rows or _SCORE not in rows:
        raise TrainingError(f"{run / 'predictions.csv'} has no columns start_seconds and {_SCORE}; expected a run that"
                            " answers for every frame: train a model such as active_speaker on a store of face tracks")
    wanted = (rows["split"] == split) & (rows[_SCORE] != "")
    if seed is not None:
        wanted &= rows["seed"] == str(seed)
    if not wanted.any():
        seeds = "" if seed is None else f" of seed {seed}"
        raise TrainingError(f"{run / 'predictions.csv'} holds no answers{seeds} for the split {split}; it has"
                            f" {', '.join(sorted(rows['split'].unique())) or 'none'}, of the seeds"
                            f" {', '.join(sorted(rows['seed'].unique())) or 'none'}")
    rows = rows[wanted]
    entities = rows["clip_id"].str.partition("/")[2].to_numpy()
    place = _places(truth, entities, rows["start_seconds"].astype(float).to_numpy(), run)
    summed = np.bincount(place, rows[_SCORE].astype(float).to_numpy(), len(truth))
    counts = np.bincount(place, minlength=len(truth))
    return np.where(counts > 0, summed / np.maximum(counts, 1), np.nan)


def write_loader(path: Path, table: SpeakerTable) -> None:
    """Write TalkNet's list of tracks: entity, number of frames, frames a second, labels, start; tabs between.

    Labels are 1 for SPEAKING_AUDIBLE and else 0, in order of time. The start is in whole seconds, as its loader reads
    it as an integer.

    Args:
        path: a file that is not there yet.
        table: the tracks' rows.

    Raises:
        DatasetError: the file is there already.
    """
    tracks, rates, lines = table.tracks(), mean_rates(table), []
    for start, stop in zip(tracks.starts[:-1], tracks.starts[1:]):
        rows = tracks.order[start:stop]
        labels = table.speaking[rows].astype(int).tolist()
        lines.append(f"{table.entity[rows[0]]}\t{len(rows)}\t{rates[str(table.video[rows[0]])]:.6g}\t{labels}"
                     f"\t{int(table.time[rows[0]])}\n")
    _write(path, "".join(lines))


def read_loader(path: Path, pictures: Path | None = None) -> SpeakerTable:
    """Read TalkNet's list of tracks as labels with UniTalk's columns.

    The list holds neither boxes nor exact times. Boxes become the whole picture. Times are those that the tracks'
    pictures are named by, or follow from the start, in whole seconds, and the rate.

    Args:
        path: the list.
        pictures: ``clips_videos/SPLIT`` with a folder for each track, by video or flat; None without.

    Raises:
        DatasetError: the list cannot be read or a line is wrong; a track has no folder of pictures or another number of
            pictures than labels. The message names the line.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} cannot be read: {error}; expected TalkNet's list of tracks") from error
    found: dict[str, tuple[list[str], list[int]]] = {}
    for number, line in enumerate(lines, 1):
        if line.strip():
            entity, labels, start, rate = _loader_line(line, f"{path}, line {number}")
            if entity in found:
                raise DatasetError(f"{path}, line {number}: the track {entity} came before; expected each once")
            names = [f"{start + frame / rate:.2f}" for frame in range(len(labels))] if pictures is None else \
                _picture_times(pictures, entity, len(labels), f"{path}, line {number}")
            found[entity] = names, labels
    if not found:
        raise DatasetError(f"{path} holds no track; expected one in each line")
    return _table(path, found)


def video_of(entity: str) -> str:
    """The video of a track, of whatever length its id is.

    >>> video_of("a:2"), video_of("-5KQ66BBWC4_0900_0960:1")
    ('a', '-5KQ66BBWC4')
    """
    return _AVA_STRETCH.sub("", entity.rpartition(":")[0])


def _places(truth: SpeakerTable, entities: np.ndarray, seconds: np.ndarray, run: Path) -> np.ndarray:
    """The row of the truth that each answer is for: of the same track, at the nearest time."""
    tracks = truth.tracks()
    lengths = np.diff(tracks.starts)
    first = np.repeat(truth.time[tracks.order[tracks.starts[:-1]]], lengths)
    known = np.repeat(np.arange(len(tracks)), lengths) * _FAR_SECONDS + truth.time[tracks.order] - first
    codes = pd.Index(truth.entity[tracks.order[tracks.starts[:-1]]]).get_indexer(pd.Index(entities))
    asked = codes * _FAR_SECONDS + seconds
    after = np.clip(np.searchsorted(known, asked), 1, max(len(known) - 1, 1))
    near = np.where(np.abs(known[after - 1] - asked) <= np.abs(known[np.minimum(after, len(known) - 1)] - asked),
                    after - 1, np.minimum(after, len(known) - 1))
    wrong = np.flatnonzero((codes < 0) | ~(np.abs(known[near] - asked) < _SAME_SECONDS))
    if len(wrong):
        raise DatasetError(f"{run / 'predictions.csv'} answers for {entities[wrong[0]]} at {seconds[wrong[0]]:g} s of"
                           f" the track, which {truth.path} does not have, and so for {len(wrong):,} rows; expected the"
                           " labels of the corpus and split that the run was tested on")
    return np.asarray(tracks.order[near])


def _loader_line(line: str, where: str) -> tuple[str, list[int], float, float]:
    cells = line.split("\t")
    try:
        entity, count, rate_text, labels_text, start_text = cells
        labels = [int(label) for label in labels_text.strip("[] ").split(",")]
        rate, start = float(rate_text), float(start_text)
        good = len(labels) == int(count) and {*labels} <= {0, 1, 2} and 0 < rate < 1000 and 0 <= start < _FAR_SECONDS
    except ValueError:
        good = False
    if not good or not video_of(cells[0]) or {"/", "\\"} & {*cells[0]}:
        raise DatasetError(f"{where}: {line[:80]!r}; expected VIDEO:NUMBER, the number of frames, frames a second, as"
                           " many labels 0 or 1 in brackets and the start in seconds, with tabs between")
    return entity, labels, start, rate


def _picture_times(pictures: Path, entity: str, num_labels: int, where: str) -> list[str]:
    folders = [pictures / video_of(entity) / entity, pictures / entity]
    folder = next((one for one in folders if one.is_dir()), None)
    if folder is None:
        raise DatasetError(f"{where}: no pictures of {entity}; expected them in {folders[0]} or {folders[1]}")
    try:
        times = sorted((path.stem for path in folder.glob("*.jpg")), key=float)
    except ValueError as error:
        raise DatasetError(f"{where}: {folder} holds a picture that is not named by its time ({error})") from error
    if len(times) != num_labels:
        raise DatasetError(f"{where}: {num_labels} labels and {len(times)} pictures in {folder}; expected as many")
    return times


def _table(path: Path, found: dict[str, tuple[list[str], list[int]]]) -> SpeakerTable:
    entities = [entity for entity, (times, _) in found.items() for _ in times]
    times = [time for names, _ in found.values() for time in names]
    speaking = np.array([label == 1 for _, labels in found.values() for label in labels])
    size = len(times)
    return SpeakerTable(
        path, np.arange(1, size + 1), np.array([video_of(entity) for entity in entities], object),
        np.array([float(time) for time in times]), np.array(times, object), np.tile([0.0, 0.0, 1.0, 1.0], (size, 1)),
        speaking.astype(np.int8), np.array(entities, object), speaking.astype(np.int8), _instances(entities, speaking))


def _instances(entities: Sequence[str], speaking: np.ndarray) -> np.ndarray:
    """``ENTITY:0`` and on: a track's stretches in which it speaks throughout, or does not."""
    names, entity, number = [], "", 0
    for place, one in enumerate(entities):
        number = 0 if one != entity else number + int(speaking[place] != speaking[place - 1])
        entity = one
        names.append(f"{one}:{number}")
    return np.array(names, object)


def _write(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8", newline="") as file:
            file.write(text)
    except FileExistsError as error:
        raise DatasetError(f"{path} is there already; name a new file, or move that one away") from error
    except OSError as error:
        raise DatasetError(f"{path} cannot be written: {error}") from error
