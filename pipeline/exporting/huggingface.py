"""`huggingface`: a folder that ``datasets.load_dataset(FOLDER)`` reads and that can be uploaded as it is.

Layout and card: https://huggingface.co/docs/datasets/repository_structure and
https://huggingface.co/docs/hub/datasets-cards.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from huggingface_hub import DatasetCardData

from pipeline.errors import StoreError
from pipeline.exporting.records import terms
from pipeline.exporting.selection import Selection, printable
from pipeline.exporting.tables import pyarrow

FILE_BYTES = 500 << 20      # as the Hub's own files
SPLITS = {"dev": "validation", "all": "train"}      # the names that readers there expect
LICENCES = re.compile(r"cc-by(-nc)?(-sa|-nd)?-[234]\.[05]|cc0-1\.0|mit|apache-2\.0|gpl-3\.0")


def write(selection: Selection, folder: Path) -> None:
    """``data/SPLIT-00000-of-N.parquet`` and the card ``README.md``.

    A row is a clip: the columns of the clip table, labels as class labels (null missing), and for each feature
    ``FEATURE``, a list of T rows of numbers, and ``FEATURE_times``, T pairs of seconds.

    Raises:
        UsageError: pyarrow is not installed.
        StoreError: splits or columns cannot be named so.
    """
    arrow = pyarrow()
    (folder / "data").mkdir()
    table = selection.table()
    columns = _columns(selection, table)
    names = np.asarray([SPLITS.get(split, split) for split in table["split"]], object)
    splits = []
    for name in dict.fromkeys(names.tolist()):
        chosen = names == name
        _check_split(name, sorted(set(table["split"][chosen])))
        part = dataclasses.replace(selection, places=selection.places[chosen])
        num_bytes = _write_split(arrow, part, table[chosen], folder / "data", name)
        splits.append({"name": name, "num_bytes": num_bytes, "num_examples": len(part)})
    size = sum(path.stat().st_size for path in (folder / "data").iterdir())
    (folder / "README.md").write_text(_card(selection, columns, splits, size), encoding="utf-8")


def _check_split(name: str, stored: list[str]) -> None:
    if not re.fullmatch(r"\w+(\.\w+)*", name):
        raise StoreError(f"split {name!r} cannot be a split of a Hugging Face dataset; expected letters, digits and"
                         " '_'. Leave it out with --splits")
    if len(stored) > 1:
        raise StoreError(f"splits {' and '.join(stored)} would both be called {name} in a Hugging Face dataset; export"
                         " one of them at a time with --splits")


def _write_split(arrow: Any, part: Selection, table: pd.DataFrame, folder: Path, name: str) -> int:
    """Write the files of one split in row groups that stay small; its bytes as Arrow counts them."""
    num_bytes = 0
    files = part.ranges(*part.features, num_bytes=FILE_BYTES)
    for number, (begin, end) in enumerate(files):
        inner = dataclasses.replace(part, places=part.places[begin:end])
        writer = None
        try:
            for first, stop in inner.ranges(*part.features):
                group = _group(arrow, inner, table.iloc[begin + first:begin + stop], first, stop)
                writer = writer or arrow.parquet.ParquetWriter(
                    folder / f"{name}-{number:05d}-of-{len(files):05d}.parquet", group.schema,
                    use_dictionary=False)   # numbers hardly repeat, and looking takes most of the time
                writer.write_table(group)
                num_bytes += group.nbytes
        finally:
            if writer is not None:
                writer.close()
    return num_bytes


def _group(arrow: Any, part: Selection, table: pd.DataFrame, first: int, stop: int) -> Any:
    columns = {}
    tasks = {task.name: task for task in part.store.corpus.tasks}
    for column in table.columns:
        values = table[column].to_numpy()
        if column in tasks and tasks[column].classes:
            places = {label: index for index, label in enumerate(tasks[column].classes)}
            columns[column] = arrow.array([places.get(label) for label in values], arrow.int64())
        else:
            columns[column] = arrow.array(values, arrow.string() if values.dtype == object else None,
                                          from_pandas=values.dtype == object)
    for feature in part.features:
        lengths = part.lengths(feature, first, stop)
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        columns[feature] = _nested(arrow, part.values(feature, first, stop), offsets)
        columns[f"{feature}_times"] = _nested(arrow, part.times(feature, first, stop), offsets)
        part.advance(int(offsets[-1]))
    return arrow.table(columns)


def _nested(arrow: Any, rows: np.ndarray, offsets: np.ndarray) -> Any:
    """Rows (R, *row_shape) of several clips as one list of rows a clip."""
    array = arrow.array(rows.reshape(-1))
    for size in reversed(rows.shape[1:]):
        array = arrow.FixedSizeListArray.from_arrays(array, size)
    return arrow.ListArray.from_arrays(arrow.array(offsets, arrow.int32()), array)


def _card(selection: Selection, columns: list[dict[str, Any]], splits: list[dict[str, Any]], size: int) -> str:
    """The dataset card: what machines read above, what people read below."""
    corpus = selection.store.corpus
    slug = re.sub(r"[^a-z0-9.-]+", "-", corpus.licence.lower()).strip("-") or "unknown"
    known = bool(LICENCES.fullmatch(slug))
    metadata: dict[str, Any] = {"license": slug if known else "other", "pretty_name": corpus.name}
    if not known:
        metadata |= {"license_name": slug, "license_link": corpus.terms_url or "TERMS.txt"}
    metadata["configs"] = [{"config_name": "default", "data_files": [
        {"split": split["name"], "path": f"data/{split['name']}-*"} for split in splits]}]
    metadata["dataset_info"] = {
        "features": columns, "splits": splits, "download_size": size,
        "dataset_size": sum(split["num_bytes"] for split in splits)}
    rows = "\n".join(f"| `{name}` | {selection.store.modality(name)} |"
                     f" {'×'.join(map(str, selection.row_shape(name)))} | {int(selection.lengths(name).sum())} |"
                     for name in selection.features)
    quoted = "".join(f"    {line}\n" for line in terms(corpus, selection.permission).splitlines())
    return printable(f"""---
{DatasetCardData(**metadata).to_yaml()}
---

# Features

One row a clip: what is known of it, its labels, and for each feature a list of rows of numbers with their times in
seconds from the clip's start. `FEATURE.times_kind` says whether times were measured or are proportional guesses. An
empty list means that there are no rows, and `FEATURE.status` says why. `export.json` says exactly how each feature was
made.

| feature | modality | a row | rows |
|---|---|---|---|
{rows}

Terms of the corpus:

{quoted}
A label says what annotators gave a clip; it does not say what a person feels.
""")


def _columns(selection: Selection, table: pd.DataFrame) -> list[dict[str, Any]]:
    """The columns as a card names them; ``sequence`` is understood by old and new readers."""
    tasks = {task.name: task for task in selection.store.corpus.tasks}
    found: list[dict[str, Any]] = []
    for column in table.columns:
        if column in tasks and tasks[column].classes:
            names = {str(place): label for place, label in enumerate(tasks[column].classes)}
            found.append({"name": column, "dtype": {"class_label": {"names": names}}})
        else:
            dtype = table[column].dtype
            found.append({"name": column, "dtype": "string" if dtype.kind not in "if" else str(dtype)})
    for feature in selection.features:
        for name, dtype, shape in ((feature, selection.dtype(feature), selection.row_shape(feature)),
                                   (f"{feature}_times", np.dtype(np.float32), (2,))):
            inner: Any = str(dtype)
            for length in reversed(shape):
                inner = {"sequence": inner, "length": length}
            found.append({"name": name, "sequence": inner})
    names_found = [column["name"] for column in found]
    for name in names_found:
        if names_found.count(name) > 1:
            raise StoreError(f"two columns of the dataset would be called {name!r}: a feature and a column of the clip"
                             " table, or a feature's times; leave the feature out with --features")
    return found
