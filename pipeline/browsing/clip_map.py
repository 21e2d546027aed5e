"""The map of clips: points, colours and their meaning, as a page draws them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.browsing.clip_filters import LABEL, UNLABELLED
from pipeline.browsing.opened_store import OpenedStore
from pipeline.browsing.projections import Method, project
from pipeline.errors import UsageError
from pipeline.windows import evenly

COLOURS = ("split", "speaker")      # what points may be coloured by, beside labels
NUM_COLOURS = 8                     # that eyes can tell apart; all other groups share one
NUM_STEPS = 6                       # of a number's range
MOST_POINTS = 3000                  # drawn at once; more hide each other
WIDTH, HEIGHT, MARGIN = 960, 640, 14
OTHERS, NOTHING = "others", "nothing"
OUTERMOST = (0.5, 99.5)              # per cent of points that lie beyond the map, and are drawn on its edge
WORDS = 80                          # characters of a clip's text that a point shows


@dataclass(frozen=True)
class Group:
    """Points of one colour.

    Args:
        name: what they have in common.
        look: class of the style sheet.
        count: how many are drawn.
        fields: of the address that shows only these; None where there is none.
    """

    name: str
    look: str
    count: int
    fields: dict[str, str] | None = None


@dataclass(frozen=True)
class Point:
    """One clip: its place on the map in pixels, class of the style sheet, id, and what it says."""

    x: float
    y: float
    look: str
    clip_id: str
    words: str


@dataclass(frozen=True)
class Map:
    """A map.

    Args:
        groups: the meaning of colours, the commonest first.
        points: clips.
        asked: how many clips are asked for and have a place; more than ``points`` where not all are drawn.
        of: clips that have rows of the feature.
        placed: clips that were given a place.
        share: of the variance that the two dimensions hold; None where that means nothing.
        width, height: pixels.
    """

    groups: Sequence[Group]
    points: Sequence[Point]
    asked: int
    of: int
    placed: int
    share: float | None
    width: int = WIDTH
    height: int = HEIGHT


def draw_map(opened: OpenedStore, feature: str, method: Method, colour: str, places: Sequence[int]) -> Map:
    """The map of some clips; where a clip lies does not depend on which others are shown.

    Args:
        opened: the store.
        feature: that the clips are compared by.
        method: of projection.
        colour: one of :data:`COLOURS`, or ``label.TASK``.
        places: of the clips to show, in the clip table.

    Raises:
        UsageError: nothing is known by that colour.
        StoreError: the feature is not there or damaged.
    """
    projection = project(opened, feature, method)
    shown = np.flatnonzero(np.isin(projection.places, places))
    asked = len(shown)
    if asked > MOST_POINTS:
        shown = shown[evenly(asked - 1, MOST_POINTS)]
    everyone = opened.once(("groups", colour), lambda: _grouping(opened, colour))
    names = [everyone.names[place] for place in projection.places[shown].tolist()]
    at = _pixels(projection.points)[shown]
    points = [Point(x, y, everyone.looks.get(name, OTHERS), opened.clips[place].clip_id, _words(opened, place, name))
              for (x, y), place, name in zip(at.tolist(), projection.places[shown].tolist(), names, strict=True)]
    return Map(_legend(everyone, names), points, asked, projection.of, len(projection.places), projection.share)


@dataclass(frozen=True)
class _Grouping:
    """The group of every clip of a store, so that a colour stays the same whichever clips are shown.

    Args:
        names: of each clip, "" for none.
        looks: class of the style sheet by name, in the order of the legend; the commonest have one of their own.
        fields: of the address that asks for a group.
    """

    names: Sequence[str]
    looks: dict[str, str]
    fields: dict[str, dict[str, str]]


def _legend(everyone: _Grouping, names: Sequence[str]) -> list[Group]:
    counts = Counter(names)
    found = [Group(name, look, counts[name], everyone.fields.get(name)) for name, look in everyone.looks.items()
             if counts[name]]
    others = sum(count for name, count in counts.items() if name not in everyone.looks)
    found.insert(len(found) - bool(counts[""]), Group(OTHERS, OTHERS, others))
    return [group for group in found if group.count]


def _pixels(points: np.ndarray) -> np.ndarray:
    """Points scaled alike in both directions into the map, (M, 2), to a tenth of a pixel.

    The outermost lie on its edge, so that a few far ones do not press all others together.
    """
    if not len(points):
        return points
    low, high = np.percentile(points, OUTERMOST, axis=0)
    room = np.array([WIDTH - 4 * MARGIN, HEIGHT - 4 * MARGIN])
    scale = float((room / np.maximum(high - low, 1e-9)).min())
    middle = (points - (low + high) / 2) * scale * (1, -1) + np.array([WIDTH, HEIGHT]) / 2
    return np.asarray(np.round(np.clip(middle, MARGIN, np.array([WIDTH, HEIGHT]) - MARGIN), 1))


def _words(opened: OpenedStore, place: int, name: str) -> str:
    clip = opened.clips[place]
    text = clip.text if len(clip.text) <= WORDS else f"{clip.text[:WORDS]}…"
    return "\n".join(filter(None, (clip.clip_id, name, text)))


def _grouping(opened: OpenedStore, colour: str) -> _Grouping:
    """What clips are coloured by.

    Raises:
        UsageError: nothing is known by that colour.
    """
    if colour in COLOURS:
        names = [str(name) for name in opened.store.column(colour).tolist()]
        return _Grouping(names, _looks(names, sorted(set(names))), {name: {colour: name} for name in names if name})
    task = next((task for task in opened.store.corpus.tasks if colour == LABEL + task.name), None)
    if task is None:
        raise UsageError(f"points are coloured by {', '.join(COLOURS)} or {LABEL}TASK, found {colour!r}")
    labels = opened.store.labels(task.name)
    if task.classes:
        names = [task.classes[label] if label > UNLABELLED else "" for label in labels.tolist()]
        return _Grouping(names, _looks(names, task.classes),
                         {name: {colour: str(number)} for number, name in enumerate(task.classes)})
    return _steps(labels)


def _looks(names: Sequence[str], order: Sequence[str]) -> dict[str, str]:
    """A colour for each of the commonest names, in their order."""
    counts = Counter(names)
    commonest = {name for name, _ in counts.most_common(NUM_COLOURS + ("" in counts)) if name}
    kept = [name for name in order if name in commonest][:NUM_COLOURS]
    return {**{name: f"k{place}" for place, name in enumerate(kept)}, "": NOTHING}


def _steps(labels: np.ndarray) -> _Grouping:
    """Numbers in steps of their range."""
    known = labels[np.isfinite(labels)].astype(np.float64)
    edges = np.linspace(known.min(), known.max(), NUM_STEPS + 1) if len(known) else np.zeros(NUM_STEPS + 1)
    steps = [f"{low:.3g} to {high:.3g}" for low, high in zip(edges[:-1], edges[1:], strict=True)]
    place = np.clip(np.searchsorted(edges, np.nan_to_num(labels), side="right") - 1, 0, NUM_STEPS - 1)
    names = np.where(np.isfinite(labels), np.asarray(steps, object)[place], "").tolist()
    return _Grouping(names, {**{step: f"s{number}" for number, step in enumerate(steps)}, "": NOTHING}, {})
