"""`score-asd`: average precision of active-speaker predictions against labels, on the benchmark's files."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import click


@click.command("score-asd")
@click.option("--truth", required=True, type=click.Path(path_type=Path),
              help="CSV of labels, or a folder of them: 8 columns as AVA's or 10 as UniTalk's, header or none.")
@click.option("--predictions", required=True, type=click.Path(path_type=Path),
              help="The same rows with label SPEAKING_AUDIBLE and a score at the end.")
@click.option("--sub-categories", type=click.Path(path_type=Path),
              help="List of videos (test_NAME.csv), or a folder of lists, to score each by itself.")
@click.option("--per-track", type=click.Path(path_type=Path), help="CSV to write with a line for each track.")
@click.option("--missing-as-zero", is_flag=True, help="Give rows without a prediction the score 0.")
@click.option("--resamples", type=click.IntRange(min=0), help="Draws of videos for the interval; 200 by default.")
@click.option("--json", "as_json", is_flag=True, help="Everything as JSON on stdout.")
def command(truth: Path, predictions: Path, sub_categories: Path | None, per_track: Path | None,
            missing_as_zero: bool, resamples: int | None, as_json: bool) -> int:
    """Score active-speaker predictions as the AVA benchmark does.

    Prints the average precision of speaking, in per cent, over all rows.

    \b
    python -m pipeline score-asd --truth csv/val_orig.csv --predictions predictions.csv --json
    """
    from pipeline.clip import Corpus
    from pipeline.speaking.active_speaker_metric import (
        NUM_RESAMPLES, TRACK_COLUMNS, by_sub_category, read_scores, read_sub_categories, read_truth, score_speakers,
        scores_of, track_rows,
    )
    from pipeline.rendering.corpus import is_rendered
    from pipeline.terminal import note, show_table
    labels = read_truth(truth)
    notes = [Corpus(str(truth), rendered=True).notice] if is_rendered(truth) else []
    scores = scores_of(labels, read_scores(predictions), missing_as_zero=missing_as_zero)
    draws = NUM_RESAMPLES if resamples is None else resamples
    overall = score_speakers(labels, scores, num_resamples=draws)
    parts = by_sub_category(labels, scores, read_sub_categories(sub_categories),
                            num_resamples=draws) if sub_categories else {}
    if per_track is not None:
        with per_track.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(TRACK_COLUMNS)
            writer.writerows(track_rows(labels, scores))
    if as_json:
        found = overall.to_json() | ({"sub_categories": {name: one.to_json() for name, one in parts.items()}}
                                     if parts else {}) | ({"notes": notes} if notes else {})
        click.echo(json.dumps(found, indent=2, allow_nan=False))
        return 0
    show_table("Average precision of speaking, per cent", ("rows of", "AP", "95 % interval", "ties", "chance", "rows",
                                                           "videos"),
               [(name, f"{100 * one.average_precision:.2f}",
                 "" if one.interval is None else "{:.1f}–{:.1f}".format(*(100 * end for end in one.interval)),
                 "" if one.lowest == one.highest else f"{100 * one.lowest:.2f}–{100 * one.highest:.2f}",
                 f"{100 * one.positive_rate:.1f}", one.num_rows, one.num_videos)
                for name, one in (("all", overall), *parts.items())])
    for line in notes:
        note(line)
    click.echo(f"{100 * overall.average_precision:.2f}")
    return 0
