"""A folder of many runs is carried on by the wishes that it was made with, and by no others."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.training_stores import make_store

from pipeline.errors import TrainingError
from pipeline.joined import open_stores
from pipeline.learning.wishes import settle_wishes

WISHES = {"inputs": ["text_bert"], "training": {"epochs": 3, "device": "cpu"}, "over": "inputs"}


def test_the_same_wishes_carry_on_whatever_the_device_and_others_are_named(tmp_path: Path) -> None:
    stores = open_stores(make_store(tmp_path / "a.h5", sizes={"train": 4}))
    settle_wishes(tmp_path / "out", stores, WISHES, what="an ablation")
    elsewhere = {**WISHES, "training": {"epochs": 3, "device": "cuda:1"}}
    settle_wishes(tmp_path / "out", stores, elsewhere, what="an ablation")
    with pytest.raises(TrainingError, match="holds an ablation with other wishes .over differ."):
        settle_wishes(tmp_path / "out", stores, {**WISHES, "over": "lr"}, what="an ablation")


def test_a_folder_of_something_else_is_refused_but_for_what_it_may_hold(tmp_path: Path) -> None:
    stores = open_stores(make_store(tmp_path / "a.h5", sizes={"train": 4}))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "trials.lock").touch()
    with pytest.raises(TrainingError, match="holds something else than a search"):
        settle_wishes(tmp_path / "out", stores, WISHES, what="a search")
    settle_wishes(tmp_path / "out", stores, WISHES, what="a search", may_hold=("trials.lock",))
    assert (tmp_path / "out" / "plan.json").is_file()
