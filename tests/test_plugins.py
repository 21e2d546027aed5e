"""Plug-ins are found by their files, and nothing is imported to list them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from pipeline import plugins
from pipeline.datasets import Dataset
from pipeline.datasets.meld import Meld
from pipeline.errors import UsageError

ROOT = Path(__file__).resolve().parents[1]
KINDS: tuple[plugins.Kind, ...] = ("dataset", "extractor", "model")


def test_a_file_is_a_name_and_a_private_file_is_none() -> None:
    assert "meld" in plugins.names("dataset")
    assert not any(name.startswith("_") for kind in KINDS for name in plugins.names(kind))
    assert plugins.names("dataset") == tuple(sorted(plugins.names("dataset")))


def test_listing_and_summarising_imports_no_plug_in() -> None:
    code = ("import sys; from pipeline import plugins\n"
            "for kind in ('dataset', 'extractor', 'model'):\n"
            "    assert plugins.names(kind) and all(plugins.summary(kind, name) for name in plugins.names(kind))\n"
            "loaded = {'torch', 'numpy', 'pipeline.datasets', 'pipeline.extractors', 'models'} & set(sys.modules)\n"
            "assert not loaded, loaded\n")
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_the_class_of_a_plug_in_is_the_one_that_honours_the_contract() -> None:
    assert plugins.plugin_class("dataset", "meld") is Meld
    assert issubclass(plugins.plugin_class("dataset", "sample"), Meld)


def test_a_summary_is_the_first_line_of_the_docstring() -> None:
    docstring = plugins.module("dataset", "meld").__doc__
    assert docstring is not None and plugins.summary("dataset", "meld") == docstring.splitlines()[0]


def test_a_name_that_does_not_exist_gets_the_nearest() -> None:
    with pytest.raises(UsageError, match="no dataset named 'medl'; did you mean 'meld'"):
        plugins.module("dataset", "medl")
    with pytest.raises(UsageError, match="no extractor named 'text_brt'; did you mean 'text_bert'"):
        plugins.plugin_class("extractor", "text_brt")


@pytest.mark.parametrize("names", [(), ("One", "Two")])
def test_a_file_without_exactly_one_class_is_a_bug(names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("pipeline.datasets.meld")
    for name in (*names, "_Private"):
        setattr(module, name, type(name, (Dataset,), {"__module__": module.__name__}))
    module.Meld = Meld.__mro__[1]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    with pytest.raises(TypeError, match=f"must define one subclass of Dataset, has {len(names)}"):
        plugins.plugin_class("dataset", "meld")
