"""`parquet`: the clip table, and one averaged row a clip, for pandas."""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.errors import UsageError
from pipeline.exporting.selection import Selection
from pipeline.joined import Rows
from pipeline.learning.scaling import pool_rows

NEEDED = "pyarrow>=15"      # the first that writes float16


def pyarrow() -> Any:
    """The modules ``pyarrow`` and ``pyarrow.parquet``.

    Raises:
        UsageError: they are not installed.
    """
    try:
        importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise UsageError("this format needs pyarrow, which is not installed; install it with: python -m pip install"
                         f" '{NEEDED}'") from error
    return importlib.import_module("pyarrow")


def narrow(selection: Selection) -> Selection:
    """The selection without features of pixels: their averages say nothing and would fill thousands of columns."""
    pixels = [name for name in selection.features if selection.dtype(name).kind != "f"]
    notes = tuple(f"{name} is left out: the average of pixels describes nothing" for name in pixels)
    kept = tuple(name for name in selection.features if name not in pixels)
    return dataclasses.replace(selection, features=kept, notes=selection.notes + notes)


def write(selection: Selection, folder: Path) -> None:
    """``clips.parquet``, and for each feature ``FEATURE/pooled.parquet``.

    A pooled table has one row a clip in the order of the clip table: the index ``clip_id``, ``num_rows``, and the mean
    over the clip's rows as columns ``f0`` … (or the names of a feature's columns); NaN where a clip has no rows.

    Raises:
        UsageError: pyarrow is not installed.
    """
    arrow = pyarrow()
    arrow.parquet.write_table(arrow.Table.from_pandas(selection.table(), preserve_index=False),
                              folder / "clips.parquet")
    for feature in selection.features:
        (folder / feature).mkdir()
        writer = None
        try:
            for first, stop in selection.ranges(feature):
                table = arrow.Table.from_pandas(_pooled(selection, feature, first, stop))
                writer = writer or arrow.parquet.ParquetWriter(folder / feature / "pooled.parquet", table.schema)
                writer.write_table(table)
        finally:
            if writer is not None:
                writer.close()


def _pooled(selection: Selection, feature: str, first: int, stop: int) -> pd.DataFrame:
    lengths = selection.lengths(feature, first, stop)
    exact = dataclasses.replace(selection, float16=False)   # rounded once, after the average
    rows = Rows(exact.values(feature, first, stop), np.cumsum(lengths) - lengths, lengths)
    means = pool_rows(rows, ("mean",)).astype(selection.dtype(feature))
    means[lengths == 0] = np.nan        # nothing there is not zeros
    names = selection.store.head(feature)["columns"]
    if len({"clip_id", "num_rows", *names}) != means.shape[1] + 2:
        names = [f"f{place}" for place in range(means.shape[1])]
    index = pd.Index(selection.clip_ids(first, stop), name="clip_id")
    table: pd.DataFrame = pd.DataFrame(means, columns=list(names), index=index)
    table.insert(0, "num_rows", lengths)
    selection.advance(len(rows.values))
    return table
