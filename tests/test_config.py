"""Settings: read from text by their type, refused with reasons, digested without what changes no result."""

from __future__ import annotations

import dataclasses
import doctest
from pathlib import Path
from typing import Any, Literal, Optional

import pytest

from pipeline import config
from pipeline.config import digest, parse, result_settings, setting, to_json, with_settings
from pipeline.errors import UsageError


@dataclasses.dataclass(frozen=True)
class Config:
    """One field of each kind."""

    layers: Literal["last", "all"] = setting("last", "which layers")
    hop: int = setting(8, "frames")
    root: Path | None = setting(None, "folder")
    rates: tuple[float, ...] = setting((), "Hz")
    bold: bool = setting(False, "yes or no")
    batch: int = setting(4, "clips at once", machine=True)

    def __post_init__(self) -> None:
        if self.hop < 1:
            raise ValueError(f"hop is at least 1, found {self.hop}")


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(config) == (0, 2)


@pytest.mark.parametrize(("text", "kind", "value"), [
    ("x", str, "x"), ("-3", int, -3), ("1e-3", float, 0.001), ("no", bool, False), ("TRUE", bool, True),
    ("a/b", Path, Path("a/b")), ("none", Optional[int], None), ("", int | None, None), ("7", int | None, 7),
    ("last", Literal["last", "all"], "last"), ("1, 2,", tuple[int, ...], (1, 2)), ("", tuple[str, ...], ()),
])
def test_text_becomes_a_value_of_the_fields_type(text: str, kind: Any, value: object) -> None:
    found = parse(text, kind)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(("text", "kind", "message"), [
    ("1.5", int, "expected a whole number"), ("fast", float, "expected a number"), ("maybe", bool, "true or false"),
    ("first", Literal["last", "all"], "expected one of last, all"), ("1,b", tuple[int, ...], "a whole number"),
])
def test_text_of_another_type_is_refused(text: str, kind: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(text, kind)


def test_settings_make_a_changed_copy() -> None:
    before = Config()
    after = with_settings(before, {"hop": "4", "root": "data", "rates": "15,25"}, owner="demo")
    assert after == Config(hop=4, root=Path("data"), rates=(15.0, 25.0)) and before == Config()


@pytest.mark.parametrize(("settings", "message"), [
    ({"hops": "4"}, "no setting of demo named 'hops'; did you mean 'hop'"),
    ({"hop": "four"}, "demo.hop=four: expected a whole number"),
    ({"hop": "0"}, "demo: hop is at least 1, found 0"),
])
def test_settings_that_do_not_fit_are_usage_errors(settings: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        with_settings(Config(), settings, owner="demo")


def test_machine_settings_stay_out_of_what_changes_results() -> None:
    assert result_settings(Config(batch=64)) == result_settings(Config())
    assert digest(result_settings(Config(batch=64))) == digest(result_settings(Config()))
    assert digest(result_settings(Config(hop=4))) != digest(result_settings(Config()))


def test_values_become_json() -> None:
    assert to_json({"config": Config(root=Path("a")), 1: (2, [3.0])}) == {
        "config": {"layers": "last", "hop": 8, "root": "a", "rates": [], "bold": False, "batch": 4}, "1": [2, [3.0]]}


def test_a_digest_is_pinned_to_the_value_and_not_to_the_order() -> None:
    # printf '{"a":1,"b":[2,"é"]}' | sha256sum
    assert digest({"b": (2, "é"), "a": 1}) == "992f8d0a5d6192a6c1c9dd35a695b4ce"
    assert digest({"a": 1}) != digest({"a": 1.5}) != digest({"a": "1.5"})


def test_what_is_no_number_has_no_digest() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        digest(float("nan"))
