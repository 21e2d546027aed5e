"""What an extraction shows: how it goes on, what it took and what failed, and what it would take."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pipeline.terminal import MOST_ROWS, Bar, console, console_of, escape, new_table, note, show_table

if TYPE_CHECKING:
    from pipeline.extraction import ExtractionReport
    from pipeline.recipes import PlannedFeature
    from pipeline.running.forecast import Forecast
    from pipeline.running.scheduling import Todo
    from pipeline.running.worker import ChunkReport


class ExtractionProgress(Bar):
    """Clips a second, what is slow, time left and failures so far."""

    def waiting(self, message: str) -> None:
        note(message)

    def planned(self, num_clips: int, todos: Sequence[Todo], features: Sequence[PlannedFeature],
                notes: Sequence[str]) -> None:
        for line in notes:
            note(line)
        names = ", ".join(feature.name for feature in features)
        console.print(f"{num_clips} clips, {len(todos)} of them to work on: {escape(names)}", soft_wrap=True)
        for feature in features:
            sources = {record["source"] for record in feature.recipe["weights"]}
            if "random" in sources:
                note(f"{feature.name} has random weights: for trying things out only")
        # The bar counts predicted work, so that a long clip at the end is no surprise; clips are told beside it.
        self._task = self.bar.add_task("extract", total=sum(todo.cost for todo in todos), detail="starting workers")
        self._seconds: dict[str, float] = defaultdict(float)
        self._all, self._done, self._failed, self._began = len(todos), 0, 0, time.perf_counter()

    def advanced(self, report: ChunkReport, cost: float) -> None:
        self._done += report.num_clips
        self._failed += len({clip_id for clip_id, _, _ in report.failures})
        for stage, spent in report.seconds.items():
            self._seconds[stage] += spent
        stages = {stage: spent for stage, spent in self._seconds.items() if stage != "total"}
        slowest = max(stages, key=lambda stage: stages[stage]) if stages else "–"
        rate = self._done / (time.perf_counter() - self._began)
        detail = f"{self._done} of {self._all} clips, {rate:.2g}/s, slowest {slowest}, {self._failed} failed"
        self.bar.update(self._task, advance=cost, detail=escape(detail))

    def stopping(self) -> None:
        console.print("finishing the clips in work, once more to stop at once; the same command goes on from there")

    def packing(self) -> None:
        if self.bar.task_ids:
            self.bar.update(self._task, detail="packing")


def show_extraction(report: ExtractionReport) -> None:
    """Time by stage and what failed."""
    if report.num_done:
        table = new_table("Working time, seconds a clip")
        table.add_column("stage")
        table.add_column("seconds", justify="right")
        for stage, seconds in sorted(report.seconds.items(), key=lambda item: -item[1]):
            if stage not in ("total", "wall"):
                table.add_row(escape(stage), f"{seconds / report.num_done:.3f}")
        console.print(table)
    failed = {clip_id for clip_id, _, _ in report.failures}
    if failed:
        show_failures([{"clip": clip_id, "feature": feature, "stage": failure.stage, "kind": failure.kind,
                        "message": failure.message} for clip_id, feature, failure in report.failures])
    console.print(f"{report.num_done} clips in {report.seconds['wall']:.1f} s, {len(failed)} failed"
                  + (f" (exit code 3); look again with: python -m pipeline inspect {report.store}" if failed else ""),
                  soft_wrap=True)


def show_forecast(found: Forecast) -> None:
    """Clips, time and disk that a run will take, on stdout."""
    out = console_of()
    out.print(f"{found.num_clips} clips, {found.num_todo} of them to work on")
    if not found.num_todo:
        return
    show_table(f"Predicted from {found.num_probed} clips", ("feature", "clips", "one worker", "rows"), [
        (feature.name, feature.num_clips, _duration(feature.seconds), _size(feature.num_bytes))
        for feature in found.features], stdout=True)
    packing = f" and {_size(found.pack_bytes)} more while it is packed" if found.pack_bytes else ""
    out.print(f"about {_duration(found.seconds)} with {found.jobs} workers; {_size(found.shard_bytes)} of rows{packing}"
              f"; {_size(found.free_bytes)} are free", soft_wrap=True)
    if found.num_failed:
        out.print(f"{found.num_failed} of the {found.num_probed} clips failed: a run will tell why")
    if not found.fits:
        out.print("[red]The disk is too small.[/] Make room, give another --out, or use --no-pack")


def _size(num_bytes: int) -> str:
    """``"850 kB"``, ``"3.2 GB"``: decimal units, as disks are sold."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6)):
        if num_bytes >= scale:
            return f"{num_bytes / scale:.1f} {unit}"
    return f"{num_bytes / 1e3:.0f} kB"


def _duration(seconds: float) -> str:
    """``"2 h 05 min"``, ``"5 min 12 s"``, ``"7.3 s"``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def show_failures(failures: Sequence[Mapping[str, str]]) -> None:
    """One line for each clip and reason."""
    features: dict[tuple[str, str, str, str], list[str]] = defaultdict(list)
    for row in failures:
        features[row["clip"], row["stage"], row["kind"], row["message"]].append(row["feature"])
    table = new_table("Failed")
    for column in ("clip", "stage", "kind", "what was found", "so these are missing"):
        table.add_column(column, overflow="fold")
    for (clip, stage, kind, message), names in list(features.items())[:MOST_ROWS]:
        table.add_row(*map(escape, (clip, stage, kind, message, ", ".join(names))))
    console.print(table)
    if len(features) > MOST_ROWS:
        console.print(f"… and {len(features) - MOST_ROWS} more; `inspect --json` shows them all")
