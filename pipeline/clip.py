"""The unit of every corpus, the tasks it is labelled for, and what is known of the corpus itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal, NamedTuple

import numpy as np

Label = str | float


@dataclass(frozen=True)
class Task:
    """Something a clip is labelled with.

    Args:
        name: ``"emotion"``.
        classes: class names in their official order; empty for a regression.
        value_range: least and greatest value of a regression; None for a classification.
        level: does a label stand for a whole clip, or for one of its frames (:class:`FrameLabels`)?
        positive: the class that is looked for, whose average precision is then the main score; "" where all count.

    Raises:
        ValueError: neither classes nor a range, or both; a class twice; a positive class that is none.
    """

    name: str
    classes: tuple[str, ...] = ()
    value_range: tuple[float, float] | None = None
    level: Literal["clip", "frame"] = "clip"
    positive: str = ""

    def __post_init__(self) -> None:
        if bool(self.classes) == (self.value_range is not None):
            raise ValueError(f"task {self.name!r} needs either classes or a value range")
        if len(set(self.classes)) != len(self.classes):
            raise ValueError(f"task {self.name!r} names a class twice: {self.classes}")
        if self.level not in ("clip", "frame"):
            raise ValueError(f"task {self.name!r} is of level clip or frame, found {self.level!r}")
        if self.positive and self.positive not in self.classes:
            raise ValueError(f"task {self.name!r} looks for {self.positive!r}, which is none of {self.classes}")

    @property
    def kind(self) -> Literal["classification", "regression"]:
        return "classification" if self.classes else "regression"

    @property
    def num_outputs(self) -> int:
        """Width of a model's head for this task."""
        return len(self.classes) or 1


@dataclass(frozen=True)
class FrameLabels:
    """What is known of the frames of one clip, each shown for ``1 / rate_hz`` seconds.

    Args:
        times: when each is shown, seconds from the clip's start, float64 (T,), rising.
        labels: by task: class index, int64 (T,), −1 missing; or value, float32 (T,), NaN missing.
        rate_hz: frames a second.

    Raises:
        ValueError: times that do not rise, labels of another number, or a rate that is not above 0.
    """

    times: np.ndarray
    labels: Mapping[str, np.ndarray]
    rate_hz: float = 25.0

    def __post_init__(self) -> None:
        if not (np.diff(self.times) > 0).all() or not np.isfinite(self.times).all():
            raise ValueError("times of frames rise")
        if any(values.shape != self.times.shape for values in self.labels.values()):
            raise ValueError(f"{len(self.times)} frames with labels of another number")
        if not self.rate_hz > 0:
            raise ValueError(f"rate_hz is above 0, found {self.rate_hz}")


@dataclass(frozen=True)
class Track:
    """Pictures of one face, already cut out of a video, with the sound of the same stretch.

    Args:
        pictures: file of each frame, in the order of time; none of them need be there.
        times: when each is shown, seconds from the clip's start, float64 (T,), rising.
        sound: sound of the stretch, which begins with the clip; None where the corpus has none.
        rate_hz: frames a second.

    Raises:
        ValueError: as many times as pictures are expected, rising, and a rate above 0.
    """

    pictures: Sequence[Path]
    times: np.ndarray
    sound: Path | None = None
    rate_hz: float = 25.0

    def __post_init__(self) -> None:
        if self.times.shape != (len(self.pictures),) or not (np.diff(self.times) > 0).all():
            raise ValueError(f"{len(self.pictures)} pictures with times of shape {self.times.shape}, or that do not"
                             " rise")
        if not self.rate_hz > 0:
            raise ValueError(f"rate_hz is above 0, found {self.rate_hz}")


class Spoken(NamedTuple):
    """What someone says.

    Args:
        speaker: "" where that is not known.
        text: the words.
    """

    speaker: str
    text: str


@dataclass(frozen=True)
class Clip:
    """One labelled stretch of a corpus: an utterance, an acted sentence, a face track.

    Args:
        clip_id: ``"<split>/<stem>"``, unique in the corpus.
        source: video, audio or picture file, or the folder of a track's pictures; None where only text is there.
        start_seconds, stop_seconds: the stretch of the source, half-open; stop None is its end.
        text: the words said; "" where none are known.
        speaker, dialogue, turn: who says it, in which conversation, at which place (−1 unknown).
        split: ``"train"``, ``"dev"``, ``"test"`` or ``"all"``.
        group: what must not straddle a split (dialogue, actor, session); "" means the clip stands alone.
        labels: class name or value by task name; a task without a label is absent.
        track: what is read in place of a file, for a face that is already cut out.
        frame_labels: labels of tasks whose level is the frame.
        view: the part of the picture that is the clip's: left, top, right, bottom as shares of width and height, so
            (0, 0, 0.5, 1) is the left half; None for all of it. Nothing else of the picture is seen: boxes of faces
            count from this part's corner.
        before, after: what is said before and after it in its dialogue, in order; filled in while an extraction is
            planned, as far as its features ask for it.

    Raises:
        ValueError: an empty id, control characters in it, a stop before the start, or a view without area.
    """

    clip_id: str
    source: Path | None = None
    start_seconds: float = 0.0
    stop_seconds: float | None = None
    text: str = ""
    speaker: str = ""
    dialogue: str = ""
    turn: int = -1
    split: str = "all"
    group: str = ""
    labels: Mapping[str, Label] = field(default_factory=dict)
    track: Track | None = field(default=None, compare=False)
    frame_labels: FrameLabels | None = field(default=None, compare=False)
    view: tuple[float, float, float, float] | None = None
    before: tuple[Spoken, ...] = ()
    after: tuple[Spoken, ...] = ()

    def __post_init__(self) -> None:
        if not self.clip_id or not self.clip_id.isprintable():
            raise ValueError(f"a clip id is printable text that is not empty, found {self.clip_id!r}")
        stop = math.inf if self.stop_seconds is None else self.stop_seconds
        if not 0 <= self.start_seconds < stop:
            raise ValueError(f"clip {self.clip_id}: the span {self.start_seconds}–{self.stop_seconds} s is empty or"
                             " starts before 0")
        left, top, right, bottom = self.view or (0, 0, 1, 1)
        if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
            raise ValueError(f"clip {self.clip_id}: a view is left, top, right and bottom, rising from 0 to 1, found"
                             f" {self.view}")
        object.__setattr__(self, "labels", MappingProxyType(dict(self.labels)))

    def __reduce__(self) -> tuple[object, ...]:
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return _rebuild_clip, ({**values, "labels": dict(self.labels)},)


def _rebuild_clip(values: dict[str, object]) -> Clip:
    return Clip(**values)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Fold:
    """One round of a protocol: who is tested and who chooses the epoch; all others train.

    Args:
        name: ``"1"``, ``"Session5"``.
        test, dev: groups, disjoint and neither empty.

    Raises:
        ValueError: they are not.
    """

    name: str
    test: tuple[str, ...]
    dev: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.test or not self.dev or set(self.test) & set(self.dev):
            raise ValueError(f"fold {self.name!r} names test and dev groups, none in both")


@dataclass(frozen=True)
class Protocol:
    """A way to divide a corpus that its users agree on: every group is tested once, or a fixed part of them.

    Args:
        name: as after ``train --folds``: ``"five-actor-folds"``.
        folds: its rounds.
        source: where it is printed.
        warning: what is wrong with it and must stand beside every result; "" where nothing is.
    """

    name: str
    folds: tuple[Fold, ...]
    source: str = ""
    warning: str = ""


@dataclass(frozen=True)
class Corpus:
    """What is known of a corpus as a whole; copied into every store made from it and every report.

    Args:
        name: ``"meld"``.
        tasks: what its clips are labelled with.
        licence: short name of the terms, ``"CC BY-NC-SA 4.0"``.
        terms_url: where the terms stand; "" where none are published.
        redistribute: may material made from it be passed on?
        citation: the sentence to cite.
        protocols: ways to divide it by group beside its own splits.
        dev_fraction: share of the training groups that chooses the epoch where the corpus has no dev split.
        rendered: was it made by ``sample``, and not filmed of people?
    """

    name: str
    tasks: tuple[Task, ...] = ()
    licence: str = "unknown"
    terms_url: str = ""
    redistribute: Literal["yes", "non-commercial", "no"] = "no"
    citation: str = ""
    protocols: tuple[Protocol, ...] = ()
    dev_fraction: float = 0.2
    rendered: bool = False

    @property
    def notice(self) -> str:
        """What must stand beside every figure on it; "" for a corpus of people."""
        return (f"these clips of {self.name} are rendered, not filmed: figures on them show that the parts work, not"
                " how good they are on people") if self.rendered else ""

    def task(self, name: str) -> Task:
        """The task of that name.

        Raises:
            KeyError: there is none.
        """
        for task in self.tasks:
            if task.name == name:
                return task
        raise KeyError(name)
