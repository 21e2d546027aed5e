"""`evaluate-segments`: the diarisation error rate of turns against the true ones."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("evaluate-segments")
@click.option("--truth", required=True, type=click.Path(path_type=Path), help="True turns: RTTM, CSV, labels or JSON.")
@click.option("--segments", required=True, type=click.Path(path_type=Path), help="Turns to score, likewise.")
@click.option("--collar", type=float, default=0.25, show_default=True, metavar="SECONDS",
              help="Not scored on each side of a true start or stop.")
@click.option("--skip-overlap", is_flag=True, help="Leave out where two people truly speak at once.")
@click.option("--uem", type=click.Path(path_type=Path), help="Score only these stretches (NIST's UEM lines).")
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON on stdout.")
def command(truth: Path, segments: Path, collar: float, skip_overlap: bool, uem: Path | None, as_json: bool) -> int:
    """Score who spoke when against the truth, beside what one speaker for all would score.

    Files may hold many recordings; their error times are added. A recording without turns is missed as a whole.

    \b
    python -m pipeline evaluate-segments --truth talk.rttm --segments found.rttm --collar 0.25 --json
    """
    import json

    from pipeline.diarisation import Errors, pooled, score
    from pipeline.terminal import show_table
    from pipeline.segmenting.turns import read_turns, read_uem
    found = score(read_turns(truth), read_turns(segments), collar_seconds=collar, skip_overlap=skip_overlap,
                  uem=None if uem is None else read_uem(uem))
    for note in found.notes:
        click.echo(f"note: {note}", err=True)

    def row(name: str, errors: Errors) -> tuple[str, ...]:
        rate = "–" if errors.der is None else f"{100 * errors.der:.1f}"
        return name, rate, *(f"{value:.2f}" for value in (
            errors.missed_seconds, errors.false_alarm_seconds, errors.confusion_seconds, errors.scored_seconds))

    rows = [row(name, errors) for name, errors in found.recordings.items()][:20] if len(found.recordings) > 1 else []
    rows += [row("all recordings" if rows else next(iter(found.recordings)), pooled(found.recordings)),
             row("one speaker, same voice activity", pooled(found.one_speaker)),
             row("one speaker, true voice activity", pooled(found.one_speaker_true))]
    overlap = "left out" if skip_overlap else "scored"
    show_table(f"Diarisation error rate, {collar:g} s on each side not scored, overlap {overlap}; times in seconds",
               ("recording", "DER %", "missed", "false alarm", "confused", "scored"), rows, stdout=not as_json)
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2))
    return 0
