"""`reproduce`: a run made once more and compared; of a store, the command lines that make it again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click


@click.command("reproduce")
@click.argument("what", type=click.Path(path_type=Path), metavar="RUN|STORE")
@click.option("--out", type=click.Path(path_type=Path), help="A new folder for the second run.  [default: RUN-again]")
@click.option("--features", "stores", multiple=True, type=click.Path(path_type=Path),
              help="The run's stores, where they are no longer where it found them.")
@click.option("--tolerance", default=0.005, show_default=True, type=click.FloatRange(min=0),
              help="By how much a score, a fraction from 0 to 1, may differ.")
@click.option("--json", "as_json", is_flag=True, help="What was compared, on stdout.")
def command(what: Path, out: Path | None, stores: tuple[Path, ...], tolerance: float, as_json: bool) -> int:
    """Train a finished run anew and compare; of a store, print the commands that made it, oldest first.

    A run is trained from its own settings, seeds and stores, and every score and answer is compared; the command ends
    with 3 where a score differs by more than the tolerance. The test split is read once more, and counted.

    \b
    python -m pipeline reproduce runs/NAME
    python -m pipeline reproduce cache/meld.h5
    """
    if not what.is_dir():
        from pipeline.curation.inspection import command_lines
        from pipeline.storage.shards import open_store
        click.echo("\n".join(command_lines(open_store(what))))
        return 0
    from pipeline.reproduction import reproduce
    from pipeline.terminal.training import TrainingProgress
    with TrainingProgress() as progress:
        found = reproduce(what, out=out, features=stores or None, tolerance=tolerance, progress=progress)
    if as_json:
        click.echo(json.dumps(found, indent=2, allow_nan=False))
    else:
        _show(found)
    return 0 if found["reproduced"] else 3


def _show(found: Mapping[str, Any]) -> None:
    from pipeline.metrics import SHARES
    from pipeline.terminal import show_table
    rows = []
    for line in found["scores"]:
        times, digits = (100, 2) if line["metric"] in SHARES else (1, 4)
        shown = ["–" if line[name] is None else f"{times * line[name]:.{digits}f}" for name in ("first", "again")]
        rows.append((line["split"], line["task"], line["metric"].replace("_", " "), *shown,
                     "equal" if line["first"] == line["again"] else "differs"))
    show_table(f"{Path(found['run']).name} and {Path(found['again']).name}, means over seeds",
               ("split", "task", "score", "first", "again", ""), rows, stdout=True)
    answers = found["answers"]
    click.echo(f"{answers['compared']} answers, of which {answers['other']} became another class; the largest"
               f" difference of a probability or value is {answers['largest_difference']:.2g}")
    click.echo(f"reproduced within {found['tolerance']:g}" if found["reproduced"]
               else f"NOT reproduced: a score differs by more than {found['tolerance']:g}")
