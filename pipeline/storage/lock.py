"""One writer a store: a lock beside the file that names its holder and ends with the holder's process."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from pathlib import Path

from pipeline.errors import StoreError

POLL_SECONDS = 0.1
UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)


@contextlib.contextmanager
def locked(store: Path, *, wait: bool = False, on_wait: Callable[[str], None] | None = None) -> Iterator[None]:
    """Be the only one who writes a store while the block lasts.

    The lock is the operating system's (``flock`` on ``STORE.lock``), so that it ends with its holder however that dies,
    and the next one takes over the file that was left; it holds between machines where the network file system carries
    such locks.

    Args:
        store: the ``.h5`` file, which need not be there yet.
        wait: wait until the holder has finished instead of refusing.
        on_wait: told once who is waited for.

    Raises:
        StoreError: another process writes the store (its name is in the message), the folder cannot be written, or its
            file system has no locks.
    """
    path = store.with_name(store.name + ".lock")
    handle = _acquire(path, store, wait, on_wait)
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, json.dumps(_self()).encode(), 0)
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)  # while it is held: who waits for it sees that it is gone and makes a new one
        os.close(handle)


def _acquire(path: Path, store: Path, wait: bool, on_wait: Callable[[str], None] | None) -> int:
    told = False
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        except OSError as error:
            raise StoreError(f"cannot write {store}: its lock {path} cannot be made ({error.strerror}). Check the"
                             " folder and its permissions, then run the same command again") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _still_there(handle, path):
                return handle
            os.close(handle)
            continue
        except OSError as error:
            holder = _holder(handle)
            os.close(handle)
            if error.errno in UNSUPPORTED:
                raise StoreError(f"the file system of {store.parent} has no locks ({error.strerror}), which keep two"
                                 " runs from writing one store; make it on another disk, then copy it") from error
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES):
                raise StoreError(f"cannot lock {store}: {error.strerror}") from error
        if not wait:
            raise StoreError(f"{store} is being written by {holder}; wait for it (--wait does), stop it, or give"
                             " another --out")
        if not told and on_wait is not None:
            on_wait(f"{store} is being written by {holder}; waiting for it")
        told = True
        time.sleep(POLL_SECONDS)


def _still_there(handle: int, path: Path) -> bool:
    """Is the locked file the one that stands at the path? The last holder removes its own."""
    try:
        there = os.stat(path)
    except FileNotFoundError:
        return False
    return (there.st_dev, there.st_ino) == (os.fstat(handle).st_dev, os.fstat(handle).st_ino)


def _self() -> dict[str, object]:
    return {"pid": os.getpid(), "host": platform.node(), "command": " ".join(sys.argv)[:500],
            "since": datetime.now(timezone.utc).isoformat(timespec="seconds")}


def _holder(handle: int) -> str:
    """Who wrote the lock; its text is another process's and may be anything."""
    try:
        found = json.loads(os.pread(handle, 10_000, 0))
        pid, host, since = int(found["pid"]), str(found["host"]), str(found["since"])
    except (ValueError, KeyError, TypeError):
        return "another process"
    return f"process {pid} on {host} since {since}".encode("ascii", "replace").decode()
