"""Training row by row: with models that answer once, with those that answer for each row, and with folds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import recall_score
from tests.frame_stores import MOOD, SPEAKING, make_frame_store
from torch import Tensor, nn

from models import Context, Model
from pipeline import plugins, training
from pipeline.errors import UsageError
from pipeline.evaluation import evaluate
from pipeline.joined import open_stores
from pipeline.learning.examples import Examples, lay_out
from pipeline.learning.train_config import TrainConfig
from pipeline.report import write_report
from pipeline.scores.average_precision import average_precision
from pipeline.scores.scoring import outputs_of

INPUTS = ("asd_faces", "asd_audio")


class Rowwise(Model):
    """A linear layer at every row, with an answer beside it while training."""

    level = "frame"
    auxiliary_weights = {"audio": 0.4}

    @dataclass(frozen=True)
    class Config(Model.Config):
        pass

    def __init__(self, config: Any, inputs: Mapping[str, tuple[int, ...]], outputs: Mapping[str, int]) -> None:
        super().__init__(config, inputs, outputs)
        width = sum(int(np.prod(row)) for row in inputs.values())
        self.heads = nn.ModuleDict({task: nn.Linear(width, number) for task, number in outputs.items()})
        self.beside = nn.Linear(int(np.prod(inputs["asd_audio"])), 2)

    def forward(self, features: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> dict[str, Tensor]:
        rows = torch.cat([features[name].flatten(2) for name in self.inputs], dim=2)
        found = {task: head(rows) for task, head in self.heads.items()}
        if self.training and "speaking" in found:
            found["speaking/audio"] = self.beside(features["asd_audio"].flatten(2))
        return found


class Together(Model):
    """Every clip is answered with the mean of its conversation, which shows what a batch holds."""

    context = True

    @dataclass(frozen=True)
    class Config(Model.Config):
        pass

    def forward(self, features: Mapping[str, Tensor], mask: Mapping[str, Tensor],
                context: Context | None = None) -> dict[str, Tensor]:
        assert context is not None
        sums = features["asd_audio"].sum((1, 2))
        same = (context.dialogue[:, None] == context.dialogue[None]).float()
        return {"mood": torch.stack([same @ sums, same.sum(1)], dim=1)}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_frame_store(tmp_path_factory.mktemp("frames") / "tracks.h5")


def laid(store: Path, kind: type[Model], tasks: tuple[Any, ...] = (SPEAKING,)) -> Examples:
    return lay_out(open_stores(store), INPUTS, tasks, kind=kind, pools=())


def test_rows_of_all_features_meet_in_a_batch_and_padding_is_masked(store: Path) -> None:
    examples = laid(store, Rowwise)
    read = examples.stores.stores[0].read
    clips = np.array([0, 3, 8])
    batch = examples.batches.take(clips)
    assert batch.steps is not None and batch.labels["speaking"].shape == batch.steps.shape
    assert (batch.labels["speaking"][~batch.steps] == -1).all()
    assert not batch.mask["asd_faces"][0].any() and batch.mask["asd_audio"][0].any(), "clip 0 has sound and no face"
    for row, clip in enumerate(clips):
        clip_id = examples.stores.clips["clip_id"][clip]
        steps = batch.steps[row]
        assert batch.labels["speaking"][row][steps].tolist() == read(clip_id, "frame_labels").values[:, 0].tolist()
        assert torch.equal(batch.mask["asd_audio"][row], steps)
        sound = batch.features["asd_audio"][row][steps]
        np.testing.assert_array_equal(sound.numpy(), read(clip_id, "asd_audio").values)


def test_pixels_come_between_0_and_1_and_are_not_standardised(store: Path) -> None:
    examples = laid(store, Rowwise)
    examples.batches.use_scaler(examples.batches.fit_scaler(np.arange(30)))
    batch = examples.batches.take(np.array([1]))
    expected = examples.stores.stores[0].read(examples.stores.clips["clip_id"][1], "asd_faces").values / 255
    np.testing.assert_allclose(batch.features["asd_faces"][0].numpy(), expected, rtol=1e-6)


def test_a_batch_of_rows_is_no_larger_than_asked_and_the_answers_do_not_depend_on_it(
        store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = laid(store, Rowwise)
    sizes = [batch.steps.numel() for batch in examples.batches.epoch(  # type: ignore[union-attr]
        np.arange(54), 16, generator=torch.Generator().manual_seed(0), batch_rows=60)]
    assert max(sizes) <= 60 and len(sizes) > 10
    network = Rowwise(Rowwise.Config(), examples.batches.inputs, {"speaking": 2})
    whole = outputs_of(network, examples.batches, np.arange(54))["speaking"]
    monkeypatch.setattr("pipeline.scores.scoring.SCORING_ROWS", 40)
    torch.testing.assert_close(outputs_of(network, examples.batches, np.arange(54))["speaking"], whole)
    assert len(whole) == len(examples.units)


@pytest.fixture(scope="module")
def rowwise(store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a model that answers for rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plugins, "plugin_class", lambda kind, name: Rowwise)
        config = TrainConfig(epochs=6, seeds=2, lr=0.02, weight_decay=0.0)
        return training.train(store, model="early", inputs=INPUTS, tasks=["speaking"], settings={"pools": ""},
                              config=config, out=tmp_path_factory.mktemp("runs") / "rowwise")


def test_a_run_scores_every_labelled_row_by_average_precision(store: Path, rowwise: Path) -> None:
    metrics = json.loads((rowwise / "metrics.json").read_text())
    table = pd.read_csv(rowwise / "predictions.csv")
    test = table[table["split"] == "test"]
    labels, rate = open_stores(store).rows("frame_labels").lengths, (test["label"] == "speaking").mean()
    assert len(test) == 2 * labels[-12:].sum() and metrics["level"] == "frame"
    assert list(table.columns[:6]) == ["clip_id", "split", "seed", "task", "row", "start_seconds"]
    for seed, part in test.groupby("seed"):
        found = average_precision((part["label"] == "speaking").to_numpy(), part["probability_speaking"].to_numpy())
        assert metrics["test"]["speaking"]["average_precision"]["seeds"][seed] == pytest.approx(found, abs=1e-5)
    assert metrics["test"]["speaking"]["average_precision"]["mean"] > rate + 0.3
    majority = metrics["baselines"]["majority"]["test"]["speaking"]
    assert majority["average_precision"]["mean"] == pytest.approx(rate, abs=0.1)
    low, high = (metrics["intervals"]["test"]["speaking"][edge] for edge in ("low", "high"))
    assert low <= metrics["test"]["speaking"]["average_precision"]["mean"] <= high
    assert json.loads((rowwise / "config.json").read_text())["select_by"] == "average_precision"


def test_the_answer_beside_learns_and_is_not_scored(rowwise: Path) -> None:
    from pipeline.runs import Checkpoint
    states = [Checkpoint.load(rowwise / f"seed{seed}" / "best.pt").state["beside.weight"] for seed in (0, 1)]
    torch.manual_seed(0)
    assert not torch.equal(states[0], states[1])
    assert set(json.loads((rowwise / "metrics.json").read_text())["test"]) == {"speaking"}


def test_evaluate_finds_the_scores_of_the_run_again_and_the_report_speaks_of_rows(
        store: Path, rowwise: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "plugin_class", lambda kind, name: Rowwise)
    again = evaluate(rowwise, store, split="test")
    assert again["test"] == json.loads((rowwise / "metrics.json").read_text())["test"]
    page = write_report(rowwise).read_text()
    assert "rows of clips of the split test" in page and "average precision" in page


def test_a_model_that_answers_once_takes_each_row_for_a_clip(store: Path, tmp_path: Path) -> None:
    run = training.train(store, model="early", inputs=["asd_audio"], tasks=["mood"],
                         config=TrainConfig(epochs=4, level="frame"), out=tmp_path / "run")
    metrics, table = json.loads((run / "metrics.json").read_text()), pd.read_csv(run / "predictions.csv")
    test = table[table["split"] == "test"]
    assert metrics["level"] == "frame" and len(test) == open_stores(store).rows("asd_audio").lengths[-12:].sum()
    assert metrics["test"]["mood"]["uar"]["mean"] == pytest.approx(
        recall_score(test["label"], test["prediction"], average="macro"))
    by_clip = test.groupby("clip_id")
    truth = by_clip["label"].first()
    majority = by_clip["prediction"].agg(lambda part: part.value_counts().index[0])
    mean = by_clip[["probability_calm", "probability_angry"]].mean().idxmax(axis=1).str.removeprefix("probability_")
    ways = metrics["utterances"]
    assert ways["mean_probability"]["test"]["mood"]["accuracy"]["mean"] == pytest.approx((mean == truth).mean())
    assert ways["majority"]["test"]["mood"]["accuracy"]["mean"] == pytest.approx((majority == truth).mean())
    assert ways["majority"]["test"]["mood"]["uar"]["mean"] > metrics["test"]["mood"]["uar"]["mean"]
    assert evaluate(run, store, split="test")["test"] == metrics["test"]
    assert "Whole clips, by the majority" in write_report(run).read_text()


def test_folds_pool_rows_and_whole_clips(store: Path, tmp_path: Path) -> None:
    run = training.train(store, model="early", inputs=["asd_audio"], tasks=["mood"], config=TrainConfig(
        epochs=2, seeds=2, level="frame", folds="3-group-folds"), out=tmp_path / "run")
    metrics, table = json.loads((run / "metrics.json").read_text()), pd.read_csv(run / "predictions.csv")
    assert len(table) == 2 * open_stores(store).rows("asd_audio").lengths.sum()
    one = table[table["seed"] == 1].groupby("clip_id")
    mean = one[["probability_calm", "probability_angry"]].mean().idxmax(axis=1).str.removeprefix("probability_")
    found = metrics["utterances"]["mean_probability"]["test"]["mood"]["accuracy"]["seeds"][1]
    assert found == pytest.approx((mean == one["label"].first()).mean())


def test_a_model_given_conversations_sees_each_whole_and_none_of_another_split(store: Path) -> None:
    examples = lay_out(open_stores(store), INPUTS, [MOOD], kind=Together, pools=())
    network = Together(Together.Config(), examples.batches.inputs, {"mood": 2})
    places = np.array([40, 3, 2, 31, 30])       # 3 and 2 share a video, 30 and 31 are dev's, 40 is alone here
    found = outputs_of(network, examples.batches, places)["mood"]
    assert found[:, 1].tolist() == [1, 2, 2, 2, 2], "only clips that are asked for, all of a conversation"
    assert found[1, 0] == found[2, 0] != found[0, 0]


def test_rows_and_conversations_or_distances_do_not_go_together(store: Path, tmp_path: Path,
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="Together looks at conversations and not at rows"):
        lay_out(open_stores(store), INPUTS, [SPEAKING], kind=Together, pools=())
    monkeypatch.setattr(plugins, "plugin_class", lambda kind, name: Rowwise)
    with pytest.raises(UsageError, match="metric_loss=triplet: early answers for rows"):
        training.train(store, model="early", inputs=INPUTS, tasks=["speaking"],
                       config=TrainConfig(metric_loss="triplet"), out=tmp_path / "run")
