"""`attention`: what a run of cross-modal attention looks at in a clip, as a picture."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.commands._options import stores_option


@click.command("attention")
@click.option("--run", required=True, type=click.Path(path_type=Path), help="Folder of a run of cross_attention.")
@stores_option
@click.option("--clip", "clip_id", required=True, metavar="ID", help="Which clip; `inspect` names them.")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="FILE.png", help="The picture.")
@click.option("--seed", type=click.IntRange(min=0), help="Which of the run's networks.  [default: the first]")
def command(run: Path, stores: tuple[Path, ...], clip_id: str, out: Path, seed: int | None) -> int:
    """Draw what a run looks at in a clip: places of the face, parts of the sound, and which reads which.

    \b
    python -m pipeline attention --run runs/NAME --features cache/ravdess.h5 --clip all/03-01-05-01-01-01-01 --out a.png
    """
    from pipeline.attention import draw_clip_attention
    for note in draw_clip_attention(run, stores, clip_id, out, seed=seed):
        click.echo(f"note {note}", err=True)
    click.echo(out)
    return 0
