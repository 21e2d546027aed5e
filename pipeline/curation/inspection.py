"""What a store holds, in numbers; how it was made, and how to make it again."""

from __future__ import annotations

import dataclasses
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

import numpy as np

from pipeline.clip import Task
from pipeline.errors import StoreError
from pipeline.faces import COLUMNS
from pipeline.speaking.tracks import face_features, read_faces, summarise_tracks
from pipeline.storage.layout import FAILURE_COLUMNS, STATUSES, TIMES_KINDS, holds_identities
from pipeline.storage.packing import stored_clips
from pipeline.store import FeatureStore

FRAME_LABELS = "frame_labels"
COMMAND = ["python", "-m", "pipeline"]  # what every command line of this program begins with


def summarise(store: FeatureStore) -> dict[str, Any]:
    """Counts of everything in a store, in JSON's types.

    Returns:
        ``{"path", "dataset", "format_version", "created", "pipeline_version", "licence",
        "rendered": is it ``sample``'s and not filmed, "clips": count, "unpacked_shards": count, "splits": {split:
        count}, "tasks": {task: {class: count, "unlabelled": count}, or of a regression {"mean", "sd", "unlabelled"}},
        "features": {name: {"modality", "row_shape", "done", "empty", "failed", "missing", "rows", "megabytes",
        "weights", "fingerprint", "digest", and of a feature of faces "coverage": {split: share of its clips with a row,
        0 to 1}}}, "identities": [features that tell people apart],
        "failures": [{"clip", "feature", "stage", "kind", "message"}], "requests": [the runs that made it, oldest first]
        or None where it is unknown}``.
    """
    failures = store.failure_columns()
    splits = Counter(np.asarray(store.encoded("split")).tolist())
    return {
        "path": str(store.path), "dataset": store.corpus.name,
        "format_version": store.attributes["format_version"], "created": store.created,
        "pipeline_version": store.attributes.get("pipeline_version", "unknown"), "licence": store.corpus.licence,
        "rendered": store.corpus.rendered,
        "clips": store.num_clips, "unpacked_shards": store.num_shards,
        "splits": {split.decode("utf-8", "replace"): count for split, count in splits.items()},
        "tasks": {task.name: _label_counts(_labels(store, task), task.classes) for task in store.corpus.tasks},
        "features": {name: _feature_counts(store, name) for name in store.features},
        "identities": [name for name in store.features if holds_identities(store.head(name))],
        "failures": [dict(zip(("clip", *FAILURE_COLUMNS[1:]), row, strict=True)) for row in zip(
            *(failures[name].tolist() for name in FAILURE_COLUMNS), strict=True)],
        "requests": store.requests or None,
    }


def _labels(store: FeatureStore, task: Task) -> np.ndarray:
    """Labels of all clips, or of all frames that have a row; class indices int64 with −1 missing, or float32."""
    if task.level != "frame" or not task.classes:
        return store.labels(task.name)
    columns = store.head(FRAME_LABELS)["columns"] if FRAME_LABELS in store.features else ()
    if task.name not in columns:
        return np.zeros(0, np.int64)
    values = np.asarray(store.array(FRAME_LABELS)[:, columns.index(task.name)])
    known = (values >= 0) & (values < len(task.classes))
    return np.where(known, values, -1).astype(np.int64)


def _label_counts(labels: np.ndarray, classes: tuple[str, ...]) -> dict[str, Any]:
    if classes:
        counts = np.bincount(labels[labels >= 0], minlength=len(classes))
        return {**dict(zip(classes, counts.tolist(), strict=True)), "unlabelled": int((labels < 0).sum())}
    known = labels[np.isfinite(labels)].astype(np.float64)
    return {"mean": float(known.mean()) if len(known) else None, "sd": float(known.std()) if len(known) else None,
            "unlabelled": len(labels) - len(known)}


def _feature_counts(store: FeatureStore, name: str) -> dict[str, Any]:
    head = store.head(name)
    counts = np.bincount(store.status_codes(name), minlength=len(STATUSES)).tolist()
    size = int(np.prod(head["row_shape"])) * np.dtype(head["dtype"]).itemsize * head["num_rows"]
    weights = sorted({str(record.get("source", "unknown")) for record in _weights(head["recipe"])})
    return {"modality": head["modality"], "row_shape": list(head["row_shape"]),
            **dict(zip(STATUSES[1:] + STATUSES[:1], counts[1:] + counts[:1], strict=True)), "rows": head["num_rows"],
            "megabytes": round(size / 1e6, 3), "weights": " ".join(weights) or "none",
            "fingerprint": head["fingerprint"], "digest": store.digest(name),
            **({"coverage": _coverage(store, name)} if head["modality"] == "face" else {})}


def _coverage(store: FeatureStore, feature: str) -> dict[str, float]:
    """Share of each split's clips, failed and missing ones among them, that have at least one row."""
    splits, place = np.unique(np.asarray(store.encoded("split")), return_inverse=True)
    seen = np.bincount(place, np.diff(store.offsets(feature)) > 0, len(splits)) / np.bincount(place)
    return {split.decode("utf-8", "replace"): float(share) for split, share in zip(splits.tolist(), seen, strict=True)}


def _weights(recipe: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    found = recipe.get("weights", [])
    return [record for record in found if isinstance(record, Mapping)] if isinstance(found, list) else []


def describe_clip(store: FeatureStore, clip_id: str) -> dict[str, Any]:
    """All that a store knows of one clip, in JSON's types.

    Returns:
        ``{"clip", "split", "speaker", "dialogue", "turn", "group", "text", "source", "start_seconds", "stop_seconds",
        "labels": {task: class or value, null without one}, "features": {name: {"status", "rows", "times"}},
        "failures": [{"feature", "stage", "kind", "message"}], "tracks": [{"number", "start_seconds", "stop_seconds",
        "num_rows", "height_pixels", "probability", "speaking"}]}``; no ``"tracks"`` without a feature of faces.

    Raises:
        StoreError: no such clip.
    """
    place = store.place(clip_id)
    clip = stored_clips(store)[place]
    failures = store.failure_columns()
    found: dict[str, Any] = {
        "clip": clip.clip_id, "split": clip.split, "speaker": clip.speaker, "dialogue": clip.dialogue,
        "turn": clip.turn, "group": clip.group, "text": clip.text,
        "source": None if clip.source is None else str(clip.source),
        "start_seconds": clip.start_seconds, "stop_seconds": clip.stop_seconds,
        "labels": {task.name: clip.labels.get(task.name) for task in store.corpus.tasks},
        "features": {name: {"status": str(store.status(name)[place]), "rows": int(np.diff(store.offsets(name))[place]),
                            "times": TIMES_KINDS[store.times_kinds(name)[place]]} for name in store.features},
        "failures": [dict(zip(FAILURE_COLUMNS[1:], row, strict=True)) for failed, *row in zip(
            *(failures[name].tolist() for name in FAILURE_COLUMNS), strict=True) if failed == clip_id],
    }
    if any(store.head(name)["columns"] == COLUMNS for name in store.features):
        faces = read_faces(store, place, *face_features(store))
        found["tracks"] = [dataclasses.asdict(track) for track in summarise_tracks(faces)]
    return found


def recipes(store: FeatureStore) -> dict[str, Any]:
    """How everything in a store was made, in JSON's types.

    Returns:
        ``{"path", "dataset", "features": {name: recipe}, "requests": [the runs that made it, oldest first] or None
        where it is unknown}``; ``docs/format.md`` says what stands in them.
    """
    return {"path": str(store.path), "dataset": store.corpus.name,
            "features": {name: store.recipe(name) for name in store.features}, "requests": store.requests or None}


def recipe_lines(store: FeatureStore) -> Iterator[str]:
    """:func:`recipes` for people: one line for each thing that is known, indented by what it belongs to."""
    yield printable(f"{store.path}: {store.corpus.name}, {store.num_clips} clips")
    for name in store.features:
        yield ""
        yield printable(name)
        yield from _lines(store.recipe(name), depth=1)
    for number, request in enumerate(store.requests, 1):
        yield ""
        yield f"run {number} of {len(store.requests)}"
        yield from _lines({**request, "command": _shown_command(request)}, depth=1)
    if not store.requests:
        yield ""
        yield "the command that made it: unknown, the store does not say"


def _shown_command(request: Mapping[str, Any]) -> object:
    words = request.get("command")
    return " ".join(map(_quoted, words)) if _is_words(words) else words


def _lines(value: Mapping[str, Any], depth: int) -> Iterator[str]:
    for name, item in value.items():
        start = f"{'  ' * depth}{printable(str(name))}:"
        if isinstance(item, Mapping) and item:
            yield start
            yield from _lines(item, depth + 1)
        elif isinstance(item, list) and any(isinstance(part, (Mapping, list)) for part in item):
            yield start
            yield from _lines({str(number): part for number, part in enumerate(item, 1)}, depth + 1)
        else:
            yield f"{start} {printable(_plain(item))}"


def _plain(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    words = {"None": "none", "True": "yes", "False": "no", "{}": "none", "": "none"}
    return words.get(str(value), str(value))


def command_lines(store: FeatureStore) -> list[str]:
    """The commands that make a store again, oldest first, quoted for a shell.

    Raises:
        StoreError: the store does not say, or was not made from the command line.
    """
    if not store.requests:
        raise StoreError(f"{store.path} does not say by which command it was made; see the settings of its features"
                         f" with: python -m pipeline inspect --recipe {store.path}")
    lines = []
    for request in store.requests:
        words = request.get("command")
        if not _is_words(words) or words[:3] != COMMAND:
            raise StoreError(f"{store.path} was made by a run that was not a command of this program (it says"
                             f" {printable(repr(words))[:200]}); see its settings with: python -m pipeline inspect"
                             f" --recipe {store.path}")
        lines.append(" ".join(map(_quoted, words)))
    return lines


def _is_words(words: object) -> TypeGuard[list[str]]:
    return isinstance(words, list) and bool(words) and all(isinstance(word, str) for word in words)


def _quoted(word: str) -> str:
    """A word for a shell; what a terminal would not show goes into bash's ``$'…'``."""
    if word.isprintable():
        return shlex.quote(word)
    escaped = "".join(character if character.isprintable() and character not in "'\\" else "".join(
        f"\\x{byte:02x}" for byte in character.encode("utf-8", "surrogateescape")) for character in word)
    return f"$'{escaped}'"


def printable(text: str) -> str:
    """Text with what a terminal would obey instead of show written as ``\\x1b``, and so on."""
    return "".join(character if character.isprintable() else character.encode("unicode_escape").decode()
                   for character in text)


def shown(value: Any) -> Any:
    """A summary with all its text :func:`printable`; files from elsewhere may hold anything."""
    if isinstance(value, Mapping):
        return {printable(str(name)): shown(item) for name, item in value.items()}
    if isinstance(value, list):
        return [shown(item) for item in value]
    return printable(value) if isinstance(value, str) else value
