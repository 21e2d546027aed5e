"""Statistics of rows against plain loops over the store."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.training_stores import make_store

from pipeline.batch import Batches, gather_rows
from pipeline.errors import TrainingError
from pipeline.joined import JoinedStores, Rows, open_stores
from pipeline.learning import scaling
from pipeline.learning.scaling import Scaler, pool_rows
from pipeline.store import FeatureStore


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> JoinedStores:
    return open_stores(make_store(tmp_path_factory.mktemp("batch") / "a.h5"))


def batches_of(stores: JoinedStores, *, pools: tuple[str, ...] = ()) -> Batches:
    return Batches({name: stores.rows(name) for name in stores.features}, {"emotion": stores.labels("emotion")},
                   stores.clips["clip_id"].to_numpy(), pools=pools)


@pytest.mark.parametrize("block_bytes", [64, 64 << 20])
def test_pooled_rows_equal_a_loop_over_clips(stores: JoinedStores, monkeypatch: pytest.MonkeyPatch,
                                             block_bytes: int) -> None:
    monkeypatch.setattr(scaling, "BLOCK_BYTES", block_bytes)
    store = FeatureStore(stores.paths[0])
    for feature in stores.features:
        pooled = pool_rows(stores.rows(feature), ("std", "mean"))
        for place, clip_id in enumerate(stores.clips["clip_id"]):
            rows = store.read(clip_id, feature).values.reshape(-1, int(np.prod(store.row_shape(feature))))
            expected = np.concatenate([rows.std(0), rows.mean(0)]) if len(rows) else np.zeros(2 * rows.shape[1])
            np.testing.assert_allclose(pooled[place], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("pools", [(), ("mean",)])
def test_the_scaler_is_the_mean_and_deviation_of_the_training_rows_alone(stores: JoinedStores,
                                                                         pools: tuple[str, ...]) -> None:
    batches, training = batches_of(stores, pools=pools), np.arange(0, 120)
    scaler = batches.fit_scaler(training)
    rows = batches.rows["audio_logmel"].of(training)
    stacked = np.concatenate([rows.values[start:start + length] for start, length in zip(rows.starts, rows.lengths)])
    np.testing.assert_allclose(scaler.mean["audio_logmel"], stacked.mean(0), atol=1e-5)
    np.testing.assert_allclose(scaler.sd["audio_logmel"], stacked.std(0), rtol=1e-4)


def test_a_number_that_never_changes_becomes_zero_and_not_huge() -> None:
    values = np.array([[1e-32, 1.0], [3e-32, 2.0]], np.float32)
    scaler = Scaler.fit({"a": Rows(values, np.arange(2), np.ones(2, np.int64))})
    assert scaler.sd["a"].tolist() == [1.0, 0.5]
    assert scaler.apply("a", torch.from_numpy(values)).abs().max() <= 1.0
    again = Scaler.from_state(scaler.state())
    assert torch.equal(again.mean["a"], scaler.mean["a"]) and torch.equal(again.sd["a"], scaler.sd["a"])


@pytest.mark.parametrize("pools", [(), ("mean", "std")])
def test_each_speaker_is_standardised_by_all_own_rows(stores: JoinedStores, pools: tuple[str, ...]) -> None:
    batches, speakers = batches_of(stores, pools=pools), stores.clips["speaker"].to_numpy()
    batches.use_scaler(batches.fit_speakers(speakers))
    for speaker in set(speakers):
        batch = batches.take(np.flatnonzero(speakers == speaker))
        for name, values in batch.features.items():
            real = values[batch.mask[name]].double()
            torch.testing.assert_close(real.mean(0), torch.zeros_like(real[0]), atol=1e-4, rtol=0)
            torch.testing.assert_close(real.std(0, correction=0), torch.ones_like(real[0]), atol=1e-3, rtol=0)
            assert not values[~batch.mask[name]].any()


def test_a_clip_is_standardised_alike_in_any_batch(stores: JoinedStores) -> None:
    batches = batches_of(stores)
    batches.use_scaler(batches.fit_speakers(stores.clips["speaker"].to_numpy()))
    alone, among = batches.take(np.array([50])), batches.take(np.array([9, 50, 1]))
    for name, values in alone.features.items():
        torch.testing.assert_close(among.features[name][1][among.mask[name][1]], values[0][alone.mask[name][0]])


def test_a_speaker_of_one_clip_or_without_rows_becomes_zero_and_no_number_is_lost() -> None:
    rows = Rows(np.array([[3.0], [5.0], [7.0]], np.float32), np.array([0, 1, 3]), np.array([1, 2, 0]))
    batches = Batches({"a": rows}, {}, np.array(["x", "y", "z"]), pools=("mean",))
    batches.use_scaler(batches.fit_speakers(np.array(["ann", "bob", "cy"], object)))
    assert batches.take(np.arange(3)).features["a"].flatten().tolist() == [0.0, 0.0, 0.0]


def test_unknown_speakers_are_refused_and_the_checkpoint_keeps_no_ones_statistics(stores: JoinedStores) -> None:
    batches, speakers = batches_of(stores), stores.clips["speaker"].to_numpy()
    state = batches.fit_speakers(speakers).state()
    assert not state["audio_logmel"]["mean"].any() and (state["audio_logmel"]["sd"] == 1).all()
    assert state["audio_logmel"]["mean"].shape == (4, 2)
    with pytest.raises(TrainingError, match="2 of 200 clips, train/clip7 first, have no speaker, and normalise"):
        batches.fit_speakers(np.where(np.isin(np.arange(200), (7, 9)), "", speakers))


def test_pixels_are_pooled_as_numbers() -> None:
    rows = Rows(np.full((3, 2, 2), 250, np.uint8), np.array([0]), np.array([3]))
    assert pool_rows(rows, ("mean", "std")).tolist() == [[250.0] * 4 + [0.0] * 4]
    assert gather_rows(rows)[0].dtype == torch.float32
