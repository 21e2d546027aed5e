"""`predict`: a run's answers for new recordings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.commands._options import device_option, set_option, settings_by_owner, with_options
from pipeline.errors import EXIT_CLIPS_FAILED

if TYPE_CHECKING:
    from pipeline.prediction import Prediction


@click.command("predict")
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="VIDEO_OR_FOLDER...")
@click.option("--run", required=True, type=click.Path(path_type=Path), help="Folder of a run.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder for what is found; by default predictions/RUN.")
@click.option("--text", type=click.Path(path_type=Path), metavar="FILE|FOLDER",
              help="What is said: subtitles (.srt, .vtt), or a transcript of the whole (.txt); for several recordings a"
                   " folder with a file by each one's name.")
@click.option("--window", "window_seconds", type=float, metavar="SECONDS",
              help="Length of the windows that slide over a recording; 0: none.  [default: 2]")
@click.option("--mark/--no-mark", default=None, help="Seek faces for the marked-up video although the run uses none;"
              " or write no video.")
@click.option("--blur-others", is_flag=True, help="Blur every face in the marked-up video but the one that speaks.")
@click.option("--weights", metavar="FOLDER", help="Where the run's own weight files lie.")
@click.option("--on-damage", type=click.Choice(["skip", "partial"]), help="What to do with damaged media.")
@click.option("--jobs", type=click.IntRange(min=1), help="Worker processes; by default one for each core.")
@click.option("--json", "as_json", is_flag=True, help="What NAME.json holds of all recordings, on stdout.")
@device_option
@set_option
def command(sources: tuple[Path, ...], run: Path, out: Path | None, text: Path | None, as_json: bool,
            settings: dict[str, str], mark: bool | None, **options: Any) -> int:
    """Apply a trained run to new videos: tables, subtitles, a marked-up video and a page.

    The run's own recipe is applied, or refused with the reason. A run of an active-speaker network gives the tracks of
    faces with boxes, times and scores, and the marked-up video. Scores say how much a clip resembles clips that
    annotators labelled so, not what a person feels.

    \b
    python -m pipeline predict --run runs/NAME talk.mp4
    python -m pipeline predict --run runs/NAME talk.mp4 --text talk.srt --blur-others --out predictions/talk
    """
    from pipeline.predicting.files import as_json as in_json
    from pipeline.prediction import PredictConfig, predict
    from pipeline.terminal import counting
    from pipeline.terminal.extraction import ExtractionProgress
    config = with_options(PredictConfig(mark=mark), {**options, "settings": settings_by_owner(settings)})
    place = out or Path("predictions") / run.resolve().name
    found = predict(run, sources, out=place, text=text, config=config, watch=ExtractionProgress, stage=counting)
    _show(found)
    if as_json:
        click.echo(json.dumps([in_json(part) for part in found], indent=1, ensure_ascii=False, allow_nan=False))
    else:
        click.echo(place)
    return EXIT_CLIPS_FAILED if any(part.problem or part.num_unread for part in found) else 0


def _show(found: list[Prediction]) -> None:
    """One row for each utterance of the first recordings, and what cannot be used."""
    from pipeline.terminal import MOST_ROWS, show_table
    from pipeline.speaking.tracks import summarise_tracks
    for note in dict.fromkeys(stamp for part in found for stamp in part.stamps):
        click.echo(f"note: {note}", err=True)
    rows = [(part.recording.name, f"{said.start_seconds:.1f}–{said.stop_seconds:.1f} s", said.speaker, said.text,
             part.headline(place)) for part in found for place in part.of_kind("utterance")
            for said in [part.stretches[place]]]
    if rows:
        more = f"; the first {MOST_ROWS} of {len(rows):,}" if len(rows) > MOST_ROWS else ""
        show_table(f"Likest labels{more}", ("recording", "time", "speaker", "words", "resembles"), rows[:MOST_ROWS])
    tracks = [(part.recording.name, track.number, f"{track.start_seconds:.1f}–{track.stop_seconds:.1f} s",
               "" if track.speaking is None else f"{track.speaking:.2f}")
              for part in found if not part.tasks and part.faces is not None for track in summarise_tracks(part.faces)]
    if tracks:
        more = f"; the first {MOST_ROWS} of {len(tracks):,}" if len(tracks) > MOST_ROWS else ""
        show_table(f"Faces, and how sure it is that they speak (0–1){more}", ("recording", "track", "time", "mean"),
                   tracks[:MOST_ROWS])
    lacking = [(part.recording.name, kind, name, count) for part in found if not part.problem
               for kind in ("utterance", "window") for name, count in part.missing(kind).items()]
    if lacking:
        show_table("Answered without", ("recording", "of", "feature", "how many lack it"), lacking[:MOST_ROWS])
    troubles = [(part.recording.name, part.problem or note) for part in found
                for note in ([part.problem] if part.problem else [*part.recording.notes, *part.notes])]
    if troubles:
        show_table("To know", ("recording", "what was found"), troubles[:MOST_ROWS])
