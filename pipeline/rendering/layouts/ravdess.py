"""RAVDESS's form: actors who say two sentences with eight emotions, one video each, all told by its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from pipeline.datasets.ravdess import ACTORS, EMOTIONS, INTENSITIES, STATEMENTS, Recording, every_recording
from pipeline.rendering.acting import LOOKS, Look, act, mouth_opening
from pipeline.rendering.layouts import Filmed, Layout, Plan, Shot, Table, box_text, words_table
from pipeline.rendering.script import SPEAKERS, Speaker
from pipeline.rendering.speech import opening_and_rounding, utter
from pipeline.rendering.voice import MANNERS, SAMPLE_RATE_HZ, Manner, choose_manner, loudness, speak

if TYPE_CHECKING:
    from pipeline.rendering.scene import Scene

T = TypeVar("T", Manner, Look)

_RATE_HZ = Fraction(30000, 1001)  # as published
_HEIGHT, _WIDTH = 180, 320  # 16:9 as published, at a quarter of its size
_CLIPS_OF_AN_ACTOR = 8
_HIDING_SHARE = 0.08  # of voices, and of faces, that stay neutral
_STRENGTHS = {"normal": 0.7, "strong": 1.1}
_WOMEN = tuple(person for person in SPEAKERS if person.pitch_hz > 165)
_MEN = tuple(person for person in SPEAKERS if person.pitch_hz <= 165)
_CALM = Manner(pitch=.93, pitch_range=.06, slope=-.10, gain_db=-3.5, rate=.86, tilt=.66, breath=.09)
_SERENE = Look(smile=.35, lids=.28, restlessness=.35, articulation=.9)
_SAME = {"happy": "joy", "sad": "sadness", "angry": "anger", "fearful": "fear", "disgust": "disgust",
         "surprised": "surprise", "neutral": "neutral"}
_MANNERS = {"calm": _CALM, **{name: MANNERS[other] for name, other in _SAME.items()}}
_LOOKS = {"calm": _SERENE, **{name: LOOKS[other] for name, other in _SAME.items()}}
_TRUTH_COLUMNS = ("clip", "actor", "voice_emotion", "face_emotion", "speaking_box", "height", "width", "rate_hz",
                  "num_frames")
_README = """Talking faces and voices made by a program from a seed: nobody said or felt any of this.
The photograph is of Eileen Collins, by NASA, public domain, as it ships with scikit-image.
Folders and file names have the form of RAVDESS; nothing else is of RAVDESS. truth.csv says what voice and face show and
where the face is (box: left, top, right, bottom in pixels, with the head at rest), words.csv when each word is said.
sample.json lists the files.
"""


@dataclass(frozen=True)
class Take:
    """A recording as it will be acted.

    Args:
        recording: what its name says.
        person: how the actor sounds and looks.
        voice_emotion, face_emotion: what voice and face show: the emotion, or neutral where they hide it.
    """

    recording: Recording
    person: Speaker
    voice_emotion: str
    face_emotion: str


def choose_takes(num_clips: int, seed: int) -> tuple[Take, ...]:
    """Recordings of several actors, as many men as women as far as may be.

    There is an actor for every eight clips, from two to 24; each shows every emotion before one comes again, and both
    sentences go with every emotion. Sentence and strength say nothing of the emotion, but that neutral is never strong.

    Args:
        num_clips: 3 to 1,440.
        seed: the same seed gives the same takes; another one other people, and other voices and faces that hide.

    Raises:
        ValueError: fewer clips than 3 or more than RAVDESS has.
    """
    most = sum(1 for _ in every_recording("speech"))
    if not 3 <= num_clips <= most:
        raise ValueError(f"RAVDESS's form has 3 to {most:,} clips, asked for {num_clips:,}")
    actors = ACTORS[:min(max(num_clips // _CLIPS_OF_AN_ACTOR, 2), len(ACTORS))]
    recordings = [found for turn in range(8) for place in range(len(EMOTIONS)) for actor in actors
                  if (found := _recording(turn, place, actor)) is not None]
    rng = np.random.default_rng([seed, 0])
    people = {actor: _person(actor, np.random.default_rng([seed, 1, actor])) for actor in actors}
    takes = []
    for recording in recordings[:num_clips]:
        flat, still = rng.random(2) < _HIDING_SHARE
        takes.append(Take(recording, people[recording.actor], "neutral" if flat else recording.emotion,
                          "neutral" if still else recording.emotion))
    return tuple(sorted(takes, key=lambda take: (take.recording.actor, take.recording.stem)))


def plan(num_clips: int, seed: int) -> Plan:
    """See :func:`choose_takes`."""
    takes = choose_takes(num_clips, seed)
    slow = {name: 1 / one.rate for name, one in _MANNERS.items()}
    shots = [Shot(f"Actor_{take.recording.group}/{take.recording.stem}.mp4", slow[take.voice_emotion],
                  partial(film, take)) for take in takes]
    return Plan(tuple(shots), partial(_tables, takes))


def _recording(turn: int, place: int, actor: int) -> Recording | None:
    """The recording of an emotion in an actor's round; the rounds 0 to 7 give each of the 60 once.

    Sentence, strength and repetition turn round from emotion to emotion and from actor to actor.
    """
    emotion = EMOTIONS[place]
    code = (turn + place + actor // 2 + actor) % 8
    statement, intensity, repetition = code % 2, code // 2 % 2, code // 4
    if emotion == "neutral":
        if turn >= 4:
            return None
        repetition, intensity = code // 2 % 2, 0
    return Recording("av", "speech", emotion, INTENSITIES[intensity], STATEMENTS[statement], repetition + 1, actor)


def _person(actor: int, rng: np.random.Generator) -> Speaker:
    """One of six people, changed a little: men at odd numbers, women at even ones."""
    basis = (_MEN if actor % 2 else _WOMEN)[(actor - 1) // 2 % 3]
    red, green, blue = (float(gain) for gain in rng.uniform(.92, 1.04, 3))
    return replace(
        basis, name=f"{actor:02d}", pitch_hz=basis.pitch_hz * float(np.exp(rng.normal(0, .05))),
        tract=basis.tract * float(np.exp(rng.normal(0, .02))), mirrored=bool(rng.random() < .5),
        face_width=basis.face_width * float(rng.uniform(.97, 1.03)), hair=_scaled(basis.hair, rng.uniform(.75, 1.25)),
        skin=(basis.skin[0] * red, basis.skin[1] * green, basis.skin[2] * blue))


def _scaled(colour: tuple[float, float, float], gain: float) -> tuple[float, float, float]:
    return colour[0] * gain, colour[1] * gain, colour[2] * gain


def _towards(rest: T, height: T, strength: float) -> T:
    """What lies between two ways of speaking or looking: 0 the first, 1 the second, more is beyond it."""
    return type(rest)(**{field.name: (1 - strength) * getattr(rest, field.name)
                         + strength * getattr(height, field.name) for field in fields(rest)})


def manner(emotion: str, intensity: str, rng: np.random.Generator) -> Manner:
    """An emotion's manner at a strength, as one person has it on one day."""
    neutral, day = MANNERS["neutral"], choose_manner("neutral", rng)
    meant = _towards(neutral, _MANNERS[emotion], _STRENGTHS[intensity])
    return replace(meant, pitch=meant.pitch * day.pitch, rate=meant.rate * day.rate,
                   gain_db=meant.gain_db + day.gain_db,
                   pitch_range=meant.pitch_range * day.pitch_range / neutral.pitch_range,
                   tilt=float(np.clip(meant.tilt, 0, .9)))


def look(emotion: str, intensity: str) -> Look:
    """An emotion's face at a strength."""
    return _towards(LOOKS["neutral"], _LOOKS[emotion], _STRENGTHS[intensity])


def film(take: Take, rng: np.random.Generator) -> Scene:
    """Say, act and film one recording: one person from the front, as RAVDESS shows them."""
    from pipeline.rendering.portrait import portray
    from pipeline.rendering.scene import Scene
    from pipeline.rendering.talking_face import Camera, render_face

    person, rate = take.person, float(_RATE_HZ)
    voice = manner(take.voice_emotion, take.recording.intensity, rng)
    lead, tail = rng.uniform(.30, .45), rng.uniform(.35, .50)
    phones, words = utter(take.recording.statement, rate=voice.rate, start_seconds=lead)
    num_frames = int(np.ceil((sum(phone.seconds for phone in phones) + tail) * rate))
    waveform = speak(phones, round(num_frames / _RATE_HZ * SAMPLE_RATE_HZ), manner=voice, pitch_hz=person.pitch_hz,
                     tract=person.tract, rng=rng)
    times = (np.arange(num_frames) + .5) / rate
    wanted, rounding = opening_and_rounding(phones, times.tolist())
    opening = mouth_opening(loudness(waveform, times), np.asarray(wanted), rate)
    face = look(take.face_emotion, take.recording.intensity)
    expression = act(face, num_frames, rate, opening=opening, rounding=np.asarray(rounding), rng=rng)
    centre = (226 + float(rng.uniform(-5, 5)), 108 + float(rng.uniform(-4, 4)))
    camera = Camera(centre, float(rng.uniform(.90, 1.0)), _HEIGHT, _WIDTH, person.face_width, person.mirrored)
    picture = portray(person, exposure=float(rng.uniform(.95, 1.05)))
    frames = np.concatenate(list(render_face(picture, expression, camera)))
    return Scene(frames, _RATE_HZ, waveform, words, expression.opening, camera.face_box(), None)


def _tables(takes: Sequence[Take], filmed: Sequence[Filmed]) -> Mapping[str, Table]:
    clips = list(zip(takes, filmed))
    truth = [(take.recording.stem, take.recording.group, take.voice_emotion, take.face_emotion,
              box_text(clip.speaking_box), str(clip.height), str(clip.width), str(clip.rate_hz), str(clip.num_frames))
             for take, clip in clips]
    return {"truth.csv": Table(_TRUTH_COLUMNS, truth),
            "words.csv": words_table(("clip",), [((take.recording.stem,), clip) for take, clip in clips])}


LAYOUT = Layout("ravdess", num_clips=80, plan=plan, top=("Actor_[0-9][0-9]",), readme=_README)
