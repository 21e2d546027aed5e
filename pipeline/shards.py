"""The finished shards that become a store: each is a small packed file beside it, and packing joins them."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from pipeline.clip import Clip, Corpus
from pipeline.packing import FeatureData, SourceRecord, stored_cells, stored_clips, stored_sources, write_store
from pipeline.recipes import PlannedFeature
from pipeline.store import FeatureStore


def pack(out: Path, shards: Path, corpus: Corpus, clips: Sequence[Clip],
         drop: Sequence[PlannedFeature] = ()) -> Path:
    """Join the store at ``out``, if there is one, with finished shards into a new store in its place.

    Args:
        out: the store.
        shards: folder of shards; removed afterwards.
        corpus, clips: of the dataset; stored clips that are not among ``clips`` are kept behind them.
        drop: features whose stored rows are not kept when they were made in another way.

    Returns:
        ``out``.
    """
    parts = [FeatureStore(path) for path in ([out] if out.exists() else []) + sorted(shards.glob("*.h5"))]
    stored = {clip.clip_id: clip for part in parts for clip in stored_clips(part)}
    table = {clip.clip_id: clip for clip in clips}
    ordered = [*clips, *(clip for clip_id, clip in stored.items() if clip_id not in table)]
    changed = len(parts) > 1 or not out.exists() or ordered != list(stored.values())
    if parts and changed:
        wanted = {feature.name: feature.fingerprint for feature in drop}
        sources: dict[str, SourceRecord] = {}
        features: dict[str, FeatureData] = {}
        for part in parts:
            sources |= {clip_id: record for clip_id, record in stored_sources(part).items() if record.digest}
            for name in part.features:
                if name not in wanted or part.fingerprint(name) == wanted[name]:
                    features[name] = _joined(features.get(name), part, name)
        write_store(out, corpus=corpus, clips=ordered, features=features, sources=sources)
    shutil.rmtree(shards, ignore_errors=True)
    return out


def _joined(before: FeatureData | None, part: FeatureStore, name: str) -> FeatureData:
    """A feature with the cells of one more part; later parts win."""
    head = part.head(name)
    if before is not None and before.recipe["fingerprint"] != head["fingerprint"]:
        before = None
    return FeatureData(head["modality"], head["row_shape"], head["recipe"], dtype=head["dtype"],
                       columns=head["columns"], is_input=head["is_input"],
                       cells={**(before.cells if before else {}), **stored_cells(part, name)})
