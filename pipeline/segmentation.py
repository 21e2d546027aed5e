"""Who spoke when: voice activity, overlapping windows, embeddings, spectral clustering, smoothing; no trained weights.

One recording is looked at by itself, so speakers have numbers and no names. Where two speak at once, one of them is
given. Parameters were chosen on dialogues made of single acted sentences and stay as they are for every recording.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from scipy.ndimage import binary_dilation

from pipeline.clip import Clip
from pipeline.config import setting
from pipeline.decode import read_media
from pipeline.errors import StoreError, UsageError
from pipeline.media import SAMPLE_RATE_HZ, FeatureSequence
from pipeline.segmenting.speakers import (count_groups, group_windows, label_steps, likelihood, neighbour_graph,
                                          resegment, spectrum, speech_frames, speech_windows, standardised,
                                          supervectors)
from pipeline.segmenting.turns import Turn, Turns, recording_name
from pipeline.sound.prosody import runs
from pipeline.sound.voice import HOP_SECONDS, voice_activity
from pipeline.storage.packing import stored_clips
from pipeline.store import FeatureStore
from pipeline.weights import file_digest

MOST_SPEAKERS = 20                 # in any recording; a graph of nearest neighbours tells no more apart


@dataclass(frozen=True)
class SegmentConfig:
    """How turns are found; ``docs/segments.md`` says on what the values were chosen."""

    least_activity: float = setting(0.3, "of voice activity, from 0 to 1, from which on somebody speaks")
    edge_seconds: float = setting(0.05, "words begin and end more softly than that: added on both sides")
    window_seconds: float = setting(1.5, "that are described together: long enough for several sounds of speech")
    hop_seconds: float = setting(0.5, "from window to window; longer where there are more windows than most_windows")
    neighbours: float = setting(0.2, "share of all windows that count as alike to one")
    switch_cost: float = setting(20.0, "log-likelihood that a change of speaker has to gain")
    least_turn_seconds: float = setting(0.1, "shorter turns are dropped")
    least_speaker_seconds: float = setting(5.0, "of speech for each speaker, where their number is found")
    speaker_cost: float = setting(0.5, "log-likelihood of a frame that one more speaker in 50 s of speech has to gain,"
                                       " where their number is found")
    max_speakers: int = setting(8, "where their number is found")
    most_windows: int = setting(1500, "that are compared each with each, so that hours fit in memory")
    on_damage: Literal["skip", "partial"] = setting("skip", "damaged recordings: leave them out, or use the part"
                                                    " that decodes")

    def __post_init__(self) -> None:
        if not 0 < self.least_activity < 1 or not 0 < self.neighbours <= 1:
            raise ValueError("least_activity and neighbours lie between 0 and 1")
        if min(self.window_seconds, self.hop_seconds) < HOP_SECONDS:
            raise ValueError(f"window_seconds and hop_seconds are at least {HOP_SECONDS}")
        if not (self.edge_seconds >= 0 and min(self.switch_cost, self.least_turn_seconds, self.speaker_cost) >= 0):
            raise ValueError("edge_seconds, switch_cost, least_turn_seconds and speaker_cost are at least 0")
        if not self.least_speaker_seconds > 0:
            raise ValueError("least_speaker_seconds is above 0")
        if not 1 <= self.max_speakers <= MOST_SPEAKERS or self.most_windows < 10:
            raise ValueError(f"max_speakers is 1 to {MOST_SPEAKERS} and most_windows at least 10")


def segment(source: Path, *, speakers: int | None = None, config: SegmentConfig = SegmentConfig(),
            name: str | None = None, rows: FeatureSequence | None = None) -> Turns:
    """Cut a recording into turns.

    Args:
        source: any file with sound.
        speakers: how many there are; None finds it.
        config: how turns are found.
        name: of the recording; by default the file's.
        rows: of the recording as :func:`stored_rows` gives them, to tell speakers apart by instead of the sound.

    Returns:
        Turns by their starts; none, and a note, where nobody speaks.

    Raises:
        UsageError: a number of speakers below 1 or above :data:`MOST_SPEAKERS`.
        ClipError: the file is missing, no media, or too long; or damaged, unless ``config`` asks for a part.
    """
    sound, notes = read_sound(source, config.on_damage)
    return segment_wave(sound, recording_name(source.stem if name is None else name), speakers=speakers, config=config,
                        rows=rows, notes=notes)


def read_sound(source: Path, on_damage: Literal["skip", "partial"] = "skip") -> tuple[np.ndarray, tuple[str, ...]]:
    """The sound of a file, float32 mono (S,) at 16 kHz, no samples where a video has none; and what was odd about it.

    Args:
        source: any file with sound.
        on_damage: ``"partial"`` gives what decodes of a damaged one, and says so.

    Raises:
        ClipError: the file is missing, no media, or too long; or damaged, unless a part is asked for.
    """
    media = read_media(Clip("all/" + recording_name(source.stem), source), (), waveform=True, on_damage=on_damage)
    assert media.waveform is not None
    return media.waveform, media.notes


def segment_wave(waveform: np.ndarray, recording: str, *, speakers: int | None = None,
                 config: SegmentConfig = SegmentConfig(), rows: FeatureSequence | None = None,
                 notes: tuple[str, ...] = ()) -> Turns:
    """Cut a waveform into turns; see :func:`segment`.

    Args:
        waveform: float32 mono (S,) in [-1, 1] at 16 kHz.
        recording: its name.
        speakers, config, rows: as for :func:`segment`.
        notes: what is known of it already; the turns carry it on.

    Raises:
        UsageError: a number of speakers below 1 or above :data:`MOST_SPEAKERS`.
    """
    if speakers is not None and not 1 <= speakers <= MOST_SPEAKERS:
        raise UsageError(f"a recording has 1 to {MOST_SPEAKERS} speakers, found {speakers}")
    seconds = len(waveform) / SAMPLE_RATE_HZ
    speech = find_speech(waveform, config)
    if not speech.any():
        return Turns(recording, (), seconds, (*notes, "nobody speaks" if len(waveform) else "there is no sound"))
    labels = _speakers_of_steps(waveform, speech, speakers, config, rows)
    spans = sorted((start, stop, label) for label in np.unique(labels[speech]).tolist()
                   for start, stop in runs(labels == label).tolist()
                   if (stop - start) * HOP_SECONDS >= config.least_turn_seconds)
    names = {label: f"speaker{number}" for number, label in enumerate(dict.fromkeys(span[2] for span in spans), 1)}
    kept = tuple(Turn(start * HOP_SECONDS, min(stop * HOP_SECONDS, seconds), names[label])
                 for start, stop, label in spans if start * HOP_SECONDS < seconds)
    found = len(names)
    if speakers is not None and found < speakers:
        notes = *notes, f"found only {found} of the {speakers} speakers; there is too little speech of the others"
    return Turns(recording, kept, seconds, notes)


def find_speech(waveform: np.ndarray, config: SegmentConfig = SegmentConfig()) -> np.ndarray:
    """Where somebody speaks, step by step of 10 ms, bool (T,).

    Args:
        waveform: float32 mono (S,) at 16 kHz.
        config: of it ``least_activity`` and ``edge_seconds``.
    """
    speech = voice_activity(waveform) >= config.least_activity
    edge = round(config.edge_seconds / HOP_SECONDS)
    return np.asarray(binary_dilation(speech, iterations=edge) if edge and speech.any() else speech)


def _speakers_of_steps(waveform: np.ndarray, speech: np.ndarray, speakers: int | None, config: SegmentConfig,
                       rows: FeatureSequence | None) -> np.ndarray:
    """The speaker of each step, int64 (T,), −1 where nobody speaks."""
    size = round(config.window_seconds / HOP_SECONDS)
    hop = max(round(config.hop_seconds / HOP_SECONDS), int(speech.sum() // config.most_windows))
    windows = speech_windows(speech, size, hop)
    if len(windows) > 2 * config.most_windows:  # many short words: each is a window
        windows = windows[::-(-len(windows) // config.most_windows)]
    alone = np.where(speech, 0, -1)
    if speakers == 1 or len(windows) < 2:
        return alone
    frames = standardised(speech_frames(waveform), speech)
    described = supervectors(frames, speech, windows) if rows is None else rows_of_windows(rows, windows)
    values, vectors = spectrum(neighbour_graph(described, config.neighbours), MOST_SPEAKERS + 1)

    def cut(number: int) -> np.ndarray:
        labels = label_steps(windows, group_windows(vectors, number), speech)
        return resegment(frames, labels, switch_cost=config.switch_cost)

    if speakers is not None:
        return cut(speakers)
    most = min(config.max_speakers, int(speech.sum() * HOP_SECONDS / config.least_speaker_seconds), len(values) - 1)
    answers = [alone, *map(cut, range(2, most + 1))]
    likelihoods = np.array([likelihood(frames, answer) for answer in answers])
    return answers[count_groups(values, likelihoods, int(speech.sum()), config.speaker_cost) - 1]


def rows_of_windows(rows: FeatureSequence, windows: np.ndarray) -> np.ndarray:
    """The mean of the rows in each window, columns on the scale of the recording, (N, D).

    Args:
        rows: with times, at least one.
        windows: start and stop in steps of 10 ms, (N, 2).
    """
    values = rows.values.reshape(len(rows.values), -1).astype(float)
    middles = rows.times.mean(1)
    order = np.argsort(middles, kind="stable")
    sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values[order], axis=0)])
    edges = np.searchsorted(middles[order], windows * HOP_SECONDS)
    nearest = np.abs(middles[None, :] - windows.mean(1)[:, None] * HOP_SECONDS).argmin(1)
    counts = np.diff(edges, axis=1)
    means = np.where(counts > 0, (sums[edges[:, 1]] - sums[edges[:, 0]]) / np.maximum(counts, 1), values[nearest])
    deviation = means.std(0)
    return np.asarray((means - means.mean(0)) / np.where(deviation > 1e-9, deviation, 1))


def stored_rows(store: FeatureStore, feature: str, source: Path) -> FeatureSequence:
    """A stored feature of a whole recording, found by the file's digest.

    Raises:
        StoreError: no such feature, no clip of this file as a whole, or rows without times.
    """
    store.head(feature)
    digest = file_digest(source)
    for place, clip in enumerate(stored_clips(store)):
        if str(store.column("source_digest")[place]) == digest and clip.start_seconds == 0 \
                and clip.stop_seconds is None:
            rows = store.cell(place, feature)
            if not len(rows.values) or rows.times_kind == "none":
                raise StoreError(f"{feature} of {clip.clip_id} in {store.path} has"
                                 f" {'rows without times' if len(rows.values) else 'no rows'}; expected rows with times"
                                 " over the recording: use a feature of windows or frames")
            return rows
    raise StoreError(f"{store.path} has no clip of the whole of {source}; extract {feature} from this very file first")
