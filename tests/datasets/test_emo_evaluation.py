"""IEMOCAP's label files: every irregularity of their form, in both encodings; and how far annotators agree."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from pipeline.datasets._agreement import (agreement_notes, human_agreement, most_named, names_happiness,
                                          rating_agreement, vote_shares)
from pipeline.datasets._emo_evaluation import (EMOTIONS, Turn, TurnName, Vote, parse_turn_name, read_evaluation,
                                               read_words)
from pipeline.errors import DatasetError

HEADER = "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
VOTES = "C-E1:\tAnger;\t()\nC-E2:\tAnger; Frustration;\t(really)\nC-E4:\tNeutral state;\t()\nC-F1:\tSadness;\t()\n"
RATINGS = "A-E3:\tval 2; act 4; dom  4;\t()\nA-F1:\tval ; act ; dom  ;\t(n\xe3o)\n"


def head(number: int, emotion: str = "ang", ratings: str = "[1.5000, 4.0000, 4.5000]", *, start: float = 1.0,
         stop: float = 2.5, stem: str = "Ses01F_impro05_F") -> str:
    return f"[{start:.4f} - {stop:.4f}]\t{stem}{number:03d}\t{emotion}\t{ratings}\n"


def write(folder: Path, text: str, *, encoding: str = "utf-8", name: str = "Ses01F_impro05.txt") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_turn_comes_with_times_emotion_ratings_and_votes(tmp_path: Path, encoding: str, end: str) -> None:
    text = (HEADER + head(19) + VOTES + RATINGS + "\n" + head(2, "xxx", start=.5) + "C-E1:\tOther;\t(caf\xe9)\n")
    first, second = read_evaluation(write(tmp_path, text.replace("\n", end), encoding=encoding))
    assert (first.stem, first.start_seconds, first.stop_seconds) == ("Ses01F_impro05_F019", 1.0, 2.5)
    assert (first.emotion, first.ratings, first.line) == ("angry", (1.5, 4.0, 4.5), 3)
    assert first.votes == (Vote("E1", ("angry",)), Vote("E2", ("angry", "frustrated")), Vote("E4", ("neutral",)),
                           Vote("F1", ("sad",)))
    assert [vote.is_own for vote in first.votes] == [False, False, False, True]
    assert (second.emotion, second.votes) == ("", (Vote("E1", ("other",)),)), "file order, not that of time"


@pytest.mark.parametrize("code", EMOTIONS)
def test_every_code_has_its_emotion(tmp_path: Path, code: str) -> None:
    assert read_evaluation(write(tmp_path, head(0, code)))[0].emotion == EMOTIONS[code]


@pytest.mark.parametrize("ratings, missing", [
    ("[2.5000, , 3.0000]", [False, True, False]), ("[nan, 2.0, NaN]", [True, False, True]), ("[, , ]", [True] * 3),
    ("[]", [True] * 3), ("", [True] * 3), ("[-, 1, 2]", [True, False, False])])
def test_missing_ratings_are_missing(tmp_path: Path, ratings: str, missing: list[bool]) -> None:
    found = read_evaluation(write(tmp_path, head(0, ratings=ratings)))[0].ratings
    assert [math.isnan(rating) for rating in found] == missing


def test_ratings_may_be_absent_with_their_tab(tmp_path: Path) -> None:
    line = head(0).rsplit("\t", 1)[0] + "\n"
    assert math.isnan(read_evaluation(write(tmp_path, line))[0].ratings[0])


def test_a_file_without_turns_is_empty_and_a_vote_may_name_nothing(tmp_path: Path) -> None:
    assert read_evaluation(write(tmp_path, HEADER)) == []
    turn, = read_evaluation(write(tmp_path, head(0) + "C-E1:\t;\t()\nC-E2:\n"))
    assert turn.votes == (Vote("E1", ()), Vote("E2", ()))


@pytest.mark.parametrize("text, words", [
    (head(0) + head(1) + head(0), r"line 3: Ses01F_impro05_F000 is there already, in line 1; expected each turn once"),
    (head(0, start=3.0), r"line 1: Ses01F_impro05_F000 has the times '\[3.0000 - 2.5000\]'; expected \[start - end\]"),
    (head(0, stop=1.0), "expected .start - end. in seconds, the end behind the start"),
    (head(0).replace("1.0000", "soon"), "line 1: .* has the times .*soon"),
    (head(0).replace("1.0000", "-1.0000"), "has the times"),
    (head(0, "joy"), "line 1: .* has the emotion 'joy'; expected one of neu, hap,.* or xxx"),
    (head(0, ratings="[1, 2]"), "has the ratings '.1, 2.'; expected .valence, activation, dominance."),
    (head(0, ratings="[1, two, 3]"), "has the ratings"), (head(0, ratings="[1, inf, 3]"), "has the ratings"),
    (head(0, stem="Ses01F_impro06_F"), "Ses01F_impro06_F000 is no turn of Ses01F_impro05, which the file is named"),
    (head(0, stem="Ses01F_impro05_X"), "'Ses01F_impro05_X000' is no turn; expected a name as Ses01F_impro01_F000"),
    (head(0, stem="Ses09F_impro05_F"), "is no turn; .* of session 01 to 05"),
    (head(0).replace("\t", " "), "line 1: 1 fields; expected four parted by tabs"),
    (HEADER + VOTES, "line 3: a vote before the first turn; expected the turn's line above it"),
    (head(0) + "C-E1:\tBliss;\t()\n", "line 2: a vote for 'Bliss'; expected one of anger, disgust"),
    (head(0) + "C-Q1 Anger\n", "line 2: 'C-Q1 Anger'; expected a vote as C-E2:, its emotions"),
    (head(0) + "something else\n", "line 2: 'something else'; expected a turn .* a vote .* or ratings"),
    (head(0) + "\0", "line 2: a NUL character; expected text: copy the file again")])
def test_what_says_nothing_is_an_error_with_file_and_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(DatasetError, match=f"Ses01F_impro05.txt, .*{words}"):
        read_evaluation(write(tmp_path, text))


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be read: No such file"):
        read_evaluation(tmp_path / "Ses01F_impro05.txt")
    with pytest.raises(DatasetError, match="cannot be read: No such file"):
        read_words(tmp_path / "Ses01F_impro05.txt")


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_words_come_by_turn_and_other_lines_are_passed_over(tmp_path: Path, encoding: str) -> None:
    text = ("Ses01F_impro05_F000 [006.2901-008.2357]: Excuse me: caf\xe9?\r\nM: [LAUGHTER]\r\n\r\n"
            "Ses01F_impro05_MXX0 [009.0-009.5]: [BREATHING]\r\nSes01F_impro05_M000 [010.0100-011.3925]:\r\n")
    assert read_words(write(tmp_path, text, encoding=encoding)) == {
        "Ses01F_impro05_F000": "Excuse me: caf\xe9?", "Ses01F_impro05_MXX0": "[BREATHING]", "Ses01F_impro05_M000": ""}
    with pytest.raises(DatasetError, match="line 6: Ses01F_impro05_M000 is there already with other words"):
        read_words(write(tmp_path, text + "Ses01F_impro05_M000 [010.0100-011.3925]: Yes.\n"))


@pytest.mark.parametrize("stem, expected", [
    ("Ses05M_script01_1b_F003", TurnName("Ses05M_script01_1b", 5, "M", True, "F", 3)),
    ("Ses03M_impro05a_M010", TurnName("Ses03M_impro05a", 3, "M", False, "M", 10))])
def test_names_of_parts_of_recordings_are_read(stem: str, expected: TurnName) -> None:
    assert parse_turn_name(stem) == expected


@pytest.mark.parametrize("stem", ["../../x_F000", "Ses01F_impro01_F000/../x", "Ses01F_impro01_F\u0660\u0661\u0662", ""])
def test_names_that_lead_elsewhere_are_refused(stem: str) -> None:
    with pytest.raises(ValueError, match="is no turn"):
        parse_turn_name(stem)


def turns_of(folder: Path, *voted: tuple[str, list[str]]) -> Path:
    return write(folder, "".join(head(number, emotion) + "".join(
        f"C-{'F1' if vote.startswith('own ') else f'E{place}'}:\t{vote.removeprefix('own ')};\t()\n"
        for place, vote in enumerate(votes)) for number, (emotion, votes) in enumerate(voted)))


def test_agreement_is_of_one_with_the_majority_of_the_others(tmp_path: Path) -> None:
    turns = read_evaluation(turns_of(
        tmp_path, ("ang", ["Anger", "Anger", "Sadness", "own Sadness"]),    # only Sadness has others who agree: wrong
        ("hap", ["Happiness", "Excited", "Happiness"]),                     # all three right where the two are one
        ("sad", ["Sadness", "Sadness"]),                                    # too few others
        ("fru", ["Frustration"] * 3), ("xxx", ["Anger", "Anger", "Anger"])))
    four = {"angry": "angry", "sad": "sad", "happy": "happy", "excited": "happy"}
    found = human_agreement(turns, four)
    assert (found.num_votes, found.accuracy, found.recall) == (4, .75, {"angry": 0.0, "happy": 1.0})
    assert found.unweighted_average_recall == .5
    apart = human_agreement(turns, {name: name for name in EMOTIONS.values()})
    assert (apart.num_votes, apart.recall) == (5, {"happy": 0.0, "angry": 0.0, "frustrated": 1.0})
    assert math.isnan(human_agreement([], four).unweighted_average_recall)


def test_shares_of_votes_are_of_others_than_the_actor_and_add_up_to_one(tmp_path: Path) -> None:
    turn, bare = read_evaluation(turns_of(
        tmp_path, ("ang", ["Anger", "Anger; Frustration", "Neutral", "own Sadness"]), ("ang", ["own Sadness"])))
    shares = vote_shares(turn, tuple(EMOTIONS.values()))
    assert {name: share for name, share in shares.items() if share} == pytest.approx(
        {"angry": .5, "frustrated": 1 / 6, "neutral": 1 / 3})
    assert sum(shares.values()) == pytest.approx(1) and vote_shares(bare, ("angry",)) == {}


@pytest.mark.parametrize("votes, expected", [
    (["Happiness; Excited", "Happiness", "Excited; Neutral", "own Neutral; Excited"], False),
    (["Happiness; Excited", "Happiness", "Neutral", "own Neutral; Happiness"], False),
    (["Happiness; Excited", "Happiness", "Neutral", "own Happiness"], True), ([], False)])
def test_happiness_is_named_most_or_not(tmp_path: Path, votes: list[str], expected: bool) -> None:
    assert names_happiness(read_evaluation(turns_of(tmp_path, ("xxx", votes)))[0]) == expected
    assert most_named([]) == ""


def rated(folder: Path, *ratings: list[str]) -> list[Turn]:
    """Turns whose annotators E0, E1, … gave these ratings, each ``val act dom`` as typed."""
    return read_evaluation(write(folder, "".join(head(number) + "".join(
        f"A-{who if who in ('F1', 'M1') else f'E{place}'}:\tval {values[0]}; act {values[1]}; dom  {values[2]};\t()\n"
        for place, (who, values) in enumerate((text.partition(":")[0], text.partition(":")[2].split(","))
                                              for text in texts))
        for number, texts in enumerate(ratings))))


def test_ratings_are_read_with_what_is_missing(tmp_path: Path) -> None:
    first, second = rated(tmp_path, ["E:2,4.5,", "F1:1,1,1"], ["E:,x,3"])
    assert [(rating.annotator, rating.is_own) for rating in first.rated] == [("E0", False), ("F1", True)]
    assert first.rated[0].values[:2] == (2.0, 4.5) and math.isnan(first.rated[0].values[2])
    assert second.rated[0].values[2] == 3.0 and all(map(math.isnan, second.rated[0].values[:2]))


def test_a_line_of_ratings_that_names_nobody_rates_nothing(tmp_path: Path) -> None:
    turn, = read_evaluation(write(tmp_path, head(0) + "A-: val 3; act 2; dom 1;\nA-Q1:\nA-E1:\n"))
    assert [rating.annotator for rating in turn.rated] == ["E1"] and all(map(math.isnan, turn.rated[0].values))


def test_agreement_of_ratings_is_of_one_with_the_mean_of_the_others(tmp_path: Path) -> None:
    turns = rated(tmp_path, ["E:1,2,3", "E:1,2,2", "F1:5,5,5"],     # the actor's own does not count
                  ["E:3,2,4", "E:3,3,4"], ["E:5,1,"], ["E:5,1,1", "E:5,1,4"])
    assert rating_agreement(turns, "valence").ccc == pytest.approx(1.0)
    assert rating_agreement(turns, "valence").num_ratings == 6, "one alone has nobody to agree with"
    one, other = np.array([3, 2, 4, 4, 1, 4.0]), np.array([2, 3, 4, 4, 4, 1.0])
    expected = 2 * np.cov(one, other, bias=True)[0, 1] / (one.var() + other.var() + (one.mean() - other.mean()) ** 2)
    assert rating_agreement(turns, "dominance").ccc == pytest.approx(expected)
    three = rated(tmp_path, ["E:1,1,1", "E:2,2,2", "E:3,3,3"], ["E:5,5,5", "E:4,4,4", "E:3,3,3"])
    one, other = np.array([1, 2, 3, 5, 4, 3.0]), np.array([2.5, 2, 1.5, 3.5, 4, 4.5])
    expected = 2 * np.cov(one, other, bias=True)[0, 1] / (one.var() + other.var() + (one.mean() - other.mean()) ** 2)
    assert rating_agreement(three, "arousal").ccc == pytest.approx(expected)
    assert rating_agreement([], "arousal").num_ratings == 0 and math.isnan(rating_agreement([], "arousal").ccc)


def test_notes_say_how_far_people_agree_and_nothing_where_nobody_can(tmp_path: Path) -> None:
    assert agreement_notes(rated(tmp_path, ["E:1,2,3"]), {}) == []
    notes = agreement_notes(rated(tmp_path, ["E:1,2,", "E:1,2,3"], ["E:3,2,1", "E:3,3,"]), {})
    assert [note.partition(":")[0] for note in notes] == ["valence", "arousal"]
    assert notes[0] == ("valence: one annotator's ratings against the mean of the others' have a concordance (CCC) of"
                        " 1.00 over 4 ratings")
