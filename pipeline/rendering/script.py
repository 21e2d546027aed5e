"""What is said in the sample dataset: speakers, dialogues, emotions and sentences, all from one seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SPLITS = ("train", "dev", "test")

# Skewed as in MELD, where the train split has 47 % neutral and under 3 % fear and disgust, but milder: sixty clips must
# leave something to learn for the rare ones.
_SHARES = {"neutral": .29, "joy": .17, "surprise": .14, "anger": .14, "sadness": .10, "fear": .08, "disgust": .08}
_SENTIMENTS = {"neutral": "neutral", "joy": "positive", "sadness": "negative", "fear": "negative",
               "disgust": "negative", "anger": "negative"}
_DIALOGUE_LENGTHS = (3, 7)
_TWO_SHOT_SHARE = 0.35
_AMBIGUOUS_TEXT_SHARE = 0.12
_FLAT_VOICE_SHARE = 0.08
_STILL_FACE_SHARE = 0.08

_SENTENCES = {
    "neutral": ("The meeting is at {time}.", "I put the {thing} on the table.", "We can take the bus at {time}.",
                "My sister works near the {place}.", "The {place} opens at {time}.",
                "I will read the {thing} at {time}.",
                "They moved the {thing} to the {place}.", "You can leave the {thing} here."),
    "joy": ("This is a wonderful {thing}!", "I love the new {thing}!", "Great, we are so happy!",
            "I am so happy, thank you!", "What a lovely day, I love it!", "We won, this is great!",
            "Thank you, the {thing} is wonderful!", "I love this {place}, it is lovely!"),
    "sadness": ("I miss my old {thing}.", "I am so sorry, she is gone.", "I feel so alone tonight.",
                "We lost the {thing}, I am sorry.", "I cried all night.", "I miss her so much.",
                "He is gone and I feel alone.", "I lost my {thing}, I feel sad."),
    "anger": ("Stop it, leave me alone!", "You broke my {thing} again!", "I hate it when you lie!",
              "Get out of my {place}, now!", "How dare you take my {thing}!", "Stop yelling, you lie again!",
              "I told you to stop, get out!", "You ruined my {thing}, I hate you!"),
    "fear": ("Please help me, I am scared!", "Something is behind the door!", "I am afraid of the dark.",
             "Please hide, it is coming!", "Help, it is in the {place}!", "I am scared, please hide!",
             "Do not go in there, I am afraid!"),
    "disgust": ("Yuck, that smells awful.", "Ew, there is mold on the {thing}.", "That {thing} is gross.",
                "This soup tastes awful, yuck.", "Ew, that is disgusting.", "Your {place} smells gross.",
                "Yuck, the {thing} is disgusting."),
}
_SURPRISES = {
    "positive": ("Wow, you bought me a {thing}!", "Oh my God, you won the {thing}!", "Wow, really, for me?",
                 "No way, you are here, wow!", "Oh my God, what a {place}!"),
    "negative": ("What, you sold the {thing}?", "Oh my God, what happened to the {thing}?", "Wait, what, you left?",
                 "No way, you lost the {thing}?", "Really, they closed the {place}?"),
}
_AMBIGUOUS = ("I do not know what to say.", "You did that yesterday.", "Is that what you said?",
              "So it is the {thing}.", "Here we are again.", "I saw it at the {place}.")
_SLOTS = {"thing": ("phone", "letter", "table", "coffee", "jacket", "cake", "paper", "guitar"),
          "place": ("kitchen", "office", "garden", "station", "hotel"),
          "time": ("seven", "nine", "eleven", "noon")}


@dataclass(frozen=True)
class Speaker:
    """A person: how they sound and how the one photograph is changed to look like them.

    Args:
        name: as in the CSV.
        pitch_hz: median fundamental frequency.
        tract: formants relative to the average man's; above 1 is a shorter vocal tract.
        mirrored: is the photograph flipped?
        face_width: width of the head relative to the photograph's.
        skin: gain of red, green and blue over the whole picture.
        hair: gain of red, green and blue over the hair.
        brow_darkness: 0 keeps the photograph's pale brows, 1 draws black ones.
    """

    name: str
    pitch_hz: float
    tract: float
    mirrored: bool
    face_width: float
    skin: tuple[float, float, float]
    hair: tuple[float, float, float]
    brow_darkness: float


SPEAKERS = (
    Speaker("Ada", 205.0, 1.16, False, 1.00, (1.00, 1.00, 1.00), (1.00, 1.00, 1.00), .45),
    Speaker("Bruno", 122.0, 1.00, True, 1.07, (0.93, 0.84, 0.78), (0.42, 0.38, 0.36), .80),
    Speaker("Carla", 228.0, 1.18, True, 0.94, (1.04, 0.98, 0.93), (1.15, 0.80, 0.55), .50),
    Speaker("Deniz", 140.0, 1.05, False, 1.04, (0.80, 0.68, 0.60), (0.25, 0.24, 0.25), .85),
    Speaker("Edith", 185.0, 1.12, False, 0.95, (1.03, 1.02, 1.05), (1.25, 1.35, 1.60), .35),
    Speaker("Femi", 160.0, 1.08, True, 1.02, (0.68, 0.54, 0.45), (0.20, 0.18, 0.18), .90),
)


@dataclass(frozen=True)
class Line:
    """One utterance as it will be acted.

    Args:
        split, dialogue, utterance: its place; numbers start at 0 in every split, as MELD's do.
        speaker, partner: who says it, and to whom.
        emotion, sentiment: its labels.
        text: the words.
        voice_emotion, face_emotion: what voice and face show: the emotion, or neutral where they hide it.
        two_shot: is the partner in the picture too?
        speaker_on_left: which side of a two-shot speaks.
    """

    split: str
    dialogue: int
    utterance: int
    speaker: Speaker
    partner: Speaker
    emotion: str
    sentiment: str
    text: str
    voice_emotion: str
    face_emotion: str
    two_shot: bool
    speaker_on_left: bool

    @property
    def stem(self) -> str:
        return f"dia{self.dialogue}_utt{self.utterance}"


def write_script(num_clips: int, seed: int) -> tuple[Line, ...]:
    """All lines of the corpus, in the order of its CSVs.

    Train, dev and test get three, one and one fifth of the clips. From 21 clips on, every split has at least 7 and
    holds every emotion.

    Args:
        num_clips: lines to write, at least 3.
        seed: the same seed gives the same script.

    Raises:
        ValueError: fewer than 3 clips.
    """
    if num_clips < 3:
        raise ValueError(f"three splits need at least 3 clips, asked for {num_clips}")
    held_out = max(num_clips // 5, 7 if num_clips >= 21 else 1)
    sizes = (num_clips - 2 * held_out, held_out, held_out)
    lines: list[Line] = []
    for index, (split, size) in enumerate(zip(SPLITS, sizes)):
        lines.extend(_write_split(split, size, np.random.default_rng([seed, index])))
    return tuple(lines)


def emotion_counts(num_clips: int) -> dict[str, int]:
    """How often each emotion comes in a split of a size: one of each where it suffices, the rest by their shares.

    >>> emotion_counts(12)
    {'neutral': 3, 'joy': 2, 'surprise': 2, 'anger': 2, 'sadness': 1, 'fear': 1, 'disgust': 1}
    """
    counts = dict.fromkeys(_SHARES, int(num_clips >= len(_SHARES)))
    while sum(counts.values()) < num_clips:
        neediest = max(counts, key=lambda name: _SHARES[name] * num_clips - counts[name])
        counts[neediest] += 1
    return counts


def _write_split(split: str, size: int, rng: np.random.Generator) -> list[Line]:
    emotions = [name for name, count in emotion_counts(size).items() for _ in range(count)]
    rng.shuffle(emotions)
    lines: list[Line] = []
    dialogue = 0
    while emotions:
        length = int(rng.integers(*_DIALOGUE_LENGTHS))
        turns, emotions = emotions[:length], emotions[length:]
        first, second = rng.choice(len(SPEAKERS), size=2, replace=False)
        for utterance, emotion in enumerate(turns):
            pair = (first, second) if utterance % 2 == 0 else (second, first)
            lines.append(_write_line(rng, split, dialogue, utterance, (SPEAKERS[pair[0]], SPEAKERS[pair[1]]), emotion))
        dialogue += 1
    return lines


def _write_line(rng: np.random.Generator, split: str, dialogue: int, utterance: int, pair: tuple[Speaker, Speaker],
                emotion: str) -> Line:
    sentiment = _SENTIMENTS.get(emotion) or ("positive", "negative")[int(rng.integers(2))]
    pool: Sequence[str] = _SURPRISES[sentiment] if emotion == "surprise" else _SENTENCES[emotion]
    if rng.random() < _AMBIGUOUS_TEXT_SHARE:
        pool = _AMBIGUOUS
    template = pool[int(rng.integers(len(pool)))]
    text = template.format(**{slot: words[int(rng.integers(len(words)))] for slot, words in _SLOTS.items()})
    flat, still, two_shot = rng.random(3) < (_FLAT_VOICE_SHARE, _STILL_FACE_SHARE, _TWO_SHOT_SHARE)
    return Line(split, dialogue, utterance, *pair, emotion, sentiment, text,
                voice_emotion="neutral" if flat else emotion, face_emotion="neutral" if still else emotion,
                two_shot=bool(two_shot), speaker_on_left=utterance % 2 == 0)
