"""The command line: options in, one function called, exit code out. Results go to stdout, all else to stderr."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

import pipeline
from pipeline import plugins
from pipeline.errors import PipelineError, UsageError

EXIT_CLIPS_FAILED = 3
EXIT_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: as typed after ``python -m pipeline``; by default the process's own.

    Returns:
        Exit code: 0 done, 1 explained error, 2 usage, 3 done but some clips failed, 130 interrupted.
    """
    try:
        return int(commands.main(arguments, prog_name="python -m pipeline", standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except PipelineError as error:
        click.echo(f"Error: {error}", err=True)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("Stopped. What was finished is kept; the same command goes on from there.", err=True)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        return 0


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(pipeline.__version__, prog_name="pipeline")
def commands() -> None:
    """Turn videos of people into features once, keep them in one trusted file, train small fusion models on it.

    \b
    Begin:   python -m pipeline extract --dataset sample
             python -m pipeline train --features cache/sample.h5
    """


def _names(_context: click.Context, _parameter: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    """``a,b`` → ``("a", "b")``."""
    return None if value is None else tuple(part.strip() for part in value.split(",") if part.strip())


def _settings(_context: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """``NAME=VALUE`` pairs by name."""
    found = {}
    for value in values:
        name, equals, text = value.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"{value!r} is not of the form NAME=VALUE")
        found[name.strip()] = text
    return found


def _options(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def decorate(function: Any) -> Any:
        for option in reversed(options):
            function = option(function)
        return function
    return decorate


device_option = click.option("--device", metavar="auto|cpu|cuda:N", help="Where networks run; auto: a GPU if any.")
set_option = click.option("--set", "settings", multiple=True, callback=_settings, metavar="NAME=VALUE",
                          help="Any other setting; `list` shows them. May be repeated.")
stores_option = click.option("--features", "stores", multiple=True, required=True, type=click.Path(path_type=Path),
                             help="A store; several are joined by clip id.")
dataset_options = _options(
    click.option("--dataset", required=True, metavar="NAME", help="Corpus: see `list`."),
    click.option("--root", type=click.Path(path_type=Path), help="Its folder; by default its place under data/."),
    click.option("--splits", callback=_names, metavar="A,B", help="Only these splits."),
    click.option("--manifest", type=click.Path(path_type=Path), help="With --dataset manifest: your CSV of clips."),
    click.option("--allow-outside", is_flag=True, help="With --dataset manifest: paths may leave the CSV's folder."),
)


@commands.command()
@dataset_options
@click.option("--extractors", callback=_names, metavar="A,B", help="Features to make; see `list`.")
@click.option("--out", type=click.Path(path_type=Path), help="The store; by default cache/DATASET.h5.")
@click.option("--weights", metavar="pretrained|random|FOLDER", help="Where networks' weights come from.")
@click.option("--jobs", type=click.IntRange(min=1), help="Worker processes; by default one for each core.")
@click.option("--on-damage", type=click.Choice(["skip", "partial", "fail"]), help="What to do with damaged media.")
@click.option("--retry-failed", is_flag=True, help="Work again on clips that failed.")
@click.option("--replace", is_flag=True, help="Make features anew that the store holds with other settings.")
@device_option
@set_option
def extract(dataset: str, root: Path | None, splits: tuple[str, ...] | None, manifest: Path | None,
            allow_outside: bool, extractors: tuple[str, ...] | None, out: Path | None, settings: dict[str, str],
            **options: Any) -> int:
    """Compute features of a corpus into a store; run again, it goes on where it was.

    \b
    python -m pipeline extract --dataset meld --root data/MELD.Raw
    python -m pipeline extract --dataset manifest --manifest clips.csv --out cache/mine.h5
    python -m pipeline extract --dataset meld --extractors text_bert --set text_bert.model=roberta-base
    """
    from pipeline import extraction
    from pipeline.config import with_settings
    from pipeline.terminal import ExtractionProgress, show_extraction
    by_owner = _by_owner(settings)
    corpus = _dataset(dataset, root, splits, manifest, allow_outside, by_owner.pop(dataset, {}))
    config = _given(extraction.ExtractConfig(), options)
    config = _given(config, {"limits": with_settings(config.limits, by_owner.pop("decode", {}), owner="decode")})
    with ExtractionProgress() as progress:
        report = extraction.extract(corpus, out or Path("cache") / f"{dataset}.h5",
                                    extractors=extractors or extraction.DEFAULT_EXTRACTORS, settings=by_owner,
                                    config=config, progress=progress)
    show_extraction(report)
    click.echo(report.store)
    return EXIT_CLIPS_FAILED if report.failures else 0


def _by_owner(settings: dict[str, str]) -> dict[str, dict[str, str]]:
    """``{"text_bert.model": "x"}`` → ``{"text_bert": {"model": "x"}}``."""
    found: dict[str, dict[str, str]] = {}
    for name, text in settings.items():
        owner, dot, field = name.rpartition(".")
        if not dot:
            raise UsageError(f"--set {name}=…: expected EXTRACTOR.FIELD=VALUE, for instance text_bert.layers=last_four")
        found.setdefault(owner, {})[field] = text
    return found


def _given(config: Any, options: dict[str, Any]) -> Any:
    """``config`` with the options that the user gave."""
    import dataclasses
    try:
        return dataclasses.replace(config, **{name: value for name, value in options.items()
                                              if value is not None and value is not False})
    except ValueError as error:
        raise UsageError(str(error)) from error


def _dataset(name: str, root: Path | None, splits: tuple[str, ...] | None, manifest: Path | None,
             allow_outside: bool, settings: dict[str, str]) -> Any:
    import dataclasses

    from pipeline.config import with_settings
    kind = plugins.plugin_class("dataset", name)
    config = with_settings(kind.Config(), settings, owner=name)  # type: ignore[attr-defined]
    given = {option: value for option, value in (("root", root), ("splits", splits), ("manifest", manifest),
                                                 ("allow_outside", allow_outside or None)) if value is not None}
    known = {field.name for field in dataclasses.fields(config)}
    for option in given:
        if option not in known:
            raise UsageError(f"--{option.replace('_', '-')} is not for --dataset {name}")
    return kind(dataclasses.replace(config, **given))


@commands.command()
@click.option("--features", "stores", multiple=True, type=click.Path(path_type=Path),
              help="A store; several are joined by clip id.")
@click.option("--model", help="Fusion model: see `list`.  [default: intermediate]")
@click.option("--inputs", callback=_names, metavar="A,B", help="Features to learn from; by default one a modality.")
@click.option("--tasks", callback=_names, metavar="A,B", help="What to learn; the first chooses the best epoch.")
@click.option("--seeds", type=click.IntRange(min=1), help="Runs with different seeds; figures are mean ± sd.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder of the run; by default a new one under runs/.")
@click.option("--train-split", metavar="NAME", help="Split to learn from.  [default: train]")
@click.option("--dev-split", metavar="NAME", help="Split that chooses the epoch.  [default: dev]")
@click.option("--test-split", metavar="NAME", help="Split scored once at the end.  [default: test]")
@click.option("--dev-is-test", is_flag=True, help="Allow dev and test to be one split; the report says so.")
@click.option("--class-weights", type=click.Choice(["none", "sqrt", "inverse"]), help="Weights of rare classes.")
@click.option("--allow-leaks", is_flag=True, help="Train although a group stands in two splits; the report says so.")
@click.option("--smoke", is_flag=True, help="One batch, to see that everything fits together.")
@click.option("--resume", "resumed", type=click.Path(path_type=Path), metavar="RUN", help="Carry on a stopped run.")
@click.option("--report/--no-report", "with_report", default=True, help="Write report.html at the end.")
@device_option
@set_option
def train(stores: tuple[Path, ...], model: str | None, inputs: tuple[str, ...] | None, tasks: tuple[str, ...] | None,
          out: Path | None, resumed: Path | None, with_report: bool, settings: dict[str, str],
          **options: Any) -> int:
    """Train a fusion model on stored features, score it, and write its report.

    \b
    python -m pipeline train --features cache/meld.h5
    python -m pipeline train --features cache/meld.h5 --model late --tasks emotion --seeds 5 --set hidden=256
    """
    from pipeline import training
    from pipeline.jobs import TrainConfig
    from pipeline.report import write_report
    from pipeline.terminal import TrainingProgress, show_metrics
    with TrainingProgress() as progress:
        if resumed is not None:
            run = training.resume(resumed, progress=progress)
        elif stores:
            run = training.train(stores, model=model or "intermediate", settings=settings, inputs=inputs, tasks=tasks,
                                 config=_given(TrainConfig(), options), out=out, progress=progress)
        else:
            raise UsageError("give --features STORE (or --resume RUN)")
    show_metrics(run)
    if with_report:
        write_report(run)
    click.echo(run)
    return 0


@commands.command()
@click.option("--run", required=True, type=click.Path(path_type=Path), help="Folder of a run.")
@stores_option
@click.option("--split", help="Only this split; by default every clip, under `all`.")
@click.option("--json", "as_json", is_flag=True, help="The shape of metrics.json, on stdout.")
@click.option("--device", default="auto", metavar="auto|cpu|cuda:N", help="Where networks run; auto: a GPU if any.")
def evaluate(run: Path, stores: tuple[Path, ...], split: str | None, as_json: bool, device: str) -> int:
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


@commands.command()
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Everything, for programs.")
def inspect(store: Path, as_json: bool) -> int:
    """Show what a store holds: clips, features, settings, coverage, failures.

    \b
    python -m pipeline inspect cache/meld.h5
    """
    from pipeline.inspection import summarise
    from pipeline.store import FeatureStore
    from pipeline.terminal import show_store
    summary = summarise(FeatureStore(store))
    if as_json:
        click.echo(json.dumps(summary, indent=2, allow_nan=False))
    else:
        show_store(summary)
    return 0


@commands.command("list")
@click.option("--settings", "with_settings", is_flag=True, help="Every setting with its meaning and default.")
def list_plugins(with_settings: bool) -> int:
    """List datasets, extractors and models.

    \b
    python -m pipeline list --settings
    """
    from pipeline.terminal import show_plugins
    show_plugins(with_settings=with_settings)
    return 0


@commands.command()
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder to make.")
@click.option("--clips", "num_clips", default=60, show_default=True, type=click.IntRange(min=3), help="How many.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Another seed, other clips.")
def sample(out: Path, num_clips: int, seed: int) -> int:
    """Render talking faces in MELD's layout, to try everything without a corpus.

    \b
    python -m pipeline sample --out data/sample
    """
    from pipeline.rendering.corpus import render_corpus
    click.echo(render_corpus(out, num_clips=num_clips, seed=seed))
    return 0


@commands.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--features", "stores", multiple=True, type=click.Path(path_type=Path),
              help="The stores, where they are no longer where the run found them.")
@click.option("--thumbnails", is_flag=True, help="Show faces although the corpus's licence forbids passing them on.")
def report(run: Path, stores: tuple[Path, ...], thumbnails: bool) -> int:
    """Write a run's report.html again.

    \b
    python -m pipeline report runs/NAME
    """
    from pipeline.report import write_report
    click.echo(write_report(run, features=stores or None, thumbnails=thumbnails))
    return 0


@commands.command("count-parameters")
@click.option("--run", type=click.Path(path_type=Path), help="Folder of a run.")
def count_parameters(run: Path) -> int:
    """Count a trained network's parameters by module.

    \b
    python -m pipeline count-parameters --run runs/NAME
    """
    from models import count_parameters as count
    from pipeline.runs import Checkpoint, seed_folders
    from pipeline.terminal import show_parameters
    show_parameters(count(Checkpoint.load(seed_folders(run)[0] / "best.pt").network()))
    return 0
