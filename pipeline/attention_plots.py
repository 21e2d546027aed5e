"""What a cross-attention model looked at, drawn over the face crops and the spectrogram of a clip."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec

STEP_INCHES = 1.3               # width of one step
HEAT = "inferno"                # bright: much is looked at


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


def draw_attention(looks: Looks, crops: np.ndarray, levels: np.ndarray) -> bytes:
    """One picture of a clip's attentions.

    Above, one crop for each step under a veil that lifts where the map is looked at; below it a bar for the step's
    share. In the middle the clip's spectrogram in as many parts, each with its share; at the bottom which part each
    step reads.

    Args:
        looks: of the clip.
        crops: one for each step, uint8 RGB (S, side, side, 3).
        levels: log-mel spectrogram of the whole clip in decibels, float32 (T, bands).

    Returns:
        A PNG file; the same values give the same bytes.

    Raises:
        ValueError: another number of crops than of steps, or no spectrogram.
    """
    steps = len(looks.seen)
    if len(crops) != steps or levels.ndim != 2 or not levels.size:
        raise ValueError(f"{steps} steps need as many crops and a spectrogram (T, bands), found {crops.shape} and"
                         f" {levels.shape}")
    figure = Figure(figsize=(STEP_INCHES * steps, 5.4 * STEP_INCHES), layout="constrained")
    grid = figure.add_gridspec(5, steps, height_ratios=(2, 0.8, 1.4, 0.8, 2))
    for step in range(steps):
        _crop(figure, grid, step, crops[step], None if looks.space is None else looks.space[step])
    _shares(figure, grid, 1, looks.seen, "seen")
    sound = figure.add_subplot(grid[2, :])
    sound.imshow(levels.T, origin="lower", aspect="auto", cmap="Greys", extent=(0, steps, 0, levels.shape[1]))
    for edge in range(1, steps):
        sound.axvline(edge, color="white", linewidth=1.5)
    sound.set_axis_off()
    _shares(figure, grid, 3, looks.heard, "heard")
    reads = figure.add_subplot(grid[4, :])
    reads.imshow(looks.heard_by_seen.T, cmap=HEAT, vmin=0, vmax=1, aspect="auto")
    reads.set(xlabel="step that is seen", ylabel="reads part heard", xticks=range(steps), yticks=range(steps),
              xticklabels=range(1, steps + 1), yticklabels=range(1, steps + 1))
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=120, metadata={"Software": None})
    return target.getvalue()


def _crop(figure: Figure, grid: GridSpec, step: int, crop: np.ndarray, space: np.ndarray | None) -> None:
    axes = figure.add_subplot(grid[0, step])
    axes.imshow(crop)
    axes.set_title(str(step + 1), fontsize=8)
    axes.set_axis_off()
    if space is not None:
        side = round(len(space) ** 0.5)
        axes.imshow(space.reshape(side, side), cmap=HEAT, alpha=0.5, vmin=0, interpolation="bilinear",
                    extent=(-0.5, crop.shape[1] - 0.5, crop.shape[0] - 0.5, -0.5))


def _shares(figure: Figure, grid: GridSpec, row: int, shares: np.ndarray, label: str) -> None:
    axes = figure.add_subplot(grid[row, :])
    axes.bar(np.arange(len(shares)) + 0.5, shares, width=0.6, color="tab:orange")
    axes.axhline(1 / len(shares), color="grey", linewidth=0.8, linestyle=":")
    top = max(1.5 / len(shares), 1.1 * float(shares.max()))
    axes.set(xlim=(0, len(shares)), ylim=(0, top), xticks=[], ylabel=label)
    axes.tick_params(labelsize=7)
