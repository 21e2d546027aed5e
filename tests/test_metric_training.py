"""Training with losses on distances: beside the cross-entropy, resumed as it was, or refused before all else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.cross_attention import CrossAttention
from models.intermediate import Intermediate
from pipeline.clip import Clip, Corpus, Task
from pipeline.errors import UsageError
from pipeline.joined import open_stores
from pipeline.learning.jobs import prepare
from pipeline.learning.train_config import TrainConfig
from pipeline.learning.training_loop import TrainingState, training_step
from pipeline.media import FeatureSequence
from pipeline.runs import Checkpoint, read_history
from pipeline.storage.packing import FeatureData, write_store
from pipeline.training import resume, train

CLASSES = ("joy", "sadness", "anger", "fear")
SHAPES = {"face_r3d101": ("face", (8, 4)), "audio_resnet18": ("audio", (6,))}
SHORT = TrainConfig(device="cpu", epochs=4, patience=4, baselines=False, batch_size=16)
CHOICES = ("triplet", "emotion_relation", "centre")


def rows_of(place: int, shape: tuple[int, ...]) -> FeatureSequence:
    """Six noisy rows, one number of which tells the class."""
    values = np.random.default_rng(place).normal(size=(6, *shape)).astype(np.float32)
    values.reshape(6, -1)[:, place % len(CLASSES)] += 2
    return FeatureSequence(values, np.full((6, 2), np.nan, np.float32), "none")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips of a picture's maps and of sound; a group is a clip."""
    clips = [Clip(f"{split}/{place}", split=split, group=f"{split}{place}", text="",
                  labels={"emotion": CLASSES[place % len(CLASSES)], "arousal": place / 64})
             for split, number in (("train", 64), ("dev", 16)) for place in range(number)]
    data = {name: FeatureData(modality, shape, {"extractor": name}, {
        clip.clip_id: rows_of(place, shape) for place, clip in enumerate(clips)})
        for name, (modality, shape) in SHAPES.items()}
    tasks = (Task("emotion", CLASSES), Task("arousal", value_range=(0.0, 1.0)))
    return write_store(tmp_path_factory.mktemp("metric") / "a.h5", corpus=Corpus("made-up", tasks), clips=clips,
                       features=data)


@pytest.mark.parametrize("choice", CHOICES)
def test_cross_attention_learns_with_each_loss_and_counts_batches_without_pairs(store: Path, tmp_path: Path,
                                                                                choice: str) -> None:
    run = train(store, model="cross_attention", tasks=["emotion"], config=SHORT, out=tmp_path / "run",
                settings={"metric_loss": choice, "width": "16", "epochs": "12", "patience": "12"})
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["dev"]["emotion"]["uar"]["mean"] > 0.8
    assert [line["metric_batches"]["seen"] for line in read_history(run)][:2] == [10, 20]
    lonely = 0 if choice == "centre" else 12  # 64 clips in batches of 7 leave one over in each epoch
    assert read_history(run)[-1]["metric_batches"]["without_pairs"] == lonely
    network = Checkpoint.load(run / "seed0" / "best.pt").network()
    assert isinstance(network, CrossAttention), "what the loss has learnt is no part of the network"


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("model", [Intermediate, CrossAttention])
def test_the_loss_is_the_cross_entropy_and_the_weighted_loss_on_hidden_units(store: Path, tmp_path: Path, model: Any,
                                                                             choice: Any) -> None:
    """Fails where the metric loss stands alone, or sees probabilities in place of hidden units."""
    config = TrainConfig(device="cpu", metric_loss=choice, metric_weight=0.25)
    name = "intermediate" if model is Intermediate else "cross_attention"
    settings = model.Config(dropout=0.0)
    job = prepare(tmp_path / "run", open_stores(store), name, settings, config, tasks=["emotion"])
    torch.manual_seed(0)
    state, batch = TrainingState.fresh(job, 0), job.batches.take(job.train_clips[:32])
    assert state.metric is not None
    labels = batch.labels["emotion"]
    with torch.no_grad():
        alone = job.losses["emotion"](state.network(batch.features, batch.mask)["emotion"], labels)
        added = state.metric(state.network.embed(batch.features, batch.mask), labels)
    assert alone > 0.5 and added > 0.05
    torch.testing.assert_close(training_step(job, state, batch), alone + 0.25 * added)


def test_a_stopped_run_goes_on_with_what_the_loss_had_learnt(store: Path, tmp_path: Path) -> None:
    settings = {"metric_loss": "centre", "width": "16"}
    whole = train(store, model="cross_attention", tasks=["emotion"], config=SHORT, settings=settings,
                  out=tmp_path / "whole")

    class Stop:
        def on_start(self, plan: Any) -> None:
            pass

        def on_fold(self, name: str, number: int, num_folds: int) -> None:
            pass

        def on_epoch(self, seed: int, epoch: int, num_epochs: int, metrics: Any) -> None:
            if epoch == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(store, model="cross_attention", tasks=["emotion"], config=SHORT, settings=settings,
              out=tmp_path / "stopped", progress=Stop())
    resume(tmp_path / "stopped")
    assert (tmp_path / "stopped" / "predictions.csv").read_bytes() == (whole / "predictions.csv").read_bytes()
    losses = [[line["train_loss"] for line in read_history(run)] for run in (whole, tmp_path / "stopped")]
    assert losses[0] == losses[1]


@pytest.mark.parametrize(("model", "tasks", "settings", "message"), [
    ("late", ["emotion"], {"metric_loss": "triplet"}, "metric_loss=triplet needs a model whose tasks are decided from"),
    ("early", ["arousal"], {"metric_loss": "centre"}, "metric_loss=centre compares classes, and task 'arousal' has"),
    ("early", ["emotion"], {"metric_loss": "tripplet"}, "expected one of none, triplet, emotion_relation, centre"),
    ("early", ["emotion"], {"metric_weight": "0"}, "metric_weight is above 0, found 0; metric_loss=none adds none")])
def test_what_cannot_be_is_refused_before_anything_is_written(store: Path, tmp_path: Path, model: str, tasks: list[str],
                                                              settings: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        train(store, model=model, tasks=tasks, settings=settings, config=SHORT, out=tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_without_a_metric_loss_nothing_changes(store: Path, tmp_path: Path) -> None:
    run = train(store, tasks=["emotion"], config=SHORT, out=tmp_path / "run")
    assert all("metric_batches" not in line for line in read_history(run))
