"""`extract`: features of a corpus into a store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pipeline.commands._options import (dataset_options, device_option, open_dataset, set_option, settings_by_owner,
                                        split_names, with_options)
from pipeline.errors import EXIT_CLIPS_FAILED


@click.command("extract")
@dataset_options
@click.option("--extractors", callback=split_names, metavar="A,B", help="Features to make; see `list`.")
@click.option("--out", type=click.Path(path_type=Path), help="The store; by default cache/DATASET.h5.")
@click.option("--weights", metavar="pretrained|random|FOLDER", help="Where networks' weights come from.")
@click.option("--detection", metavar="fast|balanced|dense", help="How thoroughly faces are sought.")
@click.option("--face", metavar="largest|central|longest|gallery|speaking|all",
              help="Which face the face extractors follow.")
@click.option("--gallery", metavar="FOLDER", help="With --face gallery: who is who; `faces cluster` makes it.")
@click.option("--speaking-run", metavar="RUN", help="Who speaks, as this run of an active-speaker network says.")
@click.option("--jobs", type=click.IntRange(min=1), help="Worker processes; by default one for each core.")
@click.option("--scheduler", metavar="tcp://HOST:PORT", help="Let the workers of a Dask cluster do the work.")
@click.option("--shard", metavar="K/N", help="Only the K-th of N parts of the clips, for an array of jobs.")
@click.option("--on-damage", type=click.Choice(["skip", "partial", "fail"]), help="What to do with damaged media.")
@click.option("--max-failures", type=click.IntRange(min=0), help="Stop when more clips than this have failed.")
@click.option("--retry-failed", is_flag=True, help="Work again on clips that failed.")
@click.option("--replace", is_flag=True, help="Make features anew that the store holds with other settings.")
@click.option("--no-pack", is_flag=True, help="Leave the finished shards beside the store; `pack` joins them later.")
@click.option("--wait", is_flag=True, help="Wait while another process writes the store.")
@click.option("--dry-run", is_flag=True, help="Predict time and disk from a few clips; make nothing.")
@device_option
@set_option
def command(dataset: str, root: Path | None, splits: tuple[str, ...] | None, manifest: Path | None,
            allow_outside: bool, extractors: tuple[str, ...] | None, out: Path | None, settings: dict[str, str],
            dry_run: bool, **options: Any) -> int:
    """Compute features of a corpus into a store; run again, it goes on where it was.

    \b
    python -m pipeline extract --dataset meld --root data/MELD.Raw --dry-run
    python -m pipeline extract --dataset manifest --manifest clips.csv --out cache/mine.h5
    python -m pipeline extract --dataset meld --extractors text_bert --set text_bert.model=roberta-base
    """
    from pipeline import extraction
    from pipeline.config import with_settings
    from pipeline.running.forecast import forecast
    from pipeline.terminal.extraction import ExtractionProgress, show_extraction, show_forecast
    by_owner = settings_by_owner(settings)
    corpus = open_dataset(dataset, root, splits, manifest, allow_outside, by_owner.pop(dataset, {}))
    config = with_options(extraction.ExtractConfig(), options)
    config = with_options(config, {"limits": with_settings(config.limits, by_owner.pop("decode", {}), owner="decode")})
    store, names = out or Path("cache") / f"{dataset}.h5", extractors or ()
    if dry_run:
        show_forecast(forecast(corpus, store, extractors=names, settings=by_owner, config=config))
        return 0
    with ExtractionProgress() as progress:
        report = extraction.extract(corpus, store, extractors=names, settings=by_owner, config=config,
                                    progress=progress)
    show_extraction(report)
    click.echo(report.store)
    return EXIT_CLIPS_FAILED if report.failures else 0
