"""A search: dev alone, resumed as if it had not been stopped, every trial kept."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tests.training_stores import make_clips, make_store

from pipeline import tuning
from pipeline.cli import main
from pipeline.errors import TrainingError, UsageError
from pipeline.learning.train_config import TrainConfig
from pipeline.learning.training_loop import Progress, Quiet
from pipeline.tuning import read_trials, tune

OVER = ("lr=1e-4:1e-1:log", "hidden=4:16", "class_weights=none,sqrt")
CONFIG = TrainConfig(device="cpu", epochs=1)
WISHES: dict[str, Any] = {"model": "early", "over": OVER, "inputs": ["text_bert"], "tasks": ["emotion"],
                          "config": CONFIG}


class Stop(Quiet):
    """Stands for a user who presses Ctrl-C in a trial."""

    def __init__(self, at: int) -> None:
        self.at = at

    def watch(self, number: int, total: int, tried: Mapping[str, str]) -> AbstractContextManager[Progress]:
        self.number = number
        return nullcontext(self)

    def on_epoch(self, seed: int, epoch: int, num_epochs: int, metrics: Mapping[str, Any]) -> None:
        if self.number == self.at:
            raise KeyboardInterrupt


def tried(out: Path) -> list[Any]:
    return [(trial["settings"], trial["score"]) for trial in read_trials(out)]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_store(tmp_path_factory.mktemp("tuning") / "a.h5", sizes={"train": 40, "dev": 20, "test": 20},
                      features=["text_bert"])


@pytest.fixture(scope="module")
def search(store: Path) -> tuple[Path, dict[str, Any]]:
    out = store.parent / "search"
    return out, tune(store, out, trials=3, **WISHES)


def test_the_test_split_is_never_read(search: tuple[Path, dict[str, Any]], store: Path) -> None:
    out, found = search
    assert not store.with_name("a.h5.reads.jsonl").exists() and found["split"] == "dev"
    for run in sorted((out / "runs").iterdir()):
        metrics = json.loads((run / "metrics.json").read_text())
        assert "test" not in metrics and metrics["test_reads"] == {} and "baselines" not in metrics
        assert set(pd.read_csv(run / "predictions.csv")["split"]) == {"train", "dev"}


def test_every_trial_is_kept_and_the_best_is_that_of_dev(search: tuple[Path, dict[str, Any]]) -> None:
    out, found = search
    table = pd.read_csv(out / "trials.csv")
    assert sorted(path.name for path in out.iterdir()) == ["plan.json", "runs", "trials.csv", "trials.jsonl"]
    assert len(table) == 3 and table["score"].is_monotonic_decreasing and found["metric"] == "weighted_f1"
    assert found["best"]["score"] == table["score"][0] == table["emotion/weighted_f1"][0]
    for trial in read_trials(out):
        run = out / "runs" / f"{trial['number']:04d}"
        metrics, config = (json.loads((run / name).read_text()) for name in ("metrics.json", "config.json"))
        assert metrics["dev"]["emotion"]["weighted_f1"]["mean"] == trial["score"] and not list(run.glob("seed*"))
        assert str(config["model_config"]["hidden"]) == trial["settings"]["hidden"]
        assert config["training"]["lr"] == float(trial["settings"]["lr"])


def test_a_search_that_was_stopped_goes_on_as_if_it_had_not(search: tuple[Path, dict[str, Any]], store: Path,
                                                            tmp_path: Path) -> None:
    stop = Stop(at=2)
    with pytest.raises(KeyboardInterrupt):
        tune(store, tmp_path / "out", trials=3, watch=stop.watch, **WISHES)
    assert len(read_trials(tmp_path / "out")) == 1 and (tmp_path / "out" / "runs" / "0001").is_dir()
    tune(store, tmp_path / "out", trials=3, **WISHES)
    assert tried(tmp_path / "out") == tried(search[0])
    assert len(tune(store, tmp_path / "out", trials=1, **WISHES)["trials"]) == 3


def test_the_first_trial_has_the_settings_as_they_were(store: Path, tmp_path: Path) -> None:
    wishes = {**WISHES, "over": ("lr=1e-4:1e-2:log", "pools=mean;mean,std", "hidden=128,256")}
    found = tune(store, tmp_path / "out", trials=1, **wishes)
    assert found["best"]["settings"] == {"lr": "0.001", "pools": "mean", "hidden": "256"}


def test_a_trial_that_fails_is_kept_unless_it_is_the_first(store: Path, tmp_path: Path,
                                                           monkeypatch: pytest.MonkeyPatch) -> None:
    whole = tuning.train

    def failing(*arguments: Any, **options: Any) -> Path:
        if options["out"].name == bad:
            raise TrainingError("the loss is nan")
        return whole(*arguments, **options)
    monkeypatch.setattr(tuning, "train", failing)
    bad = "0001"
    found = tune(store, tmp_path / "out", trials=3, **WISHES)
    assert [trial["failure"] for trial in found["trials"]] == ["", "the loss is nan", ""]
    assert pd.read_csv(tmp_path / "out" / "trials.csv")["failure"].tolist()[-1] == "the loss is nan"
    bad = "0000"
    with pytest.raises(TrainingError, match="the loss is nan"):
        tune(store, tmp_path / "other", trials=3, **WISHES)


def test_errors_are_searched_for_downwards(store: Path, tmp_path: Path) -> None:
    found = tune(store, tmp_path / "out", trials=2, **{**WISHES, "tasks": ["arousal"], "over": ("lr=1e-4,1e-1",),
                                                       "config": TrainConfig(epochs=1, select_by="mae")})
    assert found["best"]["score"] == min(trial["score"] for trial in found["trials"]) and found["metric"] == "mae"


def test_the_command_prints_a_train_command_that_has_the_best_score(store: Path, tmp_path: Path,
                                                                    capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tune", "--features", str(store), "--model", "early", "--tasks", "emotion", "--over", OVER[0],
                 "--set", "epochs=1", "--seeds", "2", "--trials", "2", "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr()
    assert "best of 2 trials" in said.err and "too good" in said.err and "1 of 2: lr=" in said.err
    words = shlex.split(said.out)
    assert words[:4] == ["python", "-m", "pipeline", "train"]
    assert main([*words[3:], "--out", str(tmp_path / "run"), "--no-report"]) == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    best = max(read_trials(tmp_path / "out"), key=lambda trial: float(trial["score"]))
    assert metrics["dev"]["emotion"]["weighted_f1"]["mean"] == pytest.approx(best["score"], abs=1e-9)


def test_what_cannot_be_searched_is_said(search: tuple[Path, dict[str, Any]], store: Path, tmp_path: Path,
                                         monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TrainingError, match="holds a search with other wishes .over differ"):
        tune(store, search[0], **{**WISHES, "over": ("lr=1,2",)})
    (tmp_path / "note.txt").write_text("mine")
    with pytest.raises(TrainingError, match="holds something else than a search"):
        tune(store, tmp_path, **WISHES)
    with pytest.raises(TrainingError, match="has no trial that succeeded"):
        tune(store, tmp_path / "none", minutes=1e-9, **WISHES)
    with pytest.raises(UsageError, match="leave folds, smoke and dev_is_test out"):
        tune(store, tmp_path / "x", **{**WISHES, "config": TrainConfig(folds="random")})
    (tmp_path / "none" / "trials.jsonl").write_text('{"number": 3}\n')
    with pytest.raises(TrainingError, match="trials.jsonl cannot be read"):
        read_trials(tmp_path / "none")
    odd = make_store(tmp_path / "odd.h5", clips=make_clips({"train": 8, "dev": 8, tuning.UNREAD: 4}),
                     features=["text_bert"])
    with pytest.raises(UsageError, match="a split is named"):
        tune(odd, tmp_path / "y", **WISHES)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(UsageError, match="tune needs Optuna, which is not installed"):
        tune(store, tmp_path / "z", **WISHES)
