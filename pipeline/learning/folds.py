"""Folds: a corpus is divided several times, so that all its groups are tested by networks that never saw them.

A *protocol* says how: one that the corpus names (printed in a paper), a generic one, or a file of the user's own. Here
it becomes places of clips, fold by fold; a fold's dev clips are never its test clips.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.clip import Protocol, Task
from pipeline.errors import StoreError, TrainingError, UsageError, unknown_name
from pipeline.joined import JoinedStores, is_labelled
from pipeline.learning.splits import Splits, carve, deal, own_names

TRAIN, DEV, TEST = "train", "dev", "test"
LEAVE_ONE_OUT = "leave-one-group-out"
RANDOM_FOLDS = 5                # of `random`, which names no number
GENERIC = (LEAVE_ONE_OUT, "N-group-folds", "random", "N-random-folds")
MOST_NAMED = 8                  # groups in a message
FEWEST_GROUPS = 3               # one to test, one to choose the epoch, one to learn from
LEAK = ("the folds leak: clips are dealt one by one, so that test clips have clips of the same group (person, dialogue)"
        " in training; the scores say nothing of people the networks have not seen")


@dataclass(frozen=True)
class Fold:
    """One fold of a run.

    Args:
        name: as the protocol has it.
        folder: of its run, in that of all folds.
        splits: places of its clips; dev is carved or named, test is there.
        test_groups, dev_groups: in the order of the clips; empty where clips are dealt one by one.
    """

    name: str
    folder: str
    splits: Splits
    test_groups: tuple[str, ...]
    dev_groups: tuple[str, ...]


@dataclass(frozen=True)
class Folds:
    """All folds of a run.

    Args:
        protocol: its name, or the path of a file.
        source: where it is printed; "" where nowhere.
        warning: what is wrong with it; "" where nothing is.
        leaks: do groups straddle training and test?
        groups: all groups of the clips; empty where clips are dealt one by one.
        folds: those that have clips to test.
        notes: what else a reader of the scores must know.
    """

    protocol: str
    source: str
    warning: str
    leaks: bool
    groups: tuple[str, ...]
    folds: tuple[Fold, ...]
    notes: tuple[str, ...]

    @property
    def stamps(self) -> tuple[str, ...]:
        """What must stand beside every result."""
        return (*((LEAK,) if self.leaks else ()), *((f"{self.protocol}: {self.warning}",) if self.warning else ()))

    def plan(self) -> dict[str, object]:
        """What ``config.json`` holds of them."""
        return {"protocol": self.protocol, "source": self.source, "warning": self.warning, "leaks": self.leaks,
                "groups": list(self.groups),
                "folds": [{"name": fold.name, "folder": fold.folder, "test_groups": list(fold.test_groups),
                           "dev_groups": list(fold.dev_groups),
                           "clips": {split: len(places) for split, places in fold.splits.places.items()}}
                          for fold in self.folds]}


@dataclass(frozen=True)
class _Draft:
    """A fold before dev is settled: test and named dev, bool (N,); dev None is left to be carved."""

    name: str
    test: np.ndarray
    dev: np.ndarray | None


def choose_folds(stores: JoinedStores, protocol: str, tasks: Sequence[Task], labels: Mapping[str, np.ndarray], *,
                 dev: str = "auto", dev_fraction: float = 0.2, seed: int = 0) -> Folds:
    """Divide the clips of some stores by a protocol.

    Args:
        stores: whose clips; their own splits play no part.
        protocol: a name that their corpus knows; ``leave-one-group-out``; ``N-group-folds``, groups dealt into N folds
            of like size and classes; ``N-random-folds`` and ``random``, clips dealt one by one, which leaks; or the
            path of a CSV file with the columns ``group`` and ``fold``.
        tasks: what is answered; the first one's classes are kept in proportion, and a fold's dev clips need its labels.
        labels: by task (N,).
        dev: who chooses a fold's epoch: ``"next"``, the test clips of the next fold; ``"carved"``, a share of its
            training clips by group; ``"auto"``, as a named protocol says, next where folds are dealt, else carved.
        dev_fraction: wished share of carved clips.
        seed: of dealing and carving.

    Raises:
        UsageError: no such protocol or file, or more folds than groups.
        TrainingError: no fold has labelled clips to test, or too few groups.
        StoreError: two stores know the protocol differently.
    """
    task = tasks[0]
    known = is_labelled(labels[task.name])
    answered = np.any([is_labelled(labels[part.name]) for part in tasks], axis=0)
    groups = stores.clips["group"].to_numpy()
    named, drafts, notes = _draft(stores, protocol, task, labels[task.name], dev, seed)
    leaks = not named.folds and (protocol == "random" or protocol.endswith("-random-folds"))
    names = own_names(np.full(len(groups), "", object) if leaks else groups)
    folds, carved = [], []
    for number, draft in enumerate(drafts, 1):
        if not (draft.test & answered).any():
            notes.append(f"fold {draft.name!r} is left out: none of its test clips is here and labelled")
            continue
        chosen = None if draft.dev is None else draft.dev & ~draft.test
        if chosen is None or not (chosen & known).any() or not (~(draft.test | chosen) & known).any():
            carved.append(draft.name)
            chosen = _carve(draft, names, task, labels[task.name], dev_fraction, seed)
        places = {TRAIN: np.flatnonzero(~(draft.test | chosen)), DEV: np.flatnonzero(chosen),
                  TEST: np.flatnonzero(draft.test)}
        folds.append(Fold(draft.name, f"fold-{number}", Splits(places, TRAIN, DEV, TEST, draft.name in carved),
                          () if leaks else _named(groups[draft.test]), () if leaks else _named(groups[chosen])))
    if not folds:
        raise TrainingError(f"no fold of {named.name!r} has labelled clips to test: {_missing_groups(drafts, groups)}")
    notes += _notes(folds, drafts, carved, answered, seed)
    return Folds(named.name, named.source, named.warning, leaks, () if leaks else _named(groups), tuple(folds),
                 tuple(notes))


def _draft(stores: JoinedStores, protocol: str, task: Task, labels: np.ndarray, dev: str,
           seed: int) -> tuple[Protocol, list[_Draft], list[str]]:
    """Test and dev clips of every fold as the protocol has them, and what it names that is not there."""
    groups, notes = stores.clips["group"].to_numpy(), []
    printed = protocols_of(stores)
    if protocol in printed or protocol.lower().endswith(".csv"):
        found = printed[protocol] if protocol in printed else Protocol(Path(protocol).name, ())
        tests = {fold.name: fold.test for fold in found.folds} or read_folds(Path(protocol))
        drafts = [_Draft(name, np.isin(groups, test), None) for name, test in tests.items()]
        if dev == "auto":
            named = {fold.name: fold.dev for fold in found.folds}
            drafts = [_Draft(draft.name, draft.test, np.isin(groups, named[draft.name]))
                      if draft.name in named else draft for draft in drafts]
        absent = {group for test in tests.values() for group in test} - set(groups)
        if absent:
            notes.append(f"groups that {found.name} tests and the stores lack: {few(sorted(absent, key=natural))}")
    else:
        found = Protocol(protocol, ())
        drafts = _generic(protocol, groups, task, labels, seed, printed)
        notes += [f"groups dealt by seed {seed}"] if "-group-folds" in protocol else []
        if dev == "auto" and protocol != LEAVE_ONE_OUT:
            dev = "next"
    if dev == "next":
        tests_after = [draft.test for draft in (*drafts[1:], drafts[0])]
        drafts = [_Draft(draft.name, draft.test, after) for draft, after in zip(drafts, tests_after, strict=True)]
    return found, drafts, notes


def protocols_of(stores: JoinedStores) -> dict[str, Protocol]:
    """The protocols that the stores' corpora name.

    Raises:
        StoreError: two know one name differently.
    """
    found: dict[str, Protocol] = {}
    for store in stores.stores:
        for protocol in store.corpus.protocols:
            if found.setdefault(protocol.name, protocol) != protocol:
                raise StoreError(f"{store.path} knows the protocol {protocol.name!r} otherwise than an earlier store;"
                                 " make both from one reading of the corpus")
    return found


def read_folds(path: Path) -> dict[str, tuple[str, ...]]:
    """The groups that each fold tests, from a CSV file with the columns ``group`` and ``fold``; others are ignored.

    Raises:
        UsageError: no such file, not of this form, or a group in two folds.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, skipinitialspace=True,
                            encoding="utf-8-sig")
        pairs = table[["group", "fold"]].drop_duplicates()
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(f"{path} cannot be read as folds ({error}); expected a CSV file with the columns group and"
                         " fold, a line for each group") from error
    twice = pairs["group"][pairs["group"].duplicated()]
    if len(twice) or (pairs == "").any(axis=None) or pairs.empty:
        what = f"puts group {twice.iloc[0]!r} in two folds" if len(twice) else "has no lines, or an empty cell"
        raise UsageError(f"{path} {what}; expected a line for each group with the one fold that tests it")
    return {str(name): tuple(part["group"]) for name, part in pairs.groupby("fold", sort=False)}


def _generic(protocol: str, groups: np.ndarray, task: Task, labels: np.ndarray, seed: int,
             printed: Mapping[str, Protocol]) -> list[_Draft]:
    """Folds of a protocol that any corpus can have."""
    known = is_labelled(labels)
    named = _named(groups[known])
    if protocol == LEAVE_ONE_OUT:
        if len(named) < FEWEST_GROUPS:
            raise TrainingError(f"{protocol} needs at least {FEWEST_GROUPS} groups with labels for {task.name!r}, found"
                                f" {len(named)}; give the clips groups, or use N-random-folds, which leak")
        return [_Draft(group, groups == group, None) for group in named]
    match = re.fullmatch(r"(?:([1-9]\d{0,5})-(group|random)-folds|random)", protocol)
    if match is None:
        raise unknown_name("protocol", protocol, (*printed, *GENERIC))
    num_folds = int(match[1] or RANDOM_FOLDS)
    names = own_names(np.full(len(groups), "", object) if match[2] != "group" else groups)
    distinct = len(set(names[known]))
    if not 2 <= num_folds <= distinct or distinct < FEWEST_GROUPS:
        what = "groups" if match[2] == "group" else "clips"
        raise UsageError(f"{protocol}: {distinct} {what} have labels for {task.name!r}; expected at least"
                         f" {FEWEST_GROUPS}, and from 2 to as many folds")
    dealt = deal(names[known], task, labels[known], num_folds, np.random.default_rng(seed))
    return [_Draft(str(number), np.isin(names, names[known][part]), None) for number, part in enumerate(dealt, 1)]


def _carve(draft: _Draft, names: np.ndarray, task: Task, labels: np.ndarray, fraction: float,
           seed: int) -> np.ndarray:
    """Clips of a fold that choose its epoch, cut by group from those it does not test, bool (N,)."""
    rest = np.flatnonzero(~draft.test)
    distinct = len(set(names[rest][is_labelled(labels[rest])]))
    if distinct < 2:
        raise TrainingError(f"fold {draft.name!r}: {distinct} of the groups that it does not test have labels; learning"
                            " and choosing the epoch need at least two")
    chosen = np.zeros(len(names), bool)
    chosen[carve(rest, names.astype(object), task, labels, fraction=fraction, seed=seed)[1]] = True
    return chosen


def _notes(folds: Sequence[Fold], drafts: Sequence[_Draft], carved: Sequence[str], answered: np.ndarray,
           seed: int) -> Iterator[str]:
    if carved:
        whose = "every fold" if len(carved) == len(folds) else f"fold {few(carved)}"
        yield f"dev of {whose} is carved from its training clips by group, seed {seed}"
    times = np.sum([draft.test for draft in drafts], axis=0)[answered]
    if (times > 1).any():
        yield f"{(times > 1).sum()} clips are tested by several folds and count once for each"
    if (times == 0).any():
        yield f"{(times == 0).sum()} of {len(times)} labelled clips are tested by no fold: they only train"


def _missing_groups(drafts: Sequence[_Draft], groups: np.ndarray) -> str:
    there = _named(groups)
    return (f"it has {len(drafts)} folds, and the groups here are {few(there) if there else 'not known'}; name another"
            f" protocol ({', '.join(GENERIC)}), or correct the groups of the corpus")


def _named(groups: np.ndarray) -> tuple[str, ...]:
    """Different groups in natural order, without the empty one."""
    return tuple(sorted(set(groups.tolist()) - {""}, key=natural))


def natural(name: str) -> list[str]:
    """A key that sorts numbers in names by size.

    >>> sorted(["actor10", "actor9"], key=natural)
    ['actor9', 'actor10']
    """
    return [part.zfill(20) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


def few(names: Sequence[str]) -> str:
    """Some names in a line, the first of them where they are many."""
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return f"{', '.join(names[:MOST_NAMED])}{more}"
