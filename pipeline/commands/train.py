"""`train`: a fusion model on stored features."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pipeline.commands._options import device_option, set_option, split_names, with_options
from pipeline.errors import UsageError


@click.command("train")
@click.option("--features", "stores", multiple=True, type=click.Path(path_type=Path),
              help="A store; several are joined by clip id.")
@click.option("--model", help="Fusion model: see `list`.  [default: intermediate]")
@click.option("--inputs", callback=split_names, metavar="A,B", help="Features to use; by default one a modality.")
@click.option("--tasks", callback=split_names, metavar="A,B", help="What to learn; the first chooses the best epoch.")
@click.option("--seeds", type=click.IntRange(min=1), help="Runs with different seeds; figures are mean ± sd.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the run; by default a new one under runs/.")
@click.option("--train-split", metavar="NAME", help="Split to learn from.  [default: train]")
@click.option("--dev-split", metavar="NAME", help="Split that chooses the epoch.  [default: dev]")
@click.option("--test-split", metavar="NAME", help="Split scored once at the end.  [default: test]")
@click.option("--dev-is-test", is_flag=True, help="Allow dev and test to be one split; the report says so.")
@click.option("--level", type=click.Choice(["auto", "utterance", "frame"]), help="Answer for whole clips or for each of"
              " their rows.  [default: as model and tasks are made]")
@click.option("--folds", metavar="PROTOCOL", help="One network a fold: a protocol of the corpus, leave-one-group-out,"
              " N-group-folds, random, or a CSV file with the columns group and fold.")
@click.option("--normalise", type=click.Choice(["train", "speaker"]), help="Standardise by the training clips, or each"
              " speaker by all own clips (transductive; the report says so).  [default: train]")
@click.option("--class-weights", type=click.Choice(["none", "sqrt", "inverse"]), help="Weights of rare classes.")
@click.option("--allow-leaks", is_flag=True, help="Train although a group stands in two splits; the report says so.")
@click.option("--init", metavar="RUN|FILE", help="Start from a run's network, or an imported one, instead of chance.")
@click.option("--train-hours", type=click.FloatRange(min=0, min_open=True), metavar="H",
              help="Learn from a random part of the training clips that lasts H hours.")
@click.option("--smoke", is_flag=True, help="One batch, to see that everything fits together.")
@click.option("--resume", "resumed", type=click.Path(path_type=Path), metavar="RUN", help="Carry on a stopped run.")
@click.option("--report/--no-report", "with_report", default=True, help="Write report.html at the end.")
@device_option
@set_option
def command(stores: tuple[Path, ...], model: str | None, inputs: tuple[str, ...] | None, tasks: tuple[str, ...] | None,
            out: Path | None, resumed: Path | None, with_report: bool, settings: dict[str, str],
            **options: Any) -> int:
    """Train a fusion model on stored features, score it, and write its report.

    \b
    python -m pipeline train --features cache/meld.h5
    python -m pipeline train --features cache/meld.h5 --model late --tasks emotion --seeds 5 --set hidden=256
    python -m pipeline train --features cache/unitalk.h5 --model active_speaker --init runs/ava --train-hours 5
    python -m pipeline train --features cache/ravdess.h5 --folds leave-one-group-out --seeds 3
    """
    from pipeline import training
    from pipeline.report import write_report
    from pipeline.terminal.training import TrainingProgress, show_metrics
    from pipeline.learning.train_config import TrainConfig
    with TrainingProgress() as progress:
        if resumed is not None:
            run = training.resume(resumed, progress=progress)
        elif stores:
            run = training.train(stores, model=model or "intermediate", settings=settings, inputs=inputs, tasks=tasks,
                                 config=with_options(TrainConfig(), options), out=out, progress=progress)
        else:
            raise UsageError("give --features STORE (or --resume RUN)")
    show_metrics(run)
    if with_report:
        write_report(run)
    click.echo(run)
    return 0
