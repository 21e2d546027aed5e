"""What was found of one recording."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipeline.clip import Task
from pipeline.predicting.stretches import Recording, Stretch
from pipeline.speaking.tracks import Faces

MEANING = ("A score says how much a clip resembles clips that annotators labelled so, not what a person feels. In the"
           " EU, inferring emotions of people at work or in education is prohibited (AI Act, Article 5(1)(f)); people"
           " must elsewhere be told.")


@dataclass(frozen=True)
class Prediction:
    """What a run answers for one recording.

    Args:
        recording: what was cut how.
        run: folder of the run.
        model: name of its model.
        num_networks: how many answered together.
        tasks: what was answered.
        answers: by task, of every stretch, float32 (N, C): probabilities, or values (N, 1); empty where the recording
            cannot be used.
        spread: by task, standard deviation over seeds, float32 (N, C); None for one seed.
        inputs: of every stretch the features that it has rows of; with none the answer is the networks' base rate.
        wanted: features that the run learnt from, with their fingerprints.
        faces: in source pixels and seconds of the recording; None where they were not sought.
        stamps: what must stand beside every answer.
        notes: what else a reader should know.
        problem: why the recording cannot be used; "" where it can.
        num_unread: stretches of which something could not be read.
        files: what was written.
    """

    recording: Recording
    run: Path
    model: str
    num_networks: int
    tasks: tuple[Task, ...]
    answers: Mapping[str, np.ndarray] = field(default_factory=dict)
    spread: Mapping[str, np.ndarray | None] = field(default_factory=dict)
    inputs: tuple[tuple[str, ...], ...] = ()
    wanted: Mapping[str, str] = field(default_factory=dict)
    faces: Faces | None = None
    stamps: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    problem: str = ""
    num_unread: int = 0
    files: tuple[Path, ...] = ()

    def of_kind(self, kind: str) -> list[int]:
        """Places of the utterances or of the windows, by time."""
        return [place for place, part in enumerate(self.stretches) if part.kind == kind]

    @property
    def stretches(self) -> tuple[Stretch, ...]:
        """Those that are answered for; none where the recording cannot be used."""
        return () if self.problem else self.recording.stretches

    def utterance_at(self, seconds: float) -> int | None:
        """Place of the first utterance at a moment; None between them."""
        return next((place for place in self.of_kind("utterance") if self.stretches[place].start_seconds <= seconds
                     < self.stretches[place].stop_seconds), None)

    def label(self, task: Task, place: int) -> str:
        """What a stretch resembles most, or its value."""
        values = self.answers[task.name][place]
        return task.classes[int(values.argmax())] if task.classes else f"{float(values[0]):.2f}"

    def headline(self, place: int) -> str:
        """All answers for a stretch on one line: ``"joy 43 % · positive 61 %"``."""
        return " · ".join(f"{self.label(task, place)} {100 * self.answers[task.name][place].max():.0f} %"
                          if task.classes else f"{task.name} {self.label(task, place)}" for task in self.tasks)

    def missing(self, kind: str) -> dict[str, int]:
        """How many stretches of a kind lack which feature."""
        places = self.of_kind(kind)
        counts = {name: sum(name not in self.inputs[place] for place in places) for name in self.wanted}
        return {name: count for name, count in counts.items() if count}
