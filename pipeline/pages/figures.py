"""Plots for the pages: inline SVG whose colours are the page's own, so that they follow its light and dark dress.

Matplotlib draws with the stand-in colours of :data:`INKS`; afterwards each becomes a CSS custom property of
``templates/page.css``. Words stay words (selectable, in the page's typeface), and the same data give the same bytes.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

INKS = {"ink": "#010101", "muted": "#020202", "rule": "#030303", "accent": "#040404", "warm": "#050505",
        "paper": "#060606"}
WIDTH_INCHES = 5.0                  # 360 points: one column of a phone, or half of a wide page
MOST_POINTS = 1000                  # of a scatter plot; each costs a hundred bytes of page
_SETTINGS: dict[str, Any] = {
    "svg.fonttype": "none", "text.parse_math": False, "font.size": 10.0,
    "axes.unicode_minus": True, "axes.linewidth": 0.8, "axes.edgecolor": INKS["rule"], "axes.labelcolor": INKS["muted"],
    "xtick.color": INKS["rule"], "ytick.color": INKS["rule"], "xtick.labelcolor": INKS["muted"],
    "ytick.labelcolor": INKS["muted"], "text.color": INKS["ink"], "axes.spines.top": False, "axes.spines.right": False,
}


@dataclass(frozen=True)
class Bar:
    """One line of :func:`score_plot`.

    Args:
        name: what was scored.
        mean: its score.
        seeds: the score of each seed.
        interval: low and high; None where there is none.
        is_model: is it the model, and not a baseline?
    """

    name: str
    mean: float
    seeds: tuple[float, ...] = ()
    interval: tuple[float, float] | None = None
    is_model: bool = False


def score_plot(bars: Sequence[Bar], *, unit: str, title: str) -> str:
    """A dot for each score, from the worst, with its interval as a line and its seeds as small marks.

    Args:
        bars: what to show, from top to bottom.
        unit: label of the axis: ``"weighted F1, %"``.
        title: the plot in words, for readers who do not see it; different for each plot of a page.

    Returns:
        An ``<svg>`` element.
    """
    with matplotlib.rc_context(_settings(title)):
        figure, axes = _figure(0.75 + 0.36 * len(bars))
        for place, bar in enumerate(bars):
            colour = INKS["accent"] if bar.is_model else INKS["muted"]
            axes.axhline(place, color=INKS["rule"], linewidth=0.5, zorder=0)
            if bar.interval is not None:
                axes.plot(bar.interval, (place, place), color=colour, linewidth=2.2, solid_capstyle="round", alpha=0.55)
            if len(bar.seeds) > 1:
                axes.plot(bar.seeds, [place] * len(bar.seeds), "|", color=colour, markersize=9, markeredgewidth=1)
            axes.plot([bar.mean], [place], "o", color=colour, markersize=8 if bar.is_model else 6)
        values = [value for bar in bars for value in (bar.mean, *bar.seeds, *(bar.interval or ()))]
        margin = 0.08 * max(max(values) - min(0.0, *values), 1e-6)
        axes.set_xlim(min(0.0, *values) - (margin if min(values) < 0 else 0), max(values) + margin)
        axes.set_ylim(len(bars) - 0.5, -0.5)
        axes.set_yticks(range(len(bars)), [bar.name for bar in bars])
        for label, bar in zip(axes.get_yticklabels(), bars, strict=True):
            label.set_color(INKS["ink"])
            label.set_fontweight("bold" if bar.is_model else "normal")
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.set_xlabel(unit)
        return _svg(figure, title)


@dataclass(frozen=True)
class Line:
    """One line of :func:`curve_plot`.

    Args:
        epochs: int (N,).
        values: float (N,).
        best_epoch: the epoch to mark; None for no mark.
    """

    epochs: Sequence[int]
    values: Sequence[float]
    best_epoch: int | None = None


def curve_plot(lines: Mapping[str, Sequence[Line]], *, unit: str, title: str) -> str:
    """Values by epoch, a line for each seed, the groups of lines told apart by colour and dash.

    Args:
        lines: of all seeds, by name of the group: ``{"train": …, "dev": …}``, at most two groups.
        unit: label of the values' axis.
        title: the plot in words.

    Returns:
        An ``<svg>`` element.
    """
    looks: list[dict[str, Any]] = [{"color": INKS["accent"]}, {"color": INKS["warm"], "linestyle": (0, (4, 2))}]
    with matplotlib.rc_context(_settings(title)):
        figure, axes = _figure(2.6)
        for (name, group), look in zip(lines.items(), looks, strict=False):
            for number, line in enumerate(group):
                alone = len(line.epochs) == 1
                axes.plot(line.epochs, line.values, linewidth=1.6 if len(group) == 1 else 1.1, markersize=5,
                          marker="o" if alone else None, label=name if number == 0 else None, **look)
                if line.best_epoch is not None and line.best_epoch in line.epochs:
                    value = line.values[list(line.epochs).index(line.best_epoch)]
                    axes.plot([line.best_epoch], [value], "o", markersize=6, markerfacecolor=INKS["paper"],
                              markeredgecolor=look["color"], markeredgewidth=1.6, zorder=5)
        if len(lines) > 1:
            axes.legend(frameon=False, loc="best", handlelength=2.4, labelcolor=INKS["muted"])
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
        axes.grid(axis="y", color=INKS["rule"], linewidth=0.5)
        axes.set_axisbelow(True)
        axes.set_xlabel("epoch")
        axes.set_title(unit, loc="left", fontsize=10, color=INKS["muted"])
        return _svg(figure, title)


def scatter_plot(labels: np.ndarray, predictions: np.ndarray, *, name: str, title: str) -> str:
    """Predicted against labelled values with the line on which they agree.

    Args:
        labels: (N,).
        predictions: (N,); with more than :data:`MOST_POINTS` clips, evenly spread ones are drawn.
        name: what the values are.
        title: the plot in words.

    Returns:
        An ``<svg>`` element.
    """
    rows = np.unique(np.linspace(0, len(labels) - 1, min(len(labels), MOST_POINTS)).round().astype(int))
    low, high = float(min(labels.min(), predictions.min())), float(max(labels.max(), predictions.max()))
    margin = 0.05 * max(high - low, 1e-6)
    with matplotlib.rc_context(_settings(title)):
        figure, axes = _figure(4.2)
        axes.plot((low, high), (low, high), color=INKS["warm"], linewidth=1, linestyle=(0, (4, 2)))
        axes.plot(labels[rows], predictions[rows], "o", color=INKS["accent"], markersize=4, alpha=0.5,
                  markeredgewidth=0)
        axes.set_xlim(low - margin, high + margin)
        axes.set_ylim(low - margin, high + margin)
        axes.set_aspect("equal")
        axes.set_xlabel(f"{name}, labelled")
        axes.set_ylabel(f"{name}, predicted")
        return _svg(figure, title)


def _settings(title: str) -> Any:
    """How to draw; ids come from ``title`` and the drawing, so that the same plot has the same ones."""
    return {**_SETTINGS, "svg.hashsalt": title}


def _figure(height_inches: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(WIDTH_INCHES, height_inches), layout="constrained")
    figure.patch.set_visible(False)
    axes = figure.add_subplot()
    axes.patch.set_visible(False)
    return figure, axes


def _svg(figure: Figure, title: str) -> str:
    """The figure as an element for HTML: no ids but those it uses, no style sheet, colours by custom property."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    root = ElementTree.fromstring(buffer.getvalue())
    for element in root.iter():
        for child in [child for child in element if child.tag.endswith(("}metadata", "}style"))]:
            element.remove(child)
        element.tag = element.tag.rpartition("}")[2]
        for key in [key for key in element.attrib if key.startswith("{")]:
            element.set(key.rpartition("}")[2], element.attrib.pop(key))
        if element.tag == "g":
            element.attrib.pop("id", None)
        if "style" in element.attrib:
            element.set("style", _styled(element.attrib["style"]))
    root.attrib = {"viewBox": root.attrib["viewBox"], "role": "img", "aria-label": title, "class": "plot"}
    return ElementTree.tostring(root, encoding="unicode")


def _styled(style: str) -> str:
    """A style attribute in the page's colours, without a typeface: the page sets it."""
    for name, stand_in in INKS.items():
        style = style.replace(stand_in, f"var(--{name})")
    # Up to matplotlib 3.9 the typeface is the end of a shorthand; afterwards it is a rule of its own.
    style = re.sub(r"font: (?:(700|bold) )?([\d.]+px) [^;]*",
                   lambda found: f"font-weight: {found[1] or 'normal'}; font-size: {found[2]}", style)
    return "; ".join(rule for rule in style.split("; ") if not rule.startswith("font-family"))
