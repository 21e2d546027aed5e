"""`pack`: finished shards into the store beside which they lie."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("pack")
@click.argument("store", type=click.Path(path_type=Path))
def command(store: Path) -> int:
    """Pack the finished shards that `extract --no-pack` or a stopped run left beside a store into it.

    \b
    python -m pipeline pack cache/meld.h5
    """
    from pipeline.storage.lock import locked
    from pipeline.storage.shards import count_shards, pack_store
    from pipeline.terminal import counting
    num_shards = count_shards(store)
    if num_shards:
        with locked(store), counting("packing", in_bytes=True) as report:
            pack_store(store, progress=report)
    click.echo(f"{num_shards} shards packed" if num_shards else "no shards lie beside it: nothing to pack", err=True)
    click.echo(store)
    return 0
