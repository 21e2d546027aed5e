"""Cutting work into chunks: complete, balanced, small enough to lose."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.clip import Clip
from pipeline.running.scheduling import BYTES_PER_SECOND, FIXED_SECONDS, MEDIA_CLIPS, Todo, cut, part_of, predicted_cost

CLIPS = [Clip(f"train/{number}", Path(f"{number}.mp4"), 0.0, 3.0) for number in range(100)]


def todos(costs: list[float], features: tuple[str, ...] = ("faces",)) -> list[Todo]:
    return [Todo(CLIPS[number], features, cost) for number, cost in enumerate(costs)]


def test_every_clip_is_in_one_chunk_with_those_that_lack_the_same() -> None:
    mixed = [Todo(clip, ("faces",) if number % 3 else ("text_bert",), 1.0) for number, clip in enumerate(CLIPS)]
    chunks = cut(mixed, media={"faces"}, jobs=2)
    assert sorted(todo.clip.clip_id for chunk in chunks for todo in chunk) == sorted(clip.clip_id for clip in CLIPS)
    assert all(len({todo.features for todo in chunk}) == 1 for chunk in chunks)
    assert max(len(chunk) for chunk in chunks if chunk[0].features == ("faces",)) <= MEDIA_CLIPS


def test_one_long_clip_begins_first_and_alone() -> None:
    chunks = cut(todos([1.0] * 50 + [300.0] + [1.0] * 49), media={"faces"}, jobs=2)
    assert [todo.cost for todo in chunks[0]] == [300.0]


@pytest.mark.parametrize("jobs", [1, 3, 16])
def test_no_worker_waits_long_for_the_others(jobs: int) -> None:
    chunks = cut(todos([1.0 + number % 7 for number in range(100)]), media={"faces"}, jobs=jobs)
    busy = [0.0] * jobs
    for chunk in chunks:
        busy[busy.index(min(busy))] += sum(todo.cost for todo in chunk)
    assert max(busy) <= 1.3 * sum(busy) / jobs


def test_a_few_clips_are_shared_among_the_workers() -> None:
    assert len(cut(todos([1.0] * 4), media={"faces"}, jobs=4)) == 4
    assert cut([], media=set(), jobs=2) == []


def test_the_parts_of_an_array_are_disjoint_complete_and_near_equal() -> None:
    parts = [part_of(CLIPS, (number, 7)) for number in range(1, 8)]
    assert set.union(*parts) == {clip.clip_id for clip in CLIPS} and sum(map(len, parts)) == 100
    assert {len(part) for part in parts} == {14, 15}


def test_the_cost_is_the_span_or_what_the_files_size_suggests(tmp_path: Path) -> None:
    assert predicted_cost(Clip("a", Path("gone.mp4"), 1.0, 3.5)) == FIXED_SECONDS + 2.5
    assert predicted_cost(Clip("a", Path("gone.mp4"))) == predicted_cost(Clip("a", text="words")) == FIXED_SECONDS
    (tmp_path / "a.mp4").write_bytes(bytes(2 * BYTES_PER_SECOND))
    assert predicted_cost(Clip("a", tmp_path / "a.mp4")) == FIXED_SECONDS + 2.0
    assert predicted_cost(Clip("a", tmp_path / "a.mp4", 9.0)) == FIXED_SECONDS
