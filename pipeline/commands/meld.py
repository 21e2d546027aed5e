"""`meld`: lists of MELD's published subsets."""

from __future__ import annotations

from pathlib import Path

import click


@click.group("meld")
def command() -> None:
    """Write the lists of MELD's published subsets.

    \b
    python -m pipeline meld lists --root data/MELD.Raw --out lists
    """


@command.command("lists")
@click.option("--root", type=click.Path(path_type=Path), help="MELD's folder; by default its place under data/.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder for the lists.")
def lists_command(root: Path | None, out: Path) -> int:
    """Write dataset-large.json, dataset-medium.json and dataset-small.json, as published.

    They are read by `--dataset meld --set meld.list=FILE`; the published ones also by --set meld.subset=NAME.

    \b
    python -m pipeline meld lists --root data/MELD.Raw --out lists
    """
    from pipeline.datasets._meld_lists import SPLITS, SUBSETS, subset_lists, write_list
    from pipeline.datasets.meld import Meld
    from pipeline.terminal import show_table
    stems = Meld(Meld.Config(root=root)).train_stems()
    found = {subset: subset_lists(stems, subset) for subset in SUBSETS}
    for subset, lists in found.items():
        write_list(out / f"dataset-{subset}.json", lists)
    show_table("Subsets of MELD's train split", ("subset", "dialogues", *SPLITS), (
        (subset, len({stem.partition("_")[0] for stems in lists.values() for stem in stems}),
         *(len(lists[split]) for split in SPLITS)) for subset, lists in found.items()))
    click.echo(out)
    return 0
