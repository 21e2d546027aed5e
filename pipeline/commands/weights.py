"""`weights`: published networks on this machine: listed, fetched, verified, carried to a machine without a network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from pipeline.errors import UsageError

NAMES = click.argument("names", nargs=-1, metavar="[NAME]…")


@click.group("weights")
def command() -> None:
    """List, fetch, verify, export and import networks' weights.

    \b
    python -m pipeline weights list
    python -m pipeline weights fetch
    """


@command.command("list")
@click.option("--json", "as_json", is_flag=True, help="Everything, for programs.")
def list_(as_json: bool) -> int:
    """List all networks: from where, licence, digest, here or not.

    \b
    python -m pipeline weights list --json
    """
    from pipeline.catalogue import catalogue, describe
    from pipeline.terminal import show_table
    found = [describe(network) for network in catalogue()]
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return 0
    show_table("Weights", ("name, used by", "state", "from, licence, SHA-256"), map(_row, found), stdout=True)
    return 0


def _row(network: dict[str, Any]) -> tuple[str, ...]:
    size = sum(file["size"] for file in network["files"]) / 1e6 or network["megabytes"]
    weights = [file for file in network["files"] if file["file"].endswith((".pth", ".pt", ".bin", ".safetensors"))]
    digests = [file["sha256"] for file in weights] or [f"begins with {digest}" if len(digest) < 64 else digest
                                                       for name, digest in network["expected"].items()
                                                       if name.endswith((".pth", ".pt", ".safetensors"))]
    shown = f"\n{size:.1f} MB" if size >= 0.1 else f"\n{size * 1000:.0f} kB" if size else ""
    return ("\n  ".join([network["name"], *network["extractors"]]), network["state"] + shown,
            "\n".join([network["from"], network["licence"], *digests]))


@command.command("fetch")
@NAMES
@click.option("--model", "models", multiple=True, metavar="NAME",
              help="Another model of the hub, for text_bert or an encoder.")
def fetch(names: tuple[str, ...], models: tuple[str, ...]) -> int:
    """Fetch weights that are not here yet.

    NAME is a network or an extractor; by default all are fetched but those that tell people apart, have no pinned
    revision or must be downloaded by hand. A fetch that was stopped goes on where it was.

    \b
    python -m pipeline weights fetch
    python -m pipeline weights fetch audio_resnet18 face_r3d18
    python -m pipeline weights fetch --model roberta-base
    """
    from pipeline.catalogue import chosen, fetch_networks
    from pipeline.terminal import counting
    for network in chosen(names, models):
        if not (names or models) and network.on_request:
            click.echo(f"{network.name} is left out: {network.on_request}", err=True)
            continue
        with counting(network.name) as report:
            path, = fetch_networks([network], lambda name: report)
        click.echo(path)
    return 0


@command.command("verify")
@NAMES
def verify(names: tuple[str, ...]) -> int:
    """Check digests and load every network that is here.

    Exit code 1 if one is wrong, or is named and missing.

    \b
    python -m pipeline weights verify
    """
    from pipeline.catalogue import chosen, verify_networks
    from pipeline.terminal import counting, show_table
    with counting("verify") as report:
        verdicts = verify_networks(chosen(names), report)
    show_table("Weights", ("name", "state", "found"),
               [(verdict.name, verdict.state, verdict.finding) for verdict in verdicts], stdout=True)
    wrong = {"wrong", "missing"} if names else {"wrong"}
    return int(any(verdict.state in wrong for verdict in verdicts))


@command.command("export")
@click.argument("target", metavar="FOLDER_OR_ZIP", type=click.Path(path_type=Path))
def export(target: Path) -> int:
    """Copy all fetched weights into a folder or zip file.

    \b
    python -m pipeline weights export weights.zip
    """
    from pipeline.terminal import counting
    from pipeline.networks.weight_files import export_weights
    with counting("export") as report:
        export_weights(target, report)
    click.echo(target)
    return 0


@command.command("import")
@click.argument("source", metavar="SOURCE", type=click.Path(path_type=Path))
@click.option("--format", "layout", metavar="talknet|light-asd|loconet|talknce",
              help="SOURCE is a published active-speaker network, which becomes a run.")
@click.option("--out", type=click.Path(path_type=Path), help="With --format: folder of the run; by default a new one"
              " under runs/.")
def import_(source: Path, layout: str | None, out: Path | None) -> int:
    """Check exported weights and put them in their place, or make a run of a published network.

    SOURCE is a folder or zip file of `weights export`; with --format a file of TalkNet, Light-ASD, LoCoNet or TalkNCE.
    Of the last two the part that TalkNet has too is taken, as a start for training.

    \b
    python -m pipeline weights import weights.zip
    python -m pipeline weights import --format talknet pretrain_AVA.model
    """
    if layout is not None:
        return _import_speaker(source, layout, out)
    if out is not None:
        raise UsageError("--out is for --format; exported weights have their place")
    from pipeline.terminal import counting
    from pipeline.networks.weight_files import import_weights
    from pipeline.weights import weights_folder
    with counting("import") as report:
        entries = import_weights(source, report)
    for entry in entries:
        click.echo(weights_folder() / entry.path)
    return 0


def _import_speaker(source: Path, layout: str, out: Path | None) -> int:
    from pipeline.speaking.published_speakers import import_speaker
    imported = import_speaker(source, layout, out)
    names = ", ".join(name.rstrip(".") for name in imported.left_out)
    rest = f"; {names} have no like here, so it is a start for training and scores nothing: train --init" \
        f" {imported.path}" if names else ""
    click.echo(f"{imported.num_taken} weights of {source} were taken{rest}", err=True)
    click.echo(imported.path)
    return 0
