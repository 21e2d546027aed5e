"""Training by folds: what each fold learns from, what is pooled, what a killed run resumes, what the files hold."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tests.training_stores import CLASSES, TASKS, make_actors, make_clips, make_protocol, make_store

from pipeline.cli import main
from pipeline.clip import Clip
from pipeline.errors import TrainingError, UsageError
from pipeline.joined import open_stores
from pipeline.learning.train_config import TrainConfig
from pipeline.learning.training_loop import Quiet
from pipeline.metrics import score
from pipeline.runs import Checkpoint, read_history
from pipeline.scores.resampling import confidence_intervals
from pipeline.scores.scoring import num_groups
from pipeline.training import resume, train

CONFIG = TrainConfig(epochs=3, device="cpu", folds="actor-folds", seeds=2)


def metrics_of(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "metrics.json").read_text())
    return {name: value for name, value in found.items() if name != "test_reads"}


class StopAfter(Quiet):
    """Stands for a user who presses Ctrl-C; keeps the folds that were begun."""

    def __init__(self, fold: str = "", seed: int = 0, epoch: int = 0) -> None:
        self.at, self.folds = (fold, seed, epoch), []
        self.begun: list[tuple[str, int, int]] = []
        self.plan: Mapping[str, Any] = {}

    def on_start(self, plan: Mapping[str, Any]) -> None:
        assert not self.plan, "one run, one start"
        self.plan = plan

    def on_fold(self, name: str, number: int, num_folds: int) -> None:
        self.folds.append((name, number, num_folds))

    def on_epoch(self, seed: int, epoch: int, num_epochs: int, metrics: Mapping[str, Any]) -> None:
        self.begun.append((self.folds[-1][0], seed, epoch))
        if self.begun[-1] == self.at:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("store") / "made.h5", clips=make_actors(8),
                      features=["text_bert", "audio_logmel"], protocols=[make_protocol(8, 2, warning="dev is small")])


@pytest.fixture(scope="module")
def run(store: Path) -> Path:
    return train(store, config=CONFIG, out=store.parent / "run")


def test_a_run_by_folds_holds_a_run_for_every_fold_and_what_is_pooled(run: Path) -> None:
    assert sorted(path.name for path in run.iterdir()) == ["baselines.csv", "config.json", "fold-1", "fold-2", "fold-3",
                                                           "fold-4", "metrics.json", "predictions.csv"]
    for number in range(1, 5):
        assert {"config.json", "history.jsonl", "metrics.json", "predictions.csv", "baselines.csv", "seed0", "seed1"} \
            == {path.name for path in (run / f"fold-{number}").iterdir()}
    config = json.loads((run / "config.json").read_text())
    assert config["folds"]["protocol"] == "actor-folds" and config["notes"][0] == "actor-folds: dev is small"
    assert config["folds"]["folds"][1] == {
        "name": "2", "folder": "fold-2", "test_groups": ["actor3", "actor4"], "dev_groups": ["actor5", "actor6"],
        "clips": {"train": 48, "dev": 24, "test": 24}}


def test_pooled_scores_are_those_of_all_folds_predictions_by_seed(run: Path, store: Path) -> None:
    metrics, table = metrics_of(run), pd.read_csv(run / "predictions.csv").dropna(subset=["label"])
    assert list(table.columns[:4]) == ["fold", "clip_id", "split", "seed"] and set(table["split"]) == {"test"}
    emotion = table[table["task"] == "emotion"]
    for metric in ("accuracy", "uar", "weighted_f1", "macro_f1"):
        seeds = [score(TASKS[0], *(part[column].map(CLASSES.index).to_numpy() for column in ("label", "prediction")))
                 for _, part in emotion.groupby("seed")]
        summary = metrics["test"]["emotion"][metric]
        assert summary["seeds"] == pytest.approx([part[metric] for part in seeds])
        assert summary["mean"] == pytest.approx(np.mean(summary["seeds"]))
        assert summary["sd"] == pytest.approx(np.std(summary["seeds"], ddof=1))
    assert metrics["num_clips"]["test"]["scored"] == {"emotion": len(emotion) // 2, "arousal": 96}
    assert sorted(emotion[emotion["seed"] == 0]["clip_id"]) == sorted(
        open_stores(store).clips["clip_id"][open_stores(store).labels("emotion") >= 0])


def test_intervals_are_over_actors_and_for_every_metric(run: Path, store: Path) -> None:
    found = metrics_of(run)["intervals"]["test"]["emotion"]
    assert (found["metric"], found["over"], found["num_groups"]) == ("weighted_f1", "groups", 8)
    table = pd.read_csv(run / "predictions.csv").dropna(subset=["label"])
    rows = [part for _, part in table[table["task"] == "emotion"].groupby("seed")]
    groups = open_stores(store).clips.set_index("clip_id")["group"][rows[0]["clip_id"]].to_numpy()
    expected = confidence_intervals(TASKS[0], rows[0]["label"].map(CLASSES.index).to_numpy(),
                                    [part["prediction"].map(CLASSES.index).to_numpy() for part in rows], groups)
    assert num_groups(groups) == 8
    for metric, (low, high) in expected.items():
        assert found["by_metric"][metric] == {"low": pytest.approx(low), "high": pytest.approx(high)}
    assert (found["low"], found["high"]) == pytest.approx(expected["weighted_f1"])


def test_each_fold_is_scored_by_itself_too(run: Path) -> None:
    metrics = metrics_of(run)
    assert list(metrics["folds"]) == ["1", "2", "3", "4"]
    for name, fold in metrics["folds"].items():
        own = metrics_of(run / fold["folder"])
        assert fold["test"] == own["test"] and fold["best_epochs"] == own["best_epochs"]
        assert own["notes"][:2] == ["actor-folds: dev is small", f"one fold of actor-folds: {name}"]
    assert metrics["protocol"] == {"name": "actor-folds", "source": "Doe (2020), table 2", "warning": "dev is small",
                                   "leaks": False}
    assert metrics["normalise"] == "train" and metrics["notes"][0] == "actor-folds: dev is small"


def test_baselines_learn_in_every_fold_and_are_pooled_in_the_same_shape(run: Path) -> None:
    metrics, table = metrics_of(run), pd.read_csv(run / "baselines.csv")
    assert set(metrics["baselines"]) == {"majority", "logistic_regression", "ridge", "tfidf"}
    for name, part in table[table["task"] == "emotion"].groupby("baseline"):
        accuracy = metrics["baselines"][name]["test"]["emotion"]["accuracy"]
        assert accuracy["mean"] == pytest.approx((part["label"] == part["prediction"]).mean())
        assert len(accuracy["seeds"]) == 1
    for fold, part in table[table["baseline"] == "majority"].groupby("fold"):
        own = json.loads((run / f"fold-{fold}" / "metrics.json").read_text())["baselines"]["majority"]["test"]
        emotion = part[part["task"] == "emotion"]
        assert own["emotion"]["accuracy"]["mean"] == pytest.approx((emotion["label"] == emotion["prediction"]).mean())


def test_scalers_and_losses_of_a_fold_know_its_training_clips_alone(run: Path, store: Path) -> None:
    stores = open_stores(store)
    for number in range(1, 5):
        rows = pd.read_csv(run / f"fold-{number}" / "predictions.csv")
        training = rows.loc[rows["split"] == "train", "clip_id"].unique()
        places = np.flatnonzero(np.isin(stores.clips["clip_id"], training) & (stores.rows("text_bert").lengths > 0))
        part = stores.rows("text_bert").of(places)
        pooled = np.stack([part.values[start:start + length].mean(0)
                           for start, length in zip(part.starts, part.lengths, strict=True)])
        checkpoint = Checkpoint.load(run / f"fold-{number}" / "seed1" / "best.pt")
        np.testing.assert_allclose(checkpoint.scaler["text_bert"]["mean"], pooled.mean(0), atol=1e-5)
        values = stores.labels("arousal")[np.isin(stores.clips["clip_id"], training)]
        assert checkpoint.value_scale["arousal"][0] == pytest.approx(values.mean(), abs=1e-6)


def test_changing_what_a_fold_tests_changes_nothing_that_it_learns(store: Path, run: Path, tmp_path: Path) -> None:
    clips = [replace(clip, labels={"emotion": "calm", "arousal": 0.1}, text="noise") if clip.group in
             ("actor1", "actor2") else clip for clip in make_actors(8)]
    labels = {clip.clip_id: clip.labels for clip in make_actors(8)}
    made = make_store(tmp_path / "a.h5", clips=[replace(clip, labels=labels[clip.clip_id]) for clip in clips],
                      features=["text_bert", "audio_logmel"], protocols=[make_protocol(8, 2)])
    other = make_store(tmp_path / "b.h5", clips=clips, features=["text_bert", "audio_logmel"],
                       protocols=[make_protocol(8, 2)])
    states = []
    for path in (made, other):
        found = train(path, config=replace(CONFIG, baselines=False, seeds=1), out=tmp_path / path.stem)
        states.append(Checkpoint.load(found / "fold-1" / "seed0" / "best.pt"))
    assert all(torch.equal(states[0].state[name], states[1].state[name]) for name in states[0].state)
    assert metrics_of(tmp_path / "a")["folds"]["1"]["test"] != metrics_of(tmp_path / "b")["folds"]["1"]["test"]


@pytest.mark.parametrize("at", [("1", 1, 2), ("3", 0, 2), ("4", 1, 3)])
def test_a_killed_run_goes_on_in_its_fold_and_ends_like_a_whole_one(store: Path, run: Path, tmp_path: Path,
                                                                    at: tuple[str, int, int]) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(store, config=CONFIG, out=tmp_path / "cut", progress=StopAfter(*at))
    assert not (tmp_path / "cut" / "metrics.json").exists()
    listener = StopAfter()
    cut = resume(tmp_path / "cut", progress=listener)
    if at != ("4", 1, 3):
        following = (at[0], 0, at[2] + 1)               # seeds train together, epoch by epoch
        assert listener.begun[0] == following and listener.folds[0] == ("1", 1, 4)
    assert metrics_of(cut) == metrics_of(run)
    for name in ("predictions.csv", "baselines.csv", "config.json"):
        assert (cut / name).read_text() == (run / name).read_text(), name
    done = sorted((line["seed"], line["epoch"]) for line in read_history(cut / "fold-3"))
    assert [epoch for _, epoch in done] == [1, 2, 3, 1, 2, 3]
    assert resume(cut) == cut


def test_the_tested_clips_are_counted_as_read_once_a_run(tmp_path: Path) -> None:
    path = make_store(tmp_path / "a.h5", clips=make_actors(4), features=["text_bert"])
    found = train(path, config=replace(CONFIG, folds="leave-one-group-out", seeds=1), out=tmp_path / "run")
    assert json.loads((found / "metrics.json").read_text())["test_reads"] == {str(path): 1}
    assert json.loads((found / "fold-1" / "metrics.json").read_text())["test_reads"] == {}


def test_a_run_whose_folds_changed_is_not_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_store(tmp_path / "a.h5", clips=make_actors(6), features=["text_bert"])
    (tmp_path / "mine.csv").write_text("group,fold\nactor1,a\nactor2,a\nactor3,b\n")
    monkeypatch.chdir(tmp_path)
    config = replace(CONFIG, folds="mine.csv", baselines=False)
    with pytest.raises(KeyboardInterrupt):
        train(path, config=config, out=tmp_path / "run", progress=StopAfter("b", 0, 1))
    monkeypatch.chdir("/")
    shutil.copytree(tmp_path / "run", tmp_path / "again")
    assert set(metrics_of(resume(tmp_path / "again"))["folds"]) == {"a", "b"}
    (tmp_path / "mine.csv").write_text("group,fold\nactor1,a\nactor4,b\n")
    with pytest.raises(TrainingError, match=r"stores or folds of .*run changed since it began \(folds, notes differ\)"):
        resume(tmp_path / "run")
    (tmp_path / "mine.csv").unlink()
    with pytest.raises(UsageError, match="mine.csv cannot be read as folds"):
        resume(tmp_path / "run")


def test_one_fold_is_not_resumed_alone(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run / "fold-2", tmp_path / "fold-2")
    (tmp_path / "fold-2" / "metrics.json").unlink()
    with pytest.raises(TrainingError, match="is one fold of a run; name the whole run: "):
        resume(tmp_path / "fold-2")


def test_what_folds_have_no_use_for_is_refused(store: Path, tmp_path: Path) -> None:
    for settings in ({"smoke": "yes"}, {"dev_is_test": "yes"}, {"dev_split": "x"}):
        with pytest.raises(UsageError, match="folds=actor-folds divides all clips anew; leave out train_split"):
            train(store, config=CONFIG, settings=settings, out=tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_a_fold_in_which_nothing_can_be_learnt_stops_the_run_before_it_begins(tmp_path: Path) -> None:
    labels = [{"emotion": "calm"}] * 4 + [{"emotion": emotion} for emotion in ("glad", "calm")] * 2
    clips = [Clip(f"all/{place}", group=f"actor{place // 2 + 1}", labels=label) for place, label in enumerate(labels)]
    path = make_store(tmp_path / "a.h5", clips=clips, features=["text_bert"], protocols=[make_protocol(4, 1)],
                      tasks=TASKS[:1])
    with pytest.raises(TrainingError, match="fold '3' of actor-folds: the training clips have the one label calm"):
        train(path, config=CONFIG, out=tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_a_file_in_two_parts_of_a_fold_is_a_leak(tmp_path: Path) -> None:
    clips = [replace(clip, source=tmp_path / "same.mp4") if clip.clip_id in ("all/clip0", "all/clip40") else clip
             for clip in make_actors(6)]
    path = make_store(tmp_path / "a.h5", clips=clips, features=["text_bert"])
    config = replace(CONFIG, folds="leave-one-group-out", baselines=False, seeds=1)
    with pytest.raises(TrainingError, match=r"fold 'actor1' of leave-one-group-out: the splits leak: .*same.mp4"):
        train(path, config=config, out=tmp_path / "x")
    run = train(path, config=replace(config, allow_leaks=True, epochs=1), out=tmp_path / "run")
    assert "leaks between folds were allowed" in metrics_of(run)["notes"]


def test_clips_dealt_one_by_one_train_and_are_stamped_everywhere(store: Path, tmp_path: Path) -> None:
    run = train(store, config=replace(CONFIG, folds="2-random-folds", baselines=False, seeds=1), out=tmp_path / "run")
    assert metrics_of(run)["protocol"]["leaks"] and metrics_of(run)["notes"][0].startswith("the folds leak")
    assert metrics_of(run / "fold-1")["notes"][0].startswith("the folds leak")


def test_the_corpus_own_splits_play_no_part(tmp_path: Path) -> None:
    path = make_store(tmp_path / "a.h5", clips=make_clips({"train": 24, "dev": 12, "test": 12}), features=["text_bert"])
    run = train(path, config=replace(CONFIG, folds="3-group-folds", baselines=False, seeds=1), out=tmp_path / "run")
    table = pd.read_csv(run / "predictions.csv")
    assert {clip_id.partition("/")[0] for clip_id in table["clip_id"]} == {"train", "dev", "test"}


def test_a_fold_whose_predictions_are_gone_is_named(store: Path, run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    (tmp_path / "run" / "metrics.json").unlink()
    (tmp_path / "run" / "fold-2" / "predictions.csv").write_text("nothing\n")
    with pytest.raises(TrainingError, match="fold-2/predictions.csv cannot be read"):
        resume(tmp_path / "run")


def test_the_command_line_shows_folds_stamps_and_scores(store: Path, tmp_path: Path,
                                                        capsys: pytest.CaptureFixture[str]) -> None:
    run = tmp_path / "run"
    assert main(["train", "--features", str(store), "--folds", "actor-folds", "--normalise", "speaker", "--set",
                 "epochs=1", "--set", "fold_dev=carved", "--out", str(run)]) == 0
    shown = capsys.readouterr()
    assert shown.out.strip() == str(run) and (run / "report.html").is_file()
    for words in ("Folds of actor-folds", "actor3, actor4", "uar", "ccc", "note transductive: every speaker",
                  "note dev of every fold is carved", "note actor-folds: dev is small"):
        assert words in shown.err, words
    assert main(["evaluate", "--run", str(run), "--features", str(store)]) == 0
    assert "note transductive" in capsys.readouterr().err
    assert main(["train", "--features", str(store), "--folds", "actors", "--out", str(tmp_path / "x")]) == 2
    assert "no protocol named 'actors'" in capsys.readouterr().err
    assert main(["count-parameters", "--run", str(run)]) != 0
