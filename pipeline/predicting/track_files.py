"""Faces with their scores as files for programs: CSV and JSON of tracks with boxes and times."""

from __future__ import annotations

import csv
import io
from typing import Any

import numpy as np

from pipeline.predicting.findings import Prediction
from pipeline.speaking.tracks import summarise_tracks

MEANING = ("A score says how much a face moves, and what is heard sounds, as where annotators said that a face speaks;"
           " it does not say who somebody is.")
COLUMNS = ("track", "start_seconds", "stop_seconds", "x1", "y1", "x2", "y2", "speaking")


def tracks_csv(found: Prediction) -> str:
    """A row for each face in each moment: track, times in seconds, box in pixels, score 0 to 1; then the stamps."""
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\n")
    table.writerow([*COLUMNS, "stamps"])
    for row in _rows(found):
        table.writerow([*(row[name] for name in COLUMNS), "; ".join(found.stamps)])
    return file.getvalue()


def tracks_json(found: Prediction) -> dict[str, Any]:
    """All that was found, in JSON's types: each track in short, then its rows."""
    recording = found.recording
    rows = _rows(found)
    return {
        "source": str(recording.source), "name": recording.name,
        "duration_seconds": round(recording.duration_seconds, 3), "problem": found.problem,
        "run": str(found.run), "model": found.model, "num_networks": found.num_networks, "meaning": MEANING,
        "stamps": list(found.stamps), "notes": [*recording.notes, *found.notes], "inputs": dict(found.wanted),
        "tracks": [] if found.faces is None else [
            {"track": track.number, "start_seconds": round(track.start_seconds, 3),
             "stop_seconds": round(track.stop_seconds, 3), "num_rows": track.num_rows,
             "speaking": None if track.speaking is None else round(track.speaking, 4),
             "rows": [{name: row[name] for name in COLUMNS[1:]} for row in rows if row["track"] == track.number]}
            for track in summarise_tracks(found.faces)]}


def _rows(found: Prediction) -> list[dict[str, Any]]:
    if found.faces is None:
        return []
    faces = found.faces
    return [{"track": int(track), "start_seconds": round(float(start), 3), "stop_seconds": round(float(stop), 3),
             **{name: round(float(value), 2) for name, value in zip(COLUMNS[3:7], box, strict=True)},
             "speaking": None if np.isnan(score) else round(float(score), 4)}
            for track, (start, stop), box, score in zip(faces.tracks, faces.times, faces.rows[:, 1:5], faces.speaking,
                                                        strict=True)]
