"""Recordings of a file or a folder, cut into turns one after the other, with a picture of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import ClipError, StoreError, UsageError
from pipeline.segmentation import SegmentConfig, read_sound, segment_wave, stored_rows
from pipeline.segmenting.timeline_plots import draw_timeline
from pipeline.segmenting.turns import Turns, recording_name
from pipeline.storage.durable import replacing
from pipeline.store import FeatureStore

SUFFIXES = (".3gp", ".aac", ".avi", ".flac", ".flv", ".m4a", ".m4v", ".mkv", ".mov", ".mp3", ".mp4", ".mpeg", ".mpg",
            ".ogg", ".opus", ".ts", ".wav", ".webm", ".wma", ".wmv")


@dataclass(frozen=True)
class Segmented:
    """What became of some recordings.

    Args:
        recordings: turns of those that could be read.
        failures: reason by name, of those that could not.
    """

    recordings: tuple[Turns, ...]
    failures: Mapping[str, str]


def recordings_in(source: Path) -> dict[str, Path]:
    """The media files of a folder and those in it by name of the recording; a file is its own folder.

    Raises:
        UsageError: nothing there, no media in the folder, or two files of one name.
    """
    if source.is_file():
        return {recording_name(source.stem): source}
    if not source.is_dir():
        raise UsageError(f"{source} is not there; expected a recording, or a folder of recordings")
    found: dict[str, Path] = {}
    for path in sorted(source.rglob("*")):
        if path.suffix.lower() not in SUFFIXES or not path.is_file():
            continue
        name = recording_name(path.relative_to(source).with_suffix("").as_posix())
        if name in found:
            raise UsageError(f"{found[name]} and {path} have one name as recordings, {name!r}; rename one of them")
        found[name] = path
    if not found:
        raise UsageError(f"{source} has no recordings; expected files that end in {', '.join(SUFFIXES)}")
    return found


def segment_all(recordings: Mapping[str, Path], *, speakers: int | None = None,
                config: SegmentConfig = SegmentConfig(), rows_from: tuple[FeatureStore, str] | None = None,
                pictures: Path | None = None, progress: Callable[[int, int], None] | None = None) -> Segmented:
    """Cut recordings into turns; one that cannot be read is told of, and the others go on.

    Args:
        recordings: files by name.
        speakers: how many each has; None finds it.
        config: how turns are found.
        rows_from: a store and a feature of it to tell speakers apart by; by default the sound itself.
        pictures: a PNG of one recording, or the folder that gets ``NAME.png`` of each; None for none.
        progress: told how many are done, and of how many.

    Raises:
        UsageError: a number of speakers that cannot be, or one PNG for several recordings.
        StoreError: the store lacks the feature of a recording, or a picture cannot be written.
    """
    if pictures is not None and pictures.suffix.lower() == ".png" and len(recordings) > 1:
        raise UsageError(f"{pictures} is one picture, and there are {len(recordings)} recordings; name a folder")
    found, failures = [], {}
    for number, (name, path) in enumerate(recordings.items()):
        if progress is not None:
            progress(number, len(recordings))
        try:
            waveform, notes = read_sound(path, config.on_damage)
        except ClipError as error:
            failures[name] = str(error)
            continue
        rows = None if rows_from is None else stored_rows(*rows_from, path)
        turns = segment_wave(waveform, name, speakers=speakers, config=config, rows=rows, notes=notes)
        found.append(turns)
        if pictures is not None:
            file = pictures if pictures.suffix.lower() == ".png" else pictures / f"{name.replace('/', '_')}.png"
            write(file, draw_timeline(turns, waveform))
    return Segmented(tuple(found), failures)


def write(path: Path, data: bytes) -> None:
    """Make or replace a file as a whole.

    Raises:
        StoreError: the folder cannot be written, or the disk is full.
    """
    try:
        with replacing(path) as file:
            file.write(data)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}; name another place") from error
