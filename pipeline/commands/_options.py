"""Options that several commands have, and what their text turns into."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from pipeline import plugins
from pipeline.errors import UsageError


def split_names(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    """``a,b`` → ``("a", "b")``."""
    return None if value is None else tuple(part.strip() for part in value.split(",") if part.strip())


def _read_settings(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """``NAME=VALUE`` pairs by name."""
    found = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{value!r} is not of the form NAME=VALUE")
        found[name.strip()] = text
    return found


def _together(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def decorate(function: Any) -> Any:
        for option in reversed(options):
            function = option(function)
        return function
    return decorate


device_option = click.option("--device", metavar="auto|cpu|cuda:N", help="Where networks run; auto: a GPU if any.")
set_option = click.option("--set", "settings", multiple=True, callback=_read_settings, metavar="NAME=VALUE",
                          help="Any other setting; `list` shows them. May be repeated.")
stores_option = click.option("--features", "stores", multiple=True, required=True, type=click.Path(path_type=Path),
                             help="A store; several are joined by clip id.")
dataset_options = _together(
    click.option("--dataset", required=True, metavar="NAME", help="Corpus: see `list`."),
    click.option("--root", type=click.Path(path_type=Path), help="Its folder; by default its place under data/."),
    click.option("--splits", callback=split_names, metavar="A,B", help="Only these splits."),
    click.option("--manifest", type=click.Path(path_type=Path), help="With --dataset manifest: your CSV of clips."),
    click.option("--allow-outside", is_flag=True, help="With --dataset manifest: paths may leave the CSV's folder."),
)


def settings_by_owner(settings: dict[str, str]) -> dict[str, dict[str, str]]:
    """``{"text_bert.model": "x"}`` → ``{"text_bert": {"model": "x"}}``."""
    found: dict[str, dict[str, str]] = {}
    for name, text in settings.items():
        owner, dot, field = name.rpartition(".")
        if not dot:
            raise UsageError(f"--set {name}=…: expected EXTRACTOR.FIELD=VALUE, for instance text_bert.layers=last_four")
        found.setdefault(owner, {})[field] = text
    return found


def with_options(config: Any, options: dict[str, Any]) -> Any:
    """``config`` with the options that the user gave."""
    import dataclasses
    try:
        return dataclasses.replace(config, **{name: value for name, value in options.items()
                                              if value is not None and value is not False})
    except ValueError as error:
        raise UsageError(str(error)) from error


def open_dataset(name: str, root: Path | None, splits: tuple[str, ...] | None, manifest: Path | None,
                 allow_outside: bool, settings: dict[str, str]) -> Any:
    """The dataset that the options describe."""
    import dataclasses

    from pipeline.config import with_settings
    kind = plugins.plugin_class("dataset", name)
    config = with_settings(kind.Config(), settings, owner=name)  # type: ignore[attr-defined]
    given = {option: value for option, value in (("root", root), ("splits", splits), ("manifest", manifest),
                                                 ("allow_outside", allow_outside or None)) if value is not None}
    known = {field.name for field in dataclasses.fields(config)}
    for option in given:
        if option not in known:
            raise UsageError(f"--{option.replace('_', '-')} is not for --dataset {name}")
    return kind(dataclasses.replace(config, **given))
