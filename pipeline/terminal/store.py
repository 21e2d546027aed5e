"""What a store holds, as `inspect` shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.terminal import console_of, escape, new_table, show_table
from pipeline.terminal.extraction import show_failures


def show_store(summary: Mapping[str, Any]) -> None:
    """Everything of :func:`pipeline.curation.inspection.summarise`, on stdout."""
    out = console_of()
    splits = ", ".join(f"{split} {count}" for split, count in summary["splits"].items())
    out.print(f"[bold]{escape(summary['path'])}[/]  {escape(summary['dataset'])}, {summary['clips']} clips"
              f" ({escape(splits)}), made {summary['created']}", soft_wrap=True)
    if summary["rendered"]:
        out.print("[yellow]rendered, not filmed[/]: figures on it show that the parts work, not how good they are on"
                  " people", soft_wrap=True)
    table = new_table("Features")
    table.add_column("feature", no_wrap=True)
    for column in ("row", "rows", "MB", "done", "empty", "failed", "missing"):
        table.add_column(column, justify="right")
    table.add_column("weights")
    for name, counts in summary["features"].items():
        table.add_row(escape(name), "×".join(map(str, counts["row_shape"])), f"{counts['rows']:,}",
                      f"{counts['megabytes']:,.1f}", *(str(counts[status]) for status in
                                                       ("done", "empty", "failed", "missing")),
                      counts["weights"])
    out.print(table)
    if summary["identities"]:
        out.print(f"[yellow]holds identities of people[/] ({escape(', '.join(summary['identities']))}); only its owner"
                  " may read it", soft_wrap=True)
    coverage = {name: counts["coverage"] for name, counts in summary["features"].items() if "coverage" in counts}
    if coverage and summary["splits"]:
        show_table("Clips with a face, %", ("feature", *summary["splits"]), [
            (name, *(round(100 * shares[split], 1) for split in summary["splits"]))
            for name, shares in coverage.items()], stdout=True)
    for task, labels in summary["tasks"].items():
        out.print(f"[bold]{escape(task)}[/]  " + escape(", ".join(f"{name} {value}" for name, value in labels.items())),
                  soft_wrap=True)
    if summary["failures"]:
        show_failures(summary["failures"])
