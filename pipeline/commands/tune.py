"""`tune`: search for good settings on dev."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from pipeline.commands._options import device_option, set_option, split_names, stores_option, with_options

SHOWN = 10              # trials in the table; trials.csv has all


@click.command("tune")
@stores_option
@click.option("--model", default="intermediate", show_default=True, help="Model: see `list`.")
@click.option("--over", multiple=True, metavar="FIELD=LOW:HIGH[:log]|FIELD=A,B",
              help="A setting of the model or of training and what it may be; may be repeated.  [default: learning"
                   " rate, weight decay, and dropout and hidden units where the model has them]")
@click.option("--trials", default=30, show_default=True, type=click.IntRange(min=1),
              help="How many in all, those of earlier calls counted.")
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), help="Begin no further trial after so long.")
@click.option("--inputs", callback=split_names, metavar="A,B", help="Features to use; by default one a modality.")
@click.option("--tasks", callback=split_names, metavar="A,B", help="What to learn; the first is what is searched for.")
@click.option("--seeds", type=click.IntRange(min=1), help="Networks of each trial, whose mean counts.  [default: 1]")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the search; a stopped one there"
              " goes on.")
@device_option
@set_option
def command(stores: tuple[Path, ...], model: str, over: tuple[str, ...], trials: int, minutes: float | None,
            inputs: tuple[str, ...] | None, tasks: tuple[str, ...] | None, out: Path, settings: dict[str, str],
            **options: Any) -> int:
    """Search for good settings of a model by training it again and again, on dev alone.

    \b
    python -m pipeline tune --features cache/meld.h5 --trials 50 --out runs/search
    python -m pipeline tune --features cache/meld.h5 --model dialogue --over lr=1e-4:1e-2:log \\
        --over hidden=64,128,256 --over dropout=0.1:0.6 --minutes 30 --out runs/search
    """
    from pipeline.terminal.training import TrainingProgress
    from pipeline.learning.train_config import TrainConfig
    from pipeline.tuning import tune

    def watch(number: int, total: int, tried: Mapping[str, str]) -> TrainingProgress:
        click.echo(f"{number} of {total}: {' '.join(f'{name}={value}' for name, value in tried.items())}", err=True)
        return TrainingProgress()

    found = tune(stores, out, model=model, over=over, trials=trials, minutes=minutes, inputs=inputs, tasks=tasks,
                 settings=settings, config=with_options(TrainConfig(), options), watch=watch)
    _show(found)
    click.echo(found["command"])
    return 0


def _show(found: Mapping[str, Any]) -> None:
    """The best trials, and what failed."""
    from pipeline.pages.audit_tables import figure_text
    from pipeline.pages.tables import METRIC_TITLES
    from pipeline.terminal import show_table
    from pipeline.tuning import best_first
    fields, metric, rows = found["fields"], found["metric"], []
    for trial in best_first(found["trials"])[:SHOWN]:
        score = {metric: {"mean": trial["score"], "sd": trial["sd"], "seeds": [0, 0] if trial["sd"] else [0]}}
        rows.append((trial["number"] + 1, trial["failure"] or figure_text(score, metric),
                     *(trial["settings"][field] for field in fields)))
    show_table(f"{METRIC_TITLES[metric]} of {found['task']} on {found['split']}, best of {len(found['trials'])} trials",
               ("trial", "score", *fields), rows)
    click.echo("note the best of many dev scores is too good: only a split that no choice was made on says how good the"
               " settings are; the test split was not read", err=True)
