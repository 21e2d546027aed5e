"""What was said before and after each clip in its conversation, for extractors that ask for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pipeline.clip import Clip
from pipeline.media import Spoken
from pipeline.recipes import PlannedFeature


def with_neighbours(clips: Sequence[Clip], features: Sequence[PlannedFeature]) -> tuple[Clip, ...]:
    """The clips with as many of their neighbours' words as the most demanding feature asks for.

    Neighbours are of the same dialogue and split, by turn; clips of equal turn follow each other as they are listed. A
    neighbour without words is none. A clip without a dialogue has no neighbours.

    Args:
        clips: all of the corpus, so that a part of them has the same neighbours as the whole.
        features: to be made.
    """
    before, after = (max((feature.needs.context[side] for feature in features), default=0) for side in (0, 1))
    if not before and not after:
        return tuple(clips)
    by_dialogue: dict[tuple[str, str], list[int]] = {}
    for place, clip in enumerate(clips):
        if clip.dialogue:
            by_dialogue.setdefault((clip.split, clip.dialogue), []).append(place)
    found = list(clips)
    for places in by_dialogue.values():
        places.sort(key=lambda place: clips[place].turn)
        said = [Spoken(clips[place].speaker, clips[place].text) for place in places]
        for number, place in enumerate(places):
            earlier = [one for one in said[:number] if one.text.strip()]
            later = [one for one in said[number + 1:] if one.text.strip()]
            found[place] = replace(clips[place], before=tuple(earlier[max(0, len(earlier) - before):]),
                                   after=tuple(later[:after]))
    return tuple(found)


def context_of(clip: Clip, feature: PlannedFeature) -> tuple[tuple[Spoken, ...], tuple[Spoken, ...]]:
    """As many of a clip's neighbours as a feature asks for, those before and those after; without names unless it
    asks for the speaker."""
    before, after = feature.needs.context
    sides = clip.before[max(0, len(clip.before) - before):], clip.after[:after]
    if feature.needs.speaker:
        return sides
    earlier, later = (tuple(Spoken("", one.text) for one in side) for side in sides)
    return earlier, later
