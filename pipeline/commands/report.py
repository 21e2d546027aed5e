"""`report`: a run's page, written again."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("report")
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--features", "stores", multiple=True, type=click.Path(path_type=Path),
              help="The stores, where they are no longer where the run found them.")
@click.option("--thumbnails", is_flag=True, help="Show faces although the corpus's licence forbids passing them on.")
def command(run: Path, stores: tuple[Path, ...], thumbnails: bool) -> int:
    """Write a run's report.html again.

    \b
    python -m pipeline report runs/NAME
    """
    from pipeline.report import write_report
    click.echo(write_report(run, features=stores or None, thumbnails=thumbnails))
    return 0
