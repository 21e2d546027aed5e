"""What is cut out of a recording: utterances, windows that slide over it, and parts in which faces are followed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from pipeline.clip import Clip, Corpus
from pipeline.datasets import Dataset
from pipeline.words.subtitles import Cue

PART_SECONDS = 60.0  # in which faces are followed at once: decoded pictures of an hour would fill a disk
_LEAST_SECONDS = 0.1  # what a cue or a last part lasts at least inside the recording

Kind = Literal["utterance", "window", "part"]


@dataclass(frozen=True)
class Stretch:
    """A part of a recording that is answered for by itself.

    Args:
        kind: an utterance (a cue, a turn, or the whole), a window, or a part in which faces are followed.
        start_seconds, stop_seconds: half-open.
        text: the words that networks are given; "" where none are known.
        speaker: who speaks; "" where that is not known.
    """

    kind: Kind
    start_seconds: float
    stop_seconds: float
    text: str = ""
    speaker: str = ""


@dataclass(frozen=True)
class Recording:
    """One file that is answered for.

    Args:
        source: the file.
        name: of all that is written of it, without a suffix.
        duration_seconds: of the longer of picture and sound.
        size: (height, width) of the upright picture; (0, 0) without one.
        fps: pictures a second, 0 where that is not stated.
        audio_stream: index of its sound; None without.
        stretches: utterances first, then windows, each by time.
        notes: what a reader should know of how it was cut.
    """

    source: Path
    name: str
    duration_seconds: float
    size: tuple[int, int] = (0, 0)
    fps: float = 0.0
    audio_stream: int | None = None
    stretches: tuple[Stretch, ...] = ()
    notes: tuple[str, ...] = ()


def utterances_of(cues: Sequence[Cue], duration_seconds: float) -> tuple[list[Stretch], list[str]]:
    """Cues as utterances, cut at the recording's end; those behind it are left out, which the notes say."""
    kept = [cue for cue in cues if cue.start_seconds <= duration_seconds - _LEAST_SECONDS]
    notes = [f"{len(cues) - len(kept)} of {len(cues)} cues lie behind the recording's end and are left out"] \
        if len(kept) < len(cues) else []
    return [Stretch("utterance", cue.start_seconds, min(cue.stop_seconds, duration_seconds), cue.text, cue.speaker)
            for cue in kept], notes


def windows_of(utterances: Sequence[Stretch], duration_seconds: float, window_seconds: float) -> list[Stretch]:
    """Windows that start every half window; each has the words and the speaker of the utterance at its middle.

    >>> [(part.start_seconds, part.stop_seconds) for part in windows_of([], 3.5, 2.0)]
    [(0.0, 2.0), (1.0, 3.0), (1.5, 3.5)]
    """
    if window_seconds <= 0:
        return []
    last = max(0.0, duration_seconds - window_seconds)
    starts = [float(start) for start in np.arange(0, last, window_seconds / 2)]
    starts = [start for start in starts if last - start > 0.1 * window_seconds] + [last]
    return [_window(start, min(start + window_seconds, duration_seconds), utterances) for start in starts]


def _window(start: float, stop: float, utterances: Sequence[Stretch]) -> Stretch:
    middle = (start + stop) / 2
    here = next((said for said in utterances if said.start_seconds <= middle < said.stop_seconds), None)
    return Stretch("window", round(start, 3), round(stop, 3), here.text if here else "", here.speaker if here else "")


def parts_of(duration_seconds: float) -> list[Stretch]:
    """Parts of at most :data:`PART_SECONDS` that cover a recording."""
    count = max(1, int(np.ceil((duration_seconds - _LEAST_SECONDS) / PART_SECONDS)))
    return [Stretch("part", place * PART_SECONDS, min((place + 1) * PART_SECONDS, duration_seconds))
            for place in range(count)]


class Cuts(Dataset):
    """Stretches of recordings as the clips of a corpus without labels."""

    default_root: ClassVar[Path] = Path(".")

    def __init__(self, parts: Sequence[tuple[Path, Sequence[Stretch]]]) -> None:
        super().__init__()
        self._parts = parts

    @property
    def corpus(self) -> Corpus:
        """No tasks, and nothing that may be passed on."""
        return Corpus("prediction", licence="the user's own", redistribute="no")

    def clips(self) -> Iterator[Clip]:
        """By recording, in the order of its stretches; a recording's utterances are the turns of one dialogue."""
        for number, (source, stretches) in enumerate(self._parts):
            for place, part in enumerate(stretches):
                spoken = part.kind == "utterance"
                yield Clip(clip_id(number, place), source.absolute(), part.start_seconds, part.stop_seconds, part.text,
                           part.speaker, dialogue=f"{number}" if spoken else "", turn=place if spoken else -1)


def clip_id(recording: int, stretch: int) -> str:
    """Id of a stretch by its recording's and its own place."""
    return f"all/{recording:05d}-{stretch:06d}"
