"""The audit as tables: what could be guessed without looking, what splits share, and for whom a run does well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any


from pipeline.audit import known_leaks, statements
from pipeline.pages.finished_run import FinishedRun
from pipeline.pages.tables import ScoreTable, printed, score_table
from pipeline.scores.subgroups import subgroups

CUES = {"speaker": "who speaks", "duration": "how long", "loudness": "how loud", "text": "how many words",
        "faces": "how many faces", "together": "all of these"}
FEW_GROUPS = 10         # below these an interval by bootstrap is itself a rough guess


@dataclass(frozen=True)
class AuditSection:
    """What the report's section shows.

    Args:
        tables: cues beside the model by task; none where no cue was tried.
        groups: by task the rows of its subgroups; tasks without are left out.
        metrics: by task the score of its subgroups.
        leaks: sentences.
    """

    tables: tuple[ScoreTable, ...]
    groups: Mapping[str, tuple[tuple[Any, ...], ...]]
    metrics: Mapping[str, str]
    leaks: tuple[str, ...]
    few_groups: int = FEW_GROUPS


def audit_section(run: FinishedRun) -> AuditSection:
    """Lay out the audit of a finished run for the split that its report shows."""
    metrics, split = run.metrics, run.shown_split
    scored = [task for task in run.tasks if task.name in metrics[split]]
    cues = {CUES.get(name, name): scores for name, scores in metrics.get("shortcuts", {}).items()}
    tables = [score_table({**metrics, "baselines": cues}, task, split, model=run.config["model"]) for task in scored]
    chief = {task.name: str(metrics["intervals"][split][task.name]["metric"]) for task in scored}
    groups = {task.name: subgroup_rows([asdict(part) for part in subgroups(
        run.predictions, task, split, chief[task.name], run.stores)], chief[task.name]) for task in scored}
    leaks = [f"{name}: {leak}." for name, leak in known_leaks([run.config["dataset"]]).items()]
    leaks += [f"{line[0].upper()}{line[1:]}." for line in statements(metrics.get("shared_with_train", {}))]
    return AuditSection(tuple(table for table in tables if table.baselines),
                        {name: rows for name, rows in groups.items() if rows}, chief, tuple(leaks))


def subgroup_rows(found: Sequence[Mapping[str, Any]], metric: str) -> tuple[tuple[Any, ...], ...]:
    """What subgroups are chosen by, name, answers, groups, score and interval, as printed."""
    return tuple((part["kind"], part["name"], part["num_answers"], part["num_groups"], printed(metric, part["mean"]),
                  f"{printed(metric, part['low'])} to {printed(metric, part['high'])}") for part in found)


def figure_text(scores: Mapping[str, Any], metric: str) -> str:
    """A score as printed, with its spread over several seeds; "–" where there is none."""
    value = scores.get(metric)
    if value is None or value["mean"] is None:
        return "–"
    spread = f" ± {printed(metric, value['sd'])}" if len(value["seeds"]) > 1 else ""
    return printed(metric, value["mean"]) + spread
