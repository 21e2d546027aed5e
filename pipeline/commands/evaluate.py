"""`evaluate`: a run's scores on any store."""

from __future__ import annotations

import json
from pathlib import Path

import click

from pipeline.commands._options import stores_option


def _list_maps(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    """One row for each label of each corpus: what it is called elsewhere."""
    if not value or context.resilient_parsing:
        return
    import csv

    from pipeline.label_maps import SHIPPED
    from pipeline.terminal import show_table
    with SHIPPED.open(encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file)
    show_table("What labels are called elsewhere: --map-labels CORPUS:COLUMN; empty cells leave clips out",
               head, rows, stdout=True)
    context.exit()


@click.command("evaluate")
@click.option("--run", required=True, type=click.Path(path_type=Path), help="Folder of a run.")
@stores_option
@click.option("--split", help="Only this split; by default every clip, under `all`.")
@click.option("--json", "as_json", is_flag=True, help="The shape of metrics.json, on stdout.")
@click.option("--map-labels", metavar="NAME|FILE.csv", help="What the labels of another corpus are called by the run:"
              " a shipped map as ravdess:meld (`--list-label-maps`), or your own with the columns label and answer.")
@click.option("--list-label-maps", is_flag=True, is_eager=True, expose_value=False, callback=_list_maps,
              help="Show the label maps that are shipped, and end.")
@click.option("--device", default="auto", metavar="auto|cpu|cuda:N", help="Where networks run; auto: a GPU if any.")
def command(run: Path, stores: tuple[Path, ...], split: str | None, as_json: bool, map_labels: str | None,
            device: str) -> int:
    """Score a run on any store whose features were made in the same way.

    \b
    python -m pipeline evaluate --run runs/NAME --features cache/meld.h5 --split test --json
    python -m pipeline evaluate --run runs/NAME --features cache/ravdess.h5 --map-labels ravdess:meld
    """
    from pipeline.evaluation import evaluate as evaluate_run
    from pipeline.terminal.training import show_scores
    metrics = evaluate_run(run, stores, split=split, device=device, map_labels=map_labels)
    if as_json:
        click.echo(json.dumps(metrics, indent=2, allow_nan=False))
    else:
        show_scores(metrics)
    return 0
