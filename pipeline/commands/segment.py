"""`segment`: who spoke when in a recording, or in a folder of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

FORMATS = "rttm", "csv", "labels", "json"


def _number(_context: click.Context, _parameter: click.Parameter, value: str) -> int | None:
    if value == "auto":
        return None
    if not value.isdecimal():
        raise click.BadParameter(f"{value!r} is neither auto nor a whole number")
    return int(value)


@click.command("segment")
@click.argument("source", metavar="RECORDING|FOLDER", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="File for the turns; by default they go to stdout.")
@click.option("--format", "kind", type=click.Choice(FORMATS), help="By default what --out ends in, else rttm.")
@click.option("--speakers", default="auto", show_default=True, callback=_number, metavar="N|auto",
              help="How many people speak.")
@click.option("--max-speakers", type=int, help="With --speakers auto; 8 by default.")
@click.option("--picture", type=click.Path(path_type=Path), help="A PNG of the timeline, or a folder of them.")
@click.option("--features", "store", type=click.Path(path_type=Path),
              help="Tell speakers apart by a feature of this store.")
@click.option("--feature", help="With --features: its name, for instance audio_encoder.")
@click.option("--on-damage", type=click.Choice(["skip", "partial"]), help="What to do with damaged recordings: leave"
              " them out, or use the part that decodes.  [default: skip]")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Any other setting; may be repeated.")
def command(source: Path, out: Path | None, kind: str | None, speakers: int | None, max_speakers: int | None,
            picture: Path | None, store: Path | None, feature: str | None, on_damage: str | None,
            settings: tuple[str, ...]) -> int:
    """Say who speaks when in a recording: turns as RTTM, CSV, Audacity labels or JSON.

    Reads any file with sound, or all of a folder. Needs no trained weights. Speakers have numbers, no names.

    \b
    python -m pipeline segment talk.wav --out talk.rttm --speakers 2 --picture talk.png
    """
    from pipeline.commands._options import with_options
    from pipeline.config import with_settings
    from pipeline.errors import EXIT_CLIPS_FAILED, UsageError
    from pipeline.segmenting.recordings import recordings_in, segment_all, write
    from pipeline.segmentation import SegmentConfig
    from pipeline.store import FeatureStore
    from pipeline.terminal import counting
    from pipeline.segmenting.turns import WRITERS, format_of
    if (store is None) != (feature is None):
        raise UsageError("--features STORE and --feature NAME go together; give both or neither")
    writer = WRITERS[kind or ("rttm" if out is None else format_of(out))]
    config = with_settings(SegmentConfig(), _pairs(settings), owner="segment")
    config = with_options(config, {"max_speakers": max_speakers, "on_damage": on_damage})
    rows_from = None if store is None or feature is None else (FeatureStore(store), feature)
    with counting("listening") as progress:
        done = segment_all(recordings_in(source), speakers=speakers, config=config, rows_from=rows_from,
                           pictures=picture, progress=progress)
    text = writer(done.recordings)
    if out is not None:
        write(out, text.encode())
    _tell(done)
    click.echo(text if out is None else out, nl=out is not None)
    if done.failures:
        return EXIT_CLIPS_FAILED if done.recordings else 1
    return 0


def _pairs(settings: tuple[str, ...]) -> dict[str, str]:
    from pipeline.errors import UsageError
    wrong = next((pair for pair in settings if "=" not in pair), None)
    if wrong is not None:
        raise UsageError(f"--set {wrong}: expected NAME=VALUE, for instance window_seconds=1")
    return {name.strip(): value for name, _, value in (pair.partition("=") for pair in settings)}


def _tell(done: Any) -> None:
    """A line for each recording, and why others have none, on stderr."""
    from pipeline.terminal import show_table
    if done.recordings:
        show_table("Who speaks when", ("recording", "minutes", "speakers", "turns", "speech, s", "note"), [
            (found.recording, f"{(found.duration_seconds or 0) / 60:.2f}", len(found.speakers), len(found.turns),
             f"{sum(turn.seconds for turn in found.turns):.1f}", "; ".join(found.notes))
            for found in done.recordings])
    for name, reason in done.failures.items():
        click.echo(f"Error: {name}: {reason}", err=True)
