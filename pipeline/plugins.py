"""Datasets, extractors, models and commands are found by their file names; nothing is imported to list them."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from pathlib import Path
from types import ModuleType
from typing import Literal

from pipeline.errors import unknown_name

Kind = Literal["dataset", "extractor", "model", "command"]

_PACKAGES: dict[str, str] = {"dataset": "pipeline.datasets", "extractor": "pipeline.extractors", "model": "models",
                             "command": "pipeline.commands"}
_ROOT = Path(__file__).resolve().parent.parent


def names(kind: Kind) -> tuple[str, ...]:
    """Names of all plug-ins of a kind, sorted; a file ``meld.py`` is the name ``meld``."""
    folder = _ROOT.joinpath(*_PACKAGES[kind].split("."))
    return tuple(sorted(module.name for module in pkgutil.iter_modules([str(folder)])
                        if not module.name.startswith("_")))


def module(kind: Kind, name: str) -> ModuleType:
    """Import one plug-in's file.

    Raises:
        UsageError: there is no such file; the nearest names are given.
    """
    if name not in names(kind):
        raise unknown_name(kind, name, names(kind))
    return importlib.import_module(f"{_PACKAGES[kind]}.{name}")


def plugin_class(kind: Kind, name: str) -> type:
    """The class of a plug-in: the public one in its file that subclasses the contract of its folder.

    Raises:
        UsageError: there is no such file.
        TypeError: the file defines no such class, or several.
    """
    contract = getattr(importlib.import_module(_PACKAGES[kind]), kind.capitalize())
    loaded = module(kind, name)
    found = [value for value in vars(loaded).values()
             if inspect.isclass(value) and issubclass(value, contract) and value is not contract
             and value.__module__ == loaded.__name__ and not value.__name__.startswith("_")]
    if len(found) != 1:
        raise TypeError(f"{loaded.__name__} must define one subclass of {contract.__name__}, has {len(found)}")
    return found[0]


def summary(kind: Kind, name: str) -> str:
    """First line of a plug-in's docstring, read without importing it."""
    source = _ROOT.joinpath(*_PACKAGES[kind].split("."), f"{name}.py")
    if not source.exists():
        source = _ROOT.joinpath(*_PACKAGES[kind].split("."), name, "__init__.py")
    text = source.read_text(encoding="utf-8").lstrip()
    return text.strip('"').split("\n", 1)[0].strip().rstrip('"') if text.startswith('"""') else ""
