"""Batches against plain loops over the store."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.training_stores import make_clips, make_store

from pipeline.batch import Batches, gather_rows
from pipeline.joined import JoinedStores, Rows, open_stores
from pipeline.learning.scaling import pool_rows
from pipeline.store import FeatureStore


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> JoinedStores:
    return open_stores(make_store(tmp_path_factory.mktemp("batch") / "a.h5"))


def batches_of(stores: JoinedStores, *, pools: tuple[str, ...] = ()) -> Batches:
    return Batches({name: stores.rows(name) for name in stores.features}, {"emotion": stores.labels("emotion")},
                   stores.clips["clip_id"].to_numpy(), pools=pools)


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


def test_batches_of_full_rows_hold_clips_of_like_length(tmp_path: Path) -> None:
    lengths = np.random.default_rng(0).integers(1, 100, 640)
    rows = Rows(np.zeros((lengths.sum(), 1), np.float32), np.cumsum(lengths) - lengths, lengths)
    batches = Batches({"a": rows}, {}, np.arange(640).astype(str))
    padded = sum(batch.mask["a"].numel() for batch in batches.epoch(np.arange(640), 16,
                                                                    generator=torch.Generator().manual_seed(0)))
    assert padded < 1.1 * lengths.sum()


def test_clips_of_a_made_up_store_are_as_asked() -> None:
    assert len(make_clips({"train": 3})) == 3
