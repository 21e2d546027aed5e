"""What was found as files for programs and players: JSON, CSV, WebVTT and ASS."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from pipeline.clip import Task
from pipeline.predicting.findings import MEANING, Prediction
from pipeline.predicting.track_files import tracks_json
from pipeline.speaking.tracks import summarise_tracks
from pipeline.words.subtitles import Cue, as_ass, as_vtt

SHORT_STAMP = "means nothing: see the notes of this file"


def as_json(found: Prediction) -> dict[str, Any]:
    """All that was found, in JSON's types; probabilities and values have six decimals.

    Of a run that tells who speaks: the tracks of faces, as :func:`pipeline.predicting.track_files.tracks_json`.
    """
    if not found.tasks:
        return tracks_json(found)
    recording = found.recording
    return {
        "source": str(recording.source), "name": recording.name,
        "duration_seconds": round(recording.duration_seconds, 3), "problem": found.problem,
        "run": str(found.run), "model": found.model, "num_networks": found.num_networks,
        "meaning": MEANING, "stamps": list(found.stamps), "notes": [*recording.notes, *found.notes],
        "tasks": {task.name: {"kind": task.kind, "classes": list(task.classes)} for task in found.tasks},
        "inputs": dict(found.wanted),
        "missing_inputs": {kind: found.missing(kind) for kind in ("utterance", "window")} if not found.problem else {},
        "utterances": [_stretch(found, place) for place in found.of_kind("utterance")],
        "windows": [_stretch(found, place) for place in found.of_kind("window")],
        "faces": None if found.faces is None else [
            {"track": track.number, "start_seconds": round(track.start_seconds, 3),
             "stop_seconds": round(track.stop_seconds, 3), "num_rows": track.num_rows,
             "speaking": None if track.speaking is None else round(track.speaking, 4)}
            for track in summarise_tracks(found.faces)]}


def _stretch(found: Prediction, place: int) -> dict[str, Any]:
    part = found.stretches[place]
    return {"start_seconds": round(part.start_seconds, 3), "stop_seconds": round(part.stop_seconds, 3),
            "text": part.text, "speaker": part.speaker, "inputs": list(found.inputs[place]),
            "answers": {task.name: _answer(found, task, place) for task in found.tasks}}


def _answer(found: Prediction, task: Task, place: int) -> dict[str, Any]:
    values, spread = found.answers[task.name][place], found.spread[task.name]
    if not task.classes:
        return {"value": _number(values[0]), "spread": None if spread is None else _number(spread[place][0])}
    return {"prediction": found.label(task, place),
            "probabilities": {name: _number(value) for name, value in zip(task.classes, values, strict=True)},
            "spread": None if spread is None else {name: _number(value) for name, value
                                                   in zip(task.classes, spread[place], strict=True)}}


def _number(value: np.floating) -> float:
    return round(float(value), 6)


def as_csv(found: Prediction) -> str:
    """A row for each utterance and each window: times, words, what is likest and every probability."""
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\n")
    head = ["kind", "start_seconds", "stop_seconds", "text", "speaker", "inputs"]
    for task in found.tasks:
        head += [task.name, *(f"{task.name}_probability_{name}" for name in task.classes)]
    table.writerow([*head, "stamps"])
    for place, part in enumerate(found.stretches):
        cells = [part.kind, f"{part.start_seconds:.3f}", f"{part.stop_seconds:.3f}", _cell(part.text),
                 _cell(part.speaker), " ".join(found.inputs[place])]
        for task in found.tasks:
            values = found.answers[task.name][place]
            cells += [found.label(task, place), *(f"{value:.6f}" for value in values)] if task.classes \
                else [f"{values[0]:.6f}"]
        table.writerow([*cells, "; ".join(found.stamps)])
    return file.getvalue()


def _cell(text: str) -> str:
    """Words from a stranger's file: a spreadsheet would take those that begin so for a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def vtt_track(found: Prediction) -> str:
    """A WebVTT track of the utterances: words, and below them what they resemble."""
    return as_vtt(list(_cues(found)), "\n".join([*found.stamps, MEANING]))


def ass_track(found: Prediction) -> str:
    """The same as ASS."""
    return as_ass(list(_cues(found)), " ".join([found.recording.name, *found.stamps]))


def _cues(found: Prediction) -> Iterator[Cue]:
    for place in found.of_kind("utterance"):
        part = found.stretches[place]
        words = [part.text, f"[{found.headline(place)}]", f"({SHORT_STAMP})" if found.stamps else ""]
        yield Cue(part.start_seconds, part.stop_seconds, "\n".join(line for line in words if line), part.speaker)


def to_text(values: dict[str, Any]) -> str:
    """JSON for people's eyes too."""
    return json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
