"""What is written beside every export: what it is, how it was made, and on what terms it may be used."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import pipeline
from pipeline.clip import Corpus
from pipeline.config import to_json
from pipeline.exporting.selection import Selection, printable

PASSED_ON = {
    "yes": "What is made from it may be passed on.",
    "non-commercial": "What is made from it may be passed on for non-commercial use only, and on these terms.",
    "no": "Nothing made from it may be passed on.",
}


def describe(selection: Selection, format: str) -> dict[str, Any]:
    """Everything to know of an export, in JSON's types; the same store and options give the same.

    Returns:
        ``{"format", "dataset", "pipeline_version", "store": {"name", "created", "pipeline_version"}, "corpus",
        "clips", "splits": {split: count}, "features": {name: {"digest", "fingerprint", "modality", "row_shape",
        "dtype", "rows", "columns", "recipe"}}, "task", "float16", "share", "permission", "notes"}``; ``digest`` is
        that of the feature in the store, over all its clips. With ``share`` no path in a recipe is absolute.
    """
    store = selection.store
    features = {}
    for name in selection.features:
        features[name] = {
            "digest": store.digest(name), "fingerprint": store.fingerprint(name), "modality": store.modality(name),
            "row_shape": list(store.row_shape(name)), "dtype": str(selection.dtype(name)),
            "rows": int(selection.lengths(name).sum()), "columns": list(store.head(name)["columns"]),
            "recipe": recipe_of(selection, name),
        }
    splits = Counter(printable(split) for split in store.column("split")[selection.places].tolist())
    return {
        "format": format, "dataset": store.corpus.name, "pipeline_version": pipeline.__version__,
        "store": {"name": printable(store.path.name), "created": store.created,
                  "pipeline_version": str(store.attributes.get("pipeline_version", "unknown"))},
        "corpus": to_json(store.corpus), "clips": len(selection), "splits": dict(splits), "features": features,
        "task": selection.task and selection.task.name, "float16": selection.float16, "share": selection.share,
        "permission": selection.permission, "notes": list(selection.notes),
    }


def recipe_of(selection: Selection, feature: str) -> dict[str, Any]:
    """How a feature was made; with ``share`` no path in it is absolute."""
    recipe = selection.store.recipe(feature)
    return dict(without_folders(recipe)) if selection.share else recipe


def without_folders(value: Any) -> Any:
    """A copy of JSON's types in which every absolute path has become the name at its end."""
    if isinstance(value, Mapping):
        return {key: without_folders(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_folders(item) for item in value]
    if isinstance(value, str) and PureWindowsPath(value).is_absolute():
        return PureWindowsPath(value).name
    if isinstance(value, str) and value.startswith(("/", "~")):
        return PurePosixPath(value).name
    return value


def terms(corpus: Corpus, permission: str | None) -> str:
    """What a corpus's terms are, in a few lines for a reader."""
    lines = [f"Made from the corpus {corpus.name}.", f"Licence: {corpus.licence}.",
             PASSED_ON.get(corpus.redistribute, PASSED_ON["no"])]
    if corpus.terms_url:
        lines.append(f"Terms: {corpus.terms_url}")
    if corpus.citation:
        lines.append(f"Cite: {corpus.citation}")
    if permission is not None:
        lines.append(f"Whoever made this export states this permission to pass it on: {permission}")
    return printable("\n".join(lines)) + "\n"


def write_records(folder: Path, selection: Selection, format: str) -> None:
    """Write ``export.json`` and ``TERMS.txt``."""
    text = printable(json.dumps(describe(selection, format), indent=2, ensure_ascii=False))
    (folder / "export.json").write_text(text + "\n", encoding="utf-8")
    (folder / "TERMS.txt").write_text(terms(selection.store.corpus, selection.permission), encoding="utf-8")


def write_clips(folder: Path, selection: Selection) -> None:
    """Write ``clips.csv``: the clip table, text exactly as it is."""
    selection.table().to_csv(folder / "clips.csv", index=False, lineterminator="\n")
