"""`ablate`: one model with every subset of its inputs, or every value of a setting, or both, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from pipeline.commands._options import device_option, set_option, split_names, stores_option, with_options


@click.command("ablate")
@stores_option
@click.option("--model", default="intermediate", show_default=True, help="Model: see `list`.")
@click.option("--over", multiple=True, default=("inputs",), show_default="inputs", metavar="inputs|FIELD=A,B",
              help="What differs: all subsets of the inputs, or the values of a setting, the first of which the others"
                   " are compared with (values with commas in them are divided by ;). Repeated: every combination.")
@click.option("--inputs", callback=split_names, metavar="A,B", help="Features to use; by default one a modality.")
@click.option("--tasks", callback=split_names, metavar="A,B", help="What to learn; the first chooses the best epoch.")
@click.option("--level", type=click.Choice(["auto", "utterance", "frame"]), help="As for `train`; both in one table:"
              " --over level=utterance,frame.")
@click.option("--folds", metavar="PROTOCOL", help="One network a fold, as for `train`.")
@click.option("--seeds", type=click.IntRange(min=1), help="Networks of each variant.  [default: 1]")
@click.option("--normalise", type=click.Choice(["train", "speaker"]), help="As for `train`.  [default: train]")
@click.option("--drop", is_flag=True, help="Also score the reference with each input taken away, without training.")
@click.option("--out", required=True, type=click.Path(path_type=Path),
              help="Folder of runs, table and plot; what is finished there stays.")
@device_option
@set_option
def command(stores: tuple[Path, ...], model: str, over: tuple[str, ...], inputs: tuple[str, ...] | None,
            tasks: tuple[str, ...] | None, drop: bool, out: Path, settings: dict[str, str], **options: Any) -> int:
    """Train a model with each subset of its inputs, or each value of settings, and compare.

    \b
    python -m pipeline ablate --features cache/meld.h5 --seeds 3 --drop --out runs/modalities
    python -m pipeline ablate --features cache/ravdess.h5 --model cross_attention --folds five-actor-folds \\
        --over metric_loss=none,triplet,emotion_relation,centre --seeds 3 --out runs/losses
    python -m pipeline ablate --features cache/iemocap.h5 --model raw_audio --tasks emotion4 \\
        --over inputs --over level=utterance,frame --folds leave-one-session-out --out runs/levels
    """
    from pipeline.ablation import ablate
    from pipeline.terminal.training import TrainingProgress
    from pipeline.learning.train_config import TrainConfig

    def watch(name: str, number: int, total: int) -> TrainingProgress:
        click.echo(f"{number} of {total}: {name}", err=True)
        return TrainingProgress()

    table = ablate(stores, out, model=model, over=over, inputs=inputs, tasks=tasks, settings=settings, drop=drop,
                   config=with_options(TrainConfig(baselines=False), options), watch=watch)
    _show(table)
    click.echo(out)
    return 0


def _show(table: Mapping[str, Any]) -> None:
    """The figures of the first task, and the difference by the metric that chose the epochs."""
    import re

    from pipeline.terminal import show_table
    task, chief = table["task"], table["metric"]
    metrics = list(table["rows"][0]["scores"][task])
    several = len(table["seeds"]) > 1

    def figure(values: Mapping[str, Any], metric: str, sign: str = "") -> str:
        if not values or values["mean"] is None:
            return "–"
        scale = 1 if metric in ("mae", "rmse") else 100
        spread = f" ± {scale * values['sd']:.1f}" if several else ""
        return f"{scale * values['mean']:{sign}.1f}{spread}"

    mixed = len({row["answers"] for row in table["rows"]}) > 1
    rows = []
    for row in table["rows"]:
        scores = row["scores"].get(task, {})
        apart = row["difference"].get(task, {}).get(chief, {})
        rows.append((re.sub(",(?! )", ", ", row["variant"]), *([row["answers"]] if mixed else []),
                     *(figure(scores.get(metric, {}), metric) for metric in metrics),
                     figure(apart, chief, "+") if row["difference"] else ""))
    where = f"{table['split']} of {table['protocol']}" if table["protocol"] else table["split"]
    show_table(f"{task} on {where}, %{', mean ± sd over seeds' if several else ''}", (
        "variant", *(["scored"] if mixed else []), *(metric.replace("_", " ") for metric in metrics),
        f"{chief.replace('_', ' ')} − first"), rows)
    if mixed:
        click.echo("note differences are to the first that is scored by the same, utterances or rows", err=True)
    for note in table["notes"]:
        click.echo(f"note {note}", err=True)
