"""Batches against plain loops over the store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.training_stores import make_clips, make_store

from pipeline import batch as batching
from pipeline.batch import Batches, Scaler, gather_rows, pool_rows
from pipeline.errors import TrainingError
from pipeline.joined import JoinedStores, Rows, open_stores
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
    monkeypatch.setattr(batching, "BLOCK_BYTES", block_bytes)
    store = FeatureStore(stores.paths[0])
    for feature in stores.features:
        pooled = pool_rows(stores.rows(feature), ("std", "mean"))
        for place, clip_id in enumerate(stores.clips["clip_id"]):
            rows = store.read(clip_id, feature).values.reshape(-1, int(np.prod(store.row_shape(feature))))
            expected = np.concatenate([rows.std(0), rows.mean(0)]) if len(rows) else np.zeros(2 * rows.shape[1])
            np.testing.assert_allclose(pooled[place], expected, rtol=1e-5, atol=1e-6)


def test_gathered_rows_are_those_of_the_store_in_any_order_of_clips(stores: JoinedStores) -> None:
    store, clips = FeatureStore(stores.paths[0]), np.array([30, 6, 3, 3, 198])
    for feature in stores.features:
        values, mask = gather_rows(stores.rows(feature).of(clips))
        for row, clip in enumerate(clips):
            expected = store.read(stores.clips["clip_id"][clip], feature).values
            np.testing.assert_array_equal(values[row][mask[row]].numpy(), expected)
            assert not values[row][~mask[row]].any()


def test_clips_without_rows_gather_to_one_masked_step() -> None:
    rows = Rows(np.zeros((0, 2), np.float32), np.zeros(3, np.int64), np.zeros(3, np.int64))
    values, mask = gather_rows(rows)
    assert values.shape == (3, 1, 2) and not mask.any()
    assert pool_rows(rows, ("mean",)).tolist() == [[0.0, 0.0]] * 3


@pytest.mark.parametrize("pools", [(), ("mean",)])
def test_an_epoch_gives_every_clip_once_and_the_seed_alone_decides_the_order(stores: JoinedStores,
                                                                             pools: tuple[str, ...]) -> None:
    batches, clips = batches_of(stores, pools=pools), np.arange(5, 150)
    orders = [[clip for batch in batches.epoch(clips, 16, generator=torch.Generator().manual_seed(seed))
               for clip in batch.clip_ids] for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[2]) == sorted(stores.clips["clip_id"][5:150])


def test_a_batch_holds_labels_and_standardised_rows_of_its_clips(stores: JoinedStores) -> None:
    for pools in ((), ("mean", "std")):
        batches = batches_of(stores, pools=pools)
        batches.use_scaler(batches.fit_scaler(np.arange(120)))
        batch = batches.take(np.array([9, 10]))
        assert batch.clip_ids.tolist() == ["train/clip9", "train/clip10"] and len(batch) == 2
        assert batch.labels["emotion"].tolist() == stores.labels("emotion")[9:11].tolist()
        assert batch.labels["emotion"][1] == -1
        assert batches.inputs["audio_logmel"] == ((16,) if pools else (4, 2))
        assert batch.features["audio_logmel"].shape[2:] == batches.inputs["audio_logmel"]
        assert "audio_logmel (2, " in repr(batch)


def test_padding_stays_zero_after_standardising(stores: JoinedStores) -> None:
    batches = batches_of(stores)
    batches.use_scaler(batches.fit_scaler(np.arange(120)))
    batch = batches.take(np.arange(20))
    for name, values in batch.features.items():
        assert not values[~batch.mask[name]].any()
        assert not batch.mask[name].all() and batch.mask[name].any()


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


def test_batches_of_full_rows_hold_clips_of_like_length(tmp_path: Path) -> None:
    lengths = np.random.default_rng(0).integers(1, 100, 640)
    rows = Rows(np.zeros((lengths.sum(), 1), np.float32), np.cumsum(lengths) - lengths, lengths)
    batches = Batches({"a": rows}, {}, np.arange(640).astype(str))
    padded = sum(batch.mask["a"].numel() for batch in batches.epoch(np.arange(640), 16,
                                                                    generator=torch.Generator().manual_seed(0)))
    assert padded < 1.1 * lengths.sum()


def test_pixels_are_pooled_as_numbers() -> None:
    rows = Rows(np.full((3, 2, 2), 250, np.uint8), np.array([0]), np.array([3]))
    assert pool_rows(rows, ("mean", "std")).tolist() == [[250.0] * 4 + [0.0] * 4]
    assert gather_rows(rows)[0].dtype == torch.float32


def test_clips_of_a_made_up_store_are_as_asked() -> None:
    assert len(make_clips({"train": 3})) == 3
