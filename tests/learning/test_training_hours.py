"""Fewer hours to learn from: whole groups in a random order, always the same ones by seed, fewer among more."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.frame_stores import make_frame_store
from tests.training_stores import make_store

from pipeline.errors import TrainingError, UsageError
from pipeline.joined import open_stores
from pipeline.learning.jobs import prepare
from pipeline.learning.train_config import TrainConfig
from pipeline.learning.training_hours import clip_seconds, within_hours
from pipeline.learning.units import clip_units
from pipeline.runs import model_class
from pipeline.training import settings_for

GROUPS = np.array(["a", "a", "b", "b", "c", "c", "", ""])
SECONDS = np.full(8, 1800.0)


def test_clips_last_so_long_at_most_and_groups_stay_together() -> None:
    clips = np.arange(8)
    chosen = [within_hours(clips, SECONDS, GROUPS, hours, 3).tolist() for hours in (0.5, 1, 2, 3, 4, 9)]
    assert [len(part) for part in chosen] == [1, 2, 4, 6, 8, 8]
    for fewer, more in zip(chosen, chosen[1:], strict=False):
        assert set(fewer) <= set(more) and more == sorted(more)
    assert chosen[2] == within_hours(clips, SECONDS, GROUPS, 2, 3).tolist()
    assert len({tuple(within_hours(clips, SECONDS, GROUPS, 2, seed).tolist()) for seed in range(8)}) > 3
    grouped = GROUPS[within_hours(clips[:6], SECONDS, GROUPS, 2, 0)].tolist()
    assert grouped == sorted(grouped) and len(set(grouped)) == 2


def test_a_first_clip_that_is_too_long_is_said() -> None:
    with pytest.raises(TrainingError, match="train_hours=0.1: the first training clip alone lasts 0.5 hours"):
        within_hours(np.arange(8), SECONDS, GROUPS, 0.1, 0)


def test_a_run_learns_from_a_part_of_the_tracks_and_says_so(tmp_path: Path) -> None:
    stores = open_stores(make_frame_store(tmp_path / "tracks.h5"))
    kind = model_class("active_speaker")
    jobs = [prepare(tmp_path / "run", stores, "active_speaker", kind.Config(), TrainConfig(
        train_hours=hours, device="cpu"), tasks=["speaking"]) for hours in (0.0, 8 / 3600)]
    whole, part = (job.train_clips for job in jobs)
    seconds = clip_seconds(stores, jobs[0].inputs, jobs[0].units)
    lengths = stores.rows("frame_labels").lengths
    np.testing.assert_allclose(seconds, lengths / 25, rtol=1e-3)
    assert len(whole) == 30 and set(part) < set(whole) and 6 < seconds[part].sum() <= 8
    assert jobs[1].notes[-1].startswith(f"learnt from {len(part)} of 30 clips, 0.00") and "seed 0" in jobs[1].notes[-1]
    np.testing.assert_array_equal(jobs[0].dev_clips, jobs[1].dev_clips)


def test_clips_without_frames_last_as_long_as_their_inputs_rows(tmp_path: Path) -> None:
    stores = open_stores(make_store(tmp_path / "made.h5"))
    units = clip_units({}, len(stores))
    found = clip_seconds(stores, ("audio_logmel",), units)
    np.testing.assert_array_equal(found, stores.rows("audio_logmel").lengths)


def test_hours_below_zero_are_refused() -> None:
    with pytest.raises(UsageError, match="train_hours is at least 0, found -1"):
        settings_for("active_speaker", {"train_hours": "-1"}, TrainConfig())
