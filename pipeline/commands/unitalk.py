"""`unitalk`: releases and files of UniTalk and AVA-ActiveSpeaker made into one another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.speaking.unitalk_files import Rearranged

ROOT = click.argument("root", type=click.Path(path_type=Path))
OUT = click.argument("out", type=click.Path(path_type=Path))
COPY = click.option("--copy", is_flag=True, help="Copy pictures and sound; by default the new tree links to them.")


@click.group("unitalk")
def command() -> None:
    """Trim and convert releases of UniTalk, and files of its loaders and scores.

    A destination is never replaced: it has to be new, or an empty folder.

    \b
    python -m pipeline unitalk trim data/UniTalk data/UniTalk-noise --sub-category noise
    """


@command.command("trim")
@ROOT
@OUT
@click.option("--sub-category", help="language, noise, visual or mixed: the list sub_categories/test_NAME.csv in ROOT.")
@click.option("--list", "listed", type=click.Path(path_type=Path), help="Another list of videos, one in each line.")
@click.option("--split", type=click.Choice(["val", "train"]), default="val", show_default=True, help="As published.")
@COPY
def trim_command(root: Path, out: Path, sub_category: str | None, listed: Path | None, split: str, copy: bool) -> int:
    """Make a release of some videos alone, by link or copy.

    \b
    python -m pipeline unitalk trim data/UniTalk data/UniTalk-noise --sub-category noise
    """
    from pipeline.speaking.speaker_tables import read_video_list
    from pipeline.terminal import counting
    from pipeline.speaking.unitalk_files import trim
    if (sub_category is None) == (listed is None):
        raise UsageError("say which videos, with --sub-category NAME or --list FILE, not both")
    videos = read_video_list(listed or root / "sub_categories" / f"test_{sub_category}.csv")
    with counting("tracks") as progress:
        return _report(trim(root, out, videos, split=split, copy=copy, progress=progress))


@command.command("to-asc")
@ROOT
@OUT
@COPY
def to_asc_command(root: Path, out: Path, copy: bool) -> int:
    """Lay a release out flat, as ASC and ASDNet read it.

    \b
    python -m pipeline unitalk to-asc data/UniTalk data/UniTalk-asc
    """
    from pipeline.terminal import counting
    from pipeline.speaking.unitalk_files import to_asc
    with counting("tracks") as progress:
        return _report(to_asc(root, out, copy=copy, progress=progress))


@command.command("from-asc")
@ROOT
@OUT
@COPY
def from_asc_command(root: Path, out: Path, copy: bool) -> int:
    """Lay a flat release out by videos again.

    \b
    python -m pipeline unitalk from-asc data/UniTalk-asc data/UniTalk
    """
    from pipeline.terminal import counting
    from pipeline.speaking.unitalk_files import from_asc
    with counting("tracks") as progress:
        return _report(from_asc(root, out, copy=copy, progress=progress))


@command.command("to-talknet")
@click.argument("truth", type=click.Path(path_type=Path))
@OUT
def to_talknet(truth: Path, out: Path) -> int:
    """Write TalkNet's list of tracks from a CSV of labels.

    \b
    python -m pipeline unitalk to-talknet csv/val_orig.csv csv/val_loader.csv
    """
    from pipeline.speaking.active_speaker_metric import read_truth
    from pipeline.speaking.speaker_files import write_loader
    write_loader(out, read_truth(truth))
    click.echo(out)
    return 0


@command.command("from-talknet")
@click.argument("loader", type=click.Path(path_type=Path))
@OUT
@click.option("--pictures", type=click.Path(path_type=Path),
              help="clips_videos/SPLIT, whose pictures are named by their times; without it times follow from the start"
                   " in whole seconds and the rate.")
def from_talknet(loader: Path, out: Path, pictures: Path | None) -> int:
    """Write a CSV of labels from TalkNet's list of tracks.

    The list has no boxes: each becomes the whole picture.

    \b
    python -m pipeline unitalk from-talknet csv/val_loader.csv csv/val_orig.csv --pictures clips_videos/val
    """
    from pipeline.speaking.speaker_files import read_loader, write_table
    write_table(out, read_loader(loader, pictures))
    click.echo(out)
    return 0


@command.command("predictions")
@click.argument("run", type=click.Path(path_type=Path))
@OUT
@click.option("--truth", required=True, type=click.Path(path_type=Path),
              help="Labels of the split: a CSV, or a folder of them.")
@click.option("--split", default="test", show_default=True, help="The run's name for it; what is published as val is"
                                                                 " test.")
@click.option("--seed", type=int, help="Of the network; by default the mean over all.")
@click.option("--missing-as-zero", is_flag=True, help="Give rows that the run did not answer for the score 0.")
def predictions(run: Path, out: Path, truth: Path, split: str, seed: int | None, missing_as_zero: bool) -> int:
    """Write a run's predictions in the benchmark's form, for score-asd and the official script.

    \b
    python -m pipeline unitalk predictions runs/NAME predictions.csv --truth data/UniTalk/csv/val_orig.csv
    """
    import numpy as np

    from pipeline.speaking.active_speaker_metric import read_truth
    from pipeline.errors import DatasetError
    from pipeline.speaking.speaker_files import scores_of_run, write_table
    labels = read_truth(truth)
    scores = scores_of_run(run, labels, split=split, seed=seed)
    missing = np.flatnonzero(np.isnan(scores))
    if len(missing) and not missing_as_zero:
        raise DatasetError(f"{run} has no answer for {labels.entity[missing[0]]} at {labels.time_text[missing[0]]} s,"
                           f" nor for {len(missing) - 1:,} more of {len(labels):,} rows, as where pictures or sound are"
                           " missing; give them the score 0 with --missing-as-zero")
    write_table(out, labels, np.nan_to_num(scores))
    click.echo(out)
    return 0


def _report(made: Rearranged) -> int:
    from pipeline.errors import EXIT_CLIPS_FAILED
    from pipeline.terminal import show_table
    show_table("New release", ("videos", "tracks", "rows", "tracks without pictures or sound"),
               [(made.num_videos, made.num_tracks, made.num_rows, len(made.missing))])
    if made.missing:
        show_table("Without pictures or sound, the first", ("track",), [(name,) for name in made.missing[:20]])
    click.echo(made.out)
    return EXIT_CLIPS_FAILED if made.missing else 0
