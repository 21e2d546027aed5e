"""Tables of the report, on answers that can be counted by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pipeline.clip import Task
from pipeline.pages.tables import confusion, fold_table, printed, scaled, score_table

TASK = Task("emotion", ("calm", "glad", "angry"))


def answers(seed: int, pairs: list[tuple[str, str]]) -> pd.DataFrame:
    return pd.DataFrame([{"clip_id": f"c{row}", "seed": seed, "label": label, "prediction": prediction}
                         for row, (label, prediction) in enumerate(pairs)])


def test_confusion_counts_rows_of_labels_and_columns_of_predictions() -> None:
    found = confusion(TASK, answers(0, [("calm", "calm"), ("calm", "glad"), ("glad", "glad"), ("glad", "glad")]))
    assert found.counts.tolist() == [[1, 1, 0], [0, 2, 0], [0, 0, 0]]
    assert found.shares().tolist() == [[0.5, 0.5, 0], [0, 1, 0], [0, 0, 0]]


def test_scores_by_class_are_those_counted_by_hand() -> None:
    found = confusion(TASK, answers(0, [("calm", "calm"), ("calm", "glad"), ("glad", "glad"), ("glad", "glad")]))
    calm, glad, angry = found.rows
    assert (calm.precision, calm.recall, calm.support) == (1.0, 0.5, 2)
    assert (glad.precision, glad.recall, glad.support) == (pytest.approx(2 / 3), 1.0, 2)
    assert (angry.precision, angry.recall, angry.f1, angry.support) == (0, 0, 0, 0)


def test_several_seeds_are_averaged_so_that_rows_still_sum_to_the_labels() -> None:
    found = confusion(TASK, pd.concat([answers(0, [("calm", "calm"), ("glad", "glad")]),
                                       answers(1, [("calm", "glad"), ("glad", "glad")])]))
    assert found.counts.tolist() == [[0.5, 0.5, 0], [0, 1, 0], [0, 0, 0]]
    assert found.rows[0].recall == 0.5 and found.rows[1].precision == 0.75


def test_scores_are_printed_as_papers_print_them() -> None:
    assert [printed("uar", 0.5), printed("mae", 1.23456), printed("pearson", -0.25)] == ["50.0", "1.235", "−0.250"]
    assert scaled("weighted_f1", 0.5) == 50 and scaled("ccc", 0.5) == 0.5


def test_the_metric_that_has_the_interval_leads_the_table_and_the_model_is_last() -> None:
    def scores(value: float) -> dict[str, dict[str, object]]:
        return {name: {"mean": value, "sd": 0.1, "seeds": [value, value]}
                for name in ("accuracy", "weighted_f1", "macro_f1", "uar")}
    metrics = {"test": {"emotion": scores(0.6)},
               "baselines": {"majority": {"test": {"emotion": scores(0.2)}}, "tfidf": {}},
               "intervals": {"test": {"emotion": {"metric": "uar", "low": 0.5, "high": 0.7, "num_groups": 4}}},
               "num_clips": {"test": {"scored": {"emotion": 9}}}}
    table = score_table(metrics, TASK, "test", model="early")
    assert table.metrics == ("uar", "accuracy", "weighted_f1", "macro_f1")
    assert [(row.name, row.is_model, row.interval) for row in table.rows] \
        == [("the commonest class", False, None), ("early", True, (0.5, 0.7))]
    assert (table.model.figures[0].text, table.model.figures[0].spread) == ("60.0", "10.0")
    assert np.isclose(table.model.figures[0].value, 0.6) and (table.num_clips, table.num_groups) == (9, 4)


def test_folds_stand_in_their_order_with_accuracy_and_uar_and_all_of_them_with_intervals() -> None:
    def scores(value: float) -> dict[str, dict[str, object]]:
        return {name: {"mean": value, "sd": 0.02, "seeds": [value, value]}
                for name in ("accuracy", "weighted_f1", "macro_f1", "uar")}
    folds = {name: {"test_groups": ["a", "b"], "test": {"emotion": scores(value)},
                    "num_clips": {"test": {"scored": {"emotion": 5}}}} for name, value in (("2", 0.5), ("1", 0.7))}
    folds["empty"] = {"test_groups": ["c"], "test": {}, "num_clips": {"test": {"scored": {"emotion": 0}}}}
    by_metric = {"accuracy": {"low": 0.4, "high": 0.8}, "uar": {"low": 0.3, "high": 0.9}}
    table = fold_table({"folds": folds, "test": {"emotion": scores(0.6)},
                        "intervals": {"test": {"emotion": {"by_metric": by_metric}}},
                        "num_clips": {"test": {"scored": {"emotion": 10}}}}, TASK)
    assert [(row.name, row.groups, row.num_clips, row.figures[1].text) for row in table.rows] \
        == [("2", "a, b", 5, "50.0"), ("1", "a, b", 5, "70.0")]
    assert (table.metrics, table.num_clips, table.pooled[0].text) == (("accuracy", "uar"), 10, "60.0")
    assert table.intervals == ((0.4, 0.8), (0.3, 0.9)) and table.pooled[0].spread == "2.0"
