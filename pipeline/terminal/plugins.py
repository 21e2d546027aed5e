"""What there is to choose from: datasets, extractors, models, their settings; and what a network consists of."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from typing import Any

from pipeline import plugins
from pipeline.terminal import console_of, escape, new_table


def show_parameters(counts: Mapping[str, int]) -> None:
    """Parameters by module and in all, on stdout."""
    table = new_table()
    table.add_column("module")
    table.add_column("parameters", justify="right")
    for name, count in counts.items():
        table.add_row(escape(name), f"{count:,}")
    table.add_row("[bold]in all[/]", f"[bold]{sum(counts.values()):,}[/]")
    console_of().print(table)


def show_plugins(*, with_settings: bool) -> None:
    """Names of datasets, extractors and models with a line each, on stdout."""
    out = console_of()
    for kind in ("dataset", "extractor", "model"):
        table = new_table(f"{kind}s")
        table.add_column("name")
        table.add_column("what it is", overflow="fold")
        for name in plugins.names(kind):
            table.add_row(escape(name), escape(plugins.summary(kind, name)))
        out.print(table)
        if with_settings:
            for name in plugins.names(kind):
                found = plugins.plugin_class(kind, name)
                config = getattr(found, "Config", None) or getattr(inspect.getmodule(found), "Config")
                _show_settings(out, name, config, "" if kind == "model" else f"{name}.")
    if with_settings:
        from pipeline.decode import DecodeLimits
        from pipeline.learning.train_config import TrainConfig
        _show_settings(out, "extraction: decoding", DecodeLimits, "decode.")
        _show_settings(out, "training", TrainConfig, "")


def _show_settings(out: Any, title: str, config: Any, prefix: str) -> None:
    table = new_table(title, show_header=False)
    for field in dataclasses.fields(config):
        default = ",".join(field.default) if isinstance(field.default, tuple) else field.default
        table.add_row(escape(f"--set {prefix}{field.name}={default}"), escape(field.metadata.get("help", "")))
    out.print(table)
