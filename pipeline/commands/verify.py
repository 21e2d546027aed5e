"""`verify`: everything in a store against what was noted when it was written."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command("verify")
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--repair", "as_repair", is_flag=True, help="Drop what is wrong, so that `extract` makes it again.")
@click.option("--jobs", type=click.IntRange(min=1), help="Threads; by default one for each core.")
@click.option("--json", "as_json", is_flag=True, help="Everything, for programs.")
def command(store: Path, as_repair: bool, jobs: int | None, as_json: bool) -> int:
    """Read all of a store and of its shards and name what is damaged, by clip and feature.

    Ends with exit code 0 when nothing is wrong, 1 otherwise; with --repair 0 when all could be repaired.

    \b
    python -m pipeline verify cache/meld.h5
    python -m pipeline verify cache/meld.h5 --repair
    """
    from pipeline.curation.repair import advice, repair
    from pipeline.terminal import MOST_ROWS, counting, show_table
    from pipeline.curation.verification import verify
    repaired = None
    with counting("verifying") as progress:
        if as_repair:
            repaired = repair(store, jobs=jobs or 0, progress=progress)
        found = repaired.before if repaired else verify(store, jobs=jobs or 0, progress=progress)
    left = repaired.left if repaired else found.findings
    if as_json:
        click.echo(json.dumps((repaired or found).to_json(), indent=2, allow_nan=False))
        return 1 if left else 0
    rows = [(finding.file.name, finding.clip, finding.feature, finding.message) for finding in found.findings]
    if len(rows) > MOST_ROWS:
        rows[MOST_ROWS:] = [("…", "", "", f"and {len(rows) - MOST_ROWS:,} more; --json shows them all")]
    if rows:
        show_table("What is wrong", ("file", "clip", "feature", "what was found"), rows)
    if notes := found.notes + (advice(repaired) if repaired else []):
        show_table("Notes", ("what could not be done",), ([note] for note in notes[:MOST_ROWS]))
    if repaired is None:
        click.echo(found.summary + (f"; to drop it: python -m pipeline verify {store} --repair" if left else ""))
    else:
        click.echo(repaired.summary)
        if repaired.command:
            click.echo("next, with the options that it was made with (python -m pipeline reproduce shows them):"
                       f" {repaired.command}")
    return 1 if left else 0
