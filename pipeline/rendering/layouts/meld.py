"""MELD's form: three splits of dialogues, each a CSV and a folder of videos."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING

from pipeline.rendering.layouts import Filmed, Layout, Plan, Shot, Table, box_text, words_table
from pipeline.rendering.script import SPLITS, Line, write_script

if TYPE_CHECKING:
    import numpy as np

    from pipeline.rendering.scene import Scene

_FOLDERS = MappingProxyType({
    "train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"})
_COLUMNS = ("Sr No.", "Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID", "Season",
            "Episode", "StartTime", "EndTime")
_TRUTH_COLUMNS = ("split", "clip", "speaker", "listener", "voice_emotion", "face_emotion", "speaking_side",
                  "speaking_box", "listening_box", "height", "width", "rate_hz", "num_frames")
_README = """Talking faces and voices made by a program from a seed: nobody said or felt any of this.
The photograph is of Eileen Collins, by NASA, public domain, as it ships with scikit-image.
*_sent_emo.csv and the video folders have the form of MELD. truth.csv says who speaks where in the picture (boxes: left,
top, right, bottom in pixels, with the head at rest), words.csv when each word is said. sample.json lists the files.
"""


def plan(num_clips: int, seed: int) -> Plan:
    """Dialogues of six speakers.

    Raises:
        ValueError: fewer than 3 clips.
    """
    script = write_script(num_clips, seed)
    shots = [Shot(f"{_FOLDERS[line.split]}/{line.stem}.mp4", len(line.text) * (1 + line.two_shot), partial(_film, line))
             for line in script]
    return Plan(tuple(shots), partial(_tables, script))


def _film(line: Line, rng: np.random.Generator) -> Scene:
    from pipeline.rendering.scene import film
    return film(line, rng)


def _tables(script: Sequence[Line], filmed: Sequence[Filmed]) -> Mapping[str, Table]:
    clips = list(zip(script, filmed))
    tables = {f"{split}_sent_emo.csv": Table(_COLUMNS, _annotations([one for one in clips if one[0].split == split]))
              for split in SPLITS}
    return tables | {
        "truth.csv": Table(_TRUTH_COLUMNS, [_truth(line, clip) for line, clip in clips]),
        "words.csv": words_table(("split", "clip"), [((line.split, line.stem), clip) for line, clip in clips])}


def _truth(line: Line, clip: Filmed) -> tuple[str, ...]:
    side = ("left" if line.speaker_on_left else "right") if line.two_shot else "only"
    return (line.split, line.stem, line.speaker.name, line.partner.name if line.two_shot else "", line.voice_emotion,
            line.face_emotion, side, box_text(clip.speaking_box), box_text(clip.listening_box), str(clip.height),
            str(clip.width), str(clip.rate_hz), str(clip.num_frames))


def _annotations(clips: Sequence[tuple[Line, Filmed]]) -> list[tuple[str, ...]]:
    """Rows of a split's CSV; each dialogue is an episode of its own that begins a minute in."""
    rows: list[tuple[str, ...]] = []
    clock = 60.0
    for number, (line, clip) in enumerate(clips, start=1):
        start = 60.0 if line.utterance == 0 else clock
        clock = start + clip.duration_seconds
        rows.append((str(number), line.text, line.speaker.name, line.emotion, line.sentiment, str(line.dialogue),
                     str(line.utterance), "1", str(line.dialogue + 1), _clock_text(start), _clock_text(clock)))
    return rows


def _clock_text(seconds: float) -> str:
    """Hours, minutes, seconds and milliseconds as MELD writes them.

    >>> _clock_text(976.059)
    '00:16:16,059'
    """
    milliseconds = round(seconds * 1000)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d},{rest % 1000:03d}"


LAYOUT = Layout("meld", num_clips=60, plan=plan, readme=_README,
                top=(*(f"{split}_sent_emo.csv" for split in SPLITS), *_FOLDERS.values()))
