"""What a store file holds: names, types, and what its head says. ``docs/format.md`` describes the same in words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from pipeline.clip import Corpus, Fold, Protocol, Task
from pipeline.media import TimesKind
from pipeline.storage.columns import Column, Texts
from pipeline.storage.hdf5 import Extent, Group

FORMAT = "affect feature store"
FORMAT_VERSION = 2
STATUSES = ("missing", "done", "empty", "failed")
TIMES_KINDS: tuple[TimesKind, ...] = ("measured", "proportional", "none")
TEXT_COLUMNS = ("text", "source")
NAME_COLUMNS = ("clip_id", "split", "group", "speaker", "dialogue")
NUMBER_COLUMNS = {"turn": "int64", "start_seconds": "float64", "stop_seconds": "float64", "source_size": "int64",
                  "source_mtime_ns": "int64"}
CLIP_COLUMNS = (*NAME_COLUMNS, *TEXT_COLUMNS, *NUMBER_COLUMNS, "source_digest")
FAILURE_COLUMNS = ("clip_id", "feature", "stage", "kind", "message")
FEATURE_TYPES = {"values": ("float32", "uint8"), "times": ("float32",), "offsets": ("int64",), "status": ("uint8",),
                 "times_kind": ("uint8",), "digest": ("S32",), "input": ("S32",)}
# Extractors whose rows tell who a person is: their ``identity`` is true. Files with such rows get mode 0600.
IDENTITY_EXTRACTORS = ("face_identity",)
HEAD_ATTRIBUTES = ("format", "format_version", "dataset", "corpus", "pipeline_version", "created", "requests")


def feature_head(name: str, attributes: Mapping[str, Any], extents: Mapping[str, Extent],
                 num_clips: int) -> dict[str, Any]:
    """What the attributes and arrays of a feature say, checked against each other.

    Raises:
        ValueError: they do not fit; also ``KeyError`` or ``TypeError`` where something is missing or of another kind.
    """
    row_shape = tuple(int(size) for size in attributes["row_shape"])
    num_rows = extents["values"].shape[0]
    shapes = {"values": (num_rows, *row_shape), "times": (num_rows, 2), "offsets": (num_clips + 1,)}
    for part, types in FEATURE_TYPES.items():
        found, shape = extents[part], shapes.get(part, (num_clips,))
        if found.dtype not in map(np.dtype, types) or found.shape != shape:
            raise ValueError(f"/features/{name}/{part} is {found.dtype} {found.shape}, expected {' or '.join(types)}"
                             f" {shape}")
    recipe = parse_json(attributes["recipe"])
    if not isinstance(recipe, dict):
        raise ValueError(f"the recipe of {name} is no JSON object")
    return {
        "recipe": recipe, "fingerprint": str(attributes["fingerprint"]), "modality": str(attributes["modality"]),
        "is_input": bool(attributes["is_input"]), "row_shape": row_shape, "dtype": str(extents["values"].dtype),
        "num_rows": num_rows, "columns": tuple(str(column) for column in attributes.get("columns", ())),
    }


def holds_identities(head: Mapping[str, Any]) -> bool:
    """Do the rows of a feature tell who a person is?

    Args:
        head: of the feature; its ``"recipe"`` says which extractor made it.
    """
    return head["recipe"].get("extractor") in IDENTITY_EXTRACTORS


def table_extents(group: Group, names: tuple[str, ...]) -> dict[str, Extent]:
    """Where the columns of a table lie; all of one length and of the types that this program writes.

    Raises:
        ValueError: one is not.
        StoreError: one is missing, or does not lie in the file in one piece.
    """
    found: dict[str, Extent] = {}
    for name in names:
        found[name] = extent = group.extent(name)
        length = extent.shape[0]
        if name in TEXT_COLUMNS or name == "message":
            found[f"{name}_offsets"] = offsets = group.extent(f"{name}_offsets")
            length, fits = offsets.shape[0] - 1, extent.dtype == np.uint8 and offsets.dtype == np.int64
        elif name in NUMBER_COLUMNS:
            fits = extent.dtype == np.dtype(NUMBER_COLUMNS[name])
        else:
            fits = extent.dtype.kind == "S" or name.startswith("labels/") and extent.dtype in (np.int64, np.float32)
        if not fits or len(extent.shape) != 1:
            raise ValueError(f"column {name!r} is {extent.dtype} {extent.shape}")
        if length != found[names[0]].shape[0]:
            raise ValueError(f"column {name!r} has {length} rows for {found[names[0]].shape[0]} clips")
    return found


def read_column(file: BinaryIO, extents: Mapping[str, Extent], name: str) -> Column:
    """One column as it lies in the file."""
    found = extents[name].read(file)
    return Texts(found, extents[f"{name}_offsets"].read(file)) if f"{name}_offsets" in extents else found


def parse_json(text: str) -> Any:
    """JSON without NaN and infinity, which are none.

    Raises:
        ValueError: the text is no JSON.
    """
    def refuse(word: str) -> None:
        raise ValueError(f"{word} is no JSON")
    return json.loads(text, parse_constant=refuse)


def requests_from(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The runs that a store was made by, oldest first; empty where it does not say.

    Raises:
        ValueError: it is not a list of objects.
    """
    found = parse_json(attributes.get("requests", "[]"))
    if not isinstance(found, list) or not all(isinstance(request, dict) for request in found):
        raise ValueError("requests is no JSON list of objects")
    return found


def corpus_from_json(values: Mapping[str, Any]) -> Corpus:
    """What a store says of its corpus.

    Raises:
        ValueError: texts that are none; also ``KeyError`` or ``TypeError`` where something is missing.
    """
    tasks = tuple(Task(task["name"], tuple(task["classes"]),
                       tuple(task["value_range"]) if task["value_range"] is not None else None,
                       task.get("level", "clip"), task.get("positive", "")) for task in values["tasks"])
    protocols = tuple(_protocol(protocol) for protocol in values.get("protocols", ()))
    share = float(values.get("dev_fraction", Corpus.dev_fraction))
    if not 0 < share < 1:
        raise ValueError(f"dev_fraction is in (0, 1), found {share}")
    if not isinstance(values.get("rendered", False), bool):
        raise ValueError(f"rendered is true or false, found {values['rendered']!r}")
    others = "tasks", "protocols", "dev_fraction", "rendered"
    texts = [value for name, value in values.items() if name not in others]
    texts += [text for task in tasks for text in (task.name, *task.classes)]
    texts += [text for protocol in protocols for text in (protocol.name, protocol.source, protocol.warning)]
    texts += [text for protocol in protocols for fold in protocol.folds for text in (fold.name, *fold.test, *fold.dev)]
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("corpus is not described in text")
    return Corpus(**{**values, "tasks": tasks, "protocols": protocols, "dev_fraction": share})


def _protocol(values: Mapping[str, Any]) -> Protocol:
    folds = tuple(Fold(fold["name"], tuple(fold["test"]), tuple(fold["dev"])) for fold in values["folds"])
    return Protocol(values["name"], folds, values["source"], values["warning"])
