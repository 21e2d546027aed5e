"""The page of one recording: what is likest when, on a line of time; nothing is loaded and nothing runs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from urllib.parse import quote

import numpy as np

from pipeline.clip import Task
from pipeline.faces.choice import LEAST_SPEAKING
from pipeline.predicting.findings import Prediction
from pipeline.predicting.strips import nearest, shown_classes
from pipeline.report import templates
from pipeline.speaking.tracks import Faces

LINE_SECONDS = 60.0         # of a long recording on one line of the page
LEAST_SHOWN = 0.03          # fainter cells are not drawn
LEFT, RIGHT, WIDTH, ROW = 110, 700, 720, 15     # of a line in its own units
MOST_ROWS = 500             # of the table of utterances; the JSON file has them all
MOST_LANES = 8              # of faces on a line


@dataclass(frozen=True)
class Cell:
    """A rectangle of a line: place, width and strength (0 to 1), and words for who points at it."""

    x: float
    y: float
    width: float
    share: float
    title: str = ""


@dataclass(frozen=True)
class Label:
    """Words at a place of a line."""

    x: float
    y: float
    words: str
    strong: bool = False


@dataclass(frozen=True)
class Line:
    """A stretch of the recording, drawn.

    Args:
        title: in words, for readers who do not see it.
        height: in its units.
        ticks: times below.
        labels: at its left.
        utterances, cells, lanes: rectangles.
        curves: points of values over time.
    """

    title: str
    height: float
    ticks: tuple[Label, ...]
    labels: tuple[Label, ...]
    utterances: tuple[Cell, ...]
    cells: tuple[Cell, ...]
    lanes: tuple[Cell, ...]
    curves: tuple[str, ...]


def timeline_page(found: Prediction) -> str:
    """The page of one recording that could be used, HTML."""
    utterances = found.of_kind("utterance")
    rows = [{"time": f"{_clock(part.start_seconds)}–{_clock(part.stop_seconds)}", "speaker": part.speaker,
             "text": part.text, "inputs": ", ".join(found.inputs[place]) or "nothing: the networks' base rates",
             "answers": [_answer(found, task, place) for task in found.tasks]}
            for place in utterances[:MOST_ROWS] for part in [found.stretches[place]]]
    lacking = [(kind, len(found.of_kind(kind)), found.missing(kind)) for kind in ("utterance", "window")]
    return templates().get_template("prediction.html.jinja").render(
        found=found, recording=found.recording, rows=rows, num_more=max(0, len(utterances) - MOST_ROWS),
        lines=list(_lines(found)), lacking=[part for part in lacking if part[2]], length=_clock(
            found.recording.duration_seconds), written=[(path.name, quote(path.name)) for path in found.files],
        width=WIDTH, cell_height=ROW - 1, made=datetime.now(timezone.utc).strftime("%d %B %Y, %H:%M UTC"))


def _answer(found: Prediction, task: Task, place: int) -> dict[str, object]:
    """What the table says of an utterance for one task."""
    values, spread = found.answers[task.name][place], found.spread[task.name]
    best = int(values.argmax())
    unit = 100 if task.classes else 1
    shown = f"{unit * values[best]:.{0 if task.classes else 2}f}"
    if spread is not None:
        shown += f" ± {unit * spread[place][best]:.{0 if task.classes else 2}f}"
    return {"label": found.label(task, place) if task.classes else "", "shown": shown + (" %" if task.classes else ""),
            "share": round(float(values[best]), 3) if task.classes else 0}


def _lines(found: Prediction) -> Iterator[Line]:
    whole = found.recording.duration_seconds
    length = whole if whole <= 1.5 * LINE_SECONDS else LINE_SECONDS
    for start in np.arange(0, max(whole - 0.5, 0.1), max(length, 0.1)).tolist():
        yield _line(found, start, start + length)


def _line(found: Prediction, start: float, stop: float) -> Line:
    def place(seconds: float) -> float:
        return round(LEFT + (min(max(seconds, start), stop) - start) / (stop - start) * (RIGHT - LEFT), 1)

    labels: list[Label] = [Label(0, 11, "utterances")]
    utterances = tuple(
        Cell(place(part.start_seconds) + 0.5, 2, max(1.0, place(part.stop_seconds) - place(part.start_seconds) - 1), 1,
             f"{_clock(part.start_seconds)} {found.headline(number)} {part.text}".strip())
        for number in found.of_kind("utterance") for part in [found.stretches[number]]
        if part.stop_seconds > start and part.start_seconds < stop)
    cells: list[Cell] = []
    curves: list[str] = []
    y = 20.0
    steps = _steps(found, start, stop)
    for task in found.tasks:
        labels.append(Label(0, y + 12, task.name, strong=True))
        y += ROW + 2
        if not task.classes:
            curves.append(_curve(found, task, steps, place, y))
            y += 3 * ROW
        for class_place in shown_classes(found, task) if task.classes else ():
            labels.append(Label(8, y + 11, task.classes[class_place]))
            for begin, end, number in steps:
                share = float(found.answers[task.name][number][class_place])
                if share >= LEAST_SHOWN:
                    cells.append(Cell(place(begin), y, round(place(end) - place(begin) + 0.2, 1), round(share, 3),
                                      f"{_clock(begin)} {task.classes[class_place]} {100 * share:.0f} %"))
            y += ROW
        y += 8
    lanes, y = _lanes(found.faces, start, stop, place, y, labels)
    ticks = tuple(Label(place(second), y + 12, _clock(second)) for second in _ticks(start, stop))
    return Line(f"{_clock(start)} to {_clock(stop)}: likeness to each label over time", y + 18, ticks, tuple(labels),
                utterances, tuple(cells), lanes, tuple(curves))


def _steps(found: Prediction, start: float, stop: float) -> list[tuple[float, float, int]]:
    """Stretches of a line with the window that answers for each, as its middle is nearest."""
    edges = np.linspace(start, stop, 241)
    middles = (edges[:-1] + edges[1:]) / 2
    inside = middles < found.recording.duration_seconds
    owners = np.where(inside, nearest(found, middles), -1)
    cuts = [0, *(np.flatnonzero(np.diff(owners)) + 1).tolist(), len(owners)]
    return [(float(edges[a]), float(edges[b]), int(owners[a])) for a, b in zip(cuts[:-1], cuts[1:], strict=True)
            if owners[a] >= 0]


def _curve(found: Prediction, task: Task, steps: list[tuple[float, float, int]], place: object, y: float) -> str:
    low, high = task.value_range or (0.0, 1.0)
    points = []
    for begin, end, number in steps:
        share = min(max((float(found.answers[task.name][number][0]) - low) / max(high - low, 1e-9), 0), 1)
        level = round(y + 3 * ROW - 3 - share * (3 * ROW - 6), 1)
        points += [f"{place(begin)},{level}", f"{place(end)},{level}"]  # type: ignore[operator]
    return " ".join(points)


def _lanes(faces: Faces | None, start: float, stop: float, place: object, y: float,
           labels: list[Label]) -> tuple[tuple[Cell, ...], float]:
    """A lane for each face in view: thin where it is seen, thick where it speaks."""
    if faces is None:
        return (), y
    labels.append(Label(0, y + 12, "faces", strong=True))
    y += ROW + 2
    cells: list[Cell] = []
    here = (faces.times[:, 0] >= start) & (faces.times[:, 0] < stop)
    tracks, counts = np.unique(faces.tracks[here], return_counts=True)
    for number, track in enumerate(sorted(tracks[np.argsort(-counts, kind="stable")][:MOST_LANES].tolist())):
        mine = here & (faces.tracks == track)
        labels.append(Label(8, y + 11, f"face {track}"))
        order = np.argsort(faces.times[mine, 0], kind="stable")
        times, speaks = faces.times[mine][order], (faces.speaking[mine] >= LEAST_SPEAKING)[order]
        cuts = [0, *(np.flatnonzero((np.diff(speaks.astype(int)) != 0) | (np.diff(times[:, 0]) > 0.2)) + 1).tolist(),
                len(times)]
        for a, b in zip(cuts[:-1], cuts[1:], strict=True):
            begin, end = float(times[a, 0]), float(times[b - 1, 1])
            x, width = place(begin), place(end)  # type: ignore[operator]
            cells.append(Cell(x, y, max(0.5, round(width - x, 1)), float(speaks[a]),
                              f"face {track} {'speaks' if speaks[a] else 'is seen'} {_clock(begin)}–{_clock(end)}"))
        y += ROW
    if len(tracks) > MOST_LANES:
        labels.append(Label(8, y + 11, f"and {len(tracks) - MOST_LANES} more"))
        y += ROW
    if not len(tracks):
        labels.append(Label(8, y + 11, "none"))
        y += ROW
    return tuple(cells), y + 4


def _ticks(start: float, stop: float) -> list[float]:
    length = stop - start
    step = next((step for step in (1, 2, 5, 10, 15, 30) if length / step <= 8), 60)
    return [float(second) for second in np.arange(np.ceil(start / step) * step, stop + 1e-6, step)]


def _clock(seconds: float) -> str:
    """``"1:02.5"``, ``"0:03"``."""
    tenths = round(seconds * 10)
    return f"{tenths // 600}:{tenths // 10 % 60:02d}" + (f".{tenths % 10}" if tenths % 10 else "")
