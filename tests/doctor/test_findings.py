from __future__ import annotations

import doctest
from pathlib import Path

import pytest

from pipeline.doctor import KINDS, findings
from pipeline.doctor.findings import Finding


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(findings) == (0, 2)


def test_names_from_strangers_steer_no_terminal_and_an_unknown_kind_is_a_bug() -> None:
    assert Finding("extra file", file="a\x1b[2J\n.mp4").file == "a\ufffd[2J\ufffd.mp4"
    with pytest.raises(ValueError, match="no kind of finding 'sad'; there are: missing file"):
        Finding("sad")


def test_every_kind_is_explained_in_the_documentation() -> None:
    page = (Path(__file__).parents[2] / "docs" / "doctor.md").read_text(encoding="utf-8")
    for kind, (severity, _) in KINDS.items():
        assert f"| `{kind}` | {severity} |" in page, kind
