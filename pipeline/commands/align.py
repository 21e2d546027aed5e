"""`align`: features of a store on one clock."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.commands._options import split_names


@click.command("align")
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--source", "sources", required=True, callback=split_names, metavar="A,B", help="Features to align.")
@click.option("--clock", required=True, metavar="FEATURE|words|SECONDS",
              help="Whose rows give the times: a feature, words (text_words), or a step of so many seconds.")
@click.option("--how", type=click.Choice(["mean", "nearest", "linear"]), default="mean", show_default=True,
              help="Average what overlaps, take the nearest of it, or draw lines between rows.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The new store.")
@click.option("--picture", type=click.Path(path_type=Path), metavar="FILE.png",
              help="Also draw rows and clock of one clip.")
@click.option("--clip", "clip_id", metavar="ID", help="Which clip is drawn; by default the first with all features.")
def command(store: Path, sources: tuple[str, ...], clock: str, how: str, out: Path, picture: Path | None,
            clip_id: str | None) -> int:
    """Bring features of a store to one clock: one row for each word, each snippet or each step.

    What overlaps in time belongs together. Train on both stores: `--features STORE --features OUT`.

    \b
    python -m pipeline align cache/meld.h5 --source audio_logmel --clock 0.04 --out cache/meld-steps.h5
    python -m pipeline align cache/meld.h5 --source audio_logmel,video_r3d18 --clock words --out cache/meld-words.h5
    python -m pipeline align cache/meld.h5 --source audio_logmel --clock words --out words.h5 --picture words.png
    """
    from pipeline.curation.aligned_picture import draw_aligned
    from pipeline.curation.alignment import HOWS
    from pipeline.curation.aligning import align
    from pipeline.errors import UsageError
    from pipeline.storage.durable import replacing
    from pipeline.storage.shards import open_store
    from pipeline.terminal import counting, show_table
    if clip_id is not None:
        if picture is None:
            raise UsageError(f"--clip {clip_id}: it says which clip is drawn; add --picture FILE.png")
        open_store(store).place(clip_id)  # refused before anything is written
    with counting("clips") as progress:
        made = align(store, out, sources, clock, how=HOWS[HOWS.index(how)], progress=progress)
    show_table("Aligned", ("feature", "rows", "clips", "of these by guessed times"),
               ((name, *numbers) for name, numbers in made.features.items()))
    if picture is not None:
        drawn = draw_aligned(store, made, sources, clip_id or "")
        with replacing(picture) as file:
            file.write(drawn)
        click.echo(f"drawn in {picture}", err=True)
    click.echo(made.path)
    return 0
