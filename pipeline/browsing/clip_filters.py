"""Which clips are asked for: read from an address, checked against the store, and applied to the clip table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from pipeline.browsing.opened_store import OpenedStore
from pipeline.curation.queries import find
from pipeline.errors import UsageError, unknown_name
from pipeline.store import STATUSES

LABEL = "label."            # what an address calls the filter by a task's class: label.emotion=3
UNLABELLED = -1
ORDERS = {"": "as stored", "longest": "longest first", "shortest": "shortest first", "id": "by id"}
MOST_CHOICES = 300          # of a list to choose from; of more speakers only the commonest are offered


@dataclass(frozen=True)
class Filters:
    """Clips that all of these hold for; "" asks nothing.

    Args:
        split, speaker: exactly these.
        labels: class by task, as its place in the task's classes; −1 for clips without a label.
        status: of the feature ``of``, or of any feature where that is "".
        of: name of a feature.
        words: found in id, text, speaker or dialogue, whatever the case.
        where: a query as ``subset --where`` takes it.
        order: one of :data:`ORDERS`.
    """

    split: str = ""
    speaker: str = ""
    labels: tuple[tuple[str, int], ...] = ()
    status: str = ""
    of: str = ""
    words: str = ""
    where: str = ""
    order: str = ""

    @property
    def asks(self) -> bool:
        """Is anything asked?"""
        return any((self.split, self.speaker, self.labels, self.status, self.words, self.where))

    def query(self) -> dict[str, str]:
        """These filters as an address's fields; those that ask nothing are left out."""
        fields = {"split": self.split, "speaker": self.speaker, "status": self.status, "of": self.of,
                  "words": self.words, "where": self.where, "order": self.order,
                  **{LABEL + task: str(label) for task, label in self.labels}}
        return {name: value for name, value in fields.items() if value}


def read_filters(opened: OpenedStore, query: Mapping[str, str]) -> Filters:
    """The filters that an address's fields ask for; other fields are passed over.

    Raises:
        UsageError: a task, class, feature, status or order that is not there.
    """
    store = opened.store
    classes = {task.name: task.classes for task in store.corpus.tasks}
    labels = []
    for name, text in query.items():
        task = name.removeprefix(LABEL)
        if name.startswith(LABEL) and text:
            if not classes.get(task):
                raise UsageError(f"{store.path} has no task {task!r} with classes to filter by")
            if not text.removeprefix("-").isdecimal() or len(text) > 6 or not -1 <= int(text) < len(classes[task]):
                raise UsageError(f"{text!r} is no class of {task}; expected a number from -1 (unlabelled) to"
                                 f" {len(classes[task]) - 1}")
            labels.append((task, int(text)))
    status, of, order = (query.get(name, "") for name in ("status", "of", "order"))
    if of and of not in store.features:
        raise unknown_name("feature", of, store.features)
    if status and status not in STATUSES:
        raise UsageError(f"no status {status!r}; expected one of {', '.join(STATUSES)}")
    if order not in ORDERS:
        raise UsageError(f"no order {order!r}; expected one of {', '.join(filter(None, ORDERS))}, or none")
    return Filters(query.get("split", ""), query.get("speaker", ""), tuple(labels), status, of,
                   query.get("words", "").strip(), query.get("where", "").strip(), order)


def matching(opened: OpenedStore, filters: Filters) -> np.ndarray:
    """Places of the clips that the filters let through, in the order that they ask for; int64 (M,).

    Raises:
        UsageError: the query ``where`` is refused.
        StoreError: the store is damaged.
    """
    store = opened.store
    kept = np.ones(store.num_clips, bool)
    for name, value in (("split", filters.split), ("speaker", filters.speaker)):
        if value:
            kept &= store.column(name) == value
    for task, label in filters.labels:
        kept &= store.labels(task) == label
    if filters.status:
        code = STATUSES.index(filters.status)
        names = [filters.of] if filters.of else store.features
        kept &= np.any([store.status_codes(name) == code for name in names], axis=0) if names else False
    if filters.words:
        wanted = filters.words.casefold()
        kept &= np.fromiter((wanted in text for text in _searched(opened)), bool, store.num_clips)
    if filters.where:
        asked = np.zeros(store.num_clips, bool)
        asked[find(opened.once("query table", lambda: _query_table(opened)), filters.where)] = True
        kept &= asked
    return _ordered(opened, np.flatnonzero(kept), filters.order)


def _ordered(opened: OpenedStore, places: np.ndarray, order: str) -> np.ndarray:
    if order == "id":
        return places[np.argsort(opened.store.column("clip_id")[places].astype(str), kind="stable")]
    if order:
        seconds = np.nan_to_num(opened.lengths[places], nan=-1 if order == "longest" else np.inf)
        return places[np.argsort(-seconds if order == "longest" else seconds, kind="stable")]
    return places


def _searched(opened: OpenedStore) -> list[str]:
    """What free text is looked for in, of each clip."""
    def joined() -> list[str]:
        columns = (opened.store.column(name).tolist() for name in ("clip_id", "text", "speaker", "dialogue"))
        return ["\n".join(parts).casefold() for parts in zip(*columns, strict=True)]
    return opened.once("searched", joined)


def _query_table(opened: OpenedStore) -> pd.DataFrame:
    """Clip columns and labels, named as ``subset --where`` names them."""
    store = opened.store
    table = store.clips
    for task in store.corpus.tasks:
        labels = store.labels(task.name)
        table[f"labels/{task.name}" if task.name in table else task.name] = pd.Series(
            [(*task.classes, "")[label] for label in labels.tolist()], dtype=object) if task.classes else labels
    return table


@dataclass(frozen=True)
class Choices:
    """What can be chosen in the form of the filters.

    Args:
        splits, speakers: names with their number of clips; speakers the commonest first.
        more_speakers: how many speakers are left out.
        tasks: name, and classes with their number of clips, unlabelled ones first, of each task with classes.
        features, statuses: names.
    """

    splits: Sequence[tuple[str, int]]
    speakers: Sequence[tuple[str, int]]
    more_speakers: int
    tasks: Sequence[tuple[str, Sequence[tuple[int, str, int]]]]
    features: Sequence[str]
    statuses: Sequence[str] = STATUSES[1:] + STATUSES[:1]


def choices(opened: OpenedStore) -> Choices:
    """What the clips of a store can be filtered by."""
    def count() -> Choices:
        store = opened.store
        speakers = Counter(name for name in store.column("speaker").tolist() if name).most_common()
        tasks: list[Any] = []
        for task in store.corpus.tasks:
            if task.classes and task.level == "clip":
                counts = Counter(store.labels(task.name).tolist())
                tasks.append((task.name, [(place, name, counts[place]) for place, name in
                                          [(UNLABELLED, "unlabelled"), *enumerate(task.classes)] if counts[place]]))
        return Choices(list(Counter(store.column("split").tolist()).items()), speakers[:MOST_CHOICES],
                       max(0, len(speakers) - MOST_CHOICES), tasks, store.features)
    return opened.once("choices", count)
