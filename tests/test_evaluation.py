"""Scoring a run on other stores, and what is refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from tests.training_stores import TASKS, make_actors, make_clips, make_protocol, make_store

from pipeline.batch import Batches
from pipeline.clip import Clip, Task
from pipeline.errors import StoreError, TrainingError, UsageError
from pipeline.evaluation import evaluate
from pipeline.joined import open_stores
from pipeline.learning.scaling import Scaler
from pipeline.learning.train_config import TrainConfig
from pipeline.runs import Checkpoint
from pipeline.scores import scoring
from pipeline.scores.scoring import outputs_of, summarise
from pipeline.training import train

SIZES = {"train": 80, "dev": 24, "test": 24}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("store") / "made.h5", sizes=SIZES)


@pytest.fixture(scope="module")
def run(store: Path) -> Path:
    return train(store, config=TrainConfig(epochs=4, seeds=2, device="cpu", baselines=False), out=store.parent / "run")


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_a_split_scores_as_it_did_after_training(store: Path, run: Path, split: str,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "SCORING_BATCH", 7)
    before = torch.get_rng_state()
    metrics, trained = evaluate(run, store, split=split, device="cpu"), json.loads((run / "metrics.json").read_text())
    assert torch.equal(torch.get_rng_state(), before)
    for task in ("emotion", "arousal"):
        for metric, summary in trained[split][task].items():
            assert metrics[split][task][metric]["seeds"] == pytest.approx(summary["seeds"], abs=1e-6)
    for task, interval in trained["intervals"][split].items():
        assert metrics["intervals"][split][task]["low"] == pytest.approx(interval["low"], abs=1e-6)
    assert metrics["missing_modalities"][split] == trained["missing_modalities"][split]


def test_without_a_split_every_clip_is_scored_under_all(store: Path, run: Path) -> None:
    metrics = evaluate(run, store, device="cpu")
    table = pd.read_csv(run / "predictions.csv").dropna(subset=["label"])
    emotion = table[(table["task"] == "emotion") & (table["seed"] == 1)]
    accuracy = float((emotion["label"] == emotion["prediction"]).mean())
    assert metrics["all"]["emotion"]["accuracy"]["seeds"][1] == pytest.approx(accuracy)
    assert metrics["num_clips"]["all"]["scored"] == {"emotion": len(emotion), "arousal": sum(SIZES.values())}
    json.dumps(metrics, allow_nan=False)


def test_a_store_that_lacks_some_clips_rows_or_a_task_is_scored_on_the_rest(run: Path, tmp_path: Path) -> None:
    clips = make_clips({"exam": 30}, tasks=TASKS[:1])
    text = make_store(tmp_path / "text.h5", clips=clips, features=["text_bert", "audio_logmel"], tasks=TASKS[:1])
    face = make_store(tmp_path / "face.h5", clips=clips[:10], features=["face_r3d18"], tasks=TASKS[:1])
    metrics = evaluate(run, [text, face], split="exam", device="cpu")
    assert set(metrics["exam"]) == {"emotion"}
    assert metrics["missing_modalities"]["exam"]["face_r3d18"] >= 20


def test_stores_that_do_not_fit_the_run_are_refused(store: Path, run: Path, tmp_path: Path) -> None:
    other = make_store(tmp_path / "a.h5", sizes=SIZES, recipe={"settings": {"layer": -2}})
    with pytest.raises(StoreError, match=r"another recipe than the network learnt from: text_bert \(settings: None"
                                         r" became \{'layer': -2\}\)"):
        evaluate(run, other, device="cpu")
    with pytest.raises(StoreError, match="no feature 'audio_logmel', only text_bert; add it with"):
        evaluate(run, make_store(tmp_path / "b.h5", sizes=SIZES, features=["text_bert"]), device="cpu")
    swapped = (Task("emotion", ("glad", "calm", "angry")),)
    with pytest.raises(StoreError, match="classes glad, calm, angry in the store and calm, glad, angry in the run"):
        evaluate(run, make_store(tmp_path / "c.h5", sizes=SIZES, tasks=swapped), device="cpu")
    with pytest.raises(StoreError, match="is labelled for nothing, the run answers emotion, arousal"):
        evaluate(run, make_store(tmp_path / "d.h5", clips=[Clip("x")], tasks=()), device="cpu")
    with pytest.raises(StoreError, match="in any split is labelled for emotion or arousal"):
        evaluate(run, make_store(tmp_path / "e.h5", clips=[Clip("x")]), device="cpu")
    with pytest.raises(UsageError, match="has no split 'exam', only dev, test, train"):
        evaluate(run, store, split="exam", device="cpu")
    with pytest.raises(TrainingError, match="holds no trained network"):
        evaluate(tmp_path, store, device="cpu")


def test_summaries_have_mean_deviation_and_every_seed() -> None:
    summary = summarise([{"uar": 0.5}, {"uar": 0.7}])
    assert summary["uar"]["seeds"] == [0.5, 0.7]
    assert (summary["uar"]["mean"], summary["uar"]["sd"]) == pytest.approx((0.6, np.sqrt(0.02)))


def test_outputs_of_values_come_in_the_units_of_the_labels(run: Path) -> None:
    table = pd.read_csv(run / "predictions.csv")
    arousal = table[(table["task"] == "arousal") & (table["split"] == "train")]
    assert arousal["prediction"].astype(float).mean() == pytest.approx(arousal["label"].astype(float).mean(), abs=0.2)


@pytest.fixture(scope="module")
def actors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("actors") / "made.h5", clips=make_actors(8), features=FEATURES,
                      protocols=[make_protocol(6, 2)])


FEATURES = ["text_bert", "audio_logmel"]
FOLDS = TrainConfig(epochs=3, seeds=2, device="cpu", baselines=False, folds="actor-folds")


@pytest.fixture(scope="module")
def folds_run(actors: Path) -> Path:
    return train(actors, config=FOLDS, out=actors.parent / "run")


def test_clips_of_the_protocol_are_answered_by_the_fold_that_tested_them_and_others_left_out(actors: Path,
                                                                                             folds_run: Path) -> None:
    found, trained = evaluate(folds_run, actors, device="cpu"), json.loads((folds_run / "metrics.json").read_text())
    for task in ("emotion", "arousal"):
        for metric, summary in trained["test"][task].items():
            assert found["all"][task][metric]["seeds"] == pytest.approx(summary["seeds"], abs=1e-6)
    assert found["num_clips"]["all"]["scored"]["arousal"] == 72
    assert found["notes"] == ["24 of 96 clips are left out: every fold learnt from them or their groups"]
    assert list(found["test_reads"].values()) == [2]


def test_people_that_no_fold_has_seen_are_answered_by_the_mean_of_all(actors: Path, folds_run: Path,
                                                                      tmp_path: Path) -> None:
    new = [replace(clip, clip_id=f"new/{clip.clip_id}", group=f"new {clip.group}") for clip in make_actors(3)]
    found = evaluate(folds_run, make_store(tmp_path / "new.h5", clips=new, features=FEATURES), device="cpu")
    alien = make_store(tmp_path / "alien.h5", clips=make_actors(3), features=FEATURES, corpus="another")
    assert evaluate(folds_run, alien, device="cpu")["all"] == found["all"] and found["notes"] == []
    assert "test_reads" not in found
    stores, seeds = open_stores(alien), []
    for seed in (0, 1):
        total: np.ndarray = np.zeros((36, 3))
        for number in (1, 2, 3):
            checkpoint = Checkpoint.load(folds_run / f"fold-{number}" / f"seed{seed}" / "best.pt")
            batches = Batches({name: stores.rows(name) for name in FEATURES}, {}, stores.clips["clip_id"].to_numpy(),
                              pools=("mean",))
            batches.use_scaler(Scaler.from_state(checkpoint.scaler))
            total += outputs_of(checkpoint.network(), batches, np.arange(36))["emotion"].softmax(1).numpy()
        labels = stores.labels("emotion")
        seeds.append((total.argmax(1) == labels)[labels >= 0].mean())
    assert found["all"]["emotion"]["accuracy"]["seeds"] == pytest.approx(seeds)


def test_new_clips_of_people_that_folds_have_seen_go_to_the_fold_that_has_not(actors: Path, folds_run: Path,
                                                                              tmp_path: Path) -> None:
    songs = [replace(clip, clip_id=f"song/{clip.clip_id}") for clip in make_actors(8)]
    path = make_store(tmp_path / "songs.h5", clips=songs, features=FEATURES)
    assert evaluate(folds_run, path, device="cpu")["all"] == evaluate(folds_run, actors, device="cpu")["all"]
    last = make_store(tmp_path / "last.h5", clips=songs[-12:], features=FEATURES)
    with pytest.raises(StoreError, match="in any split is labelled for emotion or arousal and unseen by a fold"):
        evaluate(folds_run, last, device="cpu")


def test_clips_dealt_one_by_one_are_known_by_their_ids(actors: Path, tmp_path: Path) -> None:
    run = train(actors, config=replace(FOLDS, folds="3-random-folds", seeds=1), out=tmp_path / "run")
    found, trained = evaluate(run, actors, device="cpu"), json.loads((run / "metrics.json").read_text())
    assert found["all"]["emotion"] == trained["test"]["emotion"]


def test_one_fold_is_a_run_of_its_own(actors: Path, folds_run: Path) -> None:
    found = evaluate(folds_run / "fold-2", actors, device="cpu")
    assert found["num_clips"]["all"]["scored"]["arousal"] == 96 and found["notes"] == []


def test_an_unfinished_run_by_folds_is_not_scored(actors: Path, folds_run: Path, tmp_path: Path) -> None:
    shutil.copytree(folds_run, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "fold-3" / "seed1")
    with pytest.raises(TrainingError, match="the folds of the run have different seeds; carry it on"):
        evaluate(tmp_path / "run", actors, device="cpu")
    shutil.rmtree(tmp_path / "run" / "fold-3")
    with pytest.raises(TrainingError, match="fold-3 holds no trained network"):
        evaluate(tmp_path / "run", actors, device="cpu")
