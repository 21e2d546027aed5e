"""How far people agree who judged the same utterances: the measure that a model's figures stand beside."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.datasets._emo_evaluation import Turn, Vote


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
