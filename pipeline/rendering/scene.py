"""One clip of the sample dataset: a line of the script, said, acted and filmed."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from pipeline.rendering.acting import LOOKS, Expression, act, listening, mouth_opening
from pipeline.rendering.portrait import portray
from pipeline.rendering.script import Line, Speaker
from pipeline.rendering.speech import Word, opening_and_rounding, utter
from pipeline.rendering.talking_face import Camera, render_face
from pipeline.rendering.voice import SAMPLE_RATE_HZ, choose_manner, loudness, speak

# As in MELD, whose clips mix both rates.
_RATES = (Fraction(25), Fraction(24000, 1001))
_SIZES = ((240, 320), (288, 352))
_TWO_SHOT_SIZE = (240, 432)
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Track:
    """One face through the frames in which it is followed.

    Args:
        entity: its name.
        first_frame: the first of its T frames.
        boxes: left, top, right, bottom in pixels, float64 (T, 4).
        labels: of each frame, T in all.
    """

    entity: str
    first_frame: int
    boxes: np.ndarray
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.boxes.shape != (len(self.labels), 4):
            raise ValueError(f"a track has one box a label, found {self.boxes.shape} and {len(self.labels)}")


@dataclass(frozen=True)
class Scene:
    """A rendered clip and what is true of it.

    Args:
        frames: uint8 RGB (T, H, W, 3).
        rate_hz: frames per second, exact.
        waveform: float32 (S,) at ``voice.SAMPLE_RATE_HZ``, as long as the frames.
        words: what is said when.
        opening: of the speaking mouth, 0 (shut) to about 1, (T,).
        speaking_box: where the speaker's face is at rest: left, top, right, bottom in pixels.
        listening_box: the same of the listener; None where only one person is seen.
        tracks: of faces, in layouts that have them.
    """

    frames: np.ndarray
    rate_hz: Fraction
    waveform: np.ndarray
    words: tuple[Word, ...]
    opening: np.ndarray
    speaking_box: Box
    listening_box: Box | None
    tracks: tuple[Track, ...] = ()

    def __post_init__(self) -> None:
        samples = round(len(self.frames) / self.rate_hz * SAMPLE_RATE_HZ)
        if self.frames.ndim != 4 or self.frames.dtype != np.uint8 or len(self.waveform) != samples:
            raise ValueError(f"frames are uint8 (T, H, W, 3) with sound of the same length, found {self.frames.dtype}"
                             f" {self.frames.shape} and {len(self.waveform)} samples where {samples} fit")

    @property
    def duration_seconds(self) -> float:
        return float(len(self.frames) / self.rate_hz)


def film(line: Line, rng: np.random.Generator) -> Scene:
    """Say, act and film one line.

    Args:
        line: who says what, and how.
        rng: everything that the script leaves open; the same state gives the same pixels and samples.
    """
    rate = _RATES[int(rng.random() < .2)]
    manner = choose_manner(line.voice_emotion, rng)
    lead, tail = rng.uniform(.15, .30), rng.uniform(.20, .35)
    phones, words = utter(line.text, rate=manner.rate, start_seconds=lead)
    num_frames = int(np.ceil((sum(phone.seconds for phone in phones) + tail) * float(rate)))
    num_samples = round(num_frames / rate * SAMPLE_RATE_HZ)
    waveform = speak(phones, num_samples, manner=manner, pitch_hz=line.speaker.pitch_hz, tract=line.speaker.tract,
                     rng=rng)

    times = (np.arange(num_frames) + .5) / float(rate)
    wanted, rounding = opening_and_rounding(phones, times.tolist())
    opening = mouth_opening(loudness(waveform, times), np.asarray(wanted), float(rate))
    look = LOOKS[line.face_emotion]
    speaking = act(look, num_frames, float(rate), opening=opening, rounding=np.asarray(rounding), rng=rng)
    exposure = float(rng.uniform(.92, 1.06))
    if not line.two_shot:
        height, width = _SIZES[int(rng.random() < .25)]
        camera = _aim(line.speaker, height, width, (1.05, 1.35), rng)
        frames = _shoot(line.speaker, speaking, camera, exposure)
        return Scene(frames, rate, waveform, words, speaking.opening, camera.face_box(), None)

    quiet = act(listening(look), num_frames, float(rate), opening=None, rounding=None, rng=rng)
    height, width = _TWO_SHOT_SIZE[0], _TWO_SHOT_SIZE[1] // 2
    cameras = [_aim(person, height, width, (1.02, 1.18), rng) for person in (line.speaker, line.partner)]
    halves = [_shoot(person, expression, camera, exposure)
              for person, expression, camera in zip((line.speaker, line.partner), (speaking, quiet), cameras)]
    order = (0, 1) if line.speaker_on_left else (1, 0)
    boxes = [_shift(camera.face_box(), width * order.index(place)) for place, camera in enumerate(cameras)]
    frames = np.concatenate([halves[place] for place in order], axis=2)
    return Scene(frames, rate, waveform, words, speaking.opening, boxes[0], boxes[1])


def _aim(person: Speaker, height: int, width: int, zooms: tuple[float, float], rng: np.random.Generator) -> Camera:
    zoom = float(rng.uniform(*zooms)) * height / 240
    centre = (226 + float(rng.uniform(-8, 8)), 106 + float(rng.uniform(-6, 6)))
    return Camera(centre, zoom, height, width, person.face_width, person.mirrored)


def _shoot(person: Speaker, expression: Expression, camera: Camera, exposure: float) -> np.ndarray:
    return np.concatenate(list(render_face(portray(person, exposure=exposure), expression, camera)))


def _shift(box: Box, pixels: float) -> Box:
    return box[0] + pixels, box[1], box[2] + pixels, box[3]
