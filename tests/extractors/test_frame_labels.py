"""Labels of frames become rows with times, a column for each task, without any media."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline import clip
from pipeline.errors import ClipError
from pipeline.extractors.frame_labels import FrameLabels
from pipeline.media import FeatureSequence, Media

TIMES = np.array([0.0, 0.04, 0.12])


def rows_of(labels: dict[str, np.ndarray], *tasks: str) -> FeatureSequence:
    known = clip.FrameLabels(TIMES, labels, 25.0)
    [found] = FrameLabels(FrameLabels.Config(tasks or ("speaking",))).extract([Media("a", frame_labels=known)])
    return found


def test_a_row_is_a_frame_and_a_column_a_task() -> None:
    labels = {"speaking": np.array([1, -1, 0]), "mood": np.array([4, 5, 6])}
    found = rows_of(labels, "mood", "speaking", "gaze")
    assert found.values.tolist() == [[4, 1, -1], [5, -1, -1], [6, 0, -1]] and found.values.dtype == np.float32
    np.testing.assert_allclose(found.times, [[0, 0.04], [0.04, 0.08], [0.12, 0.16]], atol=1e-6)


def test_a_clip_without_labels_has_no_rows() -> None:
    [found] = FrameLabels().extract([Media("a")])
    assert found.values.shape == (0, 1)


@pytest.mark.parametrize("wrong", [np.array([0.5, 0, 1]), np.array([0, np.nan, 1]), np.array([-2, 0, 1])])
def test_what_is_no_class_is_a_failure(wrong: np.ndarray) -> None:
    with pytest.raises(ClipError, match="has labels of frames that are no classes"):
        rows_of({"speaking": wrong})


def test_no_media_are_needed_and_the_columns_are_the_tasks() -> None:
    extractor = FrameLabels(FrameLabels.Config(("speaking", "mood")))
    assert not extractor.needs.media and extractor.needs.frame_labels and not extractor.trainable_input
    assert extractor.columns == ("speaking", "mood") and extractor.row_shape == (2,)


@pytest.mark.parametrize("tasks", [(), ("speaking", "speaking")])
def test_no_task_and_one_named_twice_are_refused(tasks: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="tasks are one or more, each once"):
        FrameLabels.Config(tasks)
