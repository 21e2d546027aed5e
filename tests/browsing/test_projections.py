"""Clips as points: averages with known answers, the same whatever the blocks, and neighbours that are near."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.browsing import projections
from pipeline.browsing.opened_store import OpenedStore
from pipeline.browsing.projections import averages, nearest, project
from pipeline.clip import Clip, Corpus
from pipeline.errors import StoreError
from pipeline.media import FeatureSequence
from pipeline.storage.packing import FeatureData, write_store
from tests.browsing.stores import spaced


def store_of(path: Path, rows: list[np.ndarray]) -> OpenedStore:
    clips = [Clip(f"all/{number}") for number in range(len(rows))]
    shape = rows[0].shape[1:]
    data = FeatureData("audio", shape, {"extractor": "x"}, {
        clip.clip_id: spaced(values.astype(np.float32), 1.0) if len(values) else FeatureSequence.empty(shape)
        for clip, values in zip(clips, rows, strict=True)})
    return OpenedStore(write_store(path, corpus=Corpus("c"), clips=clips, features={"f": data}))


def three_groups(count: int = 30, width: int = 12) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    middles = 4 * random.normal(size=(3, width))
    return [middles[number % 3] + random.normal(size=(1 + number % 4, width)) for number in range(count)]


def test_an_average_is_scaled_and_clips_without_rows_have_none(tmp_path: Path) -> None:
    found = averages(store_of(tmp_path / "s.h5", [np.array([[0, 5.]]), np.zeros((0, 2)), np.array([[1, 5], [3, 5.]])]),
                     "f")
    assert found.places.tolist() == [0, 2]
    assert found.values.tolist() == [[-1, 0], [1, 0]]  # 0 and 2 by their mean and deviation; a constant column is 0


def test_small_blocks_give_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [*three_groups(), np.zeros((0, 12)), *three_groups(7)]
    whole = averages(store_of(tmp_path / "s.h5", rows), "f")
    monkeypatch.setattr(projections, "BLOCK_BYTES", 100)
    pieces = averages(store_of(tmp_path / "s.h5", rows), "f")
    assert np.array_equal(whole.places, pieces.places) and np.array_equal(whole.values, pieces.values)


def test_of_a_large_feature_a_few_rows_of_each_clip_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projections, "MOST_BYTES", 10)
    ramps = [np.arange(number)[:, None] * [1., 0.] for number in (1, 7, 40)]
    found = averages(store_of(tmp_path / "s.h5", ramps), "f")
    assert found.sampled == projections.FEW_ROWS
    known = np.array([0, 3, 19.5])  # evenly taken, the mean of a ramp stays its middle
    assert found.values[:, 0] == pytest.approx((known - known.mean()) / known.std())


def test_many_columns_keep_their_distances(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projections, "MOST_COLUMNS", 10)
    monkeypatch.setattr(projections, "KEPT_COLUMNS", 8)
    opened = store_of(tmp_path / "s.h5", three_groups())
    assert averages(opened, "f").values.shape == (30, 8)
    assert {place % 3 for place, _ in nearest(opened, "f", 4)} == {1}


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_groups_stay_together_and_the_same_every_time(tmp_path: Path, method: projections.Method) -> None:
    opened = store_of(tmp_path / "s.h5", three_groups())
    found = project(opened, "f", method)
    middles = np.stack([found.points[place::3].mean(0) for place in range(3)])
    near = np.linalg.norm(found.points[:, None] - middles, axis=2).argmin(1)
    assert near.tolist() == [place % 3 for place in range(30)] and found.of == 30
    again = project(store_of(tmp_path / "s.h5", three_groups()), "f", method)
    assert np.array_equal(found.points, again.points)
    assert (found.share is None) == (method == "tsne") and (found.share or 0.9) > 0.5


def test_tsne_takes_some_of_very_many_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(projections, "MOST_TSNE", 12)
    found = project(store_of(tmp_path / "s.h5", three_groups()), "f", "tsne")
    assert len(found.places) == 12 and found.of == 30 and found.places[[0, -1]].tolist() == [0, 29]


@pytest.mark.parametrize("rows", [[np.zeros((0, 4))] * 3, [np.ones((1, 4)), np.ones((1, 4))]], ids=["none", "two"])
def test_too_few_clips_have_no_place(tmp_path: Path, rows: list[np.ndarray]) -> None:
    found = project(store_of(tmp_path / "s.h5", rows), "f", "pca")
    assert len(found.places) == 0 and found.of == sum(map(len, rows))


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_clips_that_are_all_alike_lie_on_one_point(tmp_path: Path, method: projections.Method) -> None:
    assert not project(store_of(tmp_path / "s.h5", [np.ones((2, 3))] * 4), "f", method).points.any()


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_one_column_is_enough(tmp_path: Path, method: projections.Method) -> None:
    rows = [np.array([[float(number)]]) for number in range(5)]
    assert project(store_of(tmp_path / "s.h5", rows), "f", method).points.shape == (5, 2)


def test_the_nearest_come_first_and_never_the_clip_itself(tmp_path: Path) -> None:
    opened = store_of(tmp_path / "s.h5", [*three_groups(), np.zeros((0, 12))])
    found = nearest(opened, "f", 7)
    assert len(found) == 8 and {place % 3 for place, _ in found} == {1} and 7 not in dict(found)
    assert [cosine for _, cosine in found] == sorted((cosine for _, cosine in found), reverse=True)
    assert nearest(opened, "f", 30) == []


def test_numbers_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    opened = store_of(tmp_path / "s.h5", [np.full((1, 3), 3.0)] * 4)
    data = bytearray(opened.store.path.read_bytes())
    place = opened.store.place_in_file("f", "values")
    data[place:place + 4] = np.float32(np.nan).tobytes()
    opened.store.path.write_bytes(data)
    with pytest.raises(StoreError, match="not finite; see which with: python -m pipeline verify"):
        averages(OpenedStore(opened.store.path), "f")
    with pytest.raises(StoreError, match="no feature 'g'"):
        project(opened, "g", "pca")
