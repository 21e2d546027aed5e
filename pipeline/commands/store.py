"""`store`: the commands that work on a store, under one noun; each is there by its own name, too."""

from __future__ import annotations

import click

from pipeline import plugins


@click.group("store")
def command() -> None:
    """Look after a store: inspect, verify, diff, merge, subset, export, pack, reproduce.

    \b
    python -m pipeline store verify cache/meld.h5
    """


for _name in ("inspect", "verify", "diff", "merge", "subset", "export", "pack", "reproduce"):
    command.add_command(plugins.module("command", _name).command)
