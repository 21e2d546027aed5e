"""Clips, tasks and corpora check themselves and travel between processes."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pytest

from pipeline.clip import Clip, Corpus, Task


def test_a_task_is_a_classification_or_a_regression() -> None:
    emotion, valence = Task("emotion", ("sad", "joy")), Task("valence", value_range=(1.0, 5.0))
    assert (emotion.kind, emotion.num_outputs) == ("classification", 2)
    assert (valence.kind, valence.num_outputs) == ("regression", 1)


@pytest.mark.parametrize(("classes", "value_range", "message"), [
    ((), None, "task 'mood' needs either classes or a value range"),
    (("a",), (0.0, 1.0), "task 'mood' needs either classes or a value range"),
    (("a", "b", "a"), None, "task 'mood' names a class twice"),
])
def test_a_task_that_contradicts_itself_is_refused(classes: tuple[str, ...], value_range: tuple[float, float] | None,
                                                   message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Task("mood", classes, value_range)


@pytest.mark.parametrize("clip_id", ["", "train/a\nb", "train/\0", "train/a\x7f"])
def test_an_id_is_printable_text(clip_id: str) -> None:
    with pytest.raises(ValueError, match="a clip id is printable text that is not empty"):
        Clip(clip_id)


@pytest.mark.parametrize(("start", "stop"), [(-0.1, None), (2.0, 2.0), (2.0, 1.0), (float("nan"), None)])
def test_a_span_that_is_empty_or_starts_before_zero_is_refused(start: float, stop: float | None) -> None:
    with pytest.raises(ValueError, match="clip a: the span .* is empty or starts before 0"):
        Clip("a", start_seconds=start, stop_seconds=stop)


@pytest.mark.parametrize("view", [(0, 0, 0, 1), (0, .6, 1, .5), (-.1, 0, 1, 1), (0, 0, 1.1, 1), (np.nan, 0, 1, 1)])
def test_a_view_that_has_no_area_or_leaves_the_picture_is_refused(view: tuple[float, float, float, float]) -> None:
    with pytest.raises(ValueError, match="clip a: a view is left, top, right and bottom, rising from 0 to 1, found"):
        Clip("a", view=view)


def test_labels_are_the_clips_own_and_cannot_be_changed() -> None:
    labels: dict[str, str | float] = {"emotion": "joy"}
    clip = Clip("train/a", labels=labels)
    labels["emotion"] = "sad"
    assert clip.labels["emotion"] == "joy"
    with pytest.raises(TypeError, match="does not support item assignment"):
        clip.labels["emotion"] = "sad"  # type: ignore[index]
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign"):
        clip.text = "other"  # type: ignore[misc]


def test_a_clip_travels_to_another_process() -> None:
    clip = Clip("train/a", Path("a.mp4"), 0.5, 2.0, "Hi", "Ann", "d", 3, "train", "g", {"emotion": "joy", "v": 0.5},
                view=(0, 0, .5, 1))
    assert pickle.loads(pickle.dumps(clip)) == clip


def test_a_corpus_gives_its_tasks_by_name() -> None:
    corpus = Corpus("demo", tasks=(Task("emotion", ("a",)), Task("v", value_range=(0.0, 1.0))))
    assert corpus.task("v").kind == "regression" and corpus.redistribute == "no"
    with pytest.raises(KeyError, match="mood"):
        corpus.task("mood")
