"""An ablation as a plot: every variant's score with its spread, beside the reference."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

WIDTH_INCHES = 7.0
ROW_INCHES = 0.34
TRAINED, SCORED = "tab:blue", "tab:orange"      # learnt so, or only scored so


def plot_ablation(table: Mapping[str, Any]) -> bytes:
    """One line for each variant: a small mark for each seed, a large one for the mean, a bar of ± one sd.

    Variants that were trained are blue, those that the reference was only scored as (an input taken away) are orange;
    the dotted line is the reference.

    Args:
        table: as :func:`pipeline.ablation.ablate` gives it.

    Returns:
        A PNG file; the same table gives the same bytes.
    """
    task, metric = table["task"], table["metric"]
    rows = [row for row in table["rows"] if row["scores"].get(task, {}).get(metric, {}).get("mean") is not None]
    scale = 1.0 if metric in ("mae", "rmse") else 100.0
    figure = Figure(figsize=(WIDTH_INCHES, 1.3 + ROW_INCHES * max(1, len(rows))), layout="constrained")
    axes = figure.add_subplot()
    for place, row in enumerate(rows):
        scores, colour = row["scores"][task][metric], TRAINED if row["trained"] else SCORED
        axes.plot(scale * np.array(scores["seeds"]), np.full(len(scores["seeds"]), place), "o", color=colour,
                  markersize=3, alpha=0.4)
        axes.errorbar(scale * scores["mean"], place, xerr=scale * scores["sd"], fmt="o", color=colour, markersize=7,
                      capsize=3)
    if rows and rows[0]["variant"] == table["reference"]:
        axes.axvline(scale * rows[0]["scores"][task][metric]["mean"], color="grey", linestyle=":", linewidth=1)
    axes.set_yticks(range(len(rows)), [row["variant"] for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(axis="x", linewidth=0.4)
    axes.set_axisbelow(True)
    axes.set_xlabel(f"{metric.replace('_', ' ')} of {task} on {table['split']}{', %' if scale > 1 else ''}; mean ± sd"
                    f" over {len(table['seeds'])} seed{'s' if len(table['seeds']) > 1 else ''}")
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=120, metadata={"Software": None})
    return target.getvalue()
