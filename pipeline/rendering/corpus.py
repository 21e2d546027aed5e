"""The sample dataset on disk: MELD's CSVs, folders and file names, with what is true of every clip beside them."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import tempfile
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np

from pipeline.decode import ffmpeg_path
from pipeline.errors import DatasetError, PipelineError
from pipeline.rendering.script import SPLITS, Line, write_script

RENDERER_VERSION = 1
"""Raise it when the pixels, samples or files change for the same settings: older folders are then rendered again."""

_MARKER = "sample.json"
_FOLDERS = {"train": "train_splits", "dev": "dev_splits_complete", "test": "output_repeated_splits_test"}
_COLUMNS = ("Sr No.", "Utterance", "Speaker", "Emotion", "Sentiment", "Dialogue_ID", "Utterance_ID", "Season",
            "Episode", "StartTime", "EndTime")
_TRUTH_COLUMNS = ("split", "clip", "speaker", "listener", "voice_emotion", "face_emotion", "speaking_side",
                  "speaking_box", "listening_box", "height", "width", "rate_hz", "num_frames")
_WORD_COLUMNS = ("split", "clip", "word", "start_seconds", "stop_seconds")
_OURS = {_MARKER, "truth.csv", "words.csv", "README.txt", *_FOLDERS.values(),
         *(f"{split}_sent_emo.csv" for split in SPLITS)}
_README = """Talking faces and voices made by a program from a seed: nobody said or felt any of this.
The photograph is of Eileen Collins, by NASA, public domain, as it ships with scikit-image.
*_sent_emo.csv and the video folders have the form of MELD. truth.csv says who speaks where in the picture (boxes: left,
top, right, bottom in pixels, with the head at rest), words.csv when each word is said. sample.json lists the files.
"""


@dataclass(frozen=True)
class _Filmed:
    """What the tables need to know of a clip once its video is written."""

    duration_seconds: float
    truth: tuple[str, ...]
    words: tuple[tuple[str, ...], ...]


def render_corpus(out: Path, *, num_clips: int = 60, seed: int = 0, jobs: int = 2) -> Path:
    """Make the whole sample dataset.

    The work happens in a folder beside ``out`` that is renamed at the end, so ``out`` is never half there. An earlier
    sample in its place is replaced.

    Args:
        out: folder to make.
        num_clips: clips in all three splits together, at least 3; from 21 on each split holds every emotion.
        seed: the same seed gives the same decoded pixels and samples, for any ``jobs``.
        jobs: processes.

    Returns:
        ``out``, absolute.

    Raises:
        ValueError: fewer than 3 clips.
        DatasetError: ``out`` is a file or holds files that are not a sample dataset's; nothing is touched.
        PipelineError: ffmpeg cannot write a clip.
    """
    script = write_script(num_clips, seed)
    out = out.absolute()
    _refuse_strangers(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as scratch:
        work = Path(scratch) / "new"
        for folder in _FOLDERS.values():
            (work / folder).mkdir(parents=True)
        # The longest first, so that no process idles at the end.
        order = sorted(range(len(script)), key=lambda index: -len(script[index].text) * (1 + script[index].two_shot))
        with joblib.parallel_config("loky", inner_max_num_threads=1):
            filmed = dict(zip(order, joblib.Parallel(n_jobs=jobs)(
                joblib.delayed(_film_clip)(script[index], index, seed, work) for index in order)))
        _write_tables(work, script, [filmed[index] for index in range(len(script))])
        _write_marker(work, num_clips, seed)
        if out.exists():
            os.replace(out, Path(scratch) / "old")
        os.replace(work, out)
    return out


def is_finished(root: Path, *, num_clips: int, seed: int) -> bool:
    """Does a folder hold the whole sample dataset of these settings, made by this version?

    The marker must agree and every file that it names must be there with its size.
    """
    try:
        marker = json.loads((root / _MARKER).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return False
    if not isinstance(marker, dict) or not isinstance(marker.get("files"), dict):
        return False
    settings = {"renderer_version": RENDERER_VERSION, "num_clips": num_clips, "seed": seed}
    return {name: marker.get(name) for name in settings} == settings and all(
        (root / name).is_file() and (root / name).stat().st_size == size for name, size in marker["files"].items())


def _refuse_strangers(out: Path) -> None:
    """An earlier sample may be replaced; anything else, such as MELD itself, whose names are the same, never."""
    if not out.exists():
        return
    if not out.is_dir():
        raise DatasetError(f"{out} is a file; name a new or empty folder")
    found = sorted(path.name for path in out.iterdir())
    strangers = [name for name in found if name not in _OURS] if _MARKER in found else found
    if strangers:
        raise DatasetError(f"{out} holds {strangers[0]!r}, which is not of an earlier sample dataset; name a new or"
                           " empty folder, or clear this one")


def _film_clip(line: Line, index: int, seed: int, work: Path) -> _Filmed:
    import torch

    from pipeline.rendering.scene import film

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        scene = film(line, np.random.default_rng([seed, len(SPLITS), index]))
    finally:
        torch.set_num_threads(threads)
    video = work / _FOLDERS[line.split] / f"{line.stem}.mp4"
    _encode(video, scene.frames, f"{scene.rate_hz}", scene.waveform)
    boxes = ["" if box is None else " ".join(f"{side:.1f}" for side in box)
             for box in (scene.speaking_box, scene.listening_box)]
    side = ("left" if line.speaker_on_left else "right") if line.two_shot else "only"
    count, height, width, _ = scene.frames.shape
    truth = (line.split, line.stem, line.speaker.name, line.partner.name if line.two_shot else "", line.voice_emotion,
             line.face_emotion, side, *boxes, str(height), str(width), str(scene.rate_hz), str(count))
    words = tuple((line.split, line.stem, word.text, f"{word.start_seconds:.3f}", f"{word.stop_seconds:.3f}")
                  for word in scene.words)
    return _Filmed(scene.duration_seconds, truth, words)


def _encode(video: Path, frames: np.ndarray, rate: str, waveform: np.ndarray) -> None:
    """H.264 and stereo AAC at 44.1 kHz, as in MELD's mp4 files; one thread and no dates, so that bytes repeat."""
    from pipeline.rendering.voice import SAMPLE_RATE_HZ

    sound = video.with_suffix(".wav")
    with wave.open(str(sound), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HZ)
        file.writeframes(np.round(waveform * 32767).astype("<i2").tobytes())
    height, width = frames.shape[1:3]
    command = [ffmpeg_path(), "-hide_banner", "-loglevel", "error", "-y",
               "-f", "rawvideo", "-pixel_format", "rgb24", "-video_size", f"{width}x{height}", "-framerate", rate,
               "-i", "pipe:0", "-i", str(sound), "-map", "0:v", "-map", "1:a", "-threads", "1",
               "-c:v", "libx264", "-preset", "veryfast", "-crf", "20", "-pix_fmt", "yuv420p", "-flags:v", "+bitexact",
               "-c:a", "aac", "-b:a", "96k", "-ar", "44100", "-ac", "2", "-flags:a", "+bitexact",
               "-fflags", "+bitexact", "-map_metadata", "-1", "-movflags", "+faststart", str(video)]
    result = subprocess.run(command, input=frames.tobytes(), capture_output=True)
    if result.returncode != 0:
        raise PipelineError(f"ffmpeg cannot write {video.name}: {result.stderr.decode(errors='replace').strip()}")
    sound.unlink()


def _write_tables(work: Path, script: Sequence[Line], filmed: Sequence[_Filmed]) -> None:
    for split in SPLITS:
        lines = [(line, clip) for line, clip in zip(script, filmed) if line.split == split]
        _write_csv(work / f"{split}_sent_emo.csv", _COLUMNS, _annotations(lines))
    _write_csv(work / "truth.csv", _TRUTH_COLUMNS, [clip.truth for clip in filmed])
    _write_csv(work / "words.csv", _WORD_COLUMNS, [word for clip in filmed for word in clip.words])
    (work / "README.txt").write_text(_README, encoding="utf-8")


def _annotations(lines: Sequence[tuple[Line, _Filmed]]) -> list[tuple[str, ...]]:
    """Rows of a split's CSV; each dialogue is an episode of its own that begins a minute in."""
    rows: list[tuple[str, ...]] = []
    clock = 60.0
    for number, (line, clip) in enumerate(lines, start=1):
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


def _write_csv(path: Path, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def _write_marker(work: Path, num_clips: int, seed: int) -> None:
    files = {path.relative_to(work).as_posix(): path.stat().st_size
             for path in sorted(work.rglob("*")) if path.is_file()}
    marker = {"renderer_version": RENDERER_VERSION, "num_clips": num_clips, "seed": seed, "files": files}
    (work / _MARKER).write_text(json.dumps(marker, indent=1) + "\n", encoding="utf-8")
