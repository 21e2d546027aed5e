"""How well turns answer who spoke when: diarisation error rate, and what one speaker for all would score.

The error rate is that of NIST (Fiscus et al., "The Rich Transcription 2006 Spring Meeting Recognition Evaluation"):
missed, falsely claimed and confused speech over all speech of the truth, speakers matched as suits best, overlapping
speech counted once for each speaker. It is computed by pyannote.metrics (Bredin, Interspeech 2017).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pipeline.errors import DatasetError, UsageError
from pipeline.segmenting.turns import Turn, Turns

if TYPE_CHECKING:
    from pyannote.core import Annotation

Spans = Mapping[str, tuple[tuple[float, float], ...]]
ONE_SPEAKER = "speaker"


@dataclass(frozen=True)
class Errors:
    """Time that was answered wrongly, in seconds; overlapping speech counts once for each speaker.

    Args:
        missed_seconds: speech of the truth that nobody is said to speak.
        false_alarm_seconds: speech that the truth does not have.
        confusion_seconds: speech that is given to the wrong speaker.
        scored_seconds: speech of the truth that is looked at.
    """

    missed_seconds: float = 0.0
    false_alarm_seconds: float = 0.0
    confusion_seconds: float = 0.0
    scored_seconds: float = 0.0

    def __add__(self, other: Errors) -> Errors:
        return Errors(self.missed_seconds + other.missed_seconds, self.false_alarm_seconds + other.false_alarm_seconds,
                      self.confusion_seconds + other.confusion_seconds, self.scored_seconds + other.scored_seconds)

    @property
    def der(self) -> float | None:
        """Diarisation error rate, 0 is best, above 1 is possible; None where no speech is scored."""
        wrong = self.missed_seconds + self.false_alarm_seconds + self.confusion_seconds
        return wrong / self.scored_seconds if self.scored_seconds > 0 else None

    def to_json(self) -> dict[str, float | None]:
        """``der`` and the four times by name."""
        return {"der": self.der, "missed_seconds": self.missed_seconds,
                "false_alarm_seconds": self.false_alarm_seconds, "confusion_seconds": self.confusion_seconds,
                "scored_seconds": self.scored_seconds}


@dataclass(frozen=True)
class Score:
    """Answers of some recordings, scored.

    Args:
        recordings: errors by recording, in the order of the truth.
        one_speaker: errors of the same speech, given to one speaker, by recording.
        one_speaker_true: errors of the true speech, given to one speaker, by recording.
        notes: what is not as it should be: recordings that one side lacks.
    """

    recordings: Mapping[str, Errors]
    one_speaker: Mapping[str, Errors]
    one_speaker_true: Mapping[str, Errors]
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Pooled errors, those of each recording and those of one speaker."""
        return {**pooled(self.recordings).to_json(),
                "recordings": {name: errors.to_json() for name, errors in self.recordings.items()},
                "one_speaker": {"same_voice_activity": pooled(self.one_speaker).to_json(),
                                "true_voice_activity": pooled(self.one_speaker_true).to_json()},
                "notes": list(self.notes)}


def pooled(recordings: Mapping[str, Errors]) -> Errors:
    """Errors of all recordings together: their times are added, so that longer recordings count for more."""
    return sum(recordings.values(), Errors())


def score(truth: Mapping[str, Turns], found: Mapping[str, Turns], *, collar_seconds: float = 0.25,
          skip_overlap: bool = False, uem: Spans | None = None) -> Score:
    """Compare turns with the true ones.

    A recording that ``found`` lacks is missed as a whole; one that the truth lacks is left out; both are noted.
    Overlapping turns of one speaker are one turn.

    Args:
        truth: true turns by recording.
        found: turns to score by recording.
        collar_seconds: so much before and so much after each start and stop of a true turn is not scored.
        skip_overlap: leave out where two speakers truly speak at once.
        uem: stretches to score by recording; by default all of each recording.

    Raises:
        UsageError: a collar that is below 0 or no number.
        DatasetError: the truth has no recording, ``found`` has other recordings only, or ``uem`` lacks a recording.
    """
    if not 0 <= collar_seconds < math.inf:
        raise UsageError(f"a collar is 0 s or more on each side, found {collar_seconds:g}")
    _check(truth, found, uem)
    missing = [name for name in truth if name not in found]
    unknown = [name for name in found if name not in truth]
    notes = [f"no turns to score, so missed as a whole: {_few(missing)}"] * bool(missing)
    notes += [f"not in the truth, so left out: {_few(unknown)}"] * bool(unknown)
    answers: list[dict[str, Errors]] = [{}, {}, {}]
    for name, turns in truth.items():
        own = found[name].turns if name in found else ()
        spans = uem[name] if uem is not None else None
        for answer, kept in zip(answers, (own, one_speaker(own), one_speaker(turns.turns)), strict=True):
            answer[name] = _errors(turns.turns, kept, collar_seconds, skip_overlap, spans)
    notes += ["no true speech is scored, so there is no error rate: the truth has none outside the collars"
              + " and in the stretches to score" * (uem is not None)] * (pooled(answers[0]).der is None)
    return Score(answers[0], answers[1], answers[2], tuple(notes))


def one_speaker(turns: tuple[Turn, ...]) -> tuple[Turn, ...]:
    """The same speech, given to one speaker: what a system would answer that hears voices and no differences.

    >>> one_speaker((Turn(0, 2, "a"), Turn(1, 3, "b"), Turn(3, 4, "a")))
    (Turn(start_seconds=0, stop_seconds=4, speaker='speaker'),)
    """
    return _joined([Turn(turn.start_seconds, turn.stop_seconds, ONE_SPEAKER) for turn in turns], touching=True)


def _errors(truth: tuple[Turn, ...], found: tuple[Turn, ...], collar_seconds: float, skip_overlap: bool,
            spans: tuple[tuple[float, float], ...] | None) -> Errors:
    from pyannote.core import Segment, Timeline
    from pyannote.metrics.diarization import DiarizationErrorRate
    end = max((turn.stop_seconds for turn in (*truth, *found)), default=0.0)
    scored = Timeline([Segment(start, stop) for start, stop in spans or ((0.0, end + 1.0),)]).support()
    # Its collar is the width of both sides together.
    metric = DiarizationErrorRate(collar=2 * collar_seconds, skip_overlap=skip_overlap)
    parts = metric(_annotation(truth), _annotation(found), uem=scored, detailed=True)
    return Errors(*(float(parts[name]) for name in ("missed detection", "false alarm", "confusion", "total")))


def _annotation(turns: tuple[Turn, ...]) -> Annotation:
    from pyannote.core import Annotation, Segment
    kept = Annotation()
    for number, turn in enumerate(_joined(turns)):
        kept[Segment(turn.start_seconds, turn.stop_seconds), number] = turn.speaker
    return kept


def _joined(turns: tuple[Turn, ...] | list[Turn], *, touching: bool = False) -> tuple[Turn, ...]:
    """Turns in which no speaker overlaps himself; ``touching`` ones are joined too, and so lose their collar."""
    last: dict[str, Turn] = {}
    kept = []
    for turn in sorted(turns):
        before = last.get(turn.speaker)
        if before is not None and (turn.start_seconds < before.stop_seconds
                                   or touching and turn.start_seconds == before.stop_seconds):
            turn = Turn(before.start_seconds, max(before.stop_seconds, turn.stop_seconds), turn.speaker)
        elif before is not None:
            kept.append(before)
        last[turn.speaker] = turn
    return tuple(sorted([*kept, *last.values()]))


def _check(truth: Mapping[str, Turns], found: Mapping[str, Turns], uem: Spans | None) -> None:
    if not truth:
        raise DatasetError("the truth has no turns; expected a file with who speaks when")
    if found and not truth.keys() & found.keys():
        raise DatasetError(f"no recording of the turns to score ({_few(list(found))}) is in the truth"
                           f" ({_few(list(truth))}); expected the same names in both")
    lacking = [name for name in truth if uem is not None and name not in uem]
    if lacking:
        raise DatasetError(f"the list of stretches to score lacks {_few(lacking)}; expected each recording of the"
                           " truth: add a line for it, or leave the list out")


def _few(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
