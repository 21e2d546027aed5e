"""`reproduce`: the command line that makes a store again."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("reproduce")
@click.argument("store", type=click.Path(path_type=Path))
def command(store: Path) -> int:
    """Print the command line that makes a store again; one for each extract that made it, oldest first.

    \b
    python -m pipeline reproduce cache/meld.h5
    """
    from pipeline.curation.inspection import command_lines
    from pipeline.storage.shards import open_store
    click.echo("\n".join(command_lines(open_store(store))))
    return 0
