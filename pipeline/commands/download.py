"""`download`: a corpus from its publisher."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline import plugins
from pipeline.commands._options import split_names
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.downloads import Part
    from pipeline.transferring.transfer import DownloadPlan


@click.command("download")
@click.option("--dataset", metavar="NAME", help="Corpus: see --list.")
@click.option("--root", type=click.Path(path_type=Path), help="Its folder; by default its place under data/.")
@click.option("--parts", callback=split_names, metavar="A,B", help="Only these parts of it: see --list.")
@click.option("--accept-terms", is_flag=True, help="Agree to the corpus's terms without being asked.")
@click.option("--mirror", metavar="URL", default="", help="Take the publisher's files from this address instead.")
@click.option("--list", "list_all", is_flag=True, help="What can be downloaded: sizes, licences, terms.")
def command(dataset: str | None, root: Path | None, parts: tuple[str, ...] | None, accept_terms: bool, mirror: str,
            list_all: bool) -> int:
    """Get a corpus from its publisher; run again, it goes on where it was.

    \b
    python -m pipeline download --list
    python -m pipeline download --dataset meld
    python -m pipeline download --dataset ravdess --parts audio,video-01 --accept-terms
    """
    from pipeline import downloads
    from pipeline.downloading import download, plan_download
    from pipeline.terminal import console, counting
    if list_all:
        _show_all()
        return 0
    if dataset is None:
        raise UsageError("nothing named; expected --dataset NAME, or --list to see what there is")
    distribution = downloads.find(dataset)
    plan = plan_download(distribution, root, parts=parts or (), mirror=mirror)
    folder = root if root is not None else distribution.root
    if plan.parts:
        _show_plan(plan, folder)
        _agree(accept_terms)
        with counting(dataset, in_bytes=True) as report:
            done = download(plan, progress=lambda _what, here, total: report(here, total))
        for note in done.notes:
            console.print(f"note: {note}", markup=False, soft_wrap=True)
        console.print(f"{done.num_files:,} files, {_size(done.num_bytes)}, are in {folder}", markup=False,
                      soft_wrap=True)
    else:
        console.print(f"{', '.join(plan.complete)} of {dataset}: all there already, nothing was fetched", markup=False,
                      soft_wrap=True)
    for line in _next(dataset, root):
        console.print(line, markup=False, soft_wrap=True)
    click.echo(folder)
    return 0


def _agree(accept_terms: bool) -> None:
    if accept_terms:
        return
    if not sys.stdin.isatty():
        raise UsageError("the terms above are not accepted yet, and there is no terminal to ask on; read them, then"
                         " give --accept-terms. Nothing was fetched")
    if not click.confirm("Do you agree to these terms?", err=True):
        raise UsageError("the terms were not accepted; nothing was fetched")


def _show_plan(plan: DownloadPlan, folder: Path) -> None:
    from pipeline.terminal import console, show_table
    corpus = plan.distribution.corpus
    for line in (f"{corpus.name}: {plan.distribution.about}", f"licence   {corpus.licence}",
                 f"terms     {corpus.terms_url}", f"cite      {corpus.citation}"):
        console.print(line, markup=False, soft_wrap=True)
    if plan.mirror:
        console.print(f"note: from {plan.mirror} instead of its publisher", markup=False, soft_wrap=True)
    show_table(f"To fetch into {folder}", ("part", "what it is", "size"), _rows(plan.parts))
    if plan.bytes_to_fetch:
        console.print(f"{_size(plan.bytes_to_fetch)} to fetch, and up to {_size(plan.bytes_on_disk)} of disk while it"
                      " is unpacked", markup=False, soft_wrap=True)


def _rows(parts: Sequence[Part]) -> list[tuple[str, str, str]]:
    """Name, meaning and size of parts; those of one family (``video-01``, ``video-02``) in one row."""
    families: dict[str, list[Part]] = {}
    for part in parts:
        families.setdefault(part.name.partition("-")[0], []).append(part)
    rows = []
    for family in families.values():
        last = family[-1].name.partition("-")[2]
        name = family[0].name + ("" if len(family) == 1 else f" {'and' if len(family) == 2 else 'to'} {last}")
        sizes = [part.size for part in family]
        size = None if None in sizes else sum(size or 0 for size in sizes)
        rows.append((name, family[0].about + ("" if family[0].default else " (only with --parts)"), _size(size)))
    return rows


def _show_all() -> None:
    from pipeline import downloads
    from pipeline.terminal import show_table
    known = [downloads.find(name) for name in downloads.names()]
    free = [distribution for distribution in known if not distribution.ask]
    show_table("What can be downloaded", ("dataset", "part", "what it is", "size"),
               [(distribution.corpus.name, *row) for distribution in free for row in _rows(distribution.parts)],
               stdout=True)
    for distribution in free:
        corpus = distribution.corpus
        click.echo(f"{corpus.name}: {distribution.about}. Licence: {corpus.licence}. Terms: {corpus.terms_url}")
    for distribution in known:
        if distribution.ask:
            click.echo(f"{distribution.corpus.name}: {distribution.about}. Not downloaded from here:"
                       f" {distribution.ask}")


def _next(dataset: str, root: Path | None) -> list[str]:
    """Commands that make sense now, as far as this version has them."""
    where = f" --root {root}" if root is not None else ""
    if dataset not in plugins.names("dataset"):
        return [f"This version has no reader for {dataset} yet; --dataset manifest reads a CSV of its clips"]
    return [f"next: python -m pipeline {name} --dataset {dataset}{where}" for name in ("doctor", "extract")
            if name in plugins.names("command")]


def _size(num_bytes: int | None) -> str:
    if num_bytes is None:
        return "not known beforehand"
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if num_bytes >= size:
            return f"{num_bytes / size:.1f} {unit}"
    return f"{num_bytes} B"
