"""A trained run on new recordings: the run's own recipe, all its networks, and what is found as files to look at.

::

    recordings ──► stretches ──► extract (the run's recipe) ──► networks ──► NAME.json .csv .vtt .ass .mp4 .html
                utterances from subtitles, turns or the whole; windows that slide over it
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.config import setting
from pipeline.decode import Damage
from pipeline.errors import ClipError, PipelineError, UsageError
from pipeline.extraction import ExtractConfig, Quiet, extract
from pipeline.joined import open_stores
from pipeline.plugins import plugin_class
from pipeline.predicting import recipes
from pipeline.predicting.files import as_csv, as_json, ass_track, to_text, vtt_track
from pipeline.predicting.findings import Prediction
from pipeline.predicting.following import Watch, follow
from pipeline.predicting.marking import write_marked
from pipeline.predicting.networks import Answers, Networks
from pipeline.predicting.sources import find_sources, look, name_sources
from pipeline.predicting.speakers import answer_speakers, tells_who_speaks
from pipeline.predicting.stretches import Cuts, Recording, Stretch, clip_id, utterances_of, windows_of
from pipeline.predicting.timeline import timeline_page
from pipeline.predicting.track_files import tracks_csv
from pipeline.runs import write_text
from pipeline.segmentation import segment
from pipeline.speaking.tracks import Faces
from pipeline.words.subtitles import PLAIN, TIMED, Cue, read_cues, read_transcript

__all__ = ["PredictConfig", "Prediction", "find_sources", "name_sources", "predict"]

LONG_SECONDS = 15.0     # recordings without cues that last longer are cut into turns
Told = Callable[[int, int], None]
Stage = Callable[[str], AbstractContextManager[Told]]


@dataclass(frozen=True)
class PredictConfig:
    """Settings of a prediction."""

    window_seconds: float = setting(2.0, "length of the windows that slide over a recording by half of it; 0: none")
    mark: bool | None = setting(None, "write the marked-up video with its faces; by default faces are sought only where"
                                      " the run learnt from them; false: no video")
    blur_others: bool = setting(False, "blur every face in the marked-up video but the one that speaks")
    weights: str | None = setting(None, "folder of weight files that the recipe does not find by itself")
    on_damage: Damage = setting("skip", "damaged media: skip what cannot be read, or use the part that decodes")
    jobs: int = setting(0, "worker processes; 0: one for each core", machine=True)
    device: str = setting("auto", "auto, cpu or cuda:N", machine=True)
    settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (self.window_seconds == 0 or 0.1 <= self.window_seconds <= 3600):
            raise ValueError(f"a window lasts 0.1 to 3600 seconds, or 0 for none; found {self.window_seconds:g}")
        if self.blur_others and self.mark is False:
            raise ValueError("blur_others says nothing without the marked-up video; leave out one of the two")


def predict(run: Path, sources: Sequence[Path], *, out: Path | None = None, text: Path | None = None,
            config: PredictConfig = PredictConfig(), watch: Watch = lambda: nullcontext(Quiet()),
            stage: Stage = lambda name: nullcontext(lambda done, total: None)) -> list[Prediction]:
    """Apply a trained run to recordings that no store knows.

    The features are made exactly as those that the run learnt from, or it is refused. All networks of the run answer
    together. A recording that cannot be used is among the results with its problem, and the others go on. Of a run that
    tells who speaks the answer is the recording's faces with their scores; there are no utterances and no windows.

    Args:
        run: folder of a run; its seeds and folds answer together.
        sources: videos and sound files, and folders of them.
        out: folder for ``NAME.json``, ``.csv``, ``.vtt``, ``.ass``, ``.html`` and ``.mp4``; None writes nothing.
        text: what is said: ``.srt`` or ``.vtt``, whose cues are the utterances, a ``.txt`` for the whole recording, or
            a folder with such a file by each recording's name.
        config: windows, faces, weights.
        watch: opens what is told how an extraction goes on.
        stage: opens a bar for the other work, by its name.

    Returns:
        One for each recording, in order.

    Raises:
        UsageError: no such file, nothing to answer for, two recordings of one name, or a run that cannot answer.
        TrainingError: the folder holds no trained network.
        DatasetError: a file of words makes no sense; its line is named.
        StoreError: the features cannot be made as the run learnt from them.
        WeightsError: weights are not to be had.
        PipelineError: ``out`` cannot be written.
    """
    if tells_who_speaks(run):
        return _predict_speakers(run, name_sources(find_sources(sources)), out, text, config, watch, stage)
    networks = Networks.load(run)
    names = name_sources(find_sources(sources))
    words = {path: _words(path, text, alone=len(names) == 1) for path in names}
    found = recipes.settings_of(networks, weights=config.weights, settings=config.settings, device=config.device)
    looked: list[Recording | Prediction] = []
    with stage("looking") as told:
        for path, name in names.items():
            looked.append(_look(path, name, words[path], networks, config))
            told(len(looked), len(names))
    usable = [part for part in looked if isinstance(part, Recording)]
    answered = iter(_answer(usable, networks, found, config, watch) if usable else [])
    predictions = [next(answered) if isinstance(part, Recording) else part for part in looked]
    return predictions if out is None else [_write(part, out, config, stage) for part in predictions]


def _predict_speakers(run: Path, names: Mapping[Path, str], out: Path | None, text: Path | None, config: PredictConfig,
                      watch: Watch, stage: Stage) -> list[Prediction]:
    """The faces of recordings and how sure an active-speaker network is that each speaks."""
    if text is not None:
        raise UsageError(f"--text {text}: {run} tells who speaks from pictures and sound, and reads no words; leave it"
                         " out")
    how = ExtractConfig(jobs=config.jobs, device=config.device, on_damage=config.on_damage)
    found = answer_speakers(run, names, settings=config.settings, config=how, watch=watch)
    return found if out is None else [_write(part, out, config, stage) for part in found]


def _words(path: Path, text: Path | None, *, alone: bool) -> list[Cue] | str | None:
    """Cues, the whole recording's words, or None where none are known."""
    if text is None:
        return None
    if text.is_dir():
        beside = next((text / f"{path.stem}{suffix}" for suffix in (*TIMED, PLAIN)
                       if (text / f"{path.stem}{suffix}").is_file()), None)
        if beside is None:
            return None
        text = beside
    elif not alone:
        raise UsageError(f"--text {text} is one file for several recordings; give a folder with a file by each"
                         " recording's name")
    if text.suffix.lower() in TIMED:
        return read_cues(text)
    if text.suffix.lower() == PLAIN:
        return read_transcript(text)
    raise UsageError(f"--text {text}: expected .srt or .vtt (words with times) or .txt (the words of the whole)")


def _look(path: Path, name: str, words: list[Cue] | str | None, networks: Networks,
          config: PredictConfig) -> Recording | Prediction:
    """What a file holds and how it is cut; where it cannot be used, a prediction that says so."""
    try:
        recording = look(path, name)
        utterances, notes = _utterances(recording, words)
    except ClipError as error:
        return _hopeless(Recording(path, name, 0.0), networks, str(error))
    windows = windows_of(utterances, recording.duration_seconds, config.window_seconds)
    return replace(recording, stretches=(*utterances, *windows), notes=tuple(notes))


def _utterances(recording: Recording, words: list[Cue] | str | None) -> tuple[list[Stretch], list[str]]:
    """Cues; or for a long recording its turns; or the whole."""
    length = recording.duration_seconds
    if isinstance(words, list):
        found, notes = utterances_of(words, length)
        if found:
            return found, notes
        raise ClipError(f"all {len(words)} cues of its subtitles lie behind the end of {recording.source.name}"
                        f" ({length:.1f} s); expected the subtitles of this recording", stage="decode")
    whole = [Stretch("utterance", 0.0, length, words or "")]
    if words is not None or length <= LONG_SECONDS or recording.audio_stream is None:
        return whole, []
    turns = [turn for turn in segment(recording.source).turns if turn.start_seconds < length]
    if not turns:
        return whole, ["nobody is heard, so the recording is answered for as a whole"]
    return [Stretch("utterance", turn.start_seconds, min(turn.stop_seconds, length), "", turn.speaker)
            for turn in turns], [f"cut into {len(turns)} turns by who is heard when; no words are known"]


def _hopeless(recording: Recording, networks: Networks, problem: str) -> Prediction:
    return Prediction(recording, networks.run, networks.first.model, networks.num_networks, networks.tasks,
                      stamps=networks.stamps, problem=problem)


def _answer(recordings: Sequence[Recording], networks: Networks, settings: recipes.Settings, config: PredictConfig,
            watch: Watch) -> list[Prediction]:
    """Extract all stretches at once, so that networks are loaded once, and let the run answer."""
    how = ExtractConfig(jobs=config.jobs, device=config.device, on_damage=config.on_damage)
    with tempfile.TemporaryDirectory(prefix="predict-") as folder:
        store = Path(folder) / "features.h5"
        inputs = list(networks.first.inputs)
        with watch() as progress:
            extract(Cuts([(part.source, part.stretches) for part in recordings]), store, extractors=inputs,
                    settings=settings, config=how, progress=progress)
        stores = open_stores(store)
        answers = networks.answer(stores, device=config.device)
        failures = stores.stores[0].failures
        faces = _faces(recordings, Path(folder) / "faces.h5", networks, settings, config, how, watch)
        ids = {name: place for place, name in enumerate(stores.clips["clip_id"])}
        return [_one(number, part, networks, answers, ids, failures, faces.get(number))
                for number, part in enumerate(recordings)]


def _faces(recordings: Sequence[Recording], store: Path, networks: Networks, settings: recipes.Settings,
           config: PredictConfig, how: ExtractConfig, watch: Watch) -> dict[int, Faces]:
    """Faces of the recordings with a picture, by place, where they are wanted."""
    from_faces = any(part["modality"] == "face" for part in networks.first.inputs.values())
    if config.mark is False or not (config.mark or config.blur_others or from_faces):
        return {}
    own = {name: values for name, values in settings.items() if name in ("faces", "speaking")}
    return follow(recordings, store, settings=own, config=how, watch=watch)


def _one(number: int, recording: Recording, networks: Networks, answers: Answers, ids: Mapping[str, int],
         failures: pd.DataFrame, faces: Faces | None) -> Prediction:
    """What was answered for one recording."""
    names = [clip_id(number, place) for place in range(len(recording.stretches))]
    places = np.array([ids[name] for name in names])
    wanted = {name: str(part["fingerprint"]) for name, part in networks.first.inputs.items()}
    mine = failures[failures["clip_id"].isin(set(names))]
    messages = [str(message) for message in mine["message"].unique()]
    media = [name for name, part in networks.first.inputs.items() if needs_file(name)]
    if media and all(len(mine[mine["feature"] == name]) == len(names) for name in media):
        return _hopeless(recording, networks, messages[0])
    notes = [f"{len(mine['clip_id'].unique())} of {len(names)} stretches could not be read whole: {message}"
             for message in messages[:3]]
    inputs = tuple(tuple(name for name in wanted if answers.has[name][place]) for place in places.tolist())
    return Prediction(
        recording, networks.run, networks.first.model, networks.num_networks, networks.tasks,
        {task: values[places] for task, values in answers.mean.items()},
        {task: None if values is None else values[places] for task, values in answers.spread.items()},
        inputs, wanted, faces, networks.stamps, tuple(notes), num_unread=len(mine["clip_id"].unique()))


def needs_file(feature: str) -> bool:
    """Is a feature made from the recording, and not from its words alone?"""
    return str(plugin_class("extractor", feature.partition("@")[0]).modality) != "text"  # type: ignore[attr-defined]


def _write(found: Prediction, out: Path, config: PredictConfig, stage: Stage) -> Prediction:
    """Write what was found of one recording.

    Raises:
        PipelineError: the folder cannot be written.
    """
    name = found.recording.name
    places = {suffix: out / f"{name}.{suffix}" for suffix in ("json", "csv", "vtt", "ass", "mp4", "html")}
    source = found.recording.source
    if clash := next((path for path in places.values() if path.exists() and path.samefile(source)), None):
        raise UsageError(f"{clash} is the recording itself and would be replaced; give another --out")
    try:
        written: list[Path] = []
        if not found.problem:
            if found.recording.size[0] and config.mark is not False:
                found = _write_video(found, places["mp4"], config, stage)
                written += [places["mp4"]] if places["mp4"].exists() else []
            texts = {"csv": as_csv(found), "vtt": vtt_track(found), "ass": ass_track(found)} if found.tasks \
                else {"csv": tracks_csv(found)}
            for suffix, content in texts.items():
                write_text(places[suffix], content)
                written.append(places[suffix])
            found = replace(found, files=tuple(written))
            if found.tasks:
                write_text(places["html"], timeline_page(found))
                written.append(places["html"])
        write_text(places["json"], to_text(as_json(found)))
        return replace(found, files=(*written, places["json"]))
    except OSError as error:
        raise PipelineError(f"cannot write to {out}: {error.strerror or error}; give another --out") from error


def _write_video(found: Prediction, out: Path, config: PredictConfig, stage: Stage) -> Prediction:
    out.parent.mkdir(parents=True, exist_ok=True)
    out.unlink(missing_ok=True)
    try:
        with stage(f"marking {found.recording.name}") as told:
            notes: tuple[str, ...] = write_marked(found, out, blur_others=config.blur_others, progress=told)
    except ClipError as error:
        notes = (f"there is no marked-up video: {error}",)
    return replace(found, notes=(*found.notes, *notes))
