"""A picture of one clip's rows before and after they were brought to a clock."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.curation.aligning import Aligned
from pipeline.errors import UsageError
from pipeline.media import FeatureSequence
from pipeline.pages.alignment_plots import Strip, Words, draw_alignment
from pipeline.storage.shards import open_store
from pipeline.store import FeatureStore
from pipeline.words.word_times import words_of

WORDS = "text_words"


def draw_aligned(store: Path, made: Aligned, sources: Sequence[str], clip_id: str = "") -> bytes:
    """Rows of each source above those that were made of them, below the words where their times are stored.

    Args:
        store: what was aligned.
        made: what came of it.
        sources: the features, as they were given then.
        clip_id: which clip; "": the first of those that have rows of most of the new features.

    Returns:
        A PNG file.

    Raises:
        UsageError: no such clip, or none of the new features has rows of it.
        StoreError: a store cannot be read.
    """
    before, after = open_store(store), open_store(made.path)
    new = tuple(made.features)
    numbers = np.sum([np.diff(after.offsets(name)) > 0 for name in new], axis=0)
    if not clip_id:
        clip_id = str(after.column("clip_id")[numbers.argmax()]) if after.num_clips else ""
    place = after.find(clip_id)
    if place is None or not numbers[place]:
        found = f"no clip {clip_id!r}" if place is None else f"no rows of {' or '.join(new)} in {clip_id}"
        raise UsageError(f"{made.path} is written, but there is nothing to draw: {found}; name a clip that has rows")
    parts: list[Strip | Words] = [*_words(before, clip_id)]
    for name, one in zip(sources, new, strict=True):
        parts += [_strip(name, before.read(clip_id, name)), _strip(one, after.read(clip_id, one))]
    clock = np.concatenate([after.read(clip_id, name).times for name in new])
    return draw_alignment(parts, clock, title=clip_id)


def _strip(name: str, rows: FeatureSequence) -> Strip:
    return Strip(name, np.asarray(rows.values), np.asarray(rows.times))


def _words(store: FeatureStore, clip_id: str) -> list[Words]:
    """The clip's words where each has its row, else nothing."""
    if WORDS not in store.features:
        return []
    rows, words = store.read(clip_id, WORDS), words_of(str(store.column("text")[store.place(clip_id)]))
    guessed = " (guessed)" if rows.times_kind == "proportional" else ""
    return [Words(f"words{guessed}", words, np.asarray(rows.times))] if len(words) == len(rows.times) > 0 else []
