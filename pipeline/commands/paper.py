"""`paper`: a table, a paragraph on methods and references of finished runs."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("paper")
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@click.option("--intervals", is_flag=True, help="Also print 95 % intervals over groups.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for table.tex, methods.tex and references.txt;"
              " without it all three go to stdout.")
def command(runs: tuple[Path, ...], intervals: bool, out: Path | None) -> int:
    """Write up finished runs on one corpus: LaTeX table, methods, and what must be cited.

    \b
    python -m pipeline paper runs/A runs/B --intervals --out paper
    """
    from pipeline.paper import paper
    found = paper(runs, intervals=intervals)
    if out is None:
        click.echo("\n".join((found.table, found.methods, found.references)), nl=False)
    else:
        for path in found.write(out):
            click.echo(path)
    return 0
