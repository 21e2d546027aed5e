"""How far people agree who judged the same utterances: the measure that a model's figures stand beside."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.clip import Task
from pipeline.datasets._emo_evaluation import DIMENSIONS, HIGHEST, LOWEST, Turn, Vote
from pipeline.metrics import score


@dataclass(frozen=True)
class Agreement:
    """How one annotator does against the majority of the others, who have not seen this one's vote.

    Args:
        num_votes: votes that could be compared.
        accuracy: share of them that name what the majority of the others named.
        recall: the same for each class of the majority; a class that never was one is absent.
    """

    num_votes: int
    accuracy: float
    recall: Mapping[str, float]

    @property
    def unweighted_average_recall(self) -> float:
        """Mean over the classes of the majority; NaN without votes."""
        return sum(self.recall.values()) / len(self.recall) if self.recall else float("nan")


def human_agreement(turns: Iterable[Turn], classes: Mapping[str, str]) -> Agreement:
    """Compare each annotator with the others, turn by turn.

    The actors' votes about themselves are left out. Of each annotator the emotion named first counts. The others need
    to be two at least and to have one class named more often than any other; where that is none of ``classes``, the
    vote is not compared, as a model is not asked about such turns either.

    Args:
        turns: with their votes; those whose agreed emotion is none of ``classes`` are left out.
        classes: class of a task by emotion, ``{"happy": "happy", "excited": "happy", …}``.
    """
    right: dict[str, int] = defaultdict(int)
    asked: dict[str, int] = defaultdict(int)
    for turn in turns:
        first = [classes.get(vote.emotions[0], vote.emotions[0]) for vote in outside(turn.votes)]
        if turn.emotion in classes and len(first) >= 3:
            for place, named in enumerate(first):
                majority = most_named(first[:place] + first[place + 1:])
                if majority in classes.values():
                    asked[majority] += 1
                    right[majority] += named == majority
    number = sum(asked.values())
    return Agreement(number, sum(right.values()) / number if number else float("nan"),
                     {name: right[name] / asked[name] for name in dict.fromkeys(classes.values()) if asked[name]})


@dataclass(frozen=True)
class RatingAgreement:
    """How one annotator's ratings fit the mean of the others', who have not seen them.

    Args:
        num_ratings: that could be compared.
        ccc: concordance correlation coefficient; NaN without ratings.
    """

    num_ratings: int
    ccc: float


def rating_agreement(turns: Iterable[Turn], dimension: str) -> RatingAgreement:
    """Compare each annotator's rating with the mean of the others', turn by turn.

    The actors' ratings of themselves are left out. One other is enough, as two people rate most utterances.

    Args:
        turns: with their ratings.
        dimension: one of ``DIMENSIONS``.
    """
    place, own, others = DIMENSIONS.index(dimension), [], []
    for turn in turns:
        values = [rating.values[place] for rating in turn.rated
                  if not rating.is_own and not math.isnan(rating.values[place])]
        if len(values) >= 2:
            own += values
            others += [(sum(values) - value) / (len(values) - 1) for value in values]
    if not own:
        return RatingAgreement(0, math.nan)
    task = Task(dimension, value_range=(LOWEST, HIGHEST))
    return RatingAgreement(len(own), score(task, np.array(others), np.array(own))["ccc"])


def agreement_notes(turns: Sequence[Turn], classes: Mapping[str, Mapping[str, str]]) -> list[str]:
    """What a user should know of how far people agree: a line for each task of classes and for each dimension.

    Args:
        turns: with their votes and ratings.
        classes: by task the class of each emotion.
    """
    notes = []
    for task, names in classes.items():
        people = human_agreement(turns, names)
        if people.num_votes:
            notes.append(f"{task}: one annotator names what the majority of the others named in"
                         f" {100 * people.accuracy:.1f} % of {people.num_votes:,} votes, unweighted average recall"
                         f" {100 * people.unweighted_average_recall:.1f} %")
    for dimension in DIMENSIONS:
        rated = rating_agreement(turns, dimension)
        if rated.num_ratings:
            notes.append(f"{dimension}: one annotator's ratings against the mean of the others' have a concordance"
                         f" (CCC) of {rated.ccc:.2f} over {rated.num_ratings:,} ratings")
    return notes


def vote_shares(turn: Turn, emotions: Sequence[str]) -> dict[str, float]:
    """Share of each emotion in the votes of a turn, adding up to 1; empty where nobody voted.

    The actors' votes about themselves are left out; who names several emotions gives each an equal part.
    """
    votes = outside(turn.votes)
    return {emotion: sum((emotion in vote.emotions) / len(vote.emotions) for vote in votes) / len(votes)
            for emotion in emotions} if votes else {}


def names_happiness(turn: Turn) -> bool:
    """Is happiness named oftener than any other emotion, all emotions of a vote counted, of the actor's own the first?

    By this rule a widely used list of IEMOCAP's labels, that of DialogueRNN (Majumder et al. 2019), seems to have made
    53 undecided turns happy: published code that rebuilds the list says so.
    """
    named = [emotion for vote in turn.votes for emotion in (vote.emotions[:1] if vote.is_own else vote.emotions)]
    return most_named(named) == "happy"


def outside(votes: Iterable[Vote]) -> list[Vote]:
    """The votes of others than the actors, without those that name nothing."""
    return [vote for vote in votes if vote.emotions and not vote.is_own]


def most_named(names: Sequence[str]) -> str:
    """What is named more often than anything else; "" where two lead, or none is named.

    >>> most_named(["sad", "angry", "sad"]), most_named(["sad", "angry"])
    ('sad', '')
    """
    (first, count), *rest = Counter(names).most_common(2) or [("", 0)]
    return first if not rest or rest[0][1] < count else ""
