"""`export`: a store's features in the layouts that other programs read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pipeline.commands._options import split_names, with_options


@click.command("export")
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--format", required=True, help="Who is to read it; `mmsa` is a pickle (see above).",
              type=click.Choice(["npz", "npy", "parquet", "safetensors", "huggingface", "mmsa", "tracks"]))
@click.option("--out", required=True, type=click.Path(path_type=Path),
              help="A new folder; with --format tracks a new .csv or .json.")
@click.option("--features", callback=split_names, metavar="A,B", help="Only these features.")
@click.option("--splits", callback=split_names, metavar="A,B", help="Only clips of these splits.")
@click.option("--task", metavar="NAME", help="With --format mmsa, which knows one task: its labels.")
@click.option("--float16", is_flag=True, help="Half the bytes, about three digits; refused where numbers do not fit.")
@click.option("--share", is_flag=True, help="To pass on: without text, paths, pixels, waveforms and identities; refused"
                                            " where the corpus's terms forbid it.")
@click.option("--i-have-permission", metavar="TEXT", help="With --share: who allowed it all the same; written into it.")
def command(store: Path, out: Path, **options: Any) -> int:
    """Write features of a store for other programs: numpy, pandas, safetensors, Hugging Face, MMSA; or its faces.

    The folder appears whole or not at all, with export.json (how each feature was made) and TERMS.txt beside the data.

    `tracks` is one table of all faces: clip, track, time, box, probability, landmarks, speaking score.

    `mmsa` writes a pickle, because that is what MMSA reads. A pickle runs code when it is loaded: load only those that
    you made yourself.

    \b
    python -m pipeline export cache/meld.h5 --format npz --out exports/meld-npz
    python -m pipeline export cache/meld.h5 --format mmsa --task sentiment --out exports/meld-mmsa
    python -m pipeline export cache/meld.h5 --format tracks --out exports/faces.csv
    python -m pipeline export cache/sample.h5 --format huggingface --float16 --share --out exports/sample
    """
    from pipeline.exporting import ExportConfig, export
    from pipeline.storage.shards import open_store
    from pipeline.terminal import counting, show_table
    config = with_options(ExportConfig(), options)
    with counting("rows written") as progress:
        written = export(open_store(store), out, config, progress=progress)
    show_table(f"{written.num_clips:,} clips, {written.num_bytes / 1e6:,.1f} MB", ("feature", "rows"),
               written.rows.items())
    if written.notes:
        show_table("Notes", ("what was left out or changed",), ([note] for note in written.notes))
    click.echo(written.folder)
    return 0
