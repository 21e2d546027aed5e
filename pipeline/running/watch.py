"""Worker processes that end with the run that started them, also when that is killed."""

from __future__ import annotations

import os
import threading
import time

EVERY_SECONDS = 0.2


def end_with(parent: int) -> None:
    """Watch in a thread, and end this process when its parent is no longer ``parent``; nothing is written after that.

    A worker calls this first of all, before anything heavy is imported: it may never be given work.
    """
    threading.Thread(target=_watch, args=(parent,), daemon=True, name="watch-parent").start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(EVERY_SECONDS)
    os._exit(1)
