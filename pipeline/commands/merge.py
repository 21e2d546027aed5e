"""`merge`: several stores become one."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("merge")
@click.argument("stores", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The new store; may be one of STORES.")
def command(stores: tuple[Path, ...], out: Path) -> int:
    """Join stores of one corpus that hold different clips, different features or both.

    A clip's feature that failed in one store and is done in another is taken done. What contradicts is named and
    nothing is written.

    \b
    python -m pipeline merge cache/meld-1.h5 cache/meld-2.h5 --out cache/meld.h5
    python -m pipeline merge cache/text.h5 cache/video.h5 --out cache/both.h5
    """
    from pipeline.curation.merging import merge
    from pipeline.terminal import counting, show_table
    with counting("merging") as progress:
        merged = merge(stores, out, progress=progress)
    show_table("Joined", ("store", "clips", "of them new"), merged.inputs)
    show_table(f"{merged.num_clips:,} clips", ("feature", "clips done"), merged.features.items())
    click.echo(merged.path)
    return 0
