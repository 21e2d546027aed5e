"""Where a download waits until it is whole, a hidden folder beside the corpus's, and the step that puts it in place.

::

    data/.MELD.Raw.download/
        lock            held by the process at work
        fetched.jsonl   a line for each file that came: address, size, digest, date
        NAME  NAME.part an archive, and the beginning of one
        unpacking/      half an archive's contents
        trees/NAME/     all of an archive's contents, or files that came without one
        download.json   the record to leave
        ready.json      written when all is there: which trees to move
        whole/          a new corpus, until it is renamed
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import DatasetError
from pipeline.storage.durable import replacing

RECORD = "download.json"
READY = "ready.json"


def staging_folder(root: Path) -> Path:
    """Where unfinished work for a corpus lies: on the same disk, so that renaming is enough at the end."""
    return root / ".download" if root.is_mount() else root.with_name(f".{root.name}.download")


@contextlib.contextmanager
def alone(root: Path) -> Iterator[None]:
    """Be the only one who downloads into a folder.

    Raises:
        DatasetError: another process does; something cannot be written.
    """
    staging = staging_folder(root)
    try:
        staging.mkdir(parents=True, exist_ok=True)
        with (staging / "lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
    except BlockingIOError as error:
        raise DatasetError(f"another download into {root} is at work; wait for it or stop it") from error
    except OSError as error:
        raise DatasetError(f"{error.filename or root} cannot be written ({error.strerror or error}); make room, or name"
                           " another folder with --root") from error


def commit(folder: Path, name: Path) -> None:
    """Give a finished folder its name, once the disk holds what is in it."""
    os.sync()
    name.parent.mkdir(parents=True, exist_ok=True)
    os.replace(folder, name)


def get_ready(root: Path, record: dict[str, Any], trees: Sequence[Path], spent: Sequence[Path]) -> None:
    """Write down that all is there; from now on :func:`settle` alone is left to do.

    Args:
        root: the corpus's folder.
        record: what :data:`RECORD` will say.
        trees: folders whose contents go there.
        spent: files that are not needed afterwards.
    """
    os.sync()
    _write_json(staging_folder(root) / RECORD, record)
    _write_json(staging_folder(root) / READY, {"trees": [tree.name for tree in trees],
                                               "spent": [path.name for path in spent]})


def settle(root: Path) -> None:
    """Finish what a kill left: move what was ready, and remove the hidden folder if nothing unfinished is in it.

    Raises:
        DatasetError: another process is at work there.
    """
    staging = staging_folder(root)
    if not staging.is_dir():
        return
    with alone(root):
        if (staging / READY).is_file():
            _put_in_place(root)
        for path in staging.glob(".*.tmp"):  # half of a record
            path.unlink()
        trees = staging / "trees"
        if not {path.name for path in staging.iterdir()} - {"lock", "trees", "fetched.jsonl"} \
                and not (trees.is_dir() and any(trees.iterdir())):
            shutil.rmtree(staging)


def _put_in_place(root: Path) -> None:
    """Move what is ready; safe to repeat after a kill at any moment.

    A corpus that is not there yet appears by one renaming. Parts that join others are moved folder by folder, the
    record last.
    """
    staging = staging_folder(root)
    ready = json.loads((staging / READY).read_text(encoding="utf-8"))
    whole = staging / "whole"
    fresh = staging.parent != root and not (root.exists() and any(root.iterdir()))
    target = whole if fresh else root
    for tree in [*(staging / "trees" / name for name in ready["trees"]), *([] if fresh else [whole])]:
        for path in sorted(tree.rglob("*")):
            if path.is_file():
                place = target / path.relative_to(tree)
                place.parent.mkdir(parents=True, exist_ok=True)
                os.replace(path, place)
        shutil.rmtree(tree, ignore_errors=True)
    if (staging / RECORD).exists():
        target.mkdir(parents=True, exist_ok=True)
        os.replace(staging / RECORD, target / RECORD)
    if fresh and whole.is_dir():
        commit(whole, root)
    for name in [*ready["spent"], READY]:
        (staging / name).unlink(missing_ok=True)


def read_record(root: Path) -> dict[str, Any]:
    """What :data:`RECORD` says; empty where there is none.

    Raises:
        DatasetError: it is not what a download writes.
    """
    path = root / RECORD
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        for part in record["parts"].values():
            if not (all(isinstance(size, int) for size in part["files"].values())
                    and all({"name", "size", "digest", "date"} <= entry.keys() for entry in part["fetched"])):
                raise ValueError("a part without sizes or digests")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise DatasetError(f"{path} is not what `download` writes ({type(error).__name__}: {error}); move it away, and"
                           " the corpus too if it is to be fetched again") from error
    return record


def recorded_files(record: dict[str, Any], part: str) -> dict[str, int]:
    """Size in bytes by name of the files that a part has put into the corpus's folder."""
    found: dict[str, int] = record.get("parts", {}).get(part, {}).get("files", {})
    return found


def size_here(path: Path) -> int:
    """Bytes of a file, or of its beginning."""
    for place in (path, path.with_name(f"{path.name}.part")):
        with contextlib.suppress(OSError, ValueError):
            return place.stat().st_size
    return 0


def is_there(path: Path, size: int) -> bool:
    """Is a file there with so many bytes?"""
    return size_here(path) == size and path.is_file()


def _write_json(path: Path, content: dict[str, Any]) -> None:
    with replacing(path) as output:
        output.write(json.dumps(content, indent=1, ensure_ascii=False).encode())
