"""Rows of features as pictures: time runs to the right, a colour for each number."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from PIL import Image

from pipeline.browsing.opened_store import OpenedStore
from pipeline.media import FeatureSequence
from pipeline.windows import evenly

MOST_WIDE, MOST_HIGH = 1000, 256        # pixels; of more rows or columns neighbours are averaged
MOST_NAMED = 24                         # columns with names that are scaled one by one
FEWEST_PICTURES = 12                    # of rows that are pictures themselves
SPECTROGRAMS = ("audio_logmel",)        # extractors whose columns are bands, drawn upwards
SHARES = (1, 99)                        # per cent of a spectrogram that lie below its darkest and brightest colour
DEVIATIONS = 2.5                        # standard deviations from the mean to the brightest colour
MOST_SAMPLED, SAMPLED_BYTES = 4000, 64 << 20    # rows that tell what is usual


@dataclass(frozen=True)
class Spread:
    """What is usual in the columns of a feature: mean and standard deviation over a store, each (columns,)."""

    mean: np.ndarray
    deviation: np.ndarray


def usual(opened: OpenedStore, feature: str) -> Spread | None:
    """What is usual in a feature's columns, from some thousand rows evenly over the store; worked out once.

    None for spectrograms and pictures, which are drawn as they are.
    """
    head = opened.store.head(feature)
    if is_spectrogram(head) or has_pictures(head):
        return None

    def measure() -> Spread:
        rows = opened.store.array(feature)
        row_bytes = max(1, int(np.prod(rows.shape[1:])) * rows.dtype.itemsize)
        count = min(len(rows), MOST_SAMPLED, max(1, SAMPLED_BYTES // row_bytes))
        some = np.asarray(rows[evenly(len(rows) - 1, count)], np.float64).reshape(count, -1)
        return Spread(some.mean(0), some.std(0))
    return opened.once(("usual", feature), measure)


def is_spectrogram(head: Mapping[str, Any]) -> bool:
    """Are the rows of a feature bands of sound?"""
    return head["recipe"].get("extractor") in SPECTROGRAMS


def has_pictures(head: Mapping[str, Any]) -> bool:
    """Is each row of a feature a picture, uint8 (H, W)?"""
    return head["dtype"] == "uint8" and len(head["row_shape"]) == 2


def in_order(rows: FeatureSequence, head: Mapping[str, Any]) -> FeatureSequence:
    """Rows as they are drawn: those of several face tracks track after track, all others as they are."""
    if head["columns"][:1] != ("track",):
        return rows
    order = np.argsort(rows.values[:, 0], kind="stable")
    return FeatureSequence(rows.values[order], rows.times[order], rows.times_kind)


def is_scaled_alone(rows: FeatureSequence, head: Mapping[str, Any]) -> bool:
    """Is each column drawn from its least to its greatest number in the clip? Few columns that have names are."""
    return 0 < len(head["columns"]) <= MOST_NAMED and len(rows.values) > 1


def draw_rows(rows: FeatureSequence, head: Mapping[str, Any], spread: Spread | None = None) -> bytes:
    """Draw the rows of one clip.

    Rows that are pictures stand side by side, evenly over the clip. A spectrogram goes from its quietest hundredth to
    its loudest. Few columns with names go each from its least to its greatest number, all others from
    :data:`DEVIATIONS` standard deviations below what is usual in the store to as many above.

    Args:
        rows: of the clip, (T, *row_shape), at least one.
        head: of the feature, as :meth:`pipeline.store.FeatureStore.head` gives it.
        spread: what is usual, as :func:`usual` gives it; for None the numbers are drawn as they are.

    Returns:
        A PNG.

    Raises:
        ValueError: no rows.
    """
    if not len(rows.values):
        raise ValueError("at least one row is drawn")
    rows = in_order(rows, head)
    if has_pictures(head):
        shown = rows.values[evenly(len(rows.values) - 1, min(len(rows.values), FEWEST_PICTURES))]
        return _png(Image.fromarray(np.concatenate(list(shown), axis=1)))
    values = np.asarray(rows.values, np.float64).reshape(len(rows.values), -1)
    if is_spectrogram(head):
        grid = shrunk(shrunk(values, MOST_WIDE).T, MOST_HIGH)[::-1]
        low, high = np.percentile(grid, SHARES)
        return _coloured(grid, low, high, "magma")
    if is_scaled_alone(rows, head):
        grid = shrunk(values, MOST_WIDE).T
        return _coloured(grid, grid.min(1, keepdims=True), grid.max(1, keepdims=True), "viridis")
    spread = spread or Spread(np.zeros(1), np.ones(1))
    scaled = (values - spread.mean) / np.where(spread.deviation > 0, spread.deviation, 1)
    return _coloured(shrunk(shrunk(scaled, MOST_WIDE).T, MOST_HIGH), -DEVIATIONS, DEVIATIONS, "viridis")


def shrunk(values: np.ndarray, most: int) -> np.ndarray:
    """Averages of neighbouring rows, so that at most ``most`` are left; float64 (≤ most, ...).

    >>> shrunk(np.arange(6.0), 3).tolist()
    [0.5, 2.5, 4.5]
    """
    if len(values) <= most:
        return values
    edges = (np.arange(most + 1) * len(values)) // most
    counts = np.diff(edges).reshape(-1, *[1] * (values.ndim - 1))
    return np.asarray(np.add.reduceat(values, edges[:-1], axis=0) / counts)


def _coloured(grid: np.ndarray, low: Any, high: Any, name: str) -> bytes:
    share = np.clip((grid - low) / np.maximum(high - low, 1e-12), 0, 1)
    picture = Image.fromarray(np.round(share * 255).astype(np.uint8))
    colours = matplotlib.colormaps[name](np.arange(256), bytes=True)[:, :3]
    picture.putpalette(np.ascontiguousarray(colours).tobytes())
    return _png(picture)


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def time_ticks(rows: FeatureSequence, head: Mapping[str, Any], *, most: int = 6) -> list[tuple[float, str]]:
    """Where along the picture (0 to 1) which time stands, or which row where rows have no times.

    Args:
        rows: of the clip, at least one.
        head: of the feature.
        most: ticks at most.
    """
    rows, count = in_order(rows, head), len(rows.values)
    drawn = evenly(count - 1, min(count, FEWEST_PICTURES)).tolist() if has_pictures(head) else range(count)
    step = -(-len(drawn) // most)
    return [((number + 0.5) / len(drawn), _tick(rows, drawn[number])) for number in range(0, len(drawn), step)]


def _tick(rows: FeatureSequence, place: int) -> str:
    return f"row {place + 1}" if rows.times_kind == "none" else f"{rows.times[place, 0]:.2f} s"
