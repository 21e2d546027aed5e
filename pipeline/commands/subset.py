"""`subset`: a part of a store as a store of its own."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.commands._options import split_names
from pipeline.errors import UsageError


@click.command("subset")
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--where", metavar="QUERY", help="Clips that this holds for: columns of the clip table, and labels by the"
                                               " name of their task.")
@click.option("--split", "splits", callback=split_names, metavar="A,B", help="Clips of these splits.")
@click.option("--label", "labels", multiple=True, metavar="TASK=CLASS", help="Clips with this label. May be repeated.")
@click.option("--clips", type=click.Path(path_type=Path), metavar="FILE", help="Clips whose ids stand in a text file.")
@click.option("--features", callback=split_names, metavar="A,B", help="Only these features.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The new store.")
def command(store: Path, where: str | None, splits: tuple[str, ...] | None, labels: tuple[str, ...],
            clips: Path | None, features: tuple[str, ...] | None, out: Path) -> int:
    """Cut some clips and features out of a store into a store of its own.

    Several options hold together; several labels of one task mean any of them. A column whose values are all whole
    numbers compares as numbers.

    \b
    python -m pipeline subset cache/meld.h5 --where "dialogue < 80 and split == 'train'" --out cache/some.h5
    python -m pipeline subset cache/meld.h5 --label emotion=joy --label emotion=anger --out cache/two.h5
    python -m pipeline subset cache/meld.h5 --features text_bert --split test --out cache/text.h5
    """
    from pipeline.curation.subsets import Selection, read_ids, subset
    from pipeline.terminal import counting, show_table
    pairs = []
    for label in labels:
        task, equals, name = label.partition("=")
        if not equals:
            raise UsageError(f"--label {label}: expected TASK=CLASS, for instance emotion=joy")
        pairs.append((task.strip(), name.strip()))
    selection = Selection(where, splits, tuple(pairs), read_ids(clips) if clips else None, features)
    with counting("cutting") as progress:
        cut = subset(store, out, selection, progress=progress)
    show_table(f"{cut.num_clips:,} of {cut.of_clips:,} clips", ("feature", "rows"), cut.features.items())
    click.echo(cut.path)
    return 0
