"""Reading a run back: tables as text, and a plan of folds that is checked before it is believed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import TrainingError
from pipeline.scores.answers import is_by_folds, read_answers, read_folds_plan

CONFIG: dict[str, Any] = {"features": [], "dataset": "x", "model": "early", "model_config": {}, "inputs": [],
                          "tasks": [], "select_by": "uar", "seeds": [0], "splits": {}, "training": {}, "notes": []}
FOLD = {"name": "1", "folder": "fold-1", "test_groups": ["a"], "dev_groups": ["b"]}
PLAN = {"protocol": "p", "source": "", "warning": "", "groups": ["a", "b"], "folds": [FOLD]}


def test_cells_come_as_text_also_those_that_look_like_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("clip_id,split,task,label,prediction\n1,test,emotion,NA,\n")
    assert read_answers(tmp_path / "a.csv").iloc[0].tolist() == ["1", "test", "emotion", "NA", ""]


@pytest.mark.parametrize("text", ["", "clip_id,split\n1,test\n", None])
def test_tables_that_are_none_are_refused(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "a.csv").write_text(text)
    with pytest.raises(TrainingError, match="a.csv cannot be read .* finish the run with"):
        read_answers(tmp_path / "a.csv")


def test_a_plan_comes_back_as_it_was_written(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**CONFIG, "folds": PLAN}))
    assert read_folds_plan(tmp_path) == PLAN and not is_by_folds(tmp_path)
    (tmp_path / "fold-1").mkdir()
    (tmp_path / "fold-1" / "config.json").touch()
    assert is_by_folds(tmp_path)


@pytest.mark.parametrize("plan", [
    None, [], {**PLAN, "folds": []}, {**PLAN, "folds": [3]}, {**PLAN, "groups": [1]}, {**PLAN, "protocol": 2},
    {**PLAN, "folds": [{**FOLD, "folder": "../secret"}]}, {**PLAN, "folds": [{**FOLD, "folder": 7}]},
    {**PLAN, "folds": [{**FOLD, "test_groups": None}]}, {"folds": [FOLD]}])
def test_a_plan_that_train_would_not_write_is_refused(tmp_path: Path, plan: object) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**CONFIG, "folds": plan}))
    with pytest.raises(TrainingError, match="does not describe folds as train writes them"):
        read_folds_plan(tmp_path)
