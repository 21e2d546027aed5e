"""Scores as a terminal shows them: beside what they must beat, by whole clips, and beside what could be guessed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pipeline.runs import write_json
from pipeline.terminal.training import show_metrics, show_scores


def scores(value: float, *others: float, metric: str = "accuracy") -> dict[str, Any]:
    return {metric: {"mean": value, "sd": 0.02, "seeds": [value, *others]}}


METRICS: dict[str, Any] = {
    "num_clips": {"dev": {}, "test": {}}, "dev": {"mood": scores(0.61)}, "test": {"mood": scores(0.62)},
    "baselines": {"logistic_regression": {"test": {"mood": scores(0.55)}}},
    "utterances": {"majority": {"dev": {"mood": scores(0.70)}, "test": {"mood": scores(0.71, 0.7)}},
                   "mean_probability": {"test": {"mood": scores(0.73)}}},
    "shortcuts": {"speaker": {"dev": {"mood": scores(0.40)}, "test": {"mood": scores(0.41)}},
                  "together": {"test": {"mood": scores(0.45)}}},
    "notes": ["be careful"]}


def shown(capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    """Cells of every line on stderr."""
    return [[cell.strip() for cell in line.strip("│┃").split("│")] for line in capsys.readouterr().err.splitlines()]


def test_a_row_for_each_split_task_and_system_in_the_order_of_the_splits(capsys: pytest.CaptureFixture[str]) -> None:
    show_scores(METRICS)
    lines = shown(capsys)
    assert ["Scores, %, mean±sd over seeds"] in lines
    places = [lines.index(row) for row in (["dev", "mood", "model", "61.0"], ["test", "mood", "model", "62.0"],
                                           ["test", "mood", "logistic regression", "55.0"])]
    assert places == sorted(places) and lines[-1] == ["note be careful"]


def test_whole_clips_and_shortcuts_have_tables_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    show_scores(METRICS)
    lines = shown(capsys)
    whole, guessed = (next(place for place, line in enumerate(lines) if line[0].startswith(title))
                      for title in ("Whole clips", "What could be guessed without looking"))
    assert lines.index(["dev", "mood", "majority of its rows", "70.0"]) > whole
    assert ["test", "mood", "majority of its rows", "71.0±2.0"] in lines[whole:guessed]
    assert ["test", "mood", "mean of its rows", "73.0"] in lines[whole:guessed]
    assert ["test", "mood", "who speaks", "41.0"] in lines[guessed:]
    assert ["test", "mood", "all of these", "45.0"] in lines[guessed:]
    assert not [line for line in lines if line[-1] == "40.0"], "of the last split alone"


def test_without_them_nothing_is_said_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    show_scores({name: METRICS[name] for name in ("num_clips", "dev", "test")} | {"utterances": {}, "shortcuts": {}})
    words = capsys.readouterr().err
    assert "62.0" in words and "Whole clips" not in words and "guessed" not in words and "note" not in words


def test_correlations_and_errors_are_as_they_are_and_what_is_no_number_is_a_dash(
        capsys: pytest.CaptureFixture[str]) -> None:
    both = scores(0.3214, 0.3, metric="ccc") | scores(0.852, 0.8, metric="mae")
    show_scores({"num_clips": {"all": {}}, "all": {"valence": both, "mood": {
        "accuracy": {"mean": None, "sd": None, "seeds": []}}}})
    lines = shown(capsys)
    assert ["Scores, shares in %, mean±sd over seeds"] in lines
    assert ["all", "valence", "model", "0.321±0.020", "0.852±0.020", ""] in lines
    assert ["all", "mood", "model", "", "", "–"] in lines


def test_of_a_run_by_folds_each_fold_is_shown_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fold = {"test_groups": ["a", "b"], "num_clips": {"test": {"scored": {"mood": 7}}},
            "test": {"mood": scores(0.5) | scores(0.4, metric="uar")}}
    write_json(tmp_path / "metrics.json", {**METRICS, "folds": {"1": fold}, "protocol": {"name": "by actor"}})
    show_metrics(tmp_path)
    lines = shown(capsys)
    row = lines.index(["1", "a, b", "mood", "7", "50.0", "40.0"])
    assert row < lines.index(["test", "mood", "model", "62.0"])
    assert ["Folds of by actor, %, mean±sd over seeds"] in lines
