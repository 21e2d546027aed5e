"""What a run tells its workers through the folder of shards, which all of them see: whose run it is, and to stop."""

from __future__ import annotations

import secrets
from pathlib import Path

_RUN, _STOP = "run", "stop"


def begin(folder: Path) -> str:
    """Make the folder of shards this run's own; workers of an earlier run see that they are no longer wanted.

    Returns:
        The run's token.
    """
    folder.mkdir(parents=True, exist_ok=True)
    token = secrets.token_hex(8)
    (folder / _STOP).unlink(missing_ok=True)
    (folder / _RUN).write_text(token, encoding="ascii")
    return token


def is_current(folder: Path, token: str) -> bool:
    """Is the run with this token the one that works in the folder?"""
    try:
        return (folder / _RUN).read_text(encoding="ascii") == token
    except (OSError, ValueError):
        return False


def ask_to_stop(folder: Path) -> None:
    """Have workers finish the clip in work, write what is done and begin nothing new."""
    (folder / _STOP).touch()


def stop_asked(folder: Path) -> bool:
    """Should workers come to an end?"""
    return (folder / _STOP).exists()


def end(folder: Path) -> None:
    """Clear the orders away, and the folder if nothing else is in it."""
    for name in (_RUN, _STOP):
        (folder / name).unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
