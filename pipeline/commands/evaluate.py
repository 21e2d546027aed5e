"""`evaluate`: a run's scores on any store."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pipeline.commands._options import stores_option


@click.command("evaluate")
@click.option("--run", required=True, type=click.Path(path_type=Path), help="Folder of a run.")
@stores_option
@click.option("--split", help="Only this split; by default every clip, under `all`.")
@click.option("--json", "as_json", is_flag=True, help="The shape of metrics.json, on stdout.")
@click.option("--device", default="auto", metavar="auto|cpu|cuda:N", help="Where networks run; auto: a GPU if any.")
def command(run: Path, stores: tuple[Path, ...], split: str | None, as_json: bool, device: str) -> int:
    """Score a run on any store whose features were made in the same way.

    \b
    python -m pipeline evaluate --run runs/NAME --features cache/meld.h5 --split test --json
    """
    from pipeline.evaluation import evaluate as evaluate_run
    from pipeline.terminal import show_scores
    metrics = evaluate_run(run, stores, split=split, device=device)
    if as_json:
        click.echo(json.dumps(metrics, indent=2, allow_nan=False))
    else:
        show_scores(metrics)
    return 0
