"""Utterances as word pieces: special tokens of each family, names, neighbours, and what is left out where room ends."""

from __future__ import annotations

import doctest
from collections.abc import Sequence

import pytest

from pipeline.media import Spoken
from pipeline.words import utterances
from pipeline.words.utterances import Frame, HashedWords, Pieces, Speakers, read_utterance

BERT = HashedWords(30_522)
SAID = Spoken("Ross", "one two three")


class Letters:
    """A tokenizer of RoBERTa's manner: a piece a letter, 0 before a text, 2 behind it and twice between two."""

    def __call__(self, text: str, other: str | None = None, *, add_special_tokens: bool = True,
                 **_options: object) -> dict[str, list[int]]:
        ids = [ord(letter) for letter in text]
        if not add_special_tokens:
            return {"input_ids": ids}
        return {"input_ids": [0, *ids, 2, *([2, *map(ord, other), 2] if other is not None else ())]}


def read(before: Sequence[Spoken] = (), after: Sequence[Spoken] = (), *, said: Spoken = SAID, most: int = 512,
         speakers: Speakers = "none", tokenizer: object = BERT) -> Pieces:
    return read_utterance(tokenizer, Frame.of(tokenizer), said, before=before, after=after, speakers=speakers,
                          most=most)


def words(text: str) -> list[int]:
    return list(BERT(text, add_special_tokens=False)["input_ids"])


def test_the_example_in_the_docstring_holds() -> None:
    assert doctest.testmod(utterances) == (0, 1)


def test_special_tokens_are_those_that_the_tokenizer_puts_there() -> None:
    assert Frame.of(BERT) == Frame((101,), (102,), (102,))
    assert Frame.of(Letters()) == Frame((0,), (2, 2), (2,))


def test_an_utterance_alone_stands_between_special_tokens() -> None:
    assert read() == Pieces((101, *words("one two three"), 102), (1, 4))


def test_neighbours_stand_around_it_in_order() -> None:
    pieces = read([Spoken("", "a"), Spoken("", "b c")], [Spoken("", "d"), Spoken("", "e")])
    assert list(pieces.ids) == [101, *words("a b c"), 102, *words("one two three"), 102, *words("d e"), 102]
    assert list(pieces.ids[slice(*pieces.said)]) == words("one two three")


@pytest.mark.parametrize(("speakers", "name"), [("name", "Ross: "), ("upper", "ROSS: ")])
def test_names_stand_before_what_is_said_and_are_no_part_of_it(speakers: Speakers, name: str) -> None:
    pieces = read([Spoken("Rachel", "a"), Spoken("", "b")], said=Spoken("Ross", "hi"), speakers=speakers,
                  tokenizer=Letters())
    rachel = "RACHEL: a" if speakers == "upper" else "Rachel: a"
    head = [0, *map(ord, rachel + "b"), 2, 2, *map(ord, name.strip())]
    assert list(pieces.ids) == [*head, *map(ord, " hi"), 2] and pieces.said == (len(head), len(head) + 3)


def test_far_neighbours_go_first_where_room_ends() -> None:
    before = [Spoken("", "far far far"), Spoken("", "near")]
    assert words("near")[0] in read(before, most=7).ids and words("far")[0] not in read(before, most=9).ids
    assert words("far")[0] in read(before, most=10).ids
    assert read(before, most=6) == read(most=6)


def test_none_is_taken_past_one_that_did_not_fit() -> None:
    pieces = read([Spoken("", "x"), Spoken("", "long " * 30)], [Spoken("", "y")], most=20)
    assert list(pieces.ids) == [101, *words("one two three"), 102, *words("y"), 102]


@pytest.mark.parametrize("most", [3, 4, 5])
def test_a_long_utterance_is_cut_and_keeps_its_special_tokens(most: int) -> None:
    pieces = read([Spoken("", "a")], said=Spoken("Ross", "one two three four five six"), most=most, speakers="name")
    assert len(pieces.ids) == most and (pieces.ids[0], pieces.ids[-1]) == (101, 102)
    assert list(pieces.ids[slice(*pieces.said)]) == words("one two three four five six")[:most - 2]


def test_broken_characters_are_no_obstacle() -> None:
    assert len(read([Spoken("\udcff", "\udcff")], said=Spoken("\udcff", "oh \udcff"), speakers="name").ids) > 3


def test_hashed_words_are_words_and_marks_between_special_ids() -> None:
    ids = BERT("Oh, hi! oh")["input_ids"]
    assert ids[0] == 101 and ids[-1] == 102 and len(ids) == 7
    assert ids[1] == ids[5] and len(set(ids[1:5])) == 4 and all(1000 <= number < 30_522 for number in ids[1:-1])
    assert len(BERT("a " * 100, truncation=True, max_length=10)["input_ids"]) == 10
    assert BERT("")["input_ids"] == [101, 102] and BERT("a", "b")["input_ids"][2::2] == [102, 102]
