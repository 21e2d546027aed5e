"""A run made once more is the same run, and one that is not is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.frame_stores import make_frame_store
from tests.training_stores import make_store

from pipeline.cli import main
from pipeline.errors import StoreError, TrainingError
from pipeline.learning.train_config import TrainConfig
from pipeline.reproduction import reproduce
from pipeline.runs import read_json, write_json
from pipeline.training import train


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return make_store(tmp_path / "a.h5")


@pytest.fixture
def run(store: Path, tmp_path: Path) -> Path:
    return train(store, model="intermediate", config=TrainConfig(epochs=3, seeds=2), out=tmp_path / "run")


def test_a_run_is_reproduced_to_the_last_digit(run: Path) -> None:
    found = reproduce(run)
    assert found["reproduced"] and Path(found["again"]) == run.with_name("run-again")
    assert {(line["split"], line["task"]) for line in found["scores"]} == {
        (split, task) for split in ("train", "dev", "test") for task in ("emotion", "arousal")}
    assert all(line["first"] == line["again"] is not None for line in found["scores"])
    assert found["answers"] == {"compared": 200 * 2 * 2, "other": 0, "largest_difference": 0.0}
    first, again = (read_json(folder / "config.json") for folder in (run, run.with_name("run-again")))
    assert first == again


def test_a_score_that_nobody_gets_again_is_told_with_exit_code_3(run: Path,
                                                                 capsys: pytest.CaptureFixture[str]) -> None:
    metrics = read_json(run / "metrics.json")
    metrics["test"]["emotion"]["uar"]["mean"] += 0.02
    write_json(run / "metrics.json", metrics)
    rows = (run / "predictions.csv").read_text().splitlines()
    clip, split, seed, task, label, prediction, *others = rows[1].split(",")
    (run / "predictions.csv").write_text("\n".join([rows[0], ",".join(
        [clip, split, seed, task, label, "sad" if prediction != "sad" else "happy", *others]), *rows[2:]]) + "\n")
    assert main(["reproduce", str(run)]) == 3
    said = capsys.readouterr().out
    assert "NOT reproduced: a score differs by more than 0.005" in said and "differs" in said
    assert "of which 1 became another class" in said
    assert main(["reproduce", str(run), "--out", str(run / "wider"), "--tolerance", "0.03"]) == 0
    assert "reproduced within 0.03" in capsys.readouterr().out


def test_a_run_by_folds_is_reproduced(store: Path, tmp_path: Path) -> None:
    run = train(store, model="early", config=TrainConfig(epochs=2, folds="3-group-folds"), out=tmp_path / "folds")
    assert main(["reproduce", str(run), "--json"]) == 0
    again = tmp_path / "folds-again"
    assert (again / "predictions.csv").read_bytes() == (run / "predictions.csv").read_bytes()
    with pytest.raises(TrainingError, match="is one fold of a run; name the whole run: "):
        reproduce(run / "fold-1")


def test_a_run_of_rows_is_compared_row_by_row(tmp_path: Path) -> None:
    tracks = make_frame_store(tmp_path / "tracks.h5")
    run = train(tracks, model="early", inputs=["asd_audio"], config=TrainConfig(epochs=2), out=tmp_path / "run")
    found = reproduce(run)
    lines = len((run / "predictions.csv").read_text().splitlines()) - 1
    assert found["reproduced"] and found["answers"] == {"compared": lines, "other": 0, "largest_difference": 0.0}


def test_a_store_may_have_moved_but_not_changed(run: Path, store: Path, tmp_path: Path) -> None:
    moved = store.rename(tmp_path / "elsewhere.h5")
    with pytest.raises(StoreError, match=r"a\.h5"):
        reproduce(run)
    assert reproduce(run, features=[moved], out=tmp_path / "second")["reproduced"]
    other = make_store(tmp_path / "other.h5", recipe={"layer": 3})
    with pytest.raises(TrainingError, match="changed since it began .fingerprints differ"):
        reproduce(run, features=[other], out=tmp_path / "third")


def test_a_setting_that_came_after_the_run_is_no_difference(run: Path) -> None:
    config = read_json(run / "config.json")
    del config["training"]["mixup"], config["model_config"]["hidden"]
    write_json(run / "config.json", config)
    assert reproduce(run)["reproduced"]


def test_what_is_no_finished_run_is_one_error(run: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(TrainingError, match=r"metrics\.json"):
        reproduce(tmp_path / "empty")
    with pytest.raises(TrainingError, match="already holds a run; name another folder"):
        reproduce(run, out=run)
    (run / "metrics.json").write_text(json.dumps({"num_clips": {"test": 3}, "test": []}))
    with pytest.raises(TrainingError, match="does not hold scores as train writes them"):
        reproduce(run)
