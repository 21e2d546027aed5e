"""`compare`: is one run better than another?"""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command("compare")
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@click.option("--split", help="Whose clips; by default test, or dev where there is none.")
@click.option("--seed", default=0, show_default=True, help="Of the redrawn groups.")
@click.option("--json", "as_json", is_flag=True, help="Everything, on stdout.")
def command(first: Path, second: Path, split: str | None, seed: int, as_json: bool) -> int:
    """Compare two runs on the clips that both answered, by a paired bootstrap over groups.

    \b
    python -m pipeline compare runs/A runs/B
    """
    from pipeline.comparison import compare
    from pipeline.metrics import SHARES
    from pipeline.scores.answers import learnt_from_rendered
    from pipeline.terminal import note, show_table
    found = compare(first, second, split=split, seed=seed)
    if as_json:
        click.echo(json.dumps(found, indent=2, allow_nan=False))
        return 0
    for task, part in found["tasks"].items():
        rows = []
        for metric, values in part["metrics"].items():
            times, digits = (100, 1) if metric in SHARES else (1, 3)
            rows.append((metric.replace("_", " "), *(f"{times * values[name]:.{digits}f}" for name in (
                "first", "second")), f"{times * values['difference']:+.{digits}f}",
                f"{times * values['low']:+.{digits}f} to {times * values['high']:+.{digits}f}",
                f"{values['p_value']:.4f}"))
        show_table(f"{task}, {found['split']}: {part['num_clips']} answers in {part['num_groups']} groups",
                   ("score", first.name, second.name, "difference", "95 % interval", "p"), rows, stdout=True)
        if part["only_first"] or part["only_second"]:
            click.echo(f"left out: {part['only_first']} answers that only {first.name} gives and"
                       f" {part['only_second']} that only {second.name} gives")
    for line in dict.fromkeys((*learnt_from_rendered(first), *learnt_from_rendered(second))):
        note(line)
    return 0
