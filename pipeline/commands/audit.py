"""`audit`: what could be guessed without looking, and for whom a run does well."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from pipeline.commands._options import split_names
from pipeline.errors import UsageError


@click.command("audit")
@click.option("--features", "stores", multiple=True, type=click.Path(path_type=Path),
              help="A store; several are joined by clip id.")
@click.option("--run", type=click.Path(path_type=Path), help="A finished run, scored by speaker and gender too.")
@click.option("--tasks", callback=split_names, metavar="A,B", help="Which; by default all that label whole clips.")
@click.option("--folds", metavar="PROTOCOL", help="By folds, as for `train`, instead of the corpus's own splits.")
@click.option("--json", "as_json", is_flag=True, help="Everything, on stdout.")
def command(stores: tuple[Path, ...], run: Path | None, tasks: tuple[str, ...] | None, folds: str | None,
            as_json: bool) -> int:
    """Show how well trivial cues do: who speaks, how long, how loud, how many words and faces.

    \b
    python -m pipeline audit --features cache/meld.h5
    python -m pipeline audit --features cache/ravdess.h5 --folds leave-one-group-out
    python -m pipeline audit --run runs/NAME
    """
    from pipeline.audit import audit_run, audit_stores
    if run is not None:
        if tasks or folds:
            raise UsageError("--run has its own tasks and folds; leave --tasks and --folds out")
        found = audit_run(run, stores or None)
    elif stores:
        found = audit_stores(stores, tasks=tasks, folds=folds or "")
    else:
        raise UsageError("give --features STORE or --run RUN")
    if as_json:
        click.echo(json.dumps(found, indent=2, allow_nan=False))
    else:
        _show(found)
    return 0


def _show(found: Mapping[str, Any]) -> None:
    """Tables and sentences on stdout."""
    from pipeline.audit import statements
    from pipeline.pages.audit_tables import CUES, figure_text, subgroup_rows
    from pipeline.pages.tables import METRIC_TITLES
    from pipeline.terminal import note, show_table
    for task, metric in found["main_metrics"].items():
        splits = [found["split"]] if "split" in found else list(dict.fromkeys(
            split for scored in found["shortcuts"].values() for split in scored))
        rows = [(CUES.get(cue, cue), *(figure_text(scored.get(task, {}) if "split" in found else
                                                   scored.get(split, {}).get(task, {}), metric) for split in splits))
                for cue, scored in found["shortcuts"].items()]
        if "scores" in found:
            rows.append((found["model"], figure_text(found["scores"][task], metric)))
        show_table(f"{task}: {METRIC_TITLES[metric]} by what is known without looking", ("cue", *splits), rows,
                   stdout=True)
        groups = subgroup_rows(found.get("subgroups", {}).get(task, ()), metric)
        if groups:
            show_table(f"{task}: {METRIC_TITLES[metric]} by subgroup of {found['split']}",
                       ("whose", "", "answers", "groups", "score", "95 % interval"), groups, stdout=True)
    if not found["shortcuts"]:
        click.echo("no cue: the run was scored without baselines (baselines=no), or its stores know no speaker,"
                   " duration, loudness, text or faces that differ")
    for name, leak in found["known_leaks"].items():
        click.echo(f"{name}: {leak}")
    for line in statements(found["shared_with_train"]):
        click.echo(line)
    for line in found["notes"]:
        note(line)
