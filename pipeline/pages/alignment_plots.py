"""Rows of several features and words of one clip above each other on one axis of time, with the steps of a clock."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

WIDTH_INCHES = 11.0
MOST_UNITS = 64                 # of a row that are drawn; of more, as many at even distances
MOST_LANES = 6                  # rows that overlap lie above each other in so many lanes at most …
MOST_IN_LANES = 40              # … if they are so few; more are cut half-way between the middles of neighbours
SPREAD = 0.02, 0.98             # share of the numbers between which the colours lie
HEAT, BARS = "viridis", "tab:blue"
SAID = "#009e73", "#e69f00"     # words of one row and of the next


@dataclass(frozen=True)
class Strip:
    """Rows of one feature.

    Args:
        name: what they are.
        values: numbers (T,) or (T, *row); or pictures, uint8 (T, H, W, 3).
        times: start and stop of each in seconds (T, 2).

    Raises:
        ValueError: other numbers of rows than of times.
    """

    name: str
    values: np.ndarray
    times: np.ndarray

    def __post_init__(self) -> None:
        if self.times.shape != (len(self.values), 2):
            raise ValueError(f"{len(self.values)} rows of {self.name} need as many times (T, 2), found"
                             f" {self.times.shape}")

    @property
    def are_pictures(self) -> bool:
        return self.values.dtype == np.uint8 and self.values.ndim == 4 and self.values.shape[3] == 3


@dataclass(frozen=True)
class Words:
    """Words where they are said.

    Args:
        name: who says so.
        words: as written.
        times: start and stop of each in seconds (N, 2).

    Raises:
        ValueError: other numbers of words than of times.
    """

    name: str
    words: Sequence[str]
    times: np.ndarray

    def __post_init__(self) -> None:
        if self.times.shape != (len(self.words), 2):
            raise ValueError(f"{len(self.words)} words need as many times (N, 2), found {self.times.shape}")


def draw_alignment(parts: Sequence[Strip | Words], clock: np.ndarray, *, title: str = "") -> bytes:
    """One picture of what belongs together in a clip.

    Each row is drawn from its start to its stop: one of one unit as a bar; one of several as colours, the first unit at
    the bottom, which say how far each unit is from its mean over the clip. Of rows that overlap a few, or such as begin
    together, lie above each other; many, and bars, reach half-way to their neighbours. Of pictures as many are shown as
    find room, each from its start on. Lines go through everything where the clock's spans begin and end.

    Args:
        parts: from the top down, at least one.
        clock: start and stop of its spans in seconds (U, 2).
        title: written above.

    Returns:
        A PNG file; the same values give the same bytes.

    Raises:
        ValueError: nothing to draw, or no time at all.
    """
    spans = np.concatenate([part.times for part in parts] + [clock.reshape(-1, 2)]) if parts else np.zeros((0, 2))
    if not np.isfinite(spans).all() or not len(spans) or spans.max() <= min(0.0, spans.min()):
        raise ValueError(f"{len(parts)} parts with {len(spans)} times between them; rows with times are needed")
    first, last = min(0.0, float(spans.min())), float(spans.max())
    heights = [_height(part) for part in parts]
    figure = Figure(figsize=(WIDTH_INCHES, sum(heights) + 1.0), layout=ConstrainedLayoutEngine(h_pad=0.02, hspace=0))
    if title:
        figure.suptitle(title, fontsize=10)
    panels = figure.subplots(len(parts), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for part, axes in zip(parts, panels, strict=True):
        if isinstance(part, Words):
            _draw_words(axes, part)
        elif part.are_pictures:
            _draw_pictures(axes, part, last - first)
        else:
            _draw_rows(axes, part)
        axes.set_ylabel(part.name, rotation=0, ha="right", va="center", fontsize=8)
        axes.set(yticks=[], xlim=(first, last))
        axes.tick_params(labelsize=8, bottom=axes is panels[-1])
        for edge in np.unique(clock):
            axes.axvline(edge, color="tab:red", linewidth=0.7, alpha=0.8)
    panels[-1].set_xlabel("seconds (red: the clock)", fontsize=8)
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=110, metadata={"Software": None})
    return target.getvalue()


def _height(part: Strip | Words) -> float:
    """Inches."""
    if isinstance(part, Words):
        return 0.35
    if part.are_pictures:
        return 0.9
    return 0.6 if part.values[:1].size <= 1 else 1.0


def _draw_words(axes: Axes, part: Words) -> None:
    axes.set(ylim=(0, 1))
    for place, (word, (start, stop)) in enumerate(zip(part.words, part.times.tolist(), strict=True)):
        axes.axvspan(start, stop, color=SAID[place % 2], alpha=0.35, linewidth=0)
        axes.text((start + stop) / 2, 0.5, word, ha="center", va="center", fontsize=8, clip_on=True)


def _draw_pictures(axes: Axes, part: Strip, seconds: float) -> None:
    """Pictures side by side, as wide as they are high times their shape."""
    axes.set(ylim=(0, 1))
    height, width = part.values.shape[1:3]
    wide = 0.9 * width / height / (0.85 * WIDTH_INCHES) * seconds
    after = -np.inf
    for picture, start in zip(part.values, part.times[:, 0].tolist(), strict=True):
        if start >= after:
            axes.imshow(picture, extent=(start, start + wide, 0, 1), aspect="auto")
            after = start + 1.05 * wide


def _draw_rows(axes: Axes, part: Strip) -> None:
    values = part.values.reshape(len(part.values), math.prod(part.values.shape[1:])).astype(np.float64)
    if values.shape[1] <= 1:
        if values.size:
            heights = np.zeros(2 * len(values) - 1)
            heights[::2] = values[np.argsort(part.times.mean(1), kind="stable"), 0]
            axes.stairs(heights, np.sort(_apart(part.times), axis=0).ravel(), fill=True, color=BARS)
        return
    units = np.unique(np.linspace(0, values.shape[1] - 1, min(MOST_UNITS, values.shape[1])).round().astype(int))
    values = values - values.mean(0) if len(values) > 1 else values
    low, high = np.quantile(values, SPREAD) if len(values) else (0.0, 1.0)
    one_after_another = len(values) > MOST_IN_LANES and len(np.unique(part.times[:, 0])) == len(values)
    times = _apart(part.times) if one_after_another else part.times
    lanes = _lanes(times)
    for lane in range(int(lanes.max(initial=0)) + 1):
        own = np.flatnonzero(lanes == lane)
        own = own[np.argsort(times[own, 0], kind="stable")]
        if len(own):
            edges = np.maximum.accumulate(times[own].ravel())
            cells = np.full((len(units), len(edges) - 1), np.nan)
            cells[:, ::2] = values[own][:, units].T             # what lies between two rows stays empty
            axes.pcolormesh(edges, lane + np.linspace(0, 0.96, len(units) + 1), cells, cmap=HEAT, vmin=low, vmax=high)
    axes.set(ylim=(0, lanes.max(initial=0) + 1))


def _apart(times: np.ndarray) -> np.ndarray:
    """The same times, with rows that overlap their neighbours cut half-way between the middles of both."""
    order = np.argsort(times.mean(1), kind="stable")
    found = times[order].astype(np.float64)
    overlap = found[:-1, 1] > found[1:, 0] + 1e-6
    between = (found[:-1].mean(1) + found[1:].mean(1)) / 2
    stops, starts = np.where(overlap, between, found[:-1, 1]), np.where(overlap, between, found[1:, 0])
    found[:-1, 1], found[1:, 0] = stops, starts
    back: np.ndarray = found[np.argsort(order, kind="stable")]
    return back


def _lanes(times: np.ndarray) -> np.ndarray:
    """For each row the lowest lane that is free when it starts, int64 (T,)."""
    lanes, free = np.zeros(len(times), np.int64), [-np.inf] * MOST_LANES
    for place in np.argsort(times[:, 0], kind="stable").tolist():
        start, stop = times[place].tolist()
        lane = next((lane for lane, until in enumerate(free) if until <= start + 1e-6), int(np.argmin(free)))
        lanes[place], free[lane] = lane, stop
    return lanes
