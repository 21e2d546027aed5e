"""IEMOCAP's form: five sessions of two actors, filmed side by side, each utterance labelled and cut out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter1d

from pipeline.rendering.acting import LOOKS, Expression, act, listening, mouth_opening, names
from pipeline.rendering.layouts import Filmed, Layout, Plan, Shot, Table, words_table
from pipeline.rendering.script import SPEAKERS, Speaker
from pipeline.rendering.speech import Phone, Word, opening_and_rounding, utter
from pipeline.rendering.voice import SAMPLE_RATE_HZ, Manner, choose_manner, loudness, speak, write_wav

if TYPE_CHECKING:
    from pipeline.rendering.scene import Scene

_RATE_HZ = Fraction(30000, 1001)  # as published
_PANEL = (144, 144)  # height and width of each actor's half
_MOST_TURNS = 8  # of a dialogue
_WOMEN = tuple(person for person in SPEAKERS if person.pitch_hz > 165)
_MEN = tuple(person for person in SPEAKERS if person.pitch_hz <= 165)
# What comes turn after turn. Scripts are the same in every session, as IEMOCAP's are; improvised turns are shuffled.
_SCRIPTED = ("neu", "ang", "sad", "exc", "neu", "hap", "fru", "sad")
_IMPROVISED = ("hap", "sad", "ang", "neu", "fru", "xxx", "exc", "oth")
_ACTED = {"neu": "neutral", "hap": "joy", "exc": "joy", "sad": "sadness", "ang": "anger", "fru": "anger",
          "xxx": "surprise", "oth": "disgust"}
_NAMED = {"neu": "Neutral", "hap": "Happiness", "exc": "Excited", "sad": "Sadness", "ang": "Anger",
          "fru": "Frustration", "oth": "Other"}
# Mean valence, activation and dominance of what is acted.
_RATED = {"neu": (3.0, 2.5, 3.0), "hap": (4.5, 3.5, 3.5), "exc": (4.5, 4.5, 4.0), "sad": (1.5, 2.0, 2.0),
          "ang": (1.5, 4.5, 4.5), "fru": (2.0, 3.5, 3.5), "xxx": (2.5, 3.0, 3.0), "oth": (2.0, 3.0, 3.0)}
_TEXTS = {
    "neu": ("The office opens at nine.", "I put the letter on the table.", "We can take the bus at noon.",
            "My sister works near the station.", "They moved the paper to the garden."),
    "hap": ("I am so happy, thank you!", "What a lovely day, I love it!", "I love the new guitar!"),
    "exc": ("We won, this is great!", "Great, we are going to the garden!", "Wow, I got the letter!"),
    "sad": ("I miss her so much.", "He is gone and I feel alone.", "I lost my letter, I feel sad.",
            "I cried all night."),
    "ang": ("You broke my guitar again!", "Stop it, leave me alone!", "How dare you take my phone!",
            "I told you to stop, get out!"),
    "fru": ("Again you did not listen.", "I told you that yesterday.", "It never works, never."),
    "xxx": ("I do not know what to say.", "Is that what you said?"),
    "oth": ("Yuck, that smells awful.", "So it is the letter."),
}
_HIDING_SHARE = 0.10  # of voices, and of faces, that stay neutral
_DISSENT_SHARE = 0.25  # of annotators
_TRUTH_COLUMNS = ("turn", "speaker", "side", "start_seconds", "stop_seconds", "voice_emotion", "face_emotion")
_README = """Talking faces and voices made by a program from a seed: nobody said or felt any of this.
The photograph is of Eileen Collins, by NASA, public domain, as it ships with scikit-image.
Folders, names and files have the form of IEMOCAP; nothing else is of IEMOCAP, the annotators and their votes least of
all. truth.csv says at which side who speaks when, and what voice and face show; words.csv when each word is said.
sample.json lists the files.
"""


@dataclass(frozen=True)
class Turn:
    """An utterance as it will be acted.

    Args:
        stem: its name, ``"Ses01F_impro01_F000"``.
        speaker: ``"F"`` or ``"M"``.
        code: of its emotion, as annotators will have agreed.
        text: the words.
        manner: of the voice.
        voice_emotion, face_emotion: what voice and face show.
        start_seconds, stop_seconds: in the dialogue.
    """

    stem: str
    speaker: str
    code: str
    text: str
    manner: Manner
    voice_emotion: str
    face_emotion: str
    start_seconds: float
    stop_seconds: float


@dataclass(frozen=True)
class Dialogue:
    """A recording as it will be filmed.

    Args:
        session: 1 to 5.
        recording: its name; the letter after the session's number says who wears the markers and stands at the left.
        people: the actors by letter.
        turns: in the order of time.
        num_frames: length.
    """

    session: int
    recording: str
    people: Mapping[str, Speaker]
    turns: tuple[Turn, ...]
    num_frames: int

    @property
    def sides(self) -> str:
        """Letters of the actors from left to right."""
        return "FM" if self.recording[5] == "F" else "MF"


def write_dialogues(num_clips: int, seed: int) -> tuple[Dialogue, ...]:
    """Dialogues with so many utterances in all, an improvised and a scripted one in turn in each of five sessions.

    Args:
        num_clips: at least 10.
        seed: another seed, other people, words and voices.

    Raises:
        ValueError: fewer than 10 utterances.
    """
    if num_clips < 10:
        raise ValueError(f"IEMOCAP's form has at least 10 clips, two dialogues in each of five sessions, asked for"
                         f" {num_clips}")
    num_rounds = -(-num_clips // (10 * _MOST_TURNS))
    places = [(session, number) for number in range(2 * num_rounds) for session in range(1, 6)]
    sizes = [num_clips // len(places) + (place < num_clips % len(places)) for place in range(len(places))]
    return tuple(sorted((_write(session, number, size, seed) for (session, number), size in zip(places, sizes)),
                        key=lambda dialogue: dialogue.recording))


def plan(num_clips: int, seed: int) -> Plan:
    """See :func:`write_dialogues`."""
    dialogues = write_dialogues(num_clips, seed)
    shots = [Shot(f"Session{one.session}/dialog/avi/DivX/{one.recording}.avi", one.num_frames, partial(film, one),
                  partial(_write_sentences, one)) for one in dialogues]
    return Plan(tuple(shots), partial(_tables, dialogues, seed))


def film(dialogue: Dialogue, rng: np.random.Generator) -> Scene:
    """Say, act and film a dialogue: two actors side by side, of whom one speaks at a time."""
    from pipeline.rendering.portrait import portray
    from pipeline.rendering.scene import Scene
    from pipeline.rendering.talking_face import Camera, render_face

    waveform, words, said = _say(dialogue, rng)
    exposure = float(rng.uniform(.95, 1.05))
    halves, boxes = [], []
    for place, letter in enumerate(dialogue.sides):
        person, expression = dialogue.people[letter], _act(dialogue, letter, said, waveform, rng)
        centre = 226 + float(rng.uniform(-5, 5)), 108 + float(rng.uniform(-4, 4))
        camera = Camera(centre, float(rng.uniform(.78, .88)), *_PANEL, person.face_width, person.mirrored)
        halves.append(np.concatenate(list(render_face(portray(person, exposure=exposure), expression, camera))))
        left, top, right, bottom = camera.face_box()
        boxes.append((left + place * _PANEL[1], top, right + place * _PANEL[1], bottom))
    return Scene(np.concatenate(halves, axis=2), _RATE_HZ, waveform, words, expression.opening, boxes[0], boxes[1])


def _write(session: int, number: int, num_turns: int, seed: int) -> Dialogue:
    """One dialogue; the words and emotions of a script do not depend on the session, all else does."""
    is_scripted, part = number % 2 == 1, number // 2 + 1
    rng = np.random.default_rng([seed, 1, session, number])
    script = np.random.default_rng([seed, 2, part]) if is_scripted else rng
    marked = "FM"[(session + number) % 2]
    recording = f"Ses{session:02d}{marked}_{f'script{part:02d}_1' if is_scripted else f'impro{part:02d}'}"
    people_rng = np.random.default_rng([seed, 3, session])
    people = {letter: _person(of[session % len(of)], people_rng) for letter, of in (("F", _WOMEN), ("M", _MEN))}
    codes = list(np.resize(_SCRIPTED if is_scripted else _IMPROVISED, num_turns))
    if not is_scripted:
        rng.shuffle(codes)
    turns, counts, now = [], {"F": 0, "M": 0}, float(rng.uniform(.25, .45))
    for place, code in enumerate(map(str, codes)):
        letter = "FM"[place % 2]
        flat, still = rng.random(2) < _HIDING_SHARE
        acted = _ACTED[code]
        voice = "neutral" if flat else acted
        manner, text = choose_manner(voice, rng), str(script.choice(_TEXTS[code]))
        stop = now + sum(phone.seconds for phone in utter(text, rate=manner.rate, start_seconds=0)[0])
        turns.append(Turn(f"{recording}_{letter}{counts[letter]:03d}", letter, code, text, manner, voice,
                          "neutral" if still else acted, now, stop))
        counts[letter] += 1
        now = stop + float(rng.uniform(.25, .5))
    return Dialogue(session, recording, people, tuple(turns), int(np.ceil(now * _RATE_HZ)))


def _person(basis: Speaker, rng: np.random.Generator) -> Speaker:
    """One of six people, changed a little."""
    light = float(rng.uniform(.88, 1.08))
    skin, hair = ((red * light, green * light, blue * light) for red, green, blue in (basis.skin, basis.hair))
    return replace(basis, pitch_hz=basis.pitch_hz * float(np.exp(rng.normal(0, .06))), skin=skin, hair=hair,
                   tract=basis.tract * float(np.exp(rng.normal(0, .02))), mirrored=bool(rng.random() < .5))


def _say(dialogue: Dialogue, rng: np.random.Generator) -> tuple[np.ndarray, tuple[Word, ...], list[Sequence[Phone]]]:
    """The whole sound, when each word is said, and each turn's sounds."""
    waveform = np.zeros(round(dialogue.num_frames / _RATE_HZ * SAMPLE_RATE_HZ), np.float32)
    waveform += .0006 * rng.standard_normal(len(waveform)).astype(np.float32)
    words: list[Word] = []
    said: list[Sequence[Phone]] = []
    for turn in dialogue.turns:
        person = dialogue.people[turn.speaker]
        phones, timed = utter(turn.text, rate=turn.manner.rate, start_seconds=0)
        start = round(turn.start_seconds * SAMPLE_RATE_HZ)
        sound = speak(phones, round((turn.stop_seconds - turn.start_seconds) * SAMPLE_RATE_HZ), manner=turn.manner,
                      pitch_hz=person.pitch_hz, tract=person.tract, rng=rng)
        waveform[start:start + len(sound)] += sound
        words += [Word(word.text, word.start_seconds + turn.start_seconds, word.stop_seconds + turn.start_seconds)
                  for word in timed]
        said.append(phones)
    return np.clip(waveform, -1, 1), tuple(words), said


def _act(dialogue: Dialogue, letter: str, said: Sequence[Sequence[Phone]], waveform: np.ndarray,
         rng: np.random.Generator) -> Expression:
    """An actor's face: an emotion in each of the own turns, a trace of the other's in between."""
    rate, parts = float(_RATE_HZ), []
    edges = [0, *(round(turn.stop_seconds * rate) for turn in dialogue.turns[:-1]), dialogue.num_frames]
    for turn, phones, begin, end in zip(dialogue.turns, said, edges, edges[1:]):
        look, times = LOOKS[turn.face_emotion], (np.arange(begin, end) + .5) / rate
        if turn.speaker != letter:
            parts.append(act(listening(look), end - begin, rate, opening=None, rounding=None, rng=rng))
            continue
        wanted, rounding = opening_and_rounding(phones, (times - turn.start_seconds).tolist())
        inside = (times >= turn.start_seconds) & (times < turn.stop_seconds)
        opening = mouth_opening(loudness(waveform, times) * inside, np.asarray(wanted), rate)
        parts.append(act(look, end - begin, rate, opening=opening, rounding=np.asarray(rounding) * inside, rng=rng))
    curves = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names()}
    # A face does not jump from one turn's expression to the next; lips and lids are quick.
    return Expression(**{name: curve if name in ("opening", "rounding", "lids") else gaussian_filter1d(curve, 3)
                         for name, curve in curves.items()})


def _write_sentences(dialogue: Dialogue, scene: Scene, folder: Path) -> None:
    """The sound of each turn as a file of its own."""
    sounds = folder / f"Session{dialogue.session}" / "sentences" / "wav" / dialogue.recording
    sounds.mkdir(parents=True)
    for turn in dialogue.turns:
        start, stop = (round(seconds * SAMPLE_RATE_HZ) for seconds in (turn.start_seconds, turn.stop_seconds))
        write_wav(sounds / f"{turn.stem}.wav", scene.waveform[start:stop])


def _tables(dialogues: Sequence[Dialogue], seed: int, filmed: Sequence[Filmed]) -> Mapping[str, Table | str]:
    tables: dict[str, Table | str] = {}
    for number, one in enumerate(dialogues):
        rng = np.random.default_rng([seed, 4, number])
        folder = f"Session{one.session}/dialog"
        # In the release, one actor's turns stand before the other's.
        ordered = sorted(one.turns, key=lambda turn: (turn.speaker, turn.start_seconds))
        tables[f"{folder}/EmoEvaluation/{one.recording}.txt"] = (
            "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
            + "".join(line for turn in ordered for line in _evaluate(turn, rng)))
        tables[f"{folder}/transcriptions/{one.recording}.txt"] = "".join(
            f"{turn.stem} [{turn.start_seconds:08.4f}-{turn.stop_seconds:08.4f}]: {turn.text}\n" for turn in one.turns)
    tables["truth.csv"] = Table(_TRUTH_COLUMNS, [
        (turn.stem, turn.speaker, ("left", "right")[one.sides.index(turn.speaker)], f"{turn.start_seconds:.4f}",
         f"{turn.stop_seconds:.4f}", turn.voice_emotion, turn.face_emotion) for one in dialogues for turn in one.turns])
    tables["words.csv"] = words_table(("recording",), [((one.recording,), clip)
                                                       for one, clip in zip(dialogues, filmed)])
    return tables


def _evaluate(turn: Turn, rng: np.random.Generator) -> Iterator[str]:
    """The block of a turn: what made-up annotators voted, and what follows from it."""
    others = [code for code in _NAMED if code != turn.code]
    if turn.code == "xxx":
        votes = [str(code) for code in rng.choice(others, 3, replace=False)]
    else:
        votes = [turn.code, turn.code, str(rng.choice(others)) if rng.random() < _DISSENT_SHARE else turn.code]
        rng.shuffle(votes)
    own = turn.code if turn.code in _NAMED else str(rng.choice(others))
    ratings = np.clip(np.round(_RATED[turn.code] + rng.normal(0, .6, (2, 3))), 1, 5)
    means = ", ".join(f"{mean:.4f}" for mean in ratings.mean(axis=0))
    yield f"[{turn.start_seconds:.4f} - {turn.stop_seconds:.4f}]\t{turn.stem}\t{turn.code}\t[{means}]\n"
    for annotator, code in zip(("E1", "E2", "E4", f"{turn.speaker}1"), (*votes, own)):
        yield f"C-{annotator}:\t{_NAMED[code]};\t()\n"
    for annotator, (valence, activation, dominance) in zip(("E3", "E4"), ratings):
        yield f"A-{annotator}:\tval {valence:.0f}; act {activation:.0f}; dom  {dominance:.0f};\t()\n"
    yield "\n"


LAYOUT = Layout("iemocap", num_clips=60, plan=plan, readme=_README, top=("Session[1-5]",))
