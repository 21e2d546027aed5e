"""`browse`: a store in a web browser."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("browse")
@click.argument("store", type=click.Path(path_type=Path))
@click.option("--port", type=click.IntRange(0, 65535), default=0, metavar="N",
              help="By default one that is free.")
@click.option("--thumbnails", is_flag=True, help="Show faces although the corpus's licence forbids passing them on.")
def command(store: Path, port: int, thumbnails: bool) -> int:
    """Look at a store in a web browser: clips, faces, spectrograms, words, features as a map.

    Prints an address that this machine alone can open, and serves it until Ctrl-C. Nothing is changed or sent anywhere.

    \b
    python -m pipeline browse cache/meld.h5
    """
    from pipeline.browsing.server import BrowserServer
    with BrowserServer(store, port=port, thumbnails=thumbnails) as server:
        click.echo(server.address)
        click.echo("Open this address in a web browser on this machine; Ctrl-C ends it.", err=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            click.echo("Ended.", err=True)
    return 0
