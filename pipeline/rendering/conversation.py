"""Several faces in one picture: some speak, some only move their mouths, and not every voice is of somebody in view.

Sound alone does not tell whose mouth it comes from, as all faces share it; pictures alone do not tell a mouth that
speaks from one that mimes another sentence. Only whether they go together does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.signal import lfilter

from pipeline.rendering.acting import LOOKS, Expression, act, mouth_opening
from pipeline.rendering.portrait import portray
from pipeline.rendering.scene import Box, Scene, Track
from pipeline.rendering.script import Speaker
from pipeline.rendering.speech import Phone, Word, opening_and_rounding, utter
from pipeline.rendering.talking_face import Camera, render_face
from pipeline.rendering.voice import SAMPLE_RATE_HZ, choose_manner, loudness, speak

Kind = Literal["speaking", "miming", "chewing"]

RATE_HZ = Fraction(25)
LABELS = {"speaking": "SPEAKING_AUDIBLE", "miming": "SPEAKING_NOT_AUDIBLE", "chewing": "NOT_SPEAKING"}
STILL_LABEL = "NOT_SPEAKING"
OUT_OF_VIEW = -1
_CHEWS_HZ = (1.5, 2.3)
_CHEWING_OPENING = 0.45
_BOX_WANDER = 0.012  # of a box's sides, as a face detector's boxes tremble
_EDGE_SECONDS = 0.08  # a mouth that stops half-way shuts within this


@dataclass(frozen=True)
class Performance:
    """What one mouth does for a while.

    Args:
        person: its face's place in the picture, from 0; ``OUT_OF_VIEW`` for a voice that nobody in view owns.
        kind: speaking is heard; miming is the mouth of a sentence that is not heard; chewing says nothing.
        start_seconds, stop_seconds: half-open.
        text: what is said or mimed; "" when chewing.
        rate: speed of speaking.
    """

    person: int
    kind: Kind
    start_seconds: float
    stop_seconds: float
    text: str = ""
    rate: float = 1.0


@dataclass(frozen=True)
class Face:
    """A person in the picture.

    Args:
        speaker: how they sound and look.
        emotion: what the face shows.
        entity: name of the track.
        first_frame, stop_frame: when the track begins and ends; the face is in view all the time.
    """

    speaker: Speaker
    emotion: str
    entity: str
    first_frame: int
    stop_frame: int


@dataclass(frozen=True)
class Conversation:
    """A video as it will be acted.

    Args:
        faces: from left to right, top to bottom.
        columns: faces side by side.
        panel: height and width of each face's part of the picture.
        zoom: size of the faces, output pixels per pixel of the photograph.
        performances: what mouths do, voices out of view included.
        voice_out_of_view: whose voice that is.
        num_frames: length.
        snr_db: speech over noise; None for a quiet room.
    """

    faces: tuple[Face, ...]
    columns: int
    panel: tuple[int, int]
    zoom: float
    performances: tuple[Performance, ...]
    voice_out_of_view: Speaker
    num_frames: int
    snr_db: float | None


def film(conversation: Conversation, rng: np.random.Generator) -> Scene:
    """Say, act and film a conversation: its frames, its one sound and the track of every face.

    Args:
        conversation: who does what when.
        rng: everything that is left open; the same state gives the same pixels and samples.
    """
    num_frames = conversation.num_frames
    waveform = np.zeros(round(num_frames / RATE_HZ * SAMPLE_RATE_HZ), np.float32)
    mouths = np.zeros((len(conversation.faces), 2, num_frames))
    words: list[Word] = []
    for performance in conversation.performances:
        owner = (conversation.voice_out_of_view if performance.person == OUT_OF_VIEW
                 else conversation.faces[performance.person].speaker)
        sound, mouth, said = _perform(performance, owner, num_frames, rng)
        if performance.kind == "speaking":
            start = round(performance.start_seconds * SAMPLE_RATE_HZ)
            waveform[start:start + len(sound)] += sound[:len(waveform) - start]
            words += said
        if performance.person != OUT_OF_VIEW:
            mouths[performance.person] = np.maximum(mouths[performance.person], mouth)
    waveform = _add_noise(waveform, conversation.snr_db, rng)
    exposure = float(rng.uniform(.90, 1.08))
    shots = [_shoot(conversation, place, mouth, exposure, rng) for place, mouth in enumerate(mouths)]
    frames = _tile([shot for shot, _ in shots], conversation.columns)
    tracks = tuple(track for _, track in shots)
    return Scene(frames, RATE_HZ, waveform, tuple(words), mouths[0, 0], _first_box(tracks[0]), None, tracks)


def frame_labels(performances: Sequence[Performance], person: int, num_frames: int) -> tuple[str, ...]:
    """A face's label in each frame, by what its mouth does in the frame's middle."""
    labels = [STILL_LABEL] * num_frames
    for performance in performances:
        for frame in range(num_frames):
            if performance.person == person \
                    and performance.start_seconds <= float((frame + .5) / RATE_HZ) < performance.stop_seconds:
                labels[frame] = LABELS[performance.kind]
    return tuple(labels)


def _perform(performance: Performance, owner: Speaker, num_frames: int,
             rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, Sequence[Word]]:
    """Sound from the performance's start on; opening and rounding of the mouth, (2, num_frames); words as timed."""
    times = (np.arange(num_frames) + .5) / float(RATE_HZ) - performance.start_seconds
    seconds = performance.stop_seconds - performance.start_seconds
    inside = np.clip(np.minimum(times, seconds - times) / _EDGE_SECONDS + .5, 0, 1)
    if performance.kind == "chewing":
        beat = .5 - .5 * np.cos(2 * np.pi * rng.uniform(*_CHEWS_HZ) * times + rng.uniform(-.4, .4))
        opening = _CHEWING_OPENING * beat * (1 + .25 * gaussian_filter1d(rng.standard_normal(num_frames), 3))
        return np.zeros(0, np.float32), np.stack([np.clip(opening, 0, 1), .3 * beat]) * inside, ()
    phones, words = utter(performance.text, rate=performance.rate, start_seconds=0)
    voice = choose_manner("neutral", rng)
    sound = speak(phones, round(seconds * SAMPLE_RATE_HZ), manner=voice, pitch_hz=owner.pitch_hz, tract=owner.tract,
                  rng=rng)
    mouth = _mouth(phones, sound, times) * inside
    return sound, mouth, [Word(word.text, word.start_seconds + performance.start_seconds,
                               word.stop_seconds + performance.start_seconds) for word in words]


def _mouth(phones: Sequence[Phone], sound: np.ndarray, times: np.ndarray) -> np.ndarray:
    wanted, rounding = opening_and_rounding(phones, times.tolist())
    opening = mouth_opening(loudness(sound, times), np.asarray(wanted), float(RATE_HZ))
    return np.stack([opening, np.asarray(rounding)])


def _add_noise(waveform: np.ndarray, snr_db: float | None, rng: np.random.Generator) -> np.ndarray:
    """A street that comes and goes, as loud as asked for beside the speech; always a little of the room."""
    white = rng.standard_normal(len(waveform))
    noise = .0006 * white
    if snr_db is not None:
        street = lfilter([1.0], [1.0, -.9], white)
        street *= 1 + .5 * np.sin(2 * np.pi * rng.uniform(.3, 1.2) * np.arange(len(white)) / SAMPLE_RATE_HZ
                                  + rng.uniform(0, 2 * np.pi))
        loud = np.abs(waveform) > .005
        speech = float(np.sqrt(np.mean(np.square(waveform[loud])))) if loud.any() else .05
        noise = noise + street * speech * 10 ** (-snr_db / 20) / float(np.sqrt(np.mean(np.square(street))))
    return np.asarray(np.clip(waveform + noise, -1, 1), np.float32)


def _shoot(conversation: Conversation, place: int, mouth: np.ndarray, exposure: float,
           rng: np.random.Generator) -> tuple[np.ndarray, Track]:
    """Frames of one face's part of the picture, and its track in the whole picture."""
    face, (height, width) = conversation.faces[place], conversation.panel
    expression = act(LOOKS[face.emotion], conversation.num_frames, float(RATE_HZ), opening=mouth[0], rounding=mouth[1],
                     rng=rng)
    centre = 226 + float(rng.uniform(-7, 7)), 112 + float(rng.uniform(-5, 5))
    zoom = conversation.zoom * float(rng.uniform(.94, 1.08))
    camera = Camera(centre, zoom, height, width, face.speaker.face_width, face.speaker.mirrored)
    frames = np.concatenate(list(render_face(portray(face.speaker, exposure=exposure), expression, camera)))
    row, column = divmod(place, conversation.columns)
    boxes = _boxes(camera, expression, rng) + np.array([column * width, row * height] * 2)
    kept = slice(face.first_frame, face.stop_frame)
    labels = frame_labels(conversation.performances, place, conversation.num_frames)
    return frames, Track(face.entity, face.first_frame, boxes[kept], labels[kept])


def _first_box(track: Track) -> Box:
    left, top, right, bottom = (float(side) for side in track.boxes[0])
    return left, top, right, bottom


def _boxes(camera: Camera, expression: Expression, rng: np.random.Generator) -> np.ndarray:
    """Boxes that follow the head as a detector's would, left, top, right, bottom inside the panel, (T, 4)."""
    box = np.array(camera.face_box())
    size = np.array([box[2] - box[0], box[3] - box[1]] * 2)
    side = -1 if camera.mirrored else 1
    shift = camera.zoom * np.stack([3 * side * expression.yaw, 2 * expression.nod], axis=1)
    wander = gaussian_filter1d(rng.standard_normal((len(expression), 4)), 4, axis=0) * np.sqrt(2 * np.sqrt(np.pi) * 4)
    spread = np.array([-.5, -.5, .5, .5]) * size * expression.lean[:, None]
    boxes = box + np.tile(shift, 2) + spread + _BOX_WANDER * size * wander
    return np.asarray(np.clip(boxes, 0, [camera.width, camera.height] * 2))


def _tile(panels: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """Panels (T, H, W, 3) in rows from the top left; a place without a face is grey."""
    blank = np.full_like(panels[0], 90)
    filled = [*panels, *[blank] * (-len(panels) % columns)]
    rows = [np.concatenate(filled[start:start + columns], axis=2) for start in range(0, len(filled), columns)]
    return np.concatenate(rows, axis=1)
