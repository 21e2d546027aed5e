"""How the voice sounds over a clip: statistics of loudness, pitch, voice quality and spectrum, by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipeline.config import setting
from pipeline.extractors import Extractor
from pipeline.media import SAMPLE_RATE_HZ, FeatureSequence, Media, Needs
from pipeline.sound.descriptors import (MELS, MFCCS, MODULATIONS, SILENCE, SPECTRAL, VOICED, Descriptors, describe,
                                        modulations)
from pipeline.sound.framing import HOP_SECONDS
from pipeline.sound.functionals import NAMES, deltas, functionals, segment_lengths

_CONTOUR = ("amean", "stddevNorm", "percentile20.0", "percentile50.0", "percentile80.0", "pctlrange0-2",
            "meanRisingSlope", "stddevRisingSlope", "meanFallingSlope", "stddevFallingSlope")
_BOTH = ("amean", "stddevNorm")
_LARGE = tuple(name for name in NAMES if name != "stddevNorm")
_DELTA = ("amean", "stddev", "percentile20.0", "percentile80.0", "percentile1.0", "percentile99.0", "skewness",
          "kurtosis")
_BALANCE = ("alphaRatio", "hammarbergIndex", "slope0-500", "slope500-1500", "spectralFlux")
_PITCH = VOICED[:1]
_RELATIVE = ("percentile1.0", "percentile20.0", "percentile80.0", "percentile99.0")
_WHOLE = ("equivalentSoundLevel_dBp", "VoicedSegmentsPerSec", "MeanVoicedSegmentLengthSec",
          "StddevVoicedSegmentLengthSec", "MeanUnvoicedSegmentLength", "StddevUnvoicedSegmentLength")


@dataclass(frozen=True)
class _Part:
    """Statistics of some descriptors over the steps of one kind; the names get a mark where both kinds are taken."""

    over: Literal["all", "voiced", "unvoiced"]
    descriptors: tuple[str, ...]
    statistics: tuple[str, ...]
    mark: str = ""
    delta: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        change = "_de" if self.delta else ""
        return tuple(f"{_marked(name, self.mark)}{change}_{statistic}" for statistic in self.statistics
                     for name in self.descriptors)


def _marked(name: str, mark: str) -> str:
    """The mark stands behind the words and before the numbers, as in ``slopeV0-500``."""
    return name.replace("slope", f"slope{mark}") if name.startswith("slope") else name + mark


_SETS = {
    "egemaps_like": (
        _Part("voiced", _PITCH, _CONTOUR), _Part("all", ("loudness",), (*_CONTOUR, "peaksPerSec")),
        _Part("all", ("spectralFlux", *MFCCS[:4]), _BOTH), _Part("voiced", VOICED[1:], _BOTH),
        _Part("voiced", (*_BALANCE, *MFCCS[:4]), _BOTH, mark="V"), _Part("unvoiced", _BALANCE, ("amean",), mark="UV")),
    "large": (
        _Part("all", (*SPECTRAL, *MFCCS, *MELS), _LARGE), _Part("all", (*SPECTRAL, *MFCCS), _DELTA, delta=True),
        _Part("voiced", VOICED, _LARGE), _Part("voiced", VOICED, _DELTA, delta=True),
        _Part("voiced", (*SPECTRAL, *MFCCS), ("amean", "stddev"), mark="V"),
        _Part("unvoiced", (*_BALANCE, *MFCCS[:4]), ("amean", "stddev"), mark="UV")),
}
_EXTRAS = {"egemaps_like": (), "large": (*(f"{_PITCH[0]}_relative_{name}" for name in _RELATIVE), *MODULATIONS)}


class AudioFunctionals(Extractor):
    """Statistics of :mod:`pipeline.sound.descriptors`, named as eGeMAPS names them.

    A clip's row is about the utterance: silence before and after it is left out. A window's row is about all of the
    window. A clip whose samples all lie below 1e-5 of full scale gives no rows. A statistic without steps to be taken
    over, as those of the pitch where nobody speaks, is 0.
    """

    modality = "audio"

    @dataclass(frozen=True)
    class Config(Extractor.Config):
        set: Literal["egemaps_like", "large"] = setting(
            "large", "egemaps_like: 88 columns, few enough to look at one by one; large: some 1,700, better with a"
                     " regularised model")
        per: Literal["clip", "window"] = setting("clip", "clip: one row for all of it; window: a row every hop_seconds")
        window_seconds: float = setting(1.0, "length of a window, at least 0.01 s; its middle is the middle of its hop")
        hop_seconds: float = setting(0.5, "time from window to window, at least 0.01 s; 1 / rate for a video's frames")

        def __post_init__(self) -> None:
            if not (self.window_seconds >= HOP_SECONDS and self.hop_seconds >= HOP_SECONDS):
                raise ValueError(f"window_seconds and hop_seconds are at least {HOP_SECONDS}, found"
                                 f" {self.window_seconds} and {self.hop_seconds}")

    @property
    def needs(self) -> Needs:
        return Needs(waveform=True)

    @property
    def columns(self) -> tuple[str, ...]:  # type: ignore[override]
        """Names of the columns in the chosen set."""
        return (*(name for part in _SETS[self.config.set] for name in part.columns), *_WHOLE,
                *_EXTRAS[self.config.set])

    @property
    def row_shape(self) -> tuple[int, ...]:
        return (len(self.columns),)

    def extract(self, media: Sequence[Media]) -> list[FeatureSequence]:
        return [self._of(clip) for clip in media]

    def _of(self, clip: Media) -> FeatureSequence:
        wave = clip.waveform
        assert wave is not None
        if len(wave) == 0 or float(np.abs(wave).max()) < SILENCE:
            return FeatureSequence.empty(self.row_shape)
        found = describe(wave)
        seconds = len(wave) / SAMPLE_RATE_HZ
        if self.config.per == "clip":
            times = np.array([[0.0, seconds]])
            places = [slice(*(np.flatnonzero(found.utterance)[[0, -1]] + [0, 1]))]
        else:
            times = windows_on_grid(seconds, self.config.window_seconds, self.config.hop_seconds)
            places = [_steps(start, stop, len(found.voiced)) for start, stop in times]
        tables = [_table(found, part) for part in _SETS[self.config.set]]
        rows = [self._row(found, tables, place) for place in places]
        return FeatureSequence(np.stack(rows), times.astype(np.float32))

    def _row(self, found: Descriptors, tables: Sequence[np.ndarray], place: slice) -> np.ndarray:
        """All columns of some steps in a row, float32 (C,)."""
        voiced = found.voiced[place]
        chosen = {"all": np.ones(len(voiced), bool), "voiced": voiced, "unvoiced": ~voiced}
        row: list[float] = []
        for part, values in zip(_SETS[self.config.set], tables, strict=True):
            statistics = functionals(values[place], chosen[part.over], HOP_SECONDS)
            row += [value for name in part.statistics for value in statistics[name]]
        per_second, voiced_mean, voiced_sd = segment_lengths(voiced, HOP_SECONDS)
        _, unvoiced_mean, unvoiced_sd = segment_lengths(~voiced, HOP_SECONDS)
        row += [10 * np.log10((10 ** (found.columns["level"][place] / 10)).mean()), per_second, voiced_mean, voiced_sd,
                unvoiced_mean, unvoiced_sd]
        if self.config.set == "large":
            pitch = functionals(found.stack(_PITCH)[place], voiced, HOP_SECONDS)
            row += [float(pitch[name][0] - pitch["percentile50.0"][0]) for name in _RELATIVE]
            row += list(modulations(found.bands_db[place]))
        return np.array(row, np.float32)


def windows_on_grid(seconds: float, window_seconds: float, hop_seconds: float) -> np.ndarray:
    """Start and stop of windows about the middles of equal hops, cut at the ends of the clip, float64 (N, 2).

    Window ``k`` has its middle at ``(k + 0.5) * hop_seconds``: that of frame ``k`` of a video at ``1 / hop_seconds``
    frames a second. There are as many as hops begin in the clip, and one at least.

    >>> windows_on_grid(1.0, 0.5, 0.5).tolist(), windows_on_grid(0.3, 1.0, 0.2).tolist()
    ([[0.0, 0.5], [0.5, 1.0]], [[0.0, 0.3], [0.0, 0.3]])
    """
    count = max(1, int(np.ceil(seconds / hop_seconds - 1e-6)))
    middles = np.minimum((np.arange(count) + 0.5) * hop_seconds, seconds)
    return np.stack([np.maximum(middles - window_seconds / 2, 0), np.minimum(middles + window_seconds / 2, seconds)], 1)


def _table(found: Descriptors, part: _Part) -> np.ndarray:
    """What a part takes statistics of, float32 (T, C)."""
    values = found.stack(part.descriptors)
    return deltas(values) if part.delta else values


def _steps(start: float, stop: float, count: int) -> slice:
    """Those of ``count`` steps whose middle lies in the span; the nearest where none does."""
    first, end = (int(np.ceil(round(edge / HOP_SECONDS - 0.5, 6))) for edge in (start, stop))
    first = min(max(first, 0), count - 1)
    return slice(first, min(max(end, first + 1), count))
