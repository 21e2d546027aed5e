"""An utterance as a network reads it: its word pieces, with its speaker's name before it and its neighbours around it.

After EmoBERTa (Kim and Vossen 2021): the earlier utterances, a separator, the utterance, a separator, the later ones.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.media import Spoken

Speakers = Literal["none", "name", "upper"]


@dataclass(frozen=True)
class Pieces:
    """Ids of word pieces, and which of them are what is said.

    Args:
        ids: all, special tokens and neighbours included.
        said: places of the utterance's own pieces, half-open; neither its speaker's name nor special tokens.
    """

    ids: tuple[int, ...]
    said: tuple[int, int]


@dataclass(frozen=True)
class Frame:
    """Special tokens that a tokenizer puts around texts.

    Args:
        start, between, end: before one text, between two, after the last.
    """

    start: tuple[int, ...]
    between: tuple[int, ...]
    end: tuple[int, ...]

    @classmethod
    def of(cls, tokenizer: Any) -> Frame:
        """What a tokenizer puts around ``"a"`` and between ``"a"`` and ``"b"``: found by asking, as families differ."""
        one, other = (_ids(tokenizer, text) for text in ("a", "b"))
        single = list(tokenizer("a")["input_ids"])
        start = _place(single, one)
        pair = list(tokenizer("a", "b")["input_ids"])
        second = _place(pair, other, start + len(one))
        return cls(tuple(single[:start]), tuple(pair[start + len(one):second]), tuple(single[start + len(one):]))


def read_utterance(tokenizer: Any, frame: Frame, said: Spoken, *, before: Sequence[Spoken], after: Sequence[Spoken],
                   speakers: Speakers, most: int) -> Pieces:
    """Pieces of an utterance and of as many of its neighbours as there is room for.

    The utterance is cut where it alone is too long. Neighbours are taken whole, the nearest first and by turns from
    before and after, until one does not fit; none is taken past one that did not.

    Args:
        tokenizer: of transformers, or :class:`HashedWords`.
        frame: its special tokens.
        said: the utterance.
        before, after: its neighbours, in order.
        speakers: whether names stand before utterances: ``"Ross: …"``, or ``"ROSS: …"``.
        most: pieces in all.
    """
    bare = len(frame.start) + len(frame.end)
    name, words = _named(tokenizer, said, speakers)
    words = words[:max(0, most - bare)]
    name = name[:max(0, most - bare - len(words))]
    room = most - bare - len(name) - len(words)
    sides: tuple[list[int], list[int]] = [], []
    waiting = [list(reversed(before)), list(after)]
    while any(waiting):
        for side in (0, 1):
            if not waiting[side]:
                continue
            more = [piece for part in _named(tokenizer, waiting[side].pop(0), speakers) for piece in part]
            cost = len(more) + (0 if sides[side] else len(frame.between))
            if cost > room:
                waiting[side].clear()
                continue
            room -= cost
            if side == 0:
                sides[0][:0] = more
            else:
                sides[1].extend(more)
    head = [*frame.start, *sides[0], *(frame.between if sides[0] else ()), *name]
    tail = [*(frame.between if sides[1] else ()), *sides[1], *frame.end]
    return Pieces((*head, *words, *tail), (len(head), len(head) + len(words)))


def _named(tokenizer: Any, said: Spoken, speakers: Speakers) -> tuple[list[int], list[int]]:
    """Pieces of the speaker's name and of the words; the words are read as standing behind the name."""
    words = readable(said.text)
    if speakers == "none" or not said.speaker.strip():
        return [], _ids(tokenizer, words)
    speaker = readable(said.speaker).strip()
    name = f"{speaker.upper() if speakers == 'upper' else speaker}:"
    first = _ids(tokenizer, name)
    both = _ids(tokenizer, f"{name} {words}")
    return both[:len(first)], both[len(first):]


def readable(text: str) -> str:
    """The text without lone surrogates, at which tokenizers stop."""
    return text.encode("utf-8", "replace").decode()


def _ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _place(ids: list[int], part: list[int], start: int = 0) -> int:
    """Where one list stands in another; at its end where it does not, as with a vocabulary without letters."""
    return next((place for place in range(start, len(ids) - len(part) + 1) if ids[place:place + len(part)] == part),
                len(ids))


class HashedWords:
    """A tokenizer without a vocabulary: words and punctuation marks are hashed to ids.

    Args:
        vocab_size: ids lie below it; the first thousand are left to special tokens, as in BERT's own vocabulary.
    """

    pad_token_id, cls_token_id, sep_token_id, unk_token_id = 0, 101, 102, None
    all_special_ids = (0, 101, 102)

    def __init__(self, vocab_size: int) -> None:
        self._vocab_size = vocab_size

    def __call__(self, text: str, other: str | None = None, *, add_special_tokens: bool = True,
                 truncation: bool = False, max_length: int = 512) -> dict[str, list[int]]:
        """``{"input_ids": [101, …, 102]}``; ``[101, …, 102, …, 102]`` for two texts.

        >>> len(HashedWords(30522)("Oh, hi!")["input_ids"])
        6
        """
        ids = self._words(text)
        if not add_special_tokens:
            return {"input_ids": ids}
        if truncation:
            ids = ids[:max_length - 2]
        rest = [] if other is None else [*self._words(other), self.sep_token_id]
        return {"input_ids": [self.cls_token_id, *ids, self.sep_token_id, *rest]}

    def _words(self, text: str) -> list[int]:
        return [1000 + zlib.crc32(word.encode()) % (self._vocab_size - 1000)
                for word in re.findall(r"\w+|[^\w\s]", text.lower())]
