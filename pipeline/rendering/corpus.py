"""The sample dataset on disk: videos and tables in a corpus's form, with what is true of every clip beside them."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from pipeline.decode import ffmpeg_path
from pipeline.errors import DatasetError, PipelineError
from pipeline.rendering import layouts
from pipeline.rendering.layouts import Filmed, Shot, Table
from pipeline.rendering.voice import write_wav

RENDERER_VERSION = 1
"""Raise it when the pixels, samples or files change for the same settings: older folders are then rendered again."""
LICENCE = "MIT; face photograph public domain (NASA)"
CITATION = "Sample dataset rendered by this pipeline; photograph of Eileen Collins: NASA."

SAMPLE_DEPTH = 4
"""Folders below a sample's own that its files may lie in."""

_MARKER = "sample.json"
_README = "README.txt"
# H.264 and AAC at 44.1 kHz as in MELD's files; MPEG-4 part 2 (DivX) and plain samples as in IEMOCAP's.
_CODECS = {
    ".mp4": ("-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-c:a", "aac", "-b:a", "96k", "-ar", "44100",
             "-movflags", "+faststart"),
    ".avi": ("-c:v", "mpeg4", "-q:v", "3", "-c:a", "pcm_s16le", "-ar", "16000")}
_STREAM = 3  # of a seed's random streams those of the clips; the script's are 0 to 2


def render_corpus(out: Path, *, layout: str = "meld", num_clips: int | None = None, seed: int = 0,
                  jobs: int = 2) -> Path:
    """Make the whole sample dataset.

    The work happens in a folder beside ``out`` that is renamed at the end, so ``out`` is never half there. An earlier
    sample in its place is replaced.

    Args:
        out: folder to make.
        layout: whose form it has: a name of ``layouts.names()``.
        num_clips: clips in all, at least 3; None for as many as suit the layout. In MELD's form each split holds every
            emotion from 21 on.
        seed: the same seed gives the same decoded pixels and samples, for any ``jobs``.
        jobs: processes.

    Returns:
        ``out``, absolute.

    Raises:
        ValueError: fewer than 3 clips, or more than the layout has.
        UsageError: there is no such layout.
        DatasetError: ``out`` is a file or holds files that are not a sample dataset's; nothing is touched.
        PipelineError: ffmpeg cannot write a clip.
    """
    form = layouts.find(layout)
    num_clips = form.num_clips if num_clips is None else num_clips
    plan = form.plan(num_clips, seed)
    out = out.absolute()
    _refuse_strangers(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
        work = Path(scratch) / "new"
        for shot in plan.shots:
            (work / shot.video).parent.mkdir(parents=True, exist_ok=True)
        # The longest first, so that no process idles at the end.
        order = sorted(range(len(plan.shots)), key=lambda index: -plan.shots[index].effort)
        with joblib.parallel_config("loky", inner_max_num_threads=1):
            filmed = dict(zip(order, joblib.Parallel(n_jobs=jobs)(
                joblib.delayed(_film_clip)(plan.shots[index], index, seed, work) for index in order)))
        for name, table in plan.tables([filmed[index] for index in range(len(order))]).items():
            _write_table(work / name, table)
        (work / _README).write_text(form.readme, encoding="utf-8")
        _write_marker(work, layout=layout, num_clips=num_clips, seed=seed)
        if out.exists():
            os.replace(out, Path(scratch) / "old")
        os.replace(work, out)
    return out


def is_finished(root: Path, *, layout: str = "meld", num_clips: int, seed: int) -> bool:
    """Does a folder hold the whole sample dataset of these settings, made by this version?

    The marker must agree and every file that it names must be there with its size.
    """
    marker = _read_marker(root)
    settings = {"renderer_version": RENDERER_VERSION, "layout": layout, "num_clips": num_clips, "seed": seed}
    files = marker.get("files")
    return isinstance(files, dict) and {name: marker.get(name) for name in settings} == settings and all(
        (root / name).is_file() and (root / name).stat().st_size == size for name, size in files.items())


def rendered_layout(root: Path) -> str:
    """In whose form a folder's sample dataset is; "" for a folder that was not rendered here."""
    return str(_read_marker(root).get("layout", ""))


def is_rendered(path: Path) -> bool:
    """Does a file or folder lie in a sample dataset that was rendered here, of whatever layout?"""
    path = path.absolute()
    return any("renderer_version" in _read_marker(folder) for folder in (path, *path.parents[:SAMPLE_DEPTH]))


def _read_marker(root: Path) -> Mapping[str, Any]:
    try:
        marker = json.loads((root / _MARKER).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    # Markers were without a layout while MELD's was the only one.
    return {"layout": "meld", **marker} if isinstance(marker, dict) else {}


def _refuse_strangers(out: Path) -> None:
    """An earlier sample may be replaced; anything else, such as MELD itself, whose names are the same, never."""
    if not out.exists():
        return
    if not out.is_dir():
        raise DatasetError(f"{out} is a file; name a new or empty folder")
    found = sorted(path.name for path in out.iterdir())
    ours = [_MARKER, _README, "truth.csv", "words.csv", *(name for form in map(layouts.find, layouts.names())
                                                          for name in form.top)]
    strangers = [name for name in found if _MARKER not in found or not any(fnmatchcase(name, one) for one in ours)]
    if strangers:
        raise DatasetError(f"{out} holds {strangers[0]!r}, which is not of an earlier sample dataset; name a new or"
                           " empty folder, or clear this one")


def _film_clip(shot: Shot, index: int, seed: int, work: Path) -> Filmed:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        scene = shot.film(np.random.default_rng([seed, _STREAM, index]))
    finally:
        torch.set_num_threads(threads)
    _encode(work / shot.video, scene.frames, f"{scene.rate_hz}", scene.waveform)
    if shot.write_beside is not None:
        shot.write_beside(scene, work)
    count, height, width, _ = scene.frames.shape
    return Filmed(count, height, width, scene.rate_hz, scene.words, scene.speaking_box, scene.listening_box,
                  scene.tracks)


def _encode(video: Path, frames: np.ndarray, rate: str, waveform: np.ndarray) -> None:
    """One thread and no dates, so that bytes repeat; see ``_CODECS``."""
    sound = video.with_suffix(".wav")
    write_wav(sound, waveform)
    height, width = frames.shape[1:3]
    command = [ffmpeg_path(), "-hide_banner", "-loglevel", "error", "-y",
               "-f", "rawvideo", "-pixel_format", "rgb24", "-video_size", f"{width}x{height}", "-framerate", rate,
               "-i", "pipe:0", "-i", str(sound), "-map", "0:v", "-map", "1:a", "-threads", "1",
               *_CODECS[video.suffix], "-pix_fmt", "yuv420p", "-ac", "2", "-flags:v", "+bitexact", "-flags:a",
               "+bitexact", "-fflags", "+bitexact", "-map_metadata", "-1", str(video)]
    result = subprocess.run(command, input=frames.tobytes(), capture_output=True)
    if result.returncode != 0:
        raise PipelineError(f"ffmpeg cannot write {video.name}: {result.stderr.decode(errors='replace').strip()}")
    sound.unlink()


def _write_table(path: Path, table: Table | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(table, str):
        path.write_text(table, encoding="utf-8", newline="")
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(table.columns)
        writer.writerows(table.rows)


def _write_marker(work: Path, **settings: Any) -> None:
    files = {path.relative_to(work).as_posix(): path.stat().st_size
             for path in sorted(work.rglob("*")) if path.is_file()}
    marker = {"renderer_version": RENDERER_VERSION, **settings, "files": files}
    (work / _MARKER).write_text(json.dumps(marker, indent=1) + "\n", encoding="utf-8")
