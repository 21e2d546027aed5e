"""Mixup: what a blended batch holds, what its loss is, and that training can be stopped in the midst of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline import training
from pipeline.batch import Batch
from pipeline.errors import UsageError
from pipeline.learning.mixup import mix
from pipeline.learning.train_config import TrainConfig
from pipeline.runs import read_history
from tests.training_stores import make_store


def make_batch() -> Batch:
    """Clip k has k + 1 rows of the number 10 ** k, and the label k."""
    mask = torch.arange(4) <= torch.arange(4).unsqueeze(1)
    values = torch.where(mask, 10.0 ** torch.arange(4).unsqueeze(1), 0.0).unsqueeze(2)
    return Batch({"a": values}, {"a": mask}, {"emotion": torch.arange(4)}, np.array(list("wxyz")))


def test_clips_are_blended_with_the_clip_whose_label_they_get() -> None:
    torch.manual_seed(0)
    batch = make_batch()
    mixture = mix(batch, 0.4)
    assert 0.5 <= mixture.share < 1 and sorted(mixture.others["emotion"].tolist()) == [0, 1, 2, 3]
    own, other = batch.labels["emotion"], mixture.others["emotion"]
    expected = mixture.share * batch.features["a"] + (1 - mixture.share) * batch.features["a"][other]
    torch.testing.assert_close(mixture.batch.features["a"], expected)
    assert mixture.batch.labels["emotion"] is own and mixture.batch.clip_ids is batch.clip_ids


def test_a_row_is_real_where_either_clip_has_one() -> None:
    torch.manual_seed(0)
    mixture = mix(make_batch(), 1.0)
    longer = torch.maximum(torch.arange(4), mixture.others["emotion"]) + 1
    assert torch.equal(mixture.batch.mask["a"].sum(1), longer)
    assert not mixture.batch.features["a"][~mixture.batch.mask["a"]].any()


def test_a_beta_of_zero_blends_and_draws_nothing() -> None:
    batch, before = make_batch(), torch.get_rng_state()
    mixture = mix(batch, 0.0)
    assert mixture.batch is batch and mixture.share == 1 and torch.equal(torch.get_rng_state(), before)


def test_small_betas_keep_most_of_a_clip_and_great_ones_share_evenly() -> None:
    torch.manual_seed(0)
    shares = {beta: np.mean([mix(make_batch(), beta).share for _ in range(50)]) for beta in (0.1, 20.0)}
    assert shares[0.1] > 0.85 and shares[20.0] < 0.6


def test_training_lowers_the_loss_of_both_labels_and_goes_on_where_it_was(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s.h5")
    plain, one, two = (training.train(store, model="early", config=TrainConfig(epochs=3, baselines=False, mixup=mixup),
                                      out=tmp_path / name) for name, mixup in (("plain", 0.0), ("a", 0.4), ("b", 0.4)))
    losses = [[line["train_loss"] for line in read_history(run)] for run in (plain, one, two)]
    assert losses[1] == losses[2] and losses[1] != losses[0] and losses[1][-1] > losses[0][-1]


def test_it_goes_with_neither_distances_nor_rows_nor_conversations(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mixup is at least 0, found -1"):
        TrainConfig(mixup=-1)
    with pytest.raises(ValueError, match="blended clips have no one label.*metric_loss=none"):
        TrainConfig(mixup=0.2, metric_loss="triplet")
    with pytest.raises(UsageError, match="mixup blends whole clips, and active_speaker answers for rows"):
        training.train(make_store(tmp_path / "s.h5"), model="active_speaker", config=TrainConfig(mixup=0.2),
                       out=tmp_path / "run")
