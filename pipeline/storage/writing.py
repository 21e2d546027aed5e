"""Writing a store file from columns and blocks of rows, so that a store of any size passes through little memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import h5py
import numpy as np

import pipeline
from pipeline.clip import Corpus
from pipeline.config import digest, to_json
from pipeline.errors import StoreError
from pipeline.storage.columns import Column, Texts, encode_names, encode_texts
from pipeline.storage.durable import Output, replacing
from pipeline.storage.layout import FAILURE_COLUMNS, FORMAT, FORMAT_VERSION, HEAD_ATTRIBUTES, holds_identities
from pipeline.storage.seals import CHECKS, row_checks

Block = tuple[np.ndarray, np.ndarray]  # values (B, *row_shape) and times (B, 2) of neighbouring rows


@dataclass(frozen=True)
class FeatureRows:
    """One feature over all clips, ready to be written.

    Args:
        head: modality, row_shape, dtype, recipe, columns, is_input.
        counts: rows of each clip, int64 (N,).
        status, times_kind, digest, input: of each clip, (N,), as stored.
        blocks: all rows in the order of the clips, some at a time; a block may be overwritten once it is written.
        failures: clip_id, feature, stage, kind and message of each clip that failed.
    """

    head: Mapping[str, Any]
    counts: np.ndarray
    status: np.ndarray
    times_kind: np.ndarray
    digest: np.ndarray
    input: np.ndarray
    blocks: Iterator[Block]
    failures: Sequence[tuple[str, ...]] = ()


def unique_requests(requests: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Requests in JSON's types, each once, where it came first."""
    kept: dict[str, dict[str, Any]] = {}
    for request in map(to_json, requests):
        kept.setdefault(json.dumps(request, sort_keys=True), request)
    return list(kept.values())


def write_file(path: Path, *, corpus: Corpus, clips: Mapping[str, Column], features: Iterable[tuple[str, FeatureRows]],
               requests: Sequence[Mapping[str, Any]] = (), attributes: Mapping[str, Any] | None = None,
               written: Callable[[int], None] = lambda num_bytes: None) -> Path:
    """Write a store; the file appears whole or not at all, and for its owner alone where it holds identities of people.

    Args:
        path: the file to make or replace.
        corpus: what is known of the corpus.
        clips: the columns of the clip table by name, ``labels/TASK`` among them.
        features: name and rows of each, one after the other; the next is asked for when one is written.
        requests: the runs that made the store, oldest first.
        attributes: further text and numbers for the head of the file.
        written: told the bytes of each block of rows that is written.

    Returns:
        ``path``.

    Raises:
        StoreError: the folder cannot be written, or the disk is full.
    """
    head = {"format": FORMAT, "format_version": FORMAT_VERSION, "dataset": corpus.name, "corpus": _to_text(corpus),
            "pipeline_version": pipeline.__version__,
            "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            **({"requests": _to_text(unique_requests(requests))} if requests else {}),
            **{name: value for name, value in (attributes or {}).items() if name not in HEAD_ATTRIBUTES}}
    try:
        with replacing(path) as output:
            with h5py.File(output, "w", libver="v110", alignment_threshold=1, alignment_interval=4096) as file:
                _write_attributes(file, head)
                _write_columns(file.create_group("clips"), clips)
                failures: list[tuple[str, ...]] = []
                group = file.create_group("features")
                for name, feature in features:
                    if holds_identities(feature.head):
                        output.make_private()
                    _write_feature(group.create_group(name), feature, output, written)
                    failures += feature.failures
                columns = list(zip(*failures, strict=True)) or [()] * len(FAILURE_COLUMNS)
                _write_columns(file.create_group("failures"), {
                    name: (encode_texts if name == "message" else encode_names)(values)
                    for name, values in zip(FAILURE_COLUMNS, columns, strict=True)})
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}; what was there before is unchanged. Check"
                         " free space and permissions, then run the same command again") from error
    return path


def _to_text(value: Any) -> str:
    return json.dumps(to_json(value), ensure_ascii=False, allow_nan=False)


def _write_attributes(group: h5py.Group, attributes: Mapping[str, Any]) -> None:
    """Text goes in with its length fixed: HDF5 keeps the other kind where it has no checksums; see ``hdf5.py``."""
    for name, value in attributes.items():
        if isinstance(value, str):
            encoded = value.encode("utf-8", "surrogatepass")
            group.attrs.create(name, np.bytes_(encoded), dtype=h5py.string_dtype("utf-8", max(1, len(encoded))))
        elif isinstance(value, tuple):
            names = encode_names(value)
            group.attrs.create(name, names, dtype=h5py.string_dtype("utf-8", names.dtype.itemsize))
        else:
            group.attrs[name] = value


def _write_columns(group: h5py.Group, columns: Mapping[str, Column]) -> None:
    for name, column in columns.items():
        if isinstance(column, Texts):
            group.create_dataset(name, data=column.blob)
            group.create_dataset(f"{name}_offsets", data=column.offsets)
        else:
            group.create_dataset(name, data=column)
    group.create_dataset(CHECKS, data=row_checks(columns))


def _write_feature(group: h5py.Group, feature: FeatureRows, output: Output, written: Callable[[int], None]) -> None:
    head, recipe = feature.head, to_json(feature.head["recipe"])
    row_shape = tuple(head["row_shape"])
    _write_attributes(group, {
        "recipe": _to_text(recipe), "modality": head["modality"],
        "fingerprint": recipe.get("fingerprint") or digest(recipe), "is_input": head["is_input"],
        "row_shape": np.asarray(row_shape, np.int64), **({"columns": head["columns"]} if head["columns"] else {})})
    offsets = np.concatenate([[0], np.cumsum(feature.counts)]).astype(np.int64)
    _write_columns(group, {"offsets": offsets, "status": feature.status, "times_kind": feature.times_kind,
                           "digest": feature.digest, "input": feature.input})
    values = group.create_dataset("values", (int(offsets[-1]), *row_shape), head["dtype"])
    times = group.create_dataset("times", (int(offsets[-1]), 2), np.float32)
    row = 0
    for block_values, block_times in feature.blocks:
        stop = row + len(block_values)
        values[row:stop] = block_values
        times[row:stop] = block_times
        row = stop
        output.check()
        written(block_values.nbytes + block_times.nbytes)
