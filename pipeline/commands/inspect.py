"""`inspect`: what a store holds, and how it was made."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click


@click.command("inspect")
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--recipe", is_flag=True, help="How every feature was made, instead of what is there.")
@click.option("--clip", "clip_id", metavar="ID", help="All that is known of one clip: labels, rows, failures, faces.")
@click.option("--draw", type=click.Path(path_type=Path), metavar="OUT.png",
              help="With --clip: write its frames with boxes, landmarks, tracks and who speaks (.png, .jpg).")
@click.option("--frames", "num_frames", type=click.IntRange(1, 400), default=12, show_default=True,
              help="With --draw: how many frames, evenly over the clip.")
@click.option("--faces", metavar="NAME", help="With --draw: which feature of faces, where there are variants.")
@click.option("--json", "as_json", is_flag=True, help="Everything, for programs.")
def command(store: Path, recipe: bool, clip_id: str | None, draw: Path | None, num_frames: int, faces: str | None,
            as_json: bool) -> int:
    """Show what a store holds: clips, features, settings, coverage, failures.

    \b
    python -m pipeline inspect cache/meld.h5
    python -m pipeline inspect --recipe cache/meld.h5
    python -m pipeline inspect cache/meld.h5 --clip train/dia0_utt0
    python -m pipeline inspect cache/meld.h5 --clip train/dia0_utt0 --draw faces.png
    """
    from pipeline.curation.inspection import describe_clip, recipe_lines, recipes, shown, summarise
    from pipeline.errors import UsageError
    from pipeline.storage.shards import open_store
    if draw is not None and clip_id is None:
        raise UsageError("--draw draws one clip: say which with --clip ID")
    if recipe and clip_id is not None:
        raise UsageError("--recipe is of a whole store and --clip of one clip; give one of them")
    opened = open_store(store)
    if clip_id is not None and draw is not None:
        from pipeline.pages.drawing import draw_clip
        draw_clip(opened, clip_id, draw, faces=faces, num_frames=num_frames)
        click.echo(draw)
        return 0
    if clip_id is not None:
        found = describe_clip(opened, clip_id)
        if as_json:
            click.echo(json.dumps(found, indent=2, allow_nan=False))
        else:
            _show_clip(shown(found))
    elif as_json:
        click.echo(json.dumps(recipes(opened) if recipe else summarise(opened), indent=2, allow_nan=False))
    elif recipe:
        click.echo("\n".join(recipe_lines(opened)))
    else:
        from pipeline.terminal.store import show_store
        summary = shown(summarise(opened))
        show_store(summary)
        if opened.num_shards:
            click.echo(f"{opened.num_shards} finished shards beside it are counted in; pack them with: python -m"
                       f" pipeline pack {store}", err=True)
    return 0


def _show_clip(found: Mapping[str, Any]) -> None:
    """Tables of :func:`pipeline.curation.inspection.describe_clip`, on stdout."""
    from pipeline.terminal import show_table
    known = [(name, found[name]) for name in ("split", "speaker", "dialogue", "group", "text", "source")]
    span = [("from", f"{found['start_seconds']:.2f} s")] if found["start_seconds"] else []
    span += [("to", f"{found['stop_seconds']:.2f} s")] if found["stop_seconds"] is not None else []
    labels = [(task, "unlabelled" if label is None else label) for task, label in found["labels"].items()]
    show_table(found["clip"], ("what", "value"), [
        *((name, value) for name, value in known if value), *span, *labels], stdout=True)
    show_table("Features", ("feature", "status", "rows"), [
        (name, cell["status"], cell["rows"]) for name, cell in found["features"].items()], stdout=True)
    if found["failures"]:
        show_table("Failed", ("feature", "stage", "kind", "what was found"), [
            tuple(row.values()) for row in found["failures"]], stdout=True)
    if found.get("tracks"):
        show_table("Faces", ("track", "from", "to", "frames", "height", "probability", "speaking"), [
            (track["number"], f"{track['start_seconds']:.2f} s", f"{track['stop_seconds']:.2f} s", track["num_rows"],
             f"{track['height_pixels']:.0f} px", f"{track['probability']:.2f}",
             "unknown" if track["speaking"] is None else f"{track['speaking']:.2f}") for track in found["tracks"]],
            stdout=True)
