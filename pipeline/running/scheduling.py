"""Which clips go to one worker together, so that all stay busy to the end and the death of one costs little."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.clip import Clip

MEDIA_CLIPS, TEXT_CLIPS = 8, 512  # most clips in one shard: what a kill can lose
# A clip that is a whole file of unknown length is taken to be as long as its size says at a usual rate, 1 Mbit/s; the
# figure serves to balance work only.
BYTES_PER_SECOND = 125_000
FIXED_SECONDS = 0.5  # what every clip costs beside its length: a process to decode it, rows to write


@dataclass(frozen=True)
class Todo:
    """A clip and what is to be computed of it.

    Args:
        clip: the clip.
        features: names of the features that it lacks.
        cost: predicted work, in seconds of media.
    """

    clip: Clip
    features: tuple[str, ...]
    cost: float


def predicted_cost(clip: Clip) -> float:
    """Work that a clip will be, in seconds of media: its span, or what the size of its file suggests."""
    if clip.stop_seconds is not None:
        return FIXED_SECONDS + clip.stop_seconds - clip.start_seconds
    try:
        size = clip.source.stat().st_size if clip.source is not None else 0
    except (OSError, ValueError):
        return FIXED_SECONDS
    return FIXED_SECONDS + max(0.0, size / BYTES_PER_SECOND - clip.start_seconds)


def part_of(clips: Sequence[Clip], part: tuple[int, int]) -> set[str]:
    """Ids of the clips of one job of an array of jobs: every N-th, so that long and short ones spread evenly.

    The part hangs on the dataset's order alone, and so stays the same when a job is run again.

    Args:
        clips: all clips of the dataset.
        part: which part (from 1) of how many.
    """
    number, count = part
    return {clip.clip_id for clip in clips[number - 1::count]}


def cut(todos: Sequence[Todo], *, media: set[str], jobs: int) -> list[list[Todo]]:
    """Cut work into chunks of clips that lack the same features, the costliest chunks first.

    Args:
        todos: in the dataset's order.
        media: names of the features that need a clip's file.
        jobs: workers that share the work.

    Returns:
        Chunks; none but a single long clip costs more than a small share of one worker's work.
    """
    groups: dict[tuple[str, ...], list[Todo]] = defaultdict(list)
    for todo in todos:
        groups[todo.features].append(todo)
    chunks: list[list[Todo]] = []
    for features, group in groups.items():
        most = MEDIA_CLIPS if media & set(features) else TEXT_CLIPS
        fair = sum(todo.cost for todo in group) / (4 * jobs)
        chunk: list[Todo] = []
        for todo in group:
            if chunk and (len(chunk) == most or sum(one.cost for one in chunk) + todo.cost > fair):
                chunks.append(chunk)
                chunk = []
            chunk.append(todo)
        chunks.append(chunk)
    return sorted(chunks, key=lambda chunk: -sum(todo.cost for todo in chunk))
