"""`inspect`: what a store holds."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command("inspect")
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Everything, for programs.")
def command(store: Path, as_json: bool) -> int:
    """Show what a store holds: clips, features, settings, coverage, failures.

    \b
    python -m pipeline inspect cache/meld.h5
    """
    from pipeline.inspection import summarise
    from pipeline.store import FeatureStore
    from pipeline.terminal import show_store
    summary = summarise(FeatureStore(store))
    if as_json:
        click.echo(json.dumps(summary, indent=2, allow_nan=False))
    else:
        show_store(summary)
    return 0
