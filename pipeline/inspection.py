"""What a store holds, in numbers."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from pipeline.store import STATUSES, FeatureStore


def summarise(store: FeatureStore) -> dict[str, Any]:
    """Counts of everything in a store, in JSON's types.

    Returns:
        ``{"path", "dataset", "format_version", "created", "pipeline_version", "licence", "clips": count, "splits":
        {split: count}, "tasks": {task: {class: count, "unlabelled": count}, or of a regression {"mean", "sd",
        "unlabelled"}}, "features": {name: {"modality", "row_shape", "done", "empty", "failed", "missing", "rows",
        "megabytes", "weights", "fingerprint", "digest"}}, "failures": [{"clip", "feature", "stage", "kind",
        "message"}]}``.
    """
    return {
        "path": str(store.path), "dataset": store.corpus.name,
        "format_version": store.attributes["format_version"], "created": store.created,
        "pipeline_version": store.attributes.get("pipeline_version", "unknown"), "licence": store.corpus.licence,
        "clips": store.num_clips, "splits": dict(Counter(store.column("split").tolist())),
        "tasks": {task.name: _label_counts(store, task.name, task.classes) for task in store.corpus.tasks},
        "features": {name: _feature_counts(store, name) for name in store.features},
        "failures": [{"clip": row.clip_id, "feature": row.feature, "stage": row.stage, "kind": row.kind,
                      "message": row.message} for row in store.failures.itertuples()],
    }


def _label_counts(store: FeatureStore, task: str, classes: tuple[str, ...]) -> dict[str, Any]:
    labels = store.labels(task)
    if classes:
        counts = np.bincount(labels[labels >= 0], minlength=len(classes))
        return {**dict(zip(classes, counts.tolist(), strict=True)), "unlabelled": int((labels < 0).sum())}
    known = labels[~np.isnan(labels)]
    return {"mean": float(known.mean()) if len(known) else None, "sd": float(known.std()) if len(known) else None,
            "unlabelled": int(np.isnan(labels).sum())}


def _feature_counts(store: FeatureStore, name: str) -> dict[str, Any]:
    head, statuses = store.head(name), Counter(store.status(name).tolist())
    size = int(np.prod(head["row_shape"])) * np.dtype(head["dtype"]).itemsize * head["num_rows"]
    weights = sorted({record["source"] for record in head["recipe"].get("weights", [])})
    return {"modality": head["modality"], "row_shape": list(head["row_shape"]),
            **{status: statuses.get(status, 0) for status in STATUSES}, "rows": head["num_rows"],
            "megabytes": round(size / 1e6, 3), "weights": " ".join(weights) or "none",
            "fingerprint": head["fingerprint"], "digest": store.digest(name)}
