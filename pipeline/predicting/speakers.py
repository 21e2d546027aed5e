"""A run of an active-speaker network on new recordings: their faces, and how sure it is that each speaks."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pipeline.errors import ClipError, UsageError
from pipeline.extraction import ExtractConfig
from pipeline.predicting.findings import Prediction
from pipeline.predicting.following import Watch, follow
from pipeline.predicting.networks import SMOKE
from pipeline.predicting.sources import look
from pipeline.predicting.stretches import Recording
from pipeline.scores.answers import is_by_folds, learnt_from_rendered
from pipeline.speaking.active_speaker import INPUTS, SpeakerRun
from pipeline.store import FeatureStore


def tells_who_speaks(run: Path) -> bool:
    """Is this a run of an active-speaker network, one that is not cut by folds?

    Raises:
        TrainingError: no run, or a damaged one.
    """
    if is_by_folds(run):
        return False
    try:
        SpeakerRun.open(run)
    except UsageError:
        return False
    return True


def answer_speakers(run: Path, names: Mapping[Path, str], *, settings: Mapping[str, Mapping[str, str]],
                    config: ExtractConfig, watch: Watch) -> list[Prediction]:
    """The faces of recordings with the run's scores.

    Args:
        run: of an active-speaker network.
        names: of the recordings, in order.
        settings: of extractors, as after ``--set``; what is cut out and how sound is described is as the run learnt it.
        config: of the extraction.
        watch: opens what is told how it goes on.

    Returns:
        One for each recording, without tasks or stretches; a recording that cannot be decoded, or has no picture, has a
        problem.

    Raises:
        UsageError: settings that differ from what the run learnt from.
    """
    opened = SpeakerRun.open(run)
    looked = [_look(path, name, opened) for path, name in names.items()]
    usable = [found.recording for found in looked if not found.problem]
    if not usable:
        return looked
    own: dict[str, dict[str, str]] = {name: dict(values) for name, values in settings.items()}
    for name in opened.inputs:
        learnt = opened.checkpoints[0].inputs[name]["recipe"]["settings"]
        own[name] = {**{key: str(learnt[key]) for key in INPUTS[name]}, **own.get(name, {})}
    with tempfile.TemporaryDirectory(prefix="predict-") as folder:
        store = Path(folder) / "faces.h5"
        faces = iter(follow(usable, store, settings=own, config=replace(config, speaking_run=str(run)),
                            watch=watch).items())
        failed = _failures(FeatureStore(store))
    found = []
    for one in looked:
        if not one.problem:
            number, rows = next(faces)
            one = replace(one, faces=rows, notes=failed.get(number, ()), num_unread=len(failed.get(number, ())))
        found.append(one)
    return found


def _look(path: Path, name: str, run: SpeakerRun) -> Prediction:
    first = run.checkpoints[0]
    stamps = (*learnt_from_rendered(run.path), *([SMOKE] if first.training.get("smoke") else []))
    wanted = {name: str(part["fingerprint"]) for name, part in first.inputs.items()}
    try:
        recording, problem = look(path, name), ""
        if not recording.size[0]:
            problem = f"{path.name} has no picture; expected a video in which faces can be seen"
    except ClipError as error:
        recording, problem = Recording(path, name, 0.0), str(error)
    return Prediction(recording, run.path, first.model, len(run.checkpoints), (), wanted=wanted, stamps=stamps,
                      problem=problem)


def _failures(store: FeatureStore) -> dict[int, tuple[str, ...]]:
    """What could not be done with the parts of each recording, by its place among those that were followed."""
    found: dict[int, tuple[str, ...]] = {}
    for row in store.failures.itertuples():
        number = int(str(row.clip_id).rpartition("/")[2].partition("-")[0])
        note = f"{row.feature}: {row.message}"
        found[number] = tuple(dict.fromkeys((*found.get(number, ()), note)))
    return found
