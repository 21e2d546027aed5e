"""Clips that differ from a real one in one thing: who is large, who is where, what is heard, whose mouth moves.

And the smallest clip of somebody who talks: a photograph whose mouth is painted, and a voice of one vowel.
"""

from __future__ import annotations

import subprocess
import wave
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter1d
from skimage.data import astronaut
from skimage.transform import SimilarityTransform, resize, warp

from pipeline.clip import Clip
from pipeline.decode import ffmpeg_path, read_media
from pipeline.extractors.faces import Faces
from pipeline.extractors.speaking import Speaking
from pipeline.faces.alignment import similarity
from pipeline.media import SAMPLE_RATE_HZ, FeatureSequence, FrameRequest


@dataclass(frozen=True)
class Film:
    """Pictures and sound of one or two people side by side.

    Args:
        frames: uint8 RGB (T, H, W, 3).
        rate_hz: frames a second.
        waveform: float32 (S,) at 16 kHz.
        border: column between the two; 0 with one person.
        speaker_on_right: which of them speaks.
    """

    frames: np.ndarray
    rate_hz: float
    waveform: np.ndarray
    border: int = 0
    speaker_on_right: bool = True

    @property
    def seconds(self) -> float:
        return len(self.frames) / self.rate_hz


def read_film(path: Path, *, rate_hz: float = 25.0, start: float = 0.0, stop: float | None = None,
              lines: int = 720) -> Film:
    """A stretch of a video; columns and lines are made even."""
    request = FrameRequest(rate_hz, lines=lines)
    media = read_media(Clip("all/a", path, start, stop), (request,), waveform=True)
    frames = media.frames[request].take(slice(None))
    assert media.waveform is not None
    return Film(frames[:, :frames.shape[1] // 2 * 2, :frames.shape[2] // 2 * 2], rate_hz, media.waveform)


def write_film(path: Path, film: Film) -> Path:
    """H.264 with sound in AAC, as clips of corpora are."""
    sound = path.with_suffix(".wav")
    with wave.open(str(sound), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HZ)
        file.writeframes(np.round(np.clip(film.waveform, -1, 1) * 32767).astype("<i2").tobytes())
    height, width = film.frames.shape[1:3]
    command = [ffmpeg_path(), "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}",
               "-r", f"{film.rate_hz:g}", "-i", "-", "-i", str(sound), "-threads", "1", "-c:v", "libx264", "-preset",
               "veryfast", "-crf", "20", "-pix_fmt", "yuv420p", "-c:a", "aac", str(path)]
    subprocess.run(command, input=film.frames.tobytes(), check=True)
    sound.unlink()
    return path


def watch(path: Path) -> tuple[FeatureSequence, FeatureSequence, tuple[int, int]]:
    """Faces, speaking scores and (height, width) of a video, as an extraction gives them."""
    faces, speaking = Faces(), Speaking()
    media = read_media(Clip("all/a", path), (*faces.needs.frames, *speaking.needs.frames), waveform=True)
    found, = faces.extract([media])
    scores, = speaking.extract([replace(media, features={"faces": found})])
    return found, scores, media.frames[speaking.request].source_size


def mirrored(film: Film) -> Film:
    """Left and right exchanged."""
    return replace(film, frames=np.ascontiguousarray(film.frames[:, :, ::-1]),
                   border=film.frames.shape[2] - film.border, speaker_on_right=not film.speaker_on_right)


def halves(film: Film) -> tuple[np.ndarray, np.ndarray]:
    """Pictures of the speaker and of the listener."""
    left, right = film.frames[:, :, :film.border], film.frames[:, :, film.border:]
    return (right, left) if film.speaker_on_right else (left, right)


def enlarged_listener(film: Film, centre: tuple[float, float], factor: float = 1.5) -> Film:
    """The listener's side scaled up around a point (x, y) of it, the picture's size unchanged."""
    listener = halves(film)[1]
    shift = np.array(centre)
    grow = SimilarityTransform(translation=-shift) + SimilarityTransform(scale=factor) \
        + SimilarityTransform(translation=shift)
    large = np.stack([warp(frame, grow.inverse, order=1, mode="edge", preserve_range=True).astype(np.uint8)
                      for frame in listener])
    frames = film.frames.copy()
    if film.speaker_on_right:
        frames[:, :, :film.border] = large
    else:
        frames[:, :, film.border:] = large
    return replace(film, frames=frames)


def at_the_edge(film: Film, speaker_width: int) -> Film:
    """The speaker's side cut down to the columns at the border and put at the picture's outer edge; the listener, with
    as much wall on the other side, stands in the middle."""
    speaker, listener = halves(film)
    wall = np.repeat(listener[:, :, :1] if film.speaker_on_right else listener[:, :, -1:], speaker_width, axis=2)
    kept = speaker[:, :, :speaker_width] if film.speaker_on_right else speaker[:, :, -speaker_width:]
    order = [wall, listener, kept] if film.speaker_on_right else [kept, listener, wall]
    frames = np.concatenate(order, axis=2)
    border = frames.shape[2] - speaker_width if film.speaker_on_right else speaker_width
    return replace(film, frames=np.ascontiguousarray(frames), border=border)


def shifted_sound(film: Film, seconds: float = 2.0) -> Film:
    """The sound moved round the clip by so much, so that none is lost; in a short clip by half of its length."""
    seconds = min(seconds, film.seconds / 2)
    return replace(film, waveform=np.roll(film.waveform, round(seconds * SAMPLE_RATE_HZ)))


def with_sound(film: Film, waveform: np.ndarray) -> Film:
    """Another clip's sound, repeated to this clip's length."""
    return replace(film, waveform=np.resize(waveform, round(film.seconds * SAMPLE_RATE_HZ)))


def silent(film: Film) -> Film:
    """No sound but the faintest hiss."""
    hiss = np.random.default_rng(0).normal(0, 1e-4, round(film.seconds * SAMPLE_RATE_HZ))
    return replace(film, waveform=hiss.astype(np.float32))


def frozen(film: Film) -> Film:
    """The first picture throughout, with the sound going on."""
    return replace(film, frames=np.repeat(film.frames[:1], len(film.frames), axis=0))


def still_mouth(film: Film, points: np.ndarray, reference: int = 0) -> Film:
    """Everything moves but the speaker's mouth: that of one picture is put on all, where eyes and nose say.

    Args:
        film: the clip.
        points: eyes, nose and mouth corners of the speaker in each picture, (T, 5, 2).
        reference: the picture whose mouth is kept.
    """
    points = gaussian_filter1d(points, 0.15 * film.rate_hz, axis=0, mode="nearest")
    height, width = film.frames.shape[1:3]
    down, across = np.mgrid[:height, :width]
    frames = film.frames.copy()
    source = film.frames[reference].astype(np.float64)
    eyes = np.linalg.norm(points[reference, 1] - points[reference, 0])
    x, y = points[reference, 3:].mean(0)
    away = np.hypot((across - x) / (0.85 * eyes), (down - y - 0.1 * eyes) / (0.62 * eyes))
    cover = np.clip((1.0 - away) / 0.2, 0, 1)
    for place, frame in enumerate(frames):
        turn, shift = similarity(points[reference, :3], points[place, :3])
        move = SimilarityTransform(scale=abs(turn), rotation=np.angle(turn), translation=(shift.real, shift.imag))
        share = warp(cover, move.inverse, order=1, mode="edge")[..., None]
        moved = warp(source, move.inverse, order=1, mode="edge", preserve_range=True)
        frame[:] = np.round(share * moved + (1 - share) * frame)
    return replace(film, frames=frames)


def beside(left: np.ndarray, right: np.ndarray, waveform: np.ndarray, *, rate_hz: float, speaker_on_right: bool,
           lines: int = 360) -> Film:
    """Two films (T, H, W, 3), or a photograph (H, W, 3), side by side at one height, as long as the shorter."""
    count = min(len(side) for side in (left, right) if side.ndim == 4)
    parts: Sequence[np.ndarray] = [
        _scaled(side[:count] if side.ndim == 4 else np.repeat(side[None], count, axis=0), lines)
        for side in (left, right)]
    return Film(np.concatenate(parts, axis=2), rate_hz, waveform[:round(count / rate_hz * SAMPLE_RATE_HZ)],
                parts[0].shape[2], speaker_on_right)


def _scaled(frames: np.ndarray, lines: int) -> np.ndarray:
    width = round(frames.shape[2] * lines / frames.shape[1] / 2) * 2
    return np.stack([resize(frame, (lines, width), order=1, preserve_range=True, anti_aliasing=True).astype(np.uint8)
                     for frame in frames])


# Of the photograph below: eyes, nose, corners of the mouth (x, y).
PORTRAIT_POINTS = np.array([[75, 102], [117, 104], [94, 122], [79, 146], [112, 147]], np.float64)


def syllables(seconds: float, seed: int, *, rate_hz: float = 100.0) -> np.ndarray:
    """Loudness of a sentence, 0 to 1: swells of irregular length and height, with a pause in each second and a half."""
    rng = np.random.default_rng(seed)
    curve = np.zeros(round(seconds * rate_hz))
    times, now = np.arange(len(curve)) / rate_hz, 0.1
    while now < seconds:
        length = rng.uniform(0.14, 0.32)
        curve = np.maximum(curve, rng.uniform(0.4, 1) * np.exp(-((times - now) / (length / 3)) ** 2))
        now += length + (rng.uniform(0.3, 0.6) if rng.random() < 0.15 else 0)
    return curve


def vowel(loudness: np.ndarray, *, rate_hz: float = 100.0, pitch_hz: float = 120.0) -> np.ndarray:
    """A voice that says one vowel as loud as asked for, float32 at 16 kHz."""
    count = round(len(loudness) / rate_hz * SAMPLE_RATE_HZ)
    times = np.arange(count) / SAMPLE_RATE_HZ
    harmonics = np.arange(1, 20)
    tone = (np.sin(2 * np.pi * pitch_hz * times[:, None] * harmonics) / harmonics).sum(1)
    hiss = np.random.default_rng(0).normal(0, 1e-3, count)
    return (0.1 * np.interp(times, np.arange(len(loudness)) / rate_hz, loudness) * tone + hiss).astype(np.float32)


def talking_portrait(opening: np.ndarray, nod: np.ndarray | None = None) -> np.ndarray:
    """A photograph whose mouth opens so far, 0 to 1, (T,), on a head that is so many pixels lower, (T,)."""
    portrait = astronaut()[:200, 130:310]
    down, across = np.mgrid[:200, :180]
    x, y = PORTRAIT_POINTS[3:].mean(0)
    frames = []
    for place, wide in enumerate(opening):
        away = np.hypot((across - x) / 14, (down - y - 4 * wide) / (0.5 + 8 * wide))
        dark = np.clip(2 * (1.1 - away), 0, 1)[..., None] * min(1.0, 4 * wide)
        frame = np.round(portrait * (1 - dark) + np.array([60, 15, 15]) * dark).astype(np.uint8)
        frames.append(np.roll(frame, 0 if nod is None else int(nod[place]), axis=0))
    return np.stack(frames)


def portrait_faces(starts: np.ndarray, nod: np.ndarray | None = None, *, track: int = 0,
                   left: float = 0.0) -> np.ndarray:
    """Rows of ``faces`` for the portrait, (R, 16)."""
    points = np.repeat(PORTRAIT_POINTS[None], len(starts), axis=0)
    points[..., 0] += left
    points[..., 1] += 0 if nod is None else nod[:, None]
    low, high = points.min(1) - 25, points.max(1) + 25
    return np.column_stack([np.full(len(starts), track), low, high, np.ones(len(starts)),
                            points.reshape(len(starts), 10)]).astype(np.float32)
