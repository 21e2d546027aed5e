"""What a cross-attention model looked at, drawn over the face crops and the spectrogram of a clip."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec

STEP_INCHES = 1.3               # width of one step
HEAT = "inferno"                # bright: much is looked at
PLAIN = np.full((64, 64, 3), 220, np.uint8)     # stands where there is no crop


@dataclass(frozen=True)
class Looks:
    """Attentions of one clip; S steps, as :meth:`models.cross_attention.CrossAttention.attention` gives them.

    Args:
        space: shares of the places of each step's map, (S, P), P a square number; None for rows that are no maps.
        seen, heard: shares of the steps, (S,).
        heard_by_seen: how much each step that is seen reads of each that is heard, (S, S).

    Raises:
        ValueError: shapes that do not go together.
    """

    space: np.ndarray | None
    seen: np.ndarray
    heard: np.ndarray
    heard_by_seen: np.ndarray

    def __post_init__(self) -> None:
        steps = len(self.seen)
        square = self.space is None or self.space.shape[1:] == (round(self.space.shape[1] ** 0.5) ** 2,)
        if self.heard.shape != (steps,) or self.heard_by_seen.shape != (steps, steps) or not square \
                or (self.space is not None and len(self.space) != steps):
            shapes = [None if part is None else part.shape for part in (self.space, self.seen, self.heard,
                                                                        self.heard_by_seen)]
            raise ValueError(f"attentions are (S, P) with P square, (S,), (S,) and (S, S), found {shapes}")


def draw_attention(looks: Looks, crops: np.ndarray | None, levels: np.ndarray | None, *, title: str = "") -> bytes:
    """One picture of a clip's attentions.

    Above, one crop for each step under a veil that lifts where the map is looked at; below it a bar for the step's
    share. In the middle the clip's spectrogram in as many parts, each with its share; at the bottom which part each
    step reads. A dotted line marks equal shares. Brightness is comparable between the steps.

    Args:
        looks: of the clip.
        crops: one for each step, uint8 RGB (S, side, side, 3); None: the places alone, on a plain grid.
        levels: log-mel spectrogram of the whole clip in decibels, float32 (T, bands); None for none.
        title: written above.

    Returns:
        A PNG file; the same values give the same bytes.

    Raises:
        ValueError: another number of crops than of steps, or an empty spectrogram.
    """
    steps = len(looks.seen)
    if (crops is not None and len(crops) != steps) or (levels is not None and (levels.ndim != 2 or not levels.size)):
        found = " and ".join("none" if part is None else str(part.shape) for part in (crops, levels))
        raise ValueError(f"{steps} steps need as many crops and a spectrogram (T, bands), found {found}")
    figure = Figure(figsize=(STEP_INCHES * steps, 5.4 * STEP_INCHES), layout="constrained")
    if title:
        figure.suptitle(title, fontsize=9)
    grid = figure.add_gridspec(5, steps, height_ratios=(2, 0.8, 1.4, 0.8, 2))
    brightest = None if looks.space is None else float(looks.space.max())
    for step in range(steps):
        _crop(figure, grid, step, PLAIN if crops is None else crops[step],
              None if looks.space is None else looks.space[step], brightest)
    _shares(figure, grid, 1, looks.seen, "seen")
    _sound(figure, grid, steps, levels)
    _shares(figure, grid, 3, looks.heard, "heard")
    reads = figure.add_subplot(grid[4, :])
    reads.imshow(looks.heard_by_seen.T, cmap=HEAT, vmin=0, vmax=1, aspect="auto")
    reads.set(xlabel="step that is seen", ylabel="reads part heard", xticks=range(steps), yticks=range(steps),
              xticklabels=range(1, steps + 1), yticklabels=range(1, steps + 1))
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=120, metadata={"Software": None})
    return target.getvalue()


def _crop(figure: Figure, grid: GridSpec, step: int, crop: np.ndarray, space: np.ndarray | None,
          brightest: float | None) -> None:
    axes = figure.add_subplot(grid[0, step])
    axes.imshow(crop)
    axes.set_title(str(step + 1), fontsize=8)
    axes.set_axis_off()
    if space is not None:
        side = round(len(space) ** 0.5)
        axes.imshow(space.reshape(side, side), cmap=HEAT, alpha=0.5, vmin=0, vmax=brightest,
                    interpolation="nearest" if crop is PLAIN else "bilinear",
                    extent=(-0.5, crop.shape[1] - 0.5, crop.shape[0] - 0.5, -0.5))


def _sound(figure: Figure, grid: GridSpec, steps: int, levels: np.ndarray | None) -> None:
    axes = figure.add_subplot(grid[2, :])
    axes.set_axis_off()
    if levels is None:
        axes.text(0.5, 0.5, "no spectrogram", ha="center", va="center", fontsize=8, color="grey")
        return
    axes.imshow(levels.T, origin="lower", aspect="auto", cmap="Greys", extent=(0, steps, 0, levels.shape[1]))
    for edge in range(1, steps):
        axes.axvline(edge, color="tab:orange", linewidth=1)


def _shares(figure: Figure, grid: GridSpec, row: int, shares: np.ndarray, label: str) -> None:
    axes = figure.add_subplot(grid[row, :])
    axes.bar(np.arange(len(shares)) + 0.5, shares, width=0.6, color="tab:orange")
    axes.axhline(1 / len(shares), color="grey", linewidth=0.8, linestyle=":")
    top = max(1.5 / len(shares), 1.1 * float(shares.max()))
    axes.set(xlim=(0, len(shares)), ylim=(0, top), xticks=[], ylabel=label)
    axes.tick_params(labelsize=7)
