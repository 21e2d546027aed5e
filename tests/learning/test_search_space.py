"""Ranges as they are typed, and what is refused before anything is trained."""

from __future__ import annotations

import doctest

import pytest

from pipeline.errors import UsageError
from pipeline.learning import search_space
from pipeline.learning.search_space import Range, parse_range, ranges_of
from pipeline.learning.train_config import TrainConfig

KINDS = {"lr": float, "hidden": int, "class_weights": str, "pools": tuple}


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(search_space).failed == 0


def test_whole_numbers_and_lists_with_commas_are_understood() -> None:
    assert parse_range("hidden=16:64", KINDS) == Range("hidden", 16, 64, whole=True)
    assert parse_range("pools=mean;mean,std", KINDS).choices == ("mean", "mean,std")
    assert parse_range("hidden=16:64", KINDS).ends == ("16", "64")
    assert parse_range("lr=1e-4:0.1", KINDS).text(0.0123456) == "0.01235"


@pytest.mark.parametrize(("text", "message"), [
    ("lr", "expected FIELD=LOW:HIGH"), ("lr=", "expected FIELD=LOW:HIGH"), ("=1:2", "expected FIELD=LOW:HIGH"),
    ("lr=a:b", "expected FIELD=LOW:HIGH"), ("hidden=1.5:3", "expected FIELD=LOW:HIGH"), ("lr=1", "two values or"),
    ("lr=1,1", "two values or"), ("lr=1,,2", "two values or"), ("lr=2:1", "LOW lies below HIGH"),
    ("lr=0:1:log", "above 0 with :log"), ("lr=1:2:linear", "nothing else may follow"), ("lr=1:inf", "LOW lies below"),
    ("lr=nan:1", "LOW lies below")])
def test_a_range_that_is_none_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_range(text, KINDS)


@pytest.mark.parametrize(("over", "settings", "message"), [
    (["learning=1:2"], {}, "no setting of early or of training named 'learning'"),
    (["class_weights=sqrt,square"], {}, "class_weights=square"), (["hidden=0.5:2"], {}, "expected FIELD=LOW:HIGH"),
    (["lr=-1:1"], {}, "lr and gradient_clip are above 0"), (["seed=1,2"], {}, "this says what is compared"),
    (["test_split=a,b"], {}, "this says what is compared"), (["lr=1,2"], {"lr": "1"}, "it is also set to 1"),
    (["lr=1,2", "lr=3,4"], {}, "a field twice"), ([], {"folds": "random"}, "never reads test; leave it out")])
def test_what_cannot_be_searched_for_is_refused(over: list[str], settings: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ranges_of("early", over, settings, TrainConfig())


def test_without_wishes_the_usual_fields_that_the_model_has_are_searched() -> None:
    assert [part.field for part in ranges_of("early", [], {"lr": "0.01"}, TrainConfig())] \
        == ["weight_decay", "dropout", "hidden"]
