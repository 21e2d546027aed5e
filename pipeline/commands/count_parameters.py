"""`count-parameters`: the size of a trained network."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("count-parameters")
@click.option("--run", type=click.Path(path_type=Path), help="Folder of a run.")
def command(run: Path) -> int:
    """Count a trained network's parameters by module.

    \b
    python -m pipeline count-parameters --run runs/NAME
    """
    from models import count_parameters as count
    from pipeline.runs import Checkpoint, seed_folders
    from pipeline.terminal.plugins import show_parameters
    show_parameters(count(Checkpoint.load(seed_folders(run)[0] / "best.pt").network()))
    return 0
