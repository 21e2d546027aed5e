"""`diff`: in what two stores differ."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command("diff")
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Everything, on stdout.")
def command(first: Path, second: Path, as_json: bool) -> int:
    """Show in what two stores differ: clips, labels, recipes, and how far rows are apart.

    \b
    python -m pipeline diff cache/meld.h5 cache/meld-new.h5
    """
    from pipeline.curation.differences import differences
    from pipeline.curation.inspection import printable
    from pipeline.storage.shards import open_store
    from pipeline.terminal import show_table
    found = differences(open_store(first), open_store(second))
    if as_json:
        click.echo(json.dumps(found, indent=2, allow_nan=False))
        return 0
    clips = found["clips"]
    click.echo(f"{clips['both']} clips in both, {clips['only_first']} only in the first, {clips['only_second']} only in"
               " the second")
    for which in ("first", "second"):
        if clips[f"{which}_names"]:
            more = " …" if clips[f"only_{which}"] > len(clips[f"{which}_names"]) else ""
            click.echo(f"only in the {which}: {printable(', '.join(clips[f'{which}_names']))}{more}")
        if found[f"only_{which}"]:
            click.echo(f"features only in the {which}: {', '.join(found[f'only_{which}'])}")
    for column, number in found["columns"].items():
        click.echo(f"{number} clips have another {column}")
    rows = [(name, part["clips"], part["identical"], part["other_lengths"], part["only_first"], part["only_second"],
             *("" if part[column] is None else f"{part[column]:.6f}" for column in (
                 "cosine_mean", "cosine_least", "relative_most")))
            for name, part in found["features"].items()]
    show_table("Rows of the clips that both hold", (
        "feature", "clips", "identical", "other lengths", "only first", "only second", "cosine", "least",
        "‖a−b‖/‖b‖ ≤"), rows, stdout=True)
    for name, part in found["features"].items():
        if part["furthest"]:
            click.echo(f"{name}: furthest apart in {printable(part['furthest'])}")
        if part["other_shape"]:
            click.echo(f"{name}: rows of another shape, which cannot be compared")
        for key, old, new in part["settings"]:
            click.echo(f"{name}: {key} is {old!r} in the first, {new!r} in the second")
        if not part["same_recipe"] and not part["settings"]:
            click.echo(f"{name}: made from other features or with other weights")
    return 0
