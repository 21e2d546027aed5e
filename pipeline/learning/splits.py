"""Which clips train, which choose the epoch and which are scored, and a linter that refuses leaks between them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold, GroupShuffleSplit, StratifiedGroupKFold

from pipeline.clip import Task
from pipeline.errors import TrainingError, UsageError
from pipeline.joined import is_labelled

WHOLE = "all"                   # the split of a corpus that names none


@dataclass(frozen=True)
class Splits:
    """Places of clips by what they are for.

    Args:
        places: by split name, int64; the splits for training and choosing, and the test split when there is one.
        train, dev: names of the splits that train and that choose the best epoch.
        test: name of the split that is only scored; None when the corpus has none.
        carved: was dev cut from the training split?
    """

    places: Mapping[str, np.ndarray]
    train: str
    dev: str
    test: str | None
    carved: bool


def choose_splits(clips: pd.DataFrame, task: Task, labels: np.ndarray, *, train: str = "train", dev: str = "dev",
                  test: str = "test", dev_is_test: bool = False, dev_fraction: float = 0.2, seed: int = 0) -> Splits:
    """Take the corpus's own splits; where it has no dev split, carve one from train by group.

    A corpus with the one split ``all`` trains on what is left after dev is carved, and has no test split. Carving keeps
    the share of each class as nearly as whole groups allow.

    Args:
        clips: the clip table.
        task: the first task, whose classes are kept in proportion.
        labels: (N,) of that task.
        train, dev, test: names of the splits.
        dev_is_test: choose the epoch on the test split, knowingly; the scores are then too good.
        dev_fraction: share of the groups that is carved.
        seed: of the carving.

    Raises:
        TrainingError: there is no split to train on, or too few groups to carve from.
        UsageError: two of the names are the same, without ``dev_is_test``.
    """
    names = clips["split"].to_numpy()
    if train in (dev, test):
        raise UsageError(f"the splits to train on and to score are both {train!r}; name different ones")
    if dev == test and not dev_is_test:
        raise UsageError(f"dev and test are both {dev!r}: the epoch would be chosen on what is reported; name different"
                         " splits, or say --dev-is-test to have every result stamped so")
    if dev_is_test:
        dev = test
    source = train if train in names or WHOLE not in names else WHOLE
    training = np.flatnonzero(names == source)
    if not len(training):
        raise TrainingError(f"there is no split {train!r} to train on; the clips are in"
                            f" {', '.join(sorted(set(names))) or 'none'}; name one with --train-split")
    developing = np.flatnonzero(names == dev)
    carved = not len(developing)
    if carved and dev_is_test:
        raise TrainingError(f"there is no split {test!r}, so it cannot choose the epoch; leave --dev-is-test out")
    if carved:
        groups = clips["group"].to_numpy()
        training, developing = carve(training, groups, task, labels, fraction=dev_fraction, seed=seed)
    places = {train: training, dev: developing}
    has_test = test != dev and bool((names == test).any())
    if has_test:
        places[test] = np.flatnonzero(names == test)
    return Splits(places, train, dev, test if has_test else None, carved)


def carve(places: np.ndarray, groups: np.ndarray, task: Task, labels: np.ndarray, *, fraction: float,
          seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Cut whole groups off for dev, by chance; only labelled clips are divided, the others stay in train.

    Args:
        places: clips to divide.
        groups: (N,) group of every clip of the corpus; "" stands alone.
        task: whose class shares are kept.
        labels: (N,) of that task.
        fraction: wished share of dev.
        seed: of the chance.

    Returns:
        Places of train and of dev, rising.

    Raises:
        TrainingError: fewer than two groups have a label.
    """
    names = own_names(groups)[places]
    labelled = is_labelled(labels[places])
    distinct = len(set(names[labelled]))
    if distinct < 2:
        raise TrainingError(f"there is no dev split and only {distinct} group with labels to carve one from; name a dev"
                            " split with --dev-split, or give the clips groups")
    known, known_names = labels[places[labelled]], names[labelled]
    num_folds = max(2, min(round(1 / fraction), distinct))
    if task.classes and np.bincount(known).max() >= num_folds:
        chance = np.random.default_rng(seed)
        folds = deal(known_names, task, known, num_folds, chance)
        chosen = folds[chance.integers(num_folds)]
    else:
        shuffle = GroupShuffleSplit(1, test_size=1 / num_folds, random_state=seed)
        _, chosen = next(iter(shuffle.split(known, groups=known_names)))
    dev = np.isin(names, np.unique(known_names[chosen]))
    if not dev.any() or not (labelled & ~dev).any():
        raise TrainingError(f"{distinct} groups cannot be divided into train and dev; name a dev split with"
                            " --dev-split")
    return places[~dev], places[dev]


def own_names(groups: np.ndarray) -> np.ndarray:
    """Groups (N,) as text in which every clip without one has a name of its own."""
    alone = np.array([f"\0{place}" for place in range(len(groups))], dtype=object)
    return np.where(groups == "", alone, groups).astype(str)


def deal(names: np.ndarray, task: Task, labels: np.ndarray, num_folds: int,
         chance: np.random.Generator) -> list[np.ndarray]:
    """Deal whole groups into folds of like size, by chance; classes are spread as evenly as whole groups allow.

    Args:
        names: (n,) group of each clip, none empty.
        task: whose classes are spread.
        labels: (n,) of that task, none missing.
        num_folds: at least 2, at most the number of groups.
        chance: who is dealt where.

    Returns:
        Places 0 to n − 1 by fold, rising.
    """
    # Its own shuffling undid the stratification before scikit-learn 1.8: shuffle the groups' numbers instead.
    _, group_of = np.unique(names, return_inverse=True)
    numbers = chance.permutation(group_of.max() + 1)[group_of]
    stratified = bool(task.classes) and int(np.bincount(labels).max()) >= num_folds
    folds = StratifiedGroupKFold(num_folds) if stratified else GroupKFold(num_folds)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The least populated class")
        return [part for _, part in folds.split(labels, labels, numbers)]


def find_leaks(clips: pd.DataFrame, splits: Splits) -> list[str]:
    """What stands in two splits and must not: a group, or one stretch of one file under two ids; a line for each."""
    part = np.full(len(clips), "", object)
    for name, places in splits.places.items():
        part[places] = name
    used = clips[["clip_id", "group", "source", "start_seconds", "stop_seconds"]].assign(part=part)
    used = used[used["part"] != ""]
    leaks = []
    for group, names in _in_several(used[used["group"] != ""], ["group"]):
        leaks.append(f"group {group[0]!r} is in {' and '.join(names)}")
    for stretch, names in _in_several(used[used["source"] != ""], ["source", "start_seconds", "stop_seconds"]):
        leaks.append(f"{stretch[0]} (from {stretch[1]:g} s) is in {' and '.join(names)}")
    return leaks


def refuse_leaks(clips: pd.DataFrame, splits: Splits) -> None:
    """The linter: whole groups stay in one split.

    Raises:
        TrainingError: one does not; the first three leaks are named.
    """
    leaks = find_leaks(clips, splits)
    if leaks:
        more = f" and {len(leaks) - 3} more" if len(leaks) > 3 else ""
        raise TrainingError(f"the splits leak: {'; '.join(leaks[:3])}{more}; correct the groups or splits of the"
                            " corpus, or train all the same with --set allow_leaks=yes")


def _in_several(clips: pd.DataFrame, keys: list[str]) -> list[tuple[tuple, list[str]]]:
    pairs = clips[[*keys, "part"]].drop_duplicates()
    several = pairs[pairs.duplicated(keys, keep=False)]
    return [(key if isinstance(key, tuple) else (key,), sorted(part["part"]))
            for key, part in several.groupby(keys, dropna=False, sort=True)]
