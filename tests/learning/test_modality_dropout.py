"""Modality dropout: what is withheld, by which chance, and that a model so trained bears a missing modality."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipeline import training
from pipeline.batch import Batch
from pipeline.clip import Corpus
from pipeline.joined import open_stores
from pipeline.learning.modality_dropout import ModalityDropout, withhold
from pipeline.learning.train_config import TrainConfig
from pipeline.learning.training_loop import Quiet
from pipeline.media import FeatureSequence
from pipeline.runs import read_history
from pipeline.scores.dropping import scores_without
from pipeline.storage.packing import FeatureData, write_store
from tests.training_stores import CLASSES, TASKS, make_clips, make_store

INPUTS = ("text_bert", "audio_logmel", "face_r3d18")
SHORT = TrainConfig(epochs=3, baselines=False, device="cpu", modality_dropout=0.5)


def make_dropout(share: float, chances: list[list[float]],
                 groups: tuple[tuple[str, ...], ...] = (("a",), ("b",))) -> ModalityDropout:
    return ModalityDropout(share, groups, torch.tensor(chances))


def make_batch(lacking: Mapping[str, list[int]] | None = None) -> Batch:
    """Three clips of two rows of ones in "a", and of one row in "b", but for those that lack one."""
    lengths = {"a": 2, "b": 1}
    mask = {name: torch.ones(3, length, dtype=torch.bool) for name, length in lengths.items()}
    for name, clips in (lacking or {}).items():
        mask[name][clips] = False
    features = {name: real.unsqueeze(2).float() for name, real in mask.items()}
    return Batch(features, mask, {"emotion": torch.arange(3)}, np.array(list("xyz")))


def kept(batch: Batch) -> dict[str, list[bool]]:
    return {name: real.all(1).tolist() for name, real in batch.mask.items()}


def test_what_falls_below_the_share_is_withheld_whole() -> None:
    dropout = make_dropout(0.5, [[0.9, 0.1], [0.0, 0.0], [0.4, 0.6], [0.7, 0.8]])
    batch = dropout.withhold(make_batch(), np.array([3, 0, 2]))
    assert kept(batch) == {"a": [True, True, False], "b": [True, False, True]}
    for name, values in batch.features.items():
        assert torch.equal(values.squeeze(2) != 0, batch.mask[name]), "zeros stand where no row is"
    assert batch.labels["emotion"].tolist() == [0, 1, 2]


def test_the_last_modality_that_a_clip_has_stays() -> None:
    dropout = make_dropout(0.9, [[0.1, 0.2], [0.2, 0.1], [0.5, 0.6]])
    assert kept(dropout.withhold(make_batch(), np.arange(3))) == {"a": [False, True, False], "b": [True, False, True]}
    lacking = dropout.withhold(make_batch({"b": [0, 1]}), np.arange(3))
    assert kept(lacking) == {"a": [True, True, False], "b": [False, False, True]}
    nothing = dropout.withhold(make_batch({"a": [0], "b": [0]}), np.arange(3))
    assert kept(nothing) == {"a": [False, True, False], "b": [False, False, True]}


def test_nothing_is_withheld_by_a_share_of_zero_or_where_there_is_one_modality(tmp_path: Path) -> None:
    batch, stores = make_batch(), open_stores(make_store(tmp_path / "s.h5", sizes={"train": 8}))
    assert ModalityDropout.draw(0.0, stores, INPUTS, seed=0, epoch=0).withhold(batch, np.arange(3)) is batch
    together = make_dropout(0.9, [[0.1]] * 3, groups=(("a", "b"),))
    assert together.withhold(batch, np.arange(3)) is batch


def test_chance_hangs_on_seed_epoch_modality_and_place_alone(tmp_path: Path) -> None:
    few, many = (open_stores(make_store(tmp_path / f"{size}.h5", sizes={"train": size})) for size in (20, 400))

    def chances(share: float = 0.3, **changed: Any) -> torch.Tensor:
        wanted = {"stores": many, "inputs": INPUTS, "seed": 0, "epoch": 0, **changed}
        return ModalityDropout.draw(share, **wanted).chances

    plain = chances()
    assert plain.shape == (400, 3) and torch.equal(plain, chances(0.6))
    assert torch.equal(chances(stores=few), plain[:20])
    assert torch.equal(chances(inputs=("face_r3d18", "text_bert")), plain[:, [2, 0]])
    for other in (chances(seed=1), chances(epoch=1), chances(seed=-1), plain.roll(1, 1), plain.roll(1, 0)):
        assert not torch.isclose(plain, other, atol=1e-3).any(1).all()
    assert abs(float((plain < 0.3).float().mean()) - 0.3) < 0.05
    assert abs(float(np.corrcoef(plain.numpy().T)[0, 1])) < 0.15


def test_inputs_of_one_modality_go_together(tmp_path: Path) -> None:
    clips = make_clips({"train": 6})
    one = FeatureSequence(np.ones((1, 2), np.float32), np.array([[0, 1]], np.float32))
    rows = {clip.clip_id: one for clip in clips}
    data = {name: FeatureData(modality, (2,), {"extractor": name}, rows) for name, modality in (
        ("face_a", "face"), ("video_b", "video"), ("pulse", "heart"), ("voice", "audio"))}
    store = write_store(tmp_path / "s.h5", corpus=Corpus("mine", TASKS), clips=clips, features=data)
    found = ModalityDropout.draw(0.5, open_stores(store), tuple(data), seed=0, epoch=0)
    assert found.groups == (("face_a", "video_b"), ("pulse",), ("voice",))


def test_networks_that_train_together_are_withheld_what_each_would_be_alone() -> None:
    own = [make_dropout(0.5, torch.rand(9, 2, generator=torch.Generator().manual_seed(seed)).tolist())
           for seed in range(2)]
    places = [np.array([0, 4, 8]), np.array([8, 1, 2])]
    alone = [dropout.withhold(make_batch(), part) for dropout, part in zip(own, places, strict=True)]
    batch = make_batch()
    stacked = replace(batch, features={name: torch.stack([part] * 2) for name, part in batch.features.items()},
                      mask={name: torch.stack([part] * 2) for name, part in batch.mask.items()})
    together = withhold(own, stacked, places)
    for name in "ab":
        assert torch.equal(together.mask[name], torch.stack([part.mask[name] for part in alone]))
        assert torch.equal(together.features[name], torch.stack([part.features[name] for part in alone]))


def losses(run: Path) -> list[tuple[int, float]]:
    return [(line["seed"], line["train_loss"]) for line in sorted(read_history(run), key=lambda line: line["seed"])]


class StopAfterTwo(Quiet):
    """Stands for a user who presses Ctrl-C."""

    def on_epoch(self, seed: int, epoch: int, num_epochs: int, metrics: Mapping[str, Any]) -> None:
        if epoch == 2:
            raise KeyboardInterrupt


@pytest.mark.parametrize("model", ["early", "cross_attention"])
def test_a_run_that_was_stopped_ends_like_one_that_was_not(tmp_path: Path, model: str) -> None:
    store = make_store(tmp_path / "s.h5", sizes={"train": 60, "dev": 20})
    settings = {"width": "8"} if model == "cross_attention" else {}
    whole = training.train(store, model=model, config=SHORT, settings=settings, out=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        training.train(store, model=model, config=SHORT, settings=settings, out=tmp_path / "cut",
                       progress=StopAfterTwo())
    assert losses(training.resume(tmp_path / "cut")) == losses(whole)
    plain = training.train(store, model=model, config=replace(SHORT, modality_dropout=0.0), settings=settings,
                           out=tmp_path / "plain")
    assert losses(plain) != losses(whole)


def test_seeds_learn_the_same_together_as_one_by_one(tmp_path: Path) -> None:
    store = make_store(tmp_path / "s.h5", sizes={"train": 60, "dev": 20})
    together, apart = (losses(training.train(store, config=replace(SHORT, seeds=3, together=wanted),
                                             out=tmp_path / name)) for name, wanted in (("a", True), ("b", False)))
    assert [seed for seed, _ in together] == [seed for seed, _ in apart]
    np.testing.assert_allclose([loss for _, loss in together], [loss for _, loss in apart], rtol=1e-4)


def test_a_model_trained_so_answers_better_without_the_modality_that_tells_most(tmp_path: Path) -> None:
    store = make_two_modalities(tmp_path / "s.h5")
    found = {}
    for share in (0.0, 0.5):
        run = training.train(store, config=TrainConfig(epochs=15, seeds=2, baselines=False, device="cpu",
                                                       modality_dropout=share), out=tmp_path / f"run{share:g}")
        for lacking in ((), ("audio_logmel",)):
            scores = scores_without(run, open_stores(store), lacking, device="cpu")
            found[share, len(lacking)] = scores["emotion"]["accuracy"]["mean"]
    assert found[0.5, 1] > found[0.0, 1] + 0.1, "without sound"
    assert found[0.5, 0] > found[0.0, 0] - 0.03, "with both"


def make_two_modalities(path: Path) -> Path:
    """Sound that tells the emotion surely in six numbers, and text that tells it often in forty."""
    clips = make_clips({"train": 240, "dev": 80, "test": 200}, tasks=TASKS[:1])

    def rows(place: int, clip: int, width: int, shift: float) -> FeatureSequence:
        values = np.random.default_rng((place, clip)).normal(size=(1, width)).astype(np.float32)
        values[0, CLASSES.index(str(clips[clip].labels.get("emotion", "calm")))] += shift
        return FeatureSequence(values, np.array([[0, 1]], np.float32))

    features = {name: FeatureData(name.split("_")[0], (width,), {"extractor": name}, {
        clip.clip_id: rows(place, number, width, shift) for number, clip in enumerate(clips)})
        for place, (name, width, shift) in enumerate((("audio_logmel", 6, 10.0), ("text_bert", 40, 3.0)))}
    return write_store(path, corpus=Corpus("mine", TASKS[:1]), clips=clips, features=features)


def test_a_share_outside_its_range_is_refused() -> None:
    for share in (-0.1, 1.0):
        with pytest.raises(ValueError, match=rf"modality_dropout is in \[0, 1\), found {share:g}"):
            TrainConfig(modality_dropout=share)
