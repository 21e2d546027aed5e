"""Everything this package says when the world is not as it should be.

::

    PipelineError            exit 1: explained in one line, never a traceback
    ├── UsageError           exit 2: an unknown name, a setting of the wrong type, options that contradict
    ├── DatasetError         an annotation file that is missing or malformed
    ├── WeightsError         a network's weights cannot be had
    ├── FetchError           a file cannot be fetched, or is not the one that was published
    ├── StoreError           a feature file that cannot be read, or does not hold what is asked for
    ├── TrainingError        data that nothing can be learnt from
    └── ClipError            one clip's trouble: recorded, and the run goes on (exit 3 at its end)

A message says what was found, what was expected and what to do. Misuse of a function by code is ``ValueError`` or
``TypeError``: a bug, and it crashes.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Literal

EXIT_CLIPS_FAILED = 3  # done, but some clips failed
EXIT_INTERRUPTED = 130

FailureKind = Literal["permanent", "passing"]


class PipelineError(Exception):
    """The world is not as it should be; the message says how to mend it."""

    exit_code = 1


class UsageError(PipelineError):
    """What was asked for does not exist or does not go together."""

    exit_code = 2


class DatasetError(PipelineError):
    """A corpus is not laid out as its reader expects."""


class WeightsError(PipelineError):
    """A network's weights are neither here nor to be had."""


class FetchError(PipelineError):
    """A file cannot be fetched from its publisher, or what came is not what was published."""


class StoreError(PipelineError):
    """A feature file cannot be read, or lacks what is asked for."""


class TrainingError(PipelineError):
    """There is nothing to learn from: no labels, no rows, one class."""


class ClipError(PipelineError):
    """One clip cannot be used; the run records it and goes on.

    Args:
        message: what is wrong with the clip.
        stage: where it was found: ``"decode"`` or the name of an extractor.
        kind: ``"permanent"`` (the clip itself is bad) or ``"passing"`` (a later try may succeed).
    """

    def __init__(self, message: str, *, stage: str, kind: FailureKind = "permanent") -> None:
        super().__init__(message)
        self.stage = stage
        self.kind: FailureKind = kind

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild_clip_error, (str(self), self.stage, self.kind)


def _rebuild_clip_error(message: str, stage: str, kind: FailureKind) -> ClipError:
    return ClipError(message, stage=stage, kind=kind)


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """An error for a name that does not exist, with the nearest that do.

    >>> str(unknown_name("dataset", "medl", ["meld", "sample"]))
    "no dataset named 'medl'; did you mean 'meld'? There are: meld, sample"
    """
    choices = sorted(known)
    near = difflib.get_close_matches(name, choices, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ";"
    return UsageError(f"no {kind} named {name!r}{hint} There are: {', '.join(choices) or 'none'}"
                      .replace("; There", "; there"))
