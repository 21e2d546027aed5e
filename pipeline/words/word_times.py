"""When each word of a text is said: by what a network hears, or guessed from the words' lengths."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.media import SAMPLE_RATE_HZ

_LETTER = re.compile(r"\w")
_LOUD = 10 ** (-35 / 20)  # of a clip's loudest 25 ms: what is quieter is taken for silence
_FRAME = SAMPLE_RATE_HZ // 40


def words_of(text: str) -> tuple[str, ...]:
    """The words of a text: what stands between spaces and has a letter or digit.

    >>> words_of("Oh — I don't know!")
    ('Oh', 'I', "don't", 'know!')
    """
    return tuple(word for word in text.split() if _LETTER.search(word))


def speech_span(waveform: np.ndarray) -> tuple[float, float]:
    """From the first to the last loud moment of a clip, in seconds; the whole clip where it is all alike.

    Args:
        waveform: mono at ``SAMPLE_RATE_HZ``, float32 (S,).
    """
    whole = len(waveform) // _FRAME
    if not whole:
        return 0.0, len(waveform) / SAMPLE_RATE_HZ
    loudness = np.sqrt(np.square(waveform[:whole * _FRAME].reshape(whole, _FRAME).astype(np.float64)).mean(1))
    loud = np.flatnonzero(loudness > loudness.max() * _LOUD)
    if not len(loud):
        return 0.0, len(waveform) / SAMPLE_RATE_HZ
    return loud[0] * _FRAME / SAMPLE_RATE_HZ, (loud[-1] + 1) * _FRAME / SAMPLE_RATE_HZ


def proportional(words: Sequence[str], start_seconds: float, stop_seconds: float) -> np.ndarray:
    """A stretch dealt out to words by their number of letters: a guess.

    Returns:
        Start and stop of each word in seconds, float32 (N, 2).

    >>> proportional(["a", "bcd"], 1.0, 3.0).tolist()
    [[1.0, 1.5], [1.5, 3.0]]
    """
    lengths = np.array([len(_LETTER.findall(word)) for word in words], np.float64)
    edges = start_seconds + (stop_seconds - start_seconds) * np.concatenate([[0], np.cumsum(lengths)]) / max(
        lengths.sum(), 1)
    return np.stack([edges[:-1], edges[1:]], 1).astype(np.float32)


def forced(emission: np.ndarray, words: Sequence[str], vocabulary: Mapping[str, int], *, blank: int,
           between: int | None = None) -> tuple[np.ndarray, np.ndarray] | None:
    """The most likely course of known words through what a CTC network hears (Graves et al. 2006), by torchaudio.

    Letters that the network does not know are passed over. A word of which it knows none gets what lies between its
    neighbours.

    Args:
        emission: logarithms of the probability of each symbol at each frame, float32 (T, C).
        words: in the order in which they are said.
        vocabulary: number of each letter; whether they are capitals is found out.
        blank: number of the symbol that says nothing.
        between: number of the symbol between words, where the network has one.

    Returns:
        First and last-but-one frame of each word, int64 (N, 2), half-open, and the mean probability of its letters,
        float32 (N,), 0 for a word of unknown letters. None where no letter is known or there are fewer frames than the
        letters need.
    """
    import torch
    import torchaudio
    letters = [[vocabulary[letter] for letter in _cased(word, vocabulary) if letter in vocabulary
                and vocabulary[letter] != blank] for word in words]
    targets, owners = _targets(letters, between)
    needed = len(targets) + sum(one == other for one, other in zip(targets, targets[1:]))
    if not targets or needed > len(emission):
        return None
    path, scores = torchaudio.functional.forced_align(
        torch.from_numpy(np.ascontiguousarray(emission))[None], torch.tensor([targets]), blank=blank)
    found = torchaudio.functional.merge_tokens(path[0], scores[0].exp(), blank=blank)
    spans = np.zeros((len(words), 2), np.int64)
    certainty = np.zeros(len(words), np.float32)
    for number, word in enumerate(letters):
        of_word = [one for one, owner in zip(found, owners, strict=True) if owner == number]
        if word:
            spans[number] = of_word[0].start, of_word[-1].end
            certainty[number] = np.mean([one.score for one in of_word])
    return _fill(spans, np.array([bool(word) for word in letters]), len(emission)), certainty


def _targets(letters: Sequence[Sequence[int]], between: int | None) -> tuple[list[int], list[int]]:
    """Symbols in order, and the word that each belongs to; −1 for what stands between words."""
    targets: list[int] = []
    owners: list[int] = []
    for number, word in enumerate(letters):
        if word and targets and between is not None:
            targets.append(between)
            owners.append(-1)
        targets += word
        owners += [number] * len(word)
    return targets, owners


def _cased(word: str, vocabulary: Mapping[str, int]) -> str:
    """A word in the network's letters."""
    has_capitals = any(letter.isupper() for letter in vocabulary if len(letter) == 1)
    return (word.upper() if has_capitals else word.lower()).replace("’", "'")


def _fill(spans: np.ndarray, known: np.ndarray, num_frames: int) -> np.ndarray:
    """Give words that were not heard, in equal parts, what lies between those that were."""
    place = 0
    while place < len(spans):
        if known[place]:
            place += 1
            continue
        stop = place
        while stop < len(spans) and not known[stop]:
            stop += 1
        left = spans[place - 1, 1] if place else 0
        right = spans[stop, 0] if stop < len(spans) else num_frames
        edges = np.linspace(left, max(left, right), stop - place + 1).round().astype(np.int64)
        spans[place:stop] = np.stack([edges[:-1], edges[1:]], 1)
        place = stop
    return spans
