"""`list`: datasets, extractors and models with their settings."""

from __future__ import annotations

import click


@click.command("list")
@click.option("--settings", "with_settings", is_flag=True, help="Every setting with its meaning and default.")
def command(with_settings: bool) -> int:
    """List datasets, extractors and models.

    \b
    python -m pipeline list --settings
    """
    from pipeline.terminal.plugins import show_plugins
    show_plugins(with_settings=with_settings)
    return 0
