"""`inspect`: what a store holds, and how it was made."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command("inspect")
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--recipe", is_flag=True, help="How every feature was made, instead of what is there.")
@click.option("--json", "as_json", is_flag=True, help="Everything, for programs.")
def command(store: Path, recipe: bool, as_json: bool) -> int:
    """Show what a store holds: clips, features, settings, coverage, failures.

    \b
    python -m pipeline inspect cache/meld.h5
    python -m pipeline inspect --recipe cache/meld.h5
    """
    from pipeline.curation.inspection import recipe_lines, recipes, shown, summarise
    from pipeline.shards import open_store
    opened = open_store(store)
    if as_json:
        click.echo(json.dumps(recipes(opened) if recipe else summarise(opened), indent=2, allow_nan=False))
    elif recipe:
        click.echo("\n".join(recipe_lines(opened)))
    else:
        from pipeline.terminal import show_store
        summary = shown(summarise(opened))
        show_store(summary)
        if opened.num_shards:
            click.echo(f"{opened.num_shards} finished shards beside it are counted in; pack them with: python -m"
                       f" pipeline pack {store}", err=True)
    return 0
