"""Training end to end on small made-up stores: it learns, repeats itself, resumes, and refuses what it must."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tests.training_stores import TASKS, make_actors, make_clips, make_store

from pipeline import plugins
from pipeline.clip import Clip, Task
from pipeline.errors import StoreError, TrainingError, UsageError
from pipeline.evaluation import evaluate
from pipeline.joined import open_stores
from pipeline.learning.jobs import prepare
from pipeline.learning.scaling import SPEAKER_NOTE
from pipeline.learning.train_config import TrainConfig
from pipeline.learning.training_loop import Quiet
from pipeline.runs import Checkpoint, read_history
from pipeline.training import resume, train

SHORT = TrainConfig(epochs=6, device="cpu", baselines=False)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("store") / "made.h5")


def metrics_of(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "metrics.json").read_text())
    return {name: value for name, value in found.items() if name != "test_reads"}


class StopAfter(Quiet):
    """Stands for a user who presses Ctrl-C."""

    def __init__(self, *, seed: int, epoch: int) -> None:
        self.at = seed, epoch

    def on_epoch(self, seed: int, epoch: int, num_epochs: int, metrics: Mapping[str, Any]) -> None:
        if (seed, epoch) == self.at:
            raise KeyboardInterrupt


class Listener(Quiet):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.plan: Mapping[str, Any] = {}
        self.epochs: list[tuple[int, int, int]] = []

    def on_start(self, plan: Mapping[str, Any]) -> None:
        self.plan = plan

    def on_epoch(self, seed: int, epoch: int, num_epochs: int, metrics: Mapping[str, Any]) -> None:
        self.epochs.append((seed, epoch, num_epochs))


# Models of any feature; those of sound or of face tracks alone have tests of their own.
OF_ANYTHING = [name for name in plugins.names("model") if name not in ("active_speaker", "audio_cnn")]


@pytest.mark.parametrize("model", OF_ANYTHING)
def test_every_model_learns_what_is_there(store: Path, tmp_path: Path, model: str) -> None:
    run = train(store, model=model, config=TrainConfig(device="cpu", epochs=25), out=tmp_path / "run")
    metrics = metrics_of(run)
    for split in ("dev", "test"):
        model_f1 = metrics[split]["emotion"]["weighted_f1"]["mean"]
        assert model_f1 > metrics["baselines"]["majority"][split]["emotion"]["weighted_f1"]["mean"] + 0.25
        assert metrics[split]["arousal"]["ccc"]["mean"] > 0.4


def test_a_run_folder_holds_all_that_it_promises(store: Path, tmp_path: Path) -> None:
    listener = Listener()
    run = train(store, config=TrainConfig(device="cpu", epochs=3, seeds=2, seed=5), out=tmp_path / "run",
                progress=listener)
    assert sorted(path.name for path in run.iterdir()) == ["baselines.csv", "config.json", "history.jsonl",
                                                           "metrics.json", "predictions.csv", "seed5", "seed6"]
    for folder in (run / "seed5", run / "seed6"):
        assert len(list(folder.glob("events.out.tfevents.*"))) == 1
        assert {path.name for path in folder.glob("*.pt")} == {"best.pt", "last.pt"}
    assert listener.epochs == [(seed, epoch, 3) for epoch in (1, 2, 3) for seed in (5, 6)]
    assert listener.plan["inputs"] == ["text_bert", "audio_logmel", "face_r3d18"]
    assert json.loads((run / "config.json").read_text()) == listener.plan
    metrics = metrics_of(run)
    f1 = metrics["test"]["emotion"]["weighted_f1"]
    assert f1["mean"] == pytest.approx(np.mean(f1["seeds"])) and f1["sd"] == pytest.approx(np.std(f1["seeds"], ddof=1))
    assert set(metrics["test"]["arousal"]) == {"ccc", "pearson", "mae", "rmse"}
    assert set(metrics["baselines"]) == {"majority", "logistic_regression", "ridge", "tfidf"}
    assert metrics["baselines"]["tfidf"]["dev"]["emotion"]["accuracy"]["sd"] == 0.0
    interval = metrics["intervals"]["test"]["emotion"]
    assert interval["low"] <= f1["mean"] <= interval["high"] and interval["num_groups"] == 10
    assert sum(metrics["num_parameters"].values()) > 1000
    assert all(0 <= line["dev"]["emotion"]["uar"] <= 1 for line in read_history(run))


def test_predictions_are_those_that_the_metrics_score(store: Path, tmp_path: Path) -> None:
    run = train(store, config=SHORT, out=tmp_path / "run")
    table = pd.read_csv(run / "predictions.csv")
    assert list(table.columns[:6]) == ["clip_id", "split", "seed", "task", "label", "prediction"]
    emotion = table[(table["task"] == "emotion") & (table["split"] == "test")]
    assert len(emotion) == 40
    known = emotion.dropna(subset=["label"])
    probabilities = known[["probability_calm", "probability_glad", "probability_angry"]]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert (probabilities.idxmax(axis=1).str.removeprefix("probability_") == known["prediction"]).all()
    accuracy = metrics_of(run)["test"]["emotion"]["accuracy"]["mean"]
    assert (known["label"] == known["prediction"]).mean() == pytest.approx(accuracy)
    assert metrics_of(run)["num_clips"]["test"]["scored"] == {"emotion": len(known), "arousal": 40}


def test_one_seed_twice_gives_identical_scores_and_leaves_chance_alone(store: Path, tmp_path: Path) -> None:
    torch.manual_seed(123)
    before = torch.get_rng_state()
    runs = [train(store, config=SHORT, out=tmp_path / name) for name in ("a", "b")]
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(7)
    runs.append(train(store, config=SHORT, settings={"seed": "1"}, out=tmp_path / "c"))
    assert metrics_of(runs[0]) == metrics_of(runs[1]) != metrics_of(runs[2])
    first, second = (Checkpoint.load(run / "seed0" / "best.pt").state for run in runs[:2])
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("at", [(0, 2), (0, 6), (1, 1)])
def test_a_resumed_run_ends_like_an_uninterrupted_one(store: Path, tmp_path: Path, at: tuple[int, int]) -> None:
    settings = {"seeds": "2", "plateau": "0", "together": "no"}
    whole = train(store, config=SHORT, settings=settings, out=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(store, config=SHORT, settings=settings, out=tmp_path / "cut", progress=StopAfter(seed=at[0], epoch=at[1]))
    assert not (tmp_path / "cut" / "metrics.json").exists()
    listener = Listener()
    cut = resume(tmp_path / "cut", progress=listener)
    assert listener.epochs[0] == ((at[0], at[1] + 1, 6) if at[1] < 6 else (1, 1, 6))
    assert metrics_of(cut) == metrics_of(whole)
    strip = [[{key: value for key, value in line.items() if key != "seconds"} for line in read_history(run)]
             for run in (whole, cut)]
    assert strip[0] == strip[1]
    assert (cut / "predictions.csv").read_text() == (whole / "predictions.csv").read_text()


def test_a_line_of_history_without_its_checkpoint_is_written_again(store: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(store, config=SHORT, out=tmp_path / "cut", progress=StopAfter(seed=0, epoch=2))
    with (tmp_path / "cut" / "history.jsonl").open("a") as file:
        file.write('{"seed": 0, "epoch": 3, "dev": {}}\n{"seed": 0, "ep')
    assert [line["epoch"] for line in read_history(resume(tmp_path / "cut"))] == [1, 2, 3, 4, 5, 6]


def test_a_run_whose_store_changed_is_not_resumed(tmp_path: Path) -> None:
    path = make_store(tmp_path / "a.h5", sizes={"train": 40, "dev": 20})
    run = train(path, config=SHORT, out=tmp_path / "run")
    (run / "metrics.json").unlink()
    make_store(path, sizes={"train": 40, "dev": 20}, recipe={"layer": -2})
    with pytest.raises(TrainingError, match=r"changed since it began \(fingerprints differ\)"):
        resume(run)
    with pytest.raises(TrainingError, match="cannot be read"):
        resume(tmp_path / "nowhere")


def test_a_folder_that_holds_a_run_is_not_overwritten(store: Path, tmp_path: Path) -> None:
    run = train(store, config=SHORT, out=tmp_path / "run")
    with pytest.raises(TrainingError, match="already holds a run; continue it with: python -m pipeline train --resume"):
        train(store, config=SHORT, out=run)


def test_a_smoke_run_is_one_batch_and_one_event_file_and_never_reads_test(store: Path, tmp_path: Path) -> None:
    run = train(store, config=TrainConfig(device="cpu", seeds=3, smoke=True, batch_size=8), out=tmp_path / "run")
    assert len(list(run.rglob("events.out.tfevents.*"))) == 1
    assert [line["epoch"] for line in read_history(run)] == [1]
    state = torch.load(run / "seed0" / "last.pt", weights_only=True)
    assert [int(steps) for steps in state["optimiser"]["steps"]] == [1]
    metrics = json.loads((run / "metrics.json").read_text())
    assert "test" not in metrics and metrics["smoke"] and metrics["test_reads"] == {}


@pytest.mark.parametrize("feature", ["text_bert", "audio_logmel"])
def test_a_store_with_one_modality_trains(tmp_path: Path, feature: str) -> None:
    path = make_store(tmp_path / "a.h5", features=[feature])
    run = train(path, config=SHORT, settings={"epochs": "12"}, out=tmp_path / "run")
    metrics = metrics_of(run)
    assert metrics["test"]["emotion"]["accuracy"]["mean"] > 0.55
    assert set(metrics["missing_modalities"]["test"]) == {feature}
    assert metrics["num_clips"]["test"]["without_inputs"] == metrics["missing_modalities"]["test"][feature] > 0
    assert any("none of the inputs" in note for note in metrics["notes"])


def test_two_stores_train_like_the_one_that_holds_both(store: Path, tmp_path: Path) -> None:
    clips = make_clips({"train": 60, "dev": 20})
    both = make_store(tmp_path / "both.h5", clips=clips, features=["text_bert", "audio_logmel"])
    text = make_store(tmp_path / "text.h5", clips=clips, features=["text_bert"])
    sound = make_store(tmp_path / "sound.h5", clips=clips[::-1], features=["audio_logmel", "text_bert"])
    sound = cut_feature(sound, clips)
    one = train(both, inputs=["text_bert"], config=SHORT, out=tmp_path / "one")
    other = train([text, sound], inputs=["text_bert"], config=SHORT, out=tmp_path / "two")
    assert metrics_of(one) == metrics_of(other)
    joint = train([text, sound], config=SHORT, out=tmp_path / "three")
    assert json.loads((joint / "config.json").read_text())["inputs"] == ["text_bert", "face_r3d18"]


def cut_feature(path: Path, clips: list[Clip]) -> Path:
    """A store of the same clips, in another order, with another feature."""
    return make_store(path, clips=clips[::-1], features=["face_r3d18"])


def test_settings_reach_model_and_training_and_others_are_refused(store: Path, tmp_path: Path) -> None:
    run = train(store, config=SHORT, settings={"hidden": "32", "pools": "mean,std", "lr": "0.01", "epochs": "1"},
                out=tmp_path / "run")
    checkpoint = Checkpoint.load(run / "seed0" / "best.pt")
    assert (checkpoint.model_config["hidden"], checkpoint.training["lr"]) == (32, 0.01)
    assert checkpoint.row_shapes["audio_logmel"] == (16,)
    with pytest.raises(UsageError, match="no setting of intermediate or of training named 'hiden'; did you mean 'hid"):
        train(store, settings={"hiden": "3"}, out=tmp_path / "x")
    with pytest.raises(UsageError, match="training.epochs=many: expected a whole number"):
        train(store, settings={"epochs": "many"}, out=tmp_path / "x")
    with pytest.raises(UsageError, match="training: batch_size is at least 1, found 0"):
        train(store, settings={"batch_size": "0"}, out=tmp_path / "x")
    with pytest.raises(UsageError, match="select_by=ccc: task 'emotion' is scored by accuracy, weighted_f1"):
        train(store, settings={"select_by": "ccc"}, out=tmp_path / "x")
    with pytest.raises(UsageError, match="no model named 'intermedate'; did you mean 'intermediate'"):
        train(store, model="intermedate", out=tmp_path / "x")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(("settings", "message"), [
    ({"lr": -1.0}, "lr and gradient_clip are above 0"),
    ({"label_smoothing": 1.0}, "label_smoothing and dev_fraction are in"),
    ({"patience": 0}, "patience is at least 1")])
def test_impossible_training_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainConfig(**settings)


def test_the_best_epoch_is_the_one_of_the_best_dev_score(store: Path, tmp_path: Path) -> None:
    run = train(store, config=SHORT, settings={"select_by": "uar"}, out=tmp_path / "run")
    lines = read_history(run)
    best = max(lines, key=lambda line: (line["dev"]["emotion"]["uar"], -line["dev_loss"]))
    checkpoint = Checkpoint.load(run / "seed0" / "best.pt")
    assert (checkpoint.epoch, checkpoint.score) == (best["epoch"], best["dev"]["emotion"]["uar"])
    assert metrics_of(run)["dev"]["emotion"]["uar"]["mean"] == pytest.approx(checkpoint.score)
    assert metrics_of(run)["intervals"]["dev"]["emotion"]["metric"] == "uar"


def test_an_error_that_falls_is_better(store: Path, tmp_path: Path) -> None:
    run = train(store, tasks=["arousal"], config=SHORT, settings={"select_by": "mae", "value_loss": "mse"},
                out=tmp_path / "run")
    assert Checkpoint.load(run / "seed0" / "best.pt").score == min(line["dev"]["arousal"]["mae"]
                                                                   for line in read_history(run))


def test_training_stops_when_dev_no_longer_rises(store: Path, tmp_path: Path) -> None:
    run = train(store, config=TrainConfig(device="cpu", epochs=200, patience=2, baselines=False), out=tmp_path / "run")
    lines = read_history(run)
    assert len(lines) == Checkpoint.load(run / "seed0" / "best.pt").epoch + 2 < 200


def test_dev_as_test_is_refused_unless_asked_for_and_then_stamped(store: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="dev and test are both 'test'"):
        train(store, config=SHORT, settings={"dev_split": "test"}, out=tmp_path / "x")
    run = train(store, config=SHORT, settings={"dev_is_test": "yes"}, out=tmp_path / "run")
    metrics = metrics_of(run)
    assert metrics["dev_is_test"] and "the scores are too good" in metrics["notes"][0]
    assert {"train", "test"} <= set(metrics) and "dev" not in metrics


def test_a_corpus_without_splits_is_carved_and_says_so(tmp_path: Path) -> None:
    path = make_store(tmp_path / "a.h5", sizes={"all": 80})
    metrics = metrics_of(train(path, config=SHORT, out=tmp_path / "run"))
    assert {"train", "dev"} <= set(metrics) and "test" not in metrics
    assert any("carved from 'train' by group, seed 0" in note for note in metrics["notes"])
    assert any("no split 'test'" in note for note in metrics["notes"])


def test_a_leak_stops_training_unless_allowed(tmp_path: Path) -> None:
    clips = make_clips({"train": 40, "dev": 12})
    clips[-1] = Clip("dev/last", split="dev", group="train-dialogue0", labels={"emotion": "calm"})
    path = make_store(tmp_path / "a.h5", clips=clips)
    with pytest.raises(TrainingError, match="group 'train-dialogue0' is in dev and train"):
        train(path, config=SHORT, out=tmp_path / "x")
    run = train(path, config=SHORT, settings={"allow_leaks": "yes"}, out=tmp_path / "run")
    assert "leaks between splits were allowed" in metrics_of(run)["notes"]


@pytest.mark.parametrize(("labels", "message"), [
    ({"emotion": "calm"}, "the training clips have the one label calm for 'emotion'"),
    ({}, "no clip of 'train' is labelled for emotion; there is nothing to learn")])
def test_one_class_or_no_label_is_nothing_to_learn(tmp_path: Path, labels: dict[str, str], message: str) -> None:
    clips = [Clip(f"{split}/{place}", split=split, labels=labels) for split in ("train", "dev") for place in range(6)]
    path = make_store(tmp_path / "a.h5", clips=clips, tasks=TASKS[:1])
    with pytest.raises(TrainingError, match=message):
        train(path, config=SHORT, out=tmp_path / "x")


def test_stores_that_nothing_can_be_learnt_from_are_refused(tmp_path: Path) -> None:
    clips = [Clip(f"{split}/{place}", split=split, labels={"emotion": "calm" if place % 2 else "glad"}
                  if split == "train" else {}) for split in ("train", "dev") for place in range(6)]
    path = make_store(tmp_path / "a.h5", clips=clips, tasks=TASKS[:1])
    with pytest.raises(TrainingError, match="no clip of 'dev' is labelled for 'emotion', so no epoch"):
        train(path, config=SHORT, out=tmp_path / "x")
    with pytest.raises(TrainingError, match="has no labels; a manifest gets some by a column"):
        train(make_store(tmp_path / "b.h5", clips=[Clip("train/1", split="train")], tasks=()), out=tmp_path / "x")
    with pytest.raises(StoreError, match="no task 'valence', only emotion, arousal"):
        train(make_store(tmp_path / "c.h5", sizes={"train": 9}), tasks=["valence"], out=tmp_path / "x")
    with pytest.raises(StoreError, match="no feature 'video_r3d18', only audio_logmel, face_r3d18, text_bert; add it"):
        train(tmp_path / "c.h5", inputs=["video_r3d18"], out=tmp_path / "x")


def test_labelled_clips_without_rows_teach_nothing(tmp_path: Path) -> None:
    clips = make_clips({"train": 12, "dev": 6})
    first = make_store(tmp_path / "a.h5", clips=clips[:12], features=["text_bert"])
    second = make_store(tmp_path / "b.h5", clips=clips[12:], features=["face_r3d18"])
    with pytest.raises(TrainingError, match="no labelled clip of 'train' has any rows of face_r3d18"):
        train([first, second], inputs=["face_r3d18"], config=SHORT, out=tmp_path / "x")


def test_every_scoring_of_test_is_counted_beside_the_store(tmp_path: Path) -> None:
    path = make_store(tmp_path / "a.h5", sizes={"train": 40, "dev": 20, "test": 12})
    run = train(path, config=SHORT, out=tmp_path / "run")
    assert json.loads((run / "metrics.json").read_text())["test_reads"] == {str(path): 1}
    assert "test_reads" not in evaluate(run, path, split="dev", device="cpu")
    assert evaluate(run, path, device="cpu")["test_reads"] == {str(path): 2}
    assert resume(run) == run
    second = train(path, config=SHORT, out=tmp_path / "second")
    assert json.loads((second / "metrics.json").read_text())["test_reads"] == {str(path): 3}


def test_a_small_training_set_is_cut_into_ten_batches(tmp_path: Path) -> None:
    from models.early import Early
    sizes = {"train": 50, "dev": 12}
    stores = open_stores(make_store(tmp_path / "a.h5", sizes=sizes))
    job = prepare(tmp_path / "run", stores, "early", Early.Config(), SHORT)
    assert job.batch_size == -(-len(job.train_clips) // 10) < 10


def test_a_loss_that_explodes_says_what_to_do(store: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="the loss is (nan|inf) after epoch 1; lower the learning rate"):
        train(store, config=SHORT, settings={"lr": "1e30", "weight_decay": "0"}, out=tmp_path / "run")


def test_a_task_may_be_a_value_alone(tmp_path: Path) -> None:
    path = make_store(tmp_path / "a.h5", tasks=(Task("arousal", value_range=(0.0, 1.0)),))
    metrics = metrics_of(train(path, config=TrainConfig(device="cpu", epochs=12), out=tmp_path / "run"))
    assert set(metrics["baselines"]) == {"majority", "ridge"}
    assert metrics["baselines"]["majority"]["test"]["arousal"]["ccc"]["mean"] == 0.0
    assert metrics["test"]["arousal"]["ccc"]["mean"] > 0.5


def test_rows_are_standardised_by_the_training_clips_alone(store: Path, tmp_path: Path) -> None:
    from models.early import Early
    job = prepare(tmp_path / "run", open_stores(store), "early", Early.Config(), SHORT)
    assert set(job.train_clips) <= set(job.splits.places["train"])
    for name, values in job.batches.take(job.train_clips).features.items():
        real = values[job.batches.has[name][job.train_clips]]
        torch.testing.assert_close(real.mean((0, 1)), torch.zeros(real.shape[2]), atol=1e-5, rtol=0)
        torch.testing.assert_close(real.flatten(0, 1).std(0, correction=0), torch.ones(real.shape[2]))


def test_standardising_by_speaker_is_stamped_wherever_scores_are(tmp_path: Path) -> None:
    path = make_store(tmp_path / "a.h5", clips=make_actors(8), features=["text_bert", "audio_logmel"])
    run = train(path, config=TrainConfig(epochs=3, device="cpu", normalise="speaker"), out=tmp_path / "run")
    metrics, checkpoint = metrics_of(run), Checkpoint.load(run / "seed0" / "best.pt")
    assert metrics["normalise"] == "speaker" and metrics["notes"][0].startswith("transductive: ")
    assert checkpoint.training["normalise"] == "speaker" and not checkpoint.scaler["text_bert"]["mean"].any()
    scored = evaluate(run, path, split="all", device="cpu")
    assert (scored["normalise"], scored["notes"]) == ("speaker", [SPEAKER_NOTE])
    folds = train(path, config=TrainConfig(epochs=2, device="cpu", normalise="speaker", folds="3-group-folds"),
                  out=tmp_path / "folds")
    for folder in (folds, folds / "fold-1"):
        assert metrics_of(folder)["normalise"] == "speaker" and SPEAKER_NOTE in metrics_of(folder)["notes"]


@pytest.mark.parametrize("features", [["text_bert"], ["audio_logmel"]])
def test_a_shift_of_one_speaker_is_taken_out_by_own_statistics(tmp_path: Path, features: list[str]) -> None:
    clips = make_actors(6)
    plain = make_store(tmp_path / "a.h5", clips=clips, features=features)
    shifted = make_store(tmp_path / "b.h5", clips=clips, features=features, shift={"actor3": 40.0})
    runs = [train(path, config=TrainConfig(epochs=3, device="cpu", normalise="speaker"), out=path.with_suffix(""))
            for path in (plain, shifted)]
    first, second = (pd.read_csv(run / "predictions.csv") for run in runs)
    np.testing.assert_allclose(first["probability_calm"].dropna(), second["probability_calm"].dropna(), atol=1e-3)
    other = train(shifted, config=TrainConfig(epochs=3, device="cpu"), out=tmp_path / "train")
    assert not np.allclose(pd.read_csv(other / "predictions.csv")["probability_calm"].dropna(),
                           second["probability_calm"].dropna(), atol=1e-2)
    assert evaluate(runs[0], shifted, device="cpu")["all"]["emotion"]["accuracy"]["mean"] \
        == evaluate(runs[0], plain, device="cpu")["all"]["emotion"]["accuracy"]["mean"]


def test_an_unknown_speaker_stops_standardising_by_speaker(tmp_path: Path) -> None:
    clips = [replace(clip, speaker="") if clip.group == "actor2" else clip for clip in make_actors(4)]
    path = make_store(tmp_path / "a.h5", clips=clips, features=["text_bert"])
    config = TrainConfig(epochs=1, device="cpu", normalise="speaker")
    with pytest.raises(TrainingError, match="12 of 48 clips, all/clip12 first, have no speaker"):
        train(path, config=config, out=tmp_path / "x")
    run = train(make_store(tmp_path / "b.h5", clips=make_actors(4), features=["text_bert"]), config=config,
                out=tmp_path / "run")
    with pytest.raises(TrainingError, match="12 of 48 clips, all/clip12 first, have no speaker"):
        evaluate(run, path, device="cpu")


def test_a_run_of_a_later_version_is_not_resumed(store: Path, tmp_path: Path) -> None:
    run = train(store, config=SHORT, settings={"epochs": "1"}, out=tmp_path / "run")
    (run / "metrics.json").unlink()
    config = json.loads((run / "config.json").read_text())
    config["training"]["warp"] = 9
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(TrainingError, match="has settings that this version does not know .*warp"):
        resume(run)
