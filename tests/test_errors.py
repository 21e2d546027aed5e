"""The tree of errors: what each ends the program with, and what it says."""

from __future__ import annotations

import doctest
import pickle

import pytest

from pipeline import errors
from pipeline.errors import (ClipError, DatasetError, PipelineError, StoreError, TrainingError, UsageError,
                             WeightsError, unknown_name)


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(errors) == (0, 1)


@pytest.mark.parametrize(("kind", "exit_code"), [
    (PipelineError, 1), (UsageError, 2), (DatasetError, 1), (WeightsError, 1), (StoreError, 1), (TrainingError, 1)])
def test_only_wrong_use_ends_in_2(kind: type[PipelineError], exit_code: int) -> None:
    assert kind("what").exit_code == exit_code and issubclass(kind, PipelineError)


def test_the_drawn_tree_names_every_error() -> None:
    defined = {name for name, value in vars(errors).items()
               if isinstance(value, type) and issubclass(value, Exception)}
    assert errors.__doc__ is not None and all(name in errors.__doc__ for name in defined)


@pytest.mark.parametrize("kind", ["permanent", "passing"])
def test_a_clips_error_travels_with_its_stage(kind: errors.FailureKind) -> None:
    found = pickle.loads(pickle.dumps(ClipError("no frames", stage="decode", kind=kind)))
    assert (type(found), str(found), found.stage, found.kind) == (ClipError, "no frames", "decode", kind)


def test_a_name_near_no_other_gets_the_list() -> None:
    assert str(unknown_name("model", "zzz", ["late", "early"])) == "no model named 'zzz'; there are: early, late"
    assert str(unknown_name("model", "zzz", [])) == "no model named 'zzz'; there are: none"
