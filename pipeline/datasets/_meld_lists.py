"""The published subsets of MELD, large, medium and small: which utterances they hold, and the lists they come as."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from pipeline.datasets._table import read_bytes, shown
from pipeline.errors import DatasetError

Subset = Literal["none", "large", "medium", "small"]
Lists = Mapping[str, tuple[str, ...]]  # stems by split

SUBSETS = MappingProxyType({"large": 80, "medium": 40, "small": 20})  # dialogues
SPLITS = ("train", "dev", "test")
_STEM = re.compile(r"dia\d+_utt\d+", re.ASCII)
_MOST_BYTES = 2 ** 24


def subset_lists(stems: Sequence[str], subset: str) -> Lists:
    """Utterances of a published subset.

    The dialogues' names are sorted as text, shuffled with seed 0, and the first 80 sorted again; a subset takes the
    first of these and cuts them by dialogue, 8 : 1 : 1. So each lies wholly in the train split of the next larger one:
    never learn from a larger one what is tested on a smaller.

    Args:
        stems: ``"dia0_utt3"``, all of MELD's train, in its order.
        subset: one of ``SUBSETS``.

    Raises:
        DatasetError: there are fewer dialogues than the large subset has.
    """
    by_dialogue: dict[str, list[str]] = {}
    for stem in stems:
        by_dialogue.setdefault(stem.partition("_")[0], []).append(stem)
    names = sorted(by_dialogue)
    if len(names) < SUBSETS["large"]:
        raise DatasetError(f"{len(names)} dialogues in train; expected MELD's own, of which the published subsets take"
                           f" {SUBSETS['large']}")
    random.Random(0).shuffle(names)
    chosen = sorted(names[:SUBSETS["large"]])[:SUBSETS[subset]]
    cuts = (0, len(chosen) * 8 // 10, len(chosen) * 9 // 10, len(chosen))
    return {split: tuple(stem for name in chosen[start:stop] for stem in by_dialogue[name])
            for split, start, stop in zip(SPLITS, cuts, cuts[1:])}


def write_list(path: Path, lists: Lists) -> None:
    """Write a list in the published form, ``{"train": ["dia0_utt0.mp4", …], "dev": …, "test": …}``.

    Raises:
        DatasetError: the file cannot be written.
    """
    text = json.dumps({split: [f"{stem}.mp4" for stem in lists[split]] for split in SPLITS}, indent=2)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise DatasetError(f"{path} cannot be written: {error.strerror}") from error


def read_list(path: Path) -> Lists:
    """Read a list in the published form.

    Raises:
        DatasetError: it cannot be read, is of another form, or names an utterance twice.
    """
    form = 'expected {"train": ["dia0_utt0.mp4", …], "dev": […], "test": […]}'
    content = read_bytes(path)
    try:
        if len(content) > _MOST_BYTES:
            raise ValueError(f"larger than {_MOST_BYTES >> 20} MiB")
        read = json.loads(content.decode("utf-8-sig"))
        if not isinstance(read, dict) or set(read) != set(SPLITS) or not all(
                isinstance(names, list) and all(isinstance(name, str) for name in names) for names in read.values()):
            raise ValueError("another form")
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path} is no list of clips ({error}); {form}") from error
    lists = {split: tuple(name.removesuffix(".mp4") for name in read[split]) for split in SPLITS}
    seen: set[str] = set()
    for split, names in lists.items():
        for stem in names:
            if not _STEM.fullmatch(stem) or stem in seen:
                why = "stands there twice" if stem in seen else "is no name of a clip"
                raise DatasetError(f"{path}: {shown(stem)} in {split} {why}; {form}")
            seen.add(stem)
    if not seen:
        raise DatasetError(f"{path} names no clips; {form}")
    return lists
