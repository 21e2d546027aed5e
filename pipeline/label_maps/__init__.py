"""What labels of one corpus are called in another, so that a run can be scored on a corpus that it was not trained for.

``emotions.csv`` holds the maps that are shipped: a row for each label of each corpus, a column for each set of labels
that networks answer in; an empty cell says that there is no such label, and such clips are left out. Calm counts as
neutral and excitement as joy, as is usual; frustration, and what EmoryNLP calls powerful, stand alone.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.clip import Task
from pipeline.errors import StoreError, UsageError, unknown_name
from pipeline.joined import JoinedStores

SHIPPED = Path(__file__).with_name("emotions.csv")
FORM = "a CSV file with the columns label and answer, a row for each label of the store"
_MOST_BYTES = 2 ** 20


@dataclass(frozen=True)
class LabelMap:
    """What each label of a store is called by a run.

    Args:
        name: for messages: ``"ravdess:meld"`` or a file.
        answers: by label; "" where there is no such answer.
        complete: does every label have to be the store's? Shipped maps hold labels that a store may lack.
    """

    name: str
    answers: Mapping[str, str]
    complete: bool = True


def shipped_maps() -> dict[str, LabelMap]:
    """The maps that are shipped, by ``"CORPUS:ANSWERS"``: ``"ravdess:meld"``."""
    with SHIPPED.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    targets = [column for column in rows[0] if column not in ("corpus", "label")]
    names = [(corpus, target) for corpus in dict.fromkeys(row["corpus"] for row in rows) for target in targets
             if corpus != target]
    return {f"{corpus}:{target}": LabelMap(
        f"{corpus}:{target}", {row["label"]: row[target] for row in rows if row["corpus"] == corpus}, complete=False)
        for corpus, target in names}


def find_map(name: str) -> LabelMap:
    """A shipped map by its name, or the user's own by its file.

    Raises:
        UsageError: neither, or a file of another form; the line is named.
    """
    path = Path(name)
    if path.suffix.lower() != ".csv":
        shipped = shipped_maps()
        if name not in shipped:
            raise unknown_name("label map", name, shipped)
        return shipped[name]
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise UsageError(f"{path} is larger than {_MOST_BYTES // 2 ** 20} MiB; expected {FORM}")
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file)
            rows = [(table.line_num, row) for row in table]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{path} cannot be read ({error}); expected {FORM}") from error
    if not {"label", "answer"} <= set(table.fieldnames or ()):
        raise UsageError(f"{path} has the columns {', '.join(table.fieldnames or ()) or 'none'}; expected {FORM}")
    answers: dict[str, str] = {}
    for line, row in rows:
        label, answer = ((row[column] or "").strip() for column in ("label", "answer"))
        if not label or label in answers:
            raise UsageError(f"{path}, line {line}: {'no label' if not label else f'{label!r} stands here twice'};"
                             f" expected {FORM}")
        answers[label] = answer
    return LabelMap(str(path), answers)


class MappedStores(JoinedStores):
    """Stores whose labels are called as a run calls its answers.

    Args:
        stores: the stores.
        found: the map.
        tasks: that the run answers.

    Attributes:
        note: what was mapped to what, and how many clips are left out.

    Raises:
        StoreError: the map says nothing of a label of the store, or of none of its tasks; or it names a label that the
            store has not, or an answer that the run does not give.
    """

    def __init__(self, stores: JoinedStores, found: LabelMap, tasks: Sequence[Task]) -> None:
        super().__init__(stores.stores)
        self._whole = stores
        answers = {answer for answer in found.answers.values() if answer}
        self._asked = _best([task for task in tasks if task.classes and answers & set(task.classes)])
        known = _best([task for task in stores.tasks.values() if set(task.classes) & set(found.answers)])
        where = " and ".join(map(str, stores.paths))
        if self._asked is None or known is None:
            lacking = f"the run answers none of {', '.join(sorted(answers))}" if self._asked is None else \
                f"no task of {where} has labels such as {', '.join(sorted(found.answers))}"
            raise StoreError(f"the label map {found.name} does not fit: {lacking}")
        self._known = known
        unknown = sorted(answers - set(self._asked.classes))
        silent = [label for label in known.classes if label not in found.answers]
        extra = sorted(set(found.answers) - set(known.classes)) if found.complete else []
        if unknown or silent or extra:
            what = f"the run's {self._asked.name} has no {', '.join(unknown)}, only {', '.join(self._asked.classes)}" \
                if unknown else f"it says nothing of {', '.join(silent)} (a row without answer leaves such clips out)" \
                if silent else f"{where} has no {', '.join(extra)}, only {', '.join(known.classes)}"
            raise StoreError(f"the label map {found.name} does not fit: {what}")
        places = [self._asked.classes.index(found.answers[label]) if found.answers[label] else -1
                  for label in known.classes]
        self._answers = np.array([*places, -1], np.int64)  # the last stands for −1, no label
        self.tasks = {self._asked.name: self._asked}
        left = int(((self.labels(self._asked.name) < 0) & (stores.labels(known.name) >= 0)).sum())
        pairs = ", ".join(f"{label} as {found.answers[label] or 'nothing'}" for label in known.classes)
        self.note = f"labels are mapped by {found.name}: {pairs}" + (
            f"; {left} clips are left out, as the run has no answer like theirs" if left else "")

    def labels(self, task: str) -> np.ndarray:
        if self._asked is None or task != self._asked.name:
            return super().labels(task)
        return np.asarray(self._answers[self._whole.labels(self._known.name)])


def _best(tasks: Sequence[Task]) -> Task | None:
    """The task that is meant: ``emotion`` where there is one, else the first."""
    return next((task for task in tasks if task.name == "emotion"), tasks[0] if tasks else None)
