"""`doctor`: trouble with a corpus, before any time is spent on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.commands._options import dataset_options, open_dataset, set_option, settings_by_owner
from pipeline.errors import EXIT_CLIPS_FAILED, UsageError

if TYPE_CHECKING:
    from pipeline.doctor import Diagnosis, Finding

MOST_ROWS = 20  # of each kind; --json has them all
MOST_CLIPS = 3  # of each finding
_COLUMNS = ("clip or file", "found", "expected", "known")


@click.command("doctor")
@dataset_options
@click.option("--jobs", type=click.IntRange(min=1), help="Clips looked at at once; by default one for each core.")
@click.option("--quick", is_flag=True, help="Open the files without decoding them to their end.")
@click.option("--json", "as_json", is_flag=True, help="Everything, for programs.")
@set_option
def command(dataset: str, root: Path | None, splits: tuple[str, ...] | None, manifest: Path | None,
            allow_outside: bool, jobs: int | None, quick: bool, as_json: bool, settings: dict[str, str]) -> int:
    """Look for trouble in a corpus: files, media, annotations and splits.

    Exit code 3 if some clips cannot be used. Nothing is changed; docs/doctor.md explains each finding.

    \b
    python -m pipeline doctor --dataset meld --root data/MELD.Raw
    python -m pipeline doctor --dataset manifest --manifest clips.csv --quick --json
    """
    from pipeline.config import with_settings
    from pipeline.decode import DecodeLimits
    from pipeline.doctor import diagnose
    from pipeline.terminal import counting
    by_owner = settings_by_owner(settings)
    corpus = open_dataset(dataset, root, splits, manifest, allow_outside, by_owner.pop(dataset, {}))
    limits = with_settings(DecodeLimits(), by_owner.pop("decode", {}), owner="decode")
    for owner in by_owner:
        raise UsageError(f"--set {owner}.…: the doctor has settings of {dataset} and of decode only")
    with counting("look at clips") as progress:
        diagnosis = diagnose(corpus, quick=quick, jobs=jobs, limits=limits, progress=progress)
    if as_json:
        click.echo(json.dumps(diagnosis.as_json(), indent=2, allow_nan=False))
    else:
        _show(diagnosis)
    return EXIT_CLIPS_FAILED if diagnosis.unusable else 0


def _show(diagnosis: Diagnosis) -> None:
    from pipeline.doctor import KINDS
    from pipeline.terminal import show_table
    for note in diagnosis.notes:
        click.echo(f"note {note}")
    for kind, (severity, advice) in KINDS.items():
        of = [finding for finding in diagnosis.findings if finding.kind == kind]
        if of:
            click.echo(f"\n{severity}: {kind}, {len(of):,}. What to do: {advice}.")
            rows = [_row(finding) for finding in of[:MOST_ROWS]]
            filled = [place for place in range(len(_COLUMNS)) if any(row[place] for row in rows)]
            show_table("", [_COLUMNS[place] for place in filled], [[row[place] for place in filled] for row in rows],
                       stdout=True)
        if len(of) > MOST_ROWS:
            click.echo(f"… and {len(of) - MOST_ROWS:,} more; --json shows them all")
    if len(diagnosis.formats) > 1:
        click.echo()
        show_table("Formats", ("frames/s", "height", "width", "sound", "clips"),
                   [(*((fps, height, width) if height else ("no picture", "", "")), "yes" if sound else "no", number)
                    for (fps, height, width, sound), number in diagnosis.formats[:MOST_ROWS]], stdout=True)
    counts = diagnosis.as_json()["counts"]
    how = "decoded to the end" if diagnosis.decoded else "opened, not decoded"
    looked = f"{diagnosis.num_looked:,} of them {how}" if diagnosis.num_looked else "no file to open"
    click.echo(f"\n{diagnosis.dataset} at {diagnosis.root}: {diagnosis.num_clips:,} clips, {looked}; findings:"
               f" errors {counts['error']:,}, warnings {counts['warning']:,}, notes {counts['note']:,}; clips that"
               f" cannot be used: {len(diagnosis.unusable):,}{' (exit code 3)' if diagnosis.unusable else ''}")


def _row(finding: Finding) -> tuple[str, str, str, str]:
    rest = len(finding.clips) - MOST_CLIPS
    clips = ", ".join(finding.clips[:MOST_CLIPS]) + (f" and {rest:,} more" if rest > 0 else "")
    return clips or finding.file, finding.found, finding.expected, finding.known
