"""Corpora from their publishers: fetched, checked, unpacked, put in place; stopped anywhere, it goes on from there.

All work happens in a hidden folder beside the corpus's. A file that is whole is never fetched twice, an archive is
unpacked under another name first, and a new corpus appears by one renaming. ``download.json`` in the corpus's folder
says what came from where, when, with which digest.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.downloads import Distribution, Part
from pipeline.errors import DatasetError, unknown_name
from pipeline.transferring.fetching import Patience
from pipeline.transferring.staging import (RECORD, alone, is_there, read_record, recorded_files, settle, size_here,
                                           staging_folder)
from pipeline.transferring.transfer import Downloaded, DownloadPlan, Progress, Transfer


def plan_download(distribution: Distribution, root: Path | None = None, *, parts: Sequence[str] = (),
                  mirror: str = "") -> DownloadPlan:
    """Find out what is missing, and finish a download that was stopped while it was put in place.

    Args:
        distribution: the corpus.
        root: its folder; by default its place under ``data/``.
        parts: names; ``video`` means ``video-01``, ``video-02`` … as well. None: those fetched by default.
        mirror: address of a folder with the publisher's files; it takes the place of the publisher's.

    Raises:
        DatasetError: it cannot be fetched freely (says where to ask); the folder holds files that this did not put
            there; another download into it is at work.
        UsageError: a part that the corpus does not have.
    """
    if distribution.ask:
        raise DatasetError(f"{distribution.corpus.name} cannot be downloaded from here: {distribution.ask}")
    wanted = _select(distribution, parts)
    folder = (root if root is not None else distribution.root).resolve()
    if folder.exists() and not folder.is_dir():
        raise DatasetError(f"{folder} is a file; expected the folder of the corpus, or a name for a new one")
    settle(folder)
    record = read_record(folder)
    if not record and folder.exists() and any(path != staging_folder(folder) for path in folder.iterdir()):
        raise DatasetError(f"{folder} holds files, but no {RECORD}: they were put there by hand; expected a folder that"
                           " is new, empty or made by `download`. Use what is there, or name another folder with"
                           " --root")
    done = tuple(part.name for part in wanted if _complete(folder, record, part))
    return DownloadPlan(distribution, folder, tuple(part for part in wanted if part.name not in done), done,
                        mirror.rstrip("/"), record)


def download(plan: DownloadPlan, *, progress: Progress | None = None, patience: Patience = Patience()) -> Downloaded:
    """Fetch what a plan names and put it in place.

    Args:
        plan: from :func:`plan_download`; nothing is done if it names nothing.
        progress: called with what is being done, the bytes that are here and the bytes in all (0: not known).
        patience: with servers that do not answer.

    Raises:
        FetchError: a file cannot be fetched, or is not the published one.
        DatasetError: the disk is too small; an archive is damaged, hostile or laid out in another way; a file is not
            the one that came the last time; another download into the folder is at work.
    """
    if not plan.parts:
        return Downloaded(plan.root, 0, 0)
    with alone(plan.root):
        job = Transfer(plan, progress or (lambda what, done, total: None), patience)
        _check_room(plan, plan.bytes_on_disk)
        job.expand()
        plan = job.plan
        lists = {part.name: job.files_of(part) for part in plan.parts}
        _check_room(plan, plan.bytes_on_disk + sum((file.size or 0) - size_here(job.tree(part) / file.name)
                                                   for part in plan.parts for file in lists[part.name]))
        for part in plan.parts:
            job.get(part, lists[part.name])
        result = job.finish()
    settle(plan.root)
    return result


def _select(distribution: Distribution, names: Sequence[str]) -> tuple[Part, ...]:
    for name in names:
        if not any(_meant(name, part) for part in distribution.parts):
            groups = {part.name.partition("-")[0] for part in distribution.parts}
            raise unknown_name(f"part of {distribution.corpus.name}", name,
                               groups | {part.name for part in distribution.parts})
    return tuple(part for part in distribution.parts
                 if (any(_meant(name, part) for name in names) if names else part.default))


def _meant(name: str, part: Part) -> bool:
    return part.name == name or part.name.startswith(f"{name}-")


def _check_room(plan: DownloadPlan, needed: int) -> None:
    free = shutil.disk_usage(plan.staging).free
    if needed > free:
        raise DatasetError(f"{plan.distribution.corpus.name} needs about {needed / 1e9:.1f} GB in {plan.root.parent},"
                           f" where {free / 1e9:.1f} GB are free; make room, ask for less with --parts, or name a"
                           " folder on another disk with --root")


def _complete(root: Path, record: dict[str, Any], part: Part) -> bool:
    files = recorded_files(record, part.name)
    return bool(files) and all(is_there(root / name, size) for name, size in files.items())
