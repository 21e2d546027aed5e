"""A recording's turns as a picture: the waveform coloured by who speaks, and a lane for each speaker."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pipeline.media import SAMPLE_RATE_HZ
from pipeline.segmenting.turns import Turns

# Told apart by colour-blind people too (Okabe and Ito 2008); more speakers begin again and differ by lane.
COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#d55e00", "#cc79a7", "#0072b2")
_COLUMNS = 1200                    # of the waveform: what a picture can show
_ROW_SECONDS = 120.0               # longer recordings go on in the next row
_MOST_ROWS = 30                    # an hour; of longer recordings rows are longer
_MUTED = "#b0b0b0"


def draw_timeline(turns: Turns, waveform: np.ndarray, *, truth: Turns | None = None) -> bytes:
    """One picture of all turns.

    Args:
        turns: of the recording.
        waveform: float32 mono (S,) at 16 kHz.
        truth: true turns, drawn in lanes of their own below.

    Returns:
        A PNG file; the same values give the same bytes.
    """
    seconds = max(len(waveform) / SAMPLE_RATE_HZ, *(turn.stop_seconds for turn in turns.turns), 0.1) \
        if turns.turns else max(len(waveform) / SAMPLE_RATE_HZ, 0.1)
    row_seconds = seconds if seconds <= _ROW_SECONDS else max(_ROW_SECONDS, seconds / _MOST_ROWS)
    num_rows = int(np.ceil(seconds / row_seconds - 1e-9))
    lanes = {"": turns, **({"true ": truth} if truth is not None else {})}
    num_lanes = sum(max(1, len(kept.speakers)) for kept in lanes.values())
    figure = Figure(figsize=(12, num_rows * (1.4 + 0.26 * num_lanes) + 0.7), layout="constrained")
    axes = figure.subplots(2 * num_rows, 1, squeeze=False, height_ratios=[1.4, 0.26 * num_lanes] * num_rows)[:, 0]
    for row in range(num_rows):
        span = row * row_seconds, (row + 1) * row_seconds
        _wave(axes[2 * row], waveform, turns, span)
        _lanes(axes[2 * row + 1], lanes, span)
    axes[0].set_title(f"{turns.recording}: {len(turns.speakers)} speakers, {len(turns.turns)} turns", loc="left",
                      fontsize=10, parse_math=False)
    axes[-1].set_xlabel("seconds")
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=100, metadata={"Software": None})
    return target.getvalue()


def _wave(axes: Axes, waveform: np.ndarray, turns: Turns, span: tuple[float, float]) -> None:
    """Highest and lowest sample of each column, grey, and coloured where somebody speaks."""
    part = waveform[round(span[0] * SAMPLE_RATE_HZ):round(span[1] * SAMPLE_RATE_HZ)]
    axes.set(xlim=span, ylim=(-1.05, 1.05), xticks=[], yticks=[], ylabel="sound")
    if len(part):
        size = max(1, round((span[1] - span[0]) * SAMPLE_RATE_HZ / _COLUMNS))
        starts = np.arange(0, len(part), size)
        high, low = np.maximum.reduceat(part, starts), np.minimum.reduceat(part, starts)
        loudest = max(float(np.abs(waveform).max()), 1e-9)
        times = span[0] + (starts + size / 2) / SAMPLE_RATE_HZ
        axes.fill_between(times, low / loudest, high / loudest, color=_MUTED, linewidth=0)
        for number, speaker in enumerate(turns.speakers):
            mine = np.zeros(len(times), bool)
            for turn in turns.turns:
                mine |= (turn.speaker == speaker) & (times >= turn.start_seconds) & (times < turn.stop_seconds)
            axes.fill_between(times, low / loudest, high / loudest, where=mine.tolist(), linewidth=0,
                              color=COLOURS[number % len(COLOURS)])


def _lanes(axes: Axes, lanes: Mapping[str, Turns], span: tuple[float, float]) -> None:
    names: list[str] = []
    for prefix, kept in lanes.items():
        for number, speaker in enumerate(kept.speakers or ("nobody speaks",)):
            bars = [(turn.start_seconds, turn.seconds) for turn in kept.turns
                    if turn.speaker == speaker and turn.start_seconds < span[1] and turn.stop_seconds > span[0]]
            axes.broken_barh(bars, (len(names) - 0.36, 0.72), color=COLOURS[number % len(COLOURS)],
                             alpha=0.55 if prefix else 1.0)
            names.append(prefix + speaker)
    axes.set(xlim=span, ylim=(len(names) - 0.5, -0.5))
    axes.set_yticks(range(len(names)), names, fontsize=8, parse_math=False)
    axes.grid(axis="x", color="#e0e0e0", linewidth=0.5)
    axes.set_axisbelow(True)
