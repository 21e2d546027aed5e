"""Settings: frozen dataclasses whose fields own their default, their meaning and whether they change results.

A field made by :func:`setting` carries a line of help; one marked ``machine=True`` changes speed and never results, and
so stays out of every fingerprint.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from pipeline.errors import UsageError, unknown_name

C = TypeVar("C")


def setting(default: Any, help: str, *, machine: bool = False) -> Any:
    """A dataclass field with its meaning.

    Args:
        default: value when the user says nothing.
        help: one line: meaning, unit and the reason for the default.
        machine: the setting changes speed, never results.
    """
    return dataclasses.field(default=default, metadata={"help": help, "machine": machine})


def with_settings(config: C, settings: Mapping[str, str], *, owner: str) -> C:
    """A copy of ``config`` with some fields set from text.

    Args:
        config: a frozen dataclass.
        settings: text by field name, as typed after ``--set``.
        owner: whose settings these are, for messages: ``"text_bert"``.

    Raises:
        UsageError: no such field, text that is not of the field's type, or a value that the dataclass refuses.
    """
    fields = {field.name: field for field in dataclasses.fields(config)}  # type: ignore[arg-type]
    hints = typing.get_type_hints(type(config))
    values = {}
    for name, text in settings.items():
        if name not in fields:
            raise unknown_name(f"setting of {owner}", name, fields)
        try:
            values[name] = parse(text, hints[name])
        except ValueError as error:
            raise UsageError(f"{owner}.{name}={text}: {error}") from error
    try:
        return dataclasses.replace(config, **values)  # type: ignore[type-var]
    except ValueError as error:
        raise UsageError(f"{owner}: {error}") from error


def parse(text: str, kind: Any) -> Any:
    """Turn text into a value of a field's type (str, int, float, bool, Path, Literal, Optional, tuple).

    >>> parse("1,2", tuple[int, ...]), parse("none", int | None), parse("yes", bool)
    ((1, 2), None, True)

    Raises:
        ValueError: the text is not of that type; the message says what was expected.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        inner = [argument for argument in arguments if argument is not type(None)]
        if type(None) in arguments and text.lower() in ("none", ""):
            return None
        return parse(text, inner[0])
    if origin is typing.Literal:
        if text not in arguments:
            raise ValueError(f"expected one of {', '.join(map(str, arguments))}")
        return text
    if origin is tuple:
        return tuple(parse(part.strip(), arguments[0]) for part in text.split(",") if part.strip())
    if kind is bool:
        truth = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
        if text.lower() not in truth:
            raise ValueError("expected true or false")
        return truth[text.lower()]
    if kind is Path:
        return Path(text)
    if kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            raise ValueError(f"expected {'a whole number' if kind is int else 'a number'}") from None
    return text


def result_settings(config: Any) -> dict[str, Any]:
    """The settings that change results, in JSON's types; machine settings are left out."""
    return {field.name: to_json(getattr(config, field.name))
            for field in dataclasses.fields(config) if not field.metadata.get("machine")}


def to_json(value: Any) -> Any:
    """``value`` in JSON's types: dataclasses to dicts, tuples to lists, paths to text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def digest(value: Any) -> str:
    """SHA-256 (first 32 hex digits) of ``value`` in canonical JSON.

    >>> digest({"a": 1, "b": (2,)}) == digest({"b": [2], "a": 1})
    True
    """
    text = json.dumps(to_json(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
