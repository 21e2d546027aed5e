"""Text to sounds: spelling rules that give vowels and consonants with durations, formants and mouth shapes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

_VOWEL_SECONDS = 0.115
_GLIDE_SECONDS = 0.075
_PAUSE_SECONDS = 0.14
_FINAL_LENGTHENING = 1.45
_SPEECH_SECONDS = (0.75, 2.45)


@dataclass(frozen=True)
class Phone:
    """One sound.

    Args:
        seconds: its length.
        formants_hz: the three lowest resonances of an average man's vocal tract.
        voicing: loudness of the voice's share, 0 to 1.
        noise: loudness of the hiss's share, 0 to 1.
        noise_hz: where the hiss is strongest.
        opening: how far the mouth opens for it, 0 to 1.
        rounding: how far the lips are drawn together, 0 to 1.
        is_vowel: does it carry a syllable?
    """

    seconds: float
    formants_hz: tuple[float, float, float]
    voicing: float = 1.0
    noise: float = 0.0
    noise_hz: float = 4000.0
    opening: float = 0.2
    rounding: float = 0.0
    is_vowel: bool = False


@dataclass(frozen=True)
class Word:
    """A word and when it is said, in seconds from the clip's start, half-open."""

    text: str
    start_seconds: float
    stop_seconds: float


def _vowel(formants: tuple[float, float, float], opening: float, rounding: float = 0.0,
           seconds: float = _VOWEL_SECONDS) -> Phone:
    return Phone(seconds, formants, opening=opening, rounding=rounding, is_vowel=True)


# Formants: Peterson and Barney, Control Methods Used in a Study of the Vowels, JASA 24 (1952), table II, men.
_EE, _I = _vowel((270, 2290, 3010), .40), _vowel((390, 1990, 2550), .50)
_E, _AE = _vowel((530, 1840, 2480), .65), _vowel((660, 1720, 2410), .90)
_AH, _AW = _vowel((730, 1090, 2440), 1.0), _vowel((570, 840, 2410), .80, .6)
_U, _OO = _vowel((440, 1020, 2240), .50, .6), _vowel((300, 870, 2240), .40, 1.0)
_UH, _ER = _vowel((640, 1190, 2390), .75), _vowel((490, 1350, 1690), .50, .4)
_SCHWA = _vowel((500, 1500, 2500), .45, seconds=.065)


def _glide(phone: Phone) -> Phone:
    return replace(phone, seconds=_GLIDE_SECONDS, is_vowel=False)


def _stop(noise_hz: float, formants: tuple[float, float, float], voicing: float, opening: float) -> tuple[Phone, ...]:
    closure = Phone(.045, formants, voicing=.12 * voicing, opening=opening)
    return closure, Phone(.025, formants, voicing=.4 * voicing, noise=.45, noise_hz=noise_hz, opening=.15)


def _hiss(noise_hz: float, loudness: float, voicing: float = 0.0, rounding: float = 0.0) -> tuple[Phone, ...]:
    return (Phone(.08, (300, 1600, 2500), voicing=voicing, noise=loudness, noise_hz=noise_hz, opening=.12,
                  rounding=rounding),)


def _murmur(formants: tuple[float, float, float], opening: float, voicing: float = .45) -> tuple[Phone, ...]:
    return (Phone(.065, formants, voicing=voicing, opening=opening),)


_EY, _OH, _EYE, _OW, _OY = ((_E, _glide(_EE)), (_AW, _glide(_U)), (_AH, _glide(_EE)), (_AH, _glide(_U)),
                            (_AW, _glide(_I)))
_LIPS, _RIDGE, _VELUM = (300., 900., 2200.), (300., 1700., 2600.), (300., 1900., 2300.)
_W, _Y = (replace(_OO, seconds=.06, is_vowel=False, voicing=.7),), (replace(_EE, seconds=.05, is_vowel=False),)
_K, _S, _SH = _stop(2200, _VELUM, 0, .15), _hiss(6000, .5), _hiss(3000, .5, rounding=.5)
_D, _T = _stop(4000, _RIDGE, 1, .1), _stop(4500, _RIDGE, 0, .1)
_N, _R = _murmur((280, 1700, 2600), .15), _murmur((350, 1100, 1600), .25, .7)

# Longest spelling first; rough English, enough for syllables to fall where the letters have them.
_SPELLINGS: dict[str, tuple[Phone, ...]] = {
    "tion": (*_SH, _SCHWA, *_N), "igh": _EYE, "ough": (_AW,), "augh": (_AW,), "ould": (_U, *_D),
    "are": (_E, _glide(_ER)), "ear": (_I, _glide(_ER)), "our": (_AW, _glide(_ER)),
    "th": _hiss(5500, .18, voicing=.3), "sh": _SH, "ch": (*_T[:1], *_SH), "ph": _hiss(5000, .2),
    "ng": _murmur((280, 2000, 2500), .2), "ck": _K, "qu": (*_K, *_W), "wh": _W, "kn": _N, "wr": _R,
    "oo": (_OO,), "ee": (_EE,), "ea": (_EE,), "ie": (_EE,), "ou": _OW, "ow": _OW, "oa": _OH, "ai": _EY, "ay": _EY,
    "ey": (_EE,), "oi": _OY, "oy": _OY, "au": (_AW,), "aw": (_AW,), "ar": (_AH, _glide(_ER)),
    "or": (_AW, _glide(_ER)), "er": (_ER,), "ir": (_ER,), "ur": (_ER,),
    "a": (_AE,), "e": (_E,), "i": (_I,), "o": (_AH,), "u": (_UH,), "y": (_I,),
    "b": _stop(800, _LIPS, 1, 0), "p": _stop(900, _LIPS, 0, 0), "d": _D, "t": _T, "g": _stop(2000, _VELUM, 1, .15),
    "k": _K, "c": _K, "q": _K, "f": _hiss(5500, .22), "v": _hiss(5000, .1, voicing=.45), "s": _S,
    "z": _hiss(5500, .25, voicing=.35), "x": (*_K, *_S), "h": _hiss(1500, .15),
    "j": (*_D[:1], *_hiss(2800, .3, voicing=.3)), "l": _murmur((360, 1300, 2700), .3, .75), "r": _R,
    "m": _murmur((250, 1000, 2200), 0), "n": _N, "w": _W}
_PATTERN = re.compile("|".join(sorted(_SPELLINGS, key=len, reverse=True)))


def pronounce(word: str) -> tuple[Phone, ...]:
    """The sounds of a word by rough English spelling rules; no letters, no sounds.

    >>> sum(phone.is_vowel for phone in pronounce("coffee"))
    2
    """
    letters = re.sub(r"[^a-z]", "", word.lower())
    letters = re.sub(r"([^aeiou])\1", r"\1", letters)
    if len(letters) > 2 and re.search(r"[aeiouy].*[^aeiouy]e$", letters):
        letters = letters[:-1]
    if letters.startswith("y"):
        return (*_Y, *_sounds(letters[1:]))
    return _sounds(letters)


def _sounds(letters: str) -> tuple[Phone, ...]:
    return tuple(phone for spelling in _PATTERN.findall(letters) for phone in _SPELLINGS[spelling])


def utter(text: str, *, rate: float, start_seconds: float) -> tuple[tuple[Phone, ...], tuple[Word, ...]]:
    """Lay a sentence out in time.

    Punctuation pauses; the last syllable is drawn out; the whole is squeezed or stretched into 0.75 to 2.45 s.

    Args:
        text: the sentence.
        rate: speed relative to calm speech.
        start_seconds: when the first sound begins; a silence of that length leads the phones.

    Returns:
        Phones that follow each other from 0 on, pauses included, and the words with their times.

    Raises:
        ValueError: the text has no letters.
    """
    spoken = [(token.strip(".,!?;:"), list(pronounce(token)), token[-1] in ".,!?;:") for token in text.split()]
    spoken = [(word, phones, pause) for word, phones, pause in spoken if phones]
    if not spoken:
        raise ValueError(f"nothing to say in {text!r}")
    last = spoken[-1][1]
    vowel = max((index for index, phone in enumerate(last) if phone.is_vowel), default=0)
    last[vowel] = replace(last[vowel], seconds=last[vowel].seconds * _FINAL_LENGTHENING)

    silence = Phone(_PAUSE_SECONDS, (500, 1500, 2500), voicing=0.0, opening=0.0)
    total = sum(phone.seconds for _, phones, _ in spoken for phone in phones)
    total += _PAUSE_SECONDS * sum(pause for _, _, pause in spoken[:-1])
    scale = min(max(total / rate, _SPEECH_SECONDS[0]), _SPEECH_SECONDS[1]) / total
    sequence, words, now = [replace(silence, seconds=start_seconds)], [], start_seconds
    for index, (word, phones, pause) in enumerate(spoken):
        timed = [replace(phone, seconds=phone.seconds * scale) for phone in phones]
        stop = now + sum(phone.seconds for phone in timed)
        words.append(Word(word, now, stop))
        sequence += timed
        now = stop
        if pause and index < len(spoken) - 1:
            sequence.append(replace(silence, seconds=_PAUSE_SECONDS * scale))
            now += _PAUSE_SECONDS * scale
    return tuple(sequence), tuple(words)


def opening_and_rounding(phones: Sequence[Phone], times_seconds: Sequence[float]) -> tuple[list[float], list[float]]:
    """Mouth shape asked for by the sound at each time; shut after the last.

    Args:
        phones: sounds that follow each other from 0 on.
        times_seconds: rising times.
    """
    openings, roundings, index, stop = [], [], -1, 0.0
    for time in times_seconds:
        while index < len(phones) and time >= stop:
            index += 1
            stop += phones[index].seconds if index < len(phones) else float("inf")
        inside = index < len(phones)
        openings.append(phones[index].opening if inside else 0.0)
        roundings.append(phones[index].rounding if inside else 0.0)
    return openings, roundings
