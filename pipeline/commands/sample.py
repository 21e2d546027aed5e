"""`sample`: talking faces rendered in MELD's layout."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("sample")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder to make.")
@click.option("--clips", "num_clips", default=60, show_default=True, type=click.IntRange(min=3), help="How many.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Another seed, other clips.")
def command(out: Path, num_clips: int, seed: int) -> int:
    """Render talking faces in MELD's layout, to try everything without a corpus.

    \b
    python -m pipeline sample --out data/sample
    """
    from pipeline.rendering.corpus import render_corpus
    click.echo(render_corpus(out, num_clips=num_clips, seed=seed))
    return 0
