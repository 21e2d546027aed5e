"""`sample`: talking faces rendered in the form of a corpus."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.errors import UsageError
from pipeline.rendering import layouts


@click.command("sample")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder to make.")
@click.option("--layout", default="meld", show_default=True, type=click.Choice(layouts.names()),
              help="Whose folders, names and tables; --dataset of that name reads them.")
@click.option("--clips", "num_clips", type=click.IntRange(min=3), help="How many; by default as suits the layout.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Another seed, other clips.")
def command(out: Path, layout: str, num_clips: int | None, seed: int) -> int:
    """Render talking faces in a corpus's layout, to try everything without the corpus.

    \b
    python -m pipeline sample --out data/sample
    python -m pipeline sample --layout ravdess --out data/sample-ravdess
    python -m pipeline sample --layout unitalk --out data/sample-unitalk
    python -m pipeline extract --dataset ravdess --root data/sample-ravdess --weights random
    """
    import joblib

    from pipeline.rendering.corpus import render_corpus
    try:
        click.echo(render_corpus(out, layout=layout, num_clips=num_clips, seed=seed, jobs=min(joblib.cpu_count(), 8)))
    except ValueError as error:
        raise UsageError(str(error)) from error
    return 0
