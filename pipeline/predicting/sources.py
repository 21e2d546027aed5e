"""Recordings that are asked about: which files they are, what they are called, what they hold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pipeline.decode import DecodeLimits
from pipeline.decoding.probe import probe
from pipeline.errors import ClipError, UsageError
from pipeline.predicting.stretches import Recording

SUFFIXES = frozenset((
    ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".flv", ".ts", ".mts", ".mpg", ".mpeg", ".wmv", ".asf", ".ogv",
    ".mxf", ".3gp", ".wav", ".flac", ".mp3", ".m4a", ".aac", ".ogg", ".opus", ".aiff", ".aif"))


def find_sources(sources: Sequence[Path]) -> list[Path]:
    """Files, and the recordings directly in folders by name.

    Raises:
        UsageError: no such file or folder, or a folder without recordings.
    """
    found: list[Path] = []
    for source in map(Path, sources):
        if source.is_dir():
            inside = sorted(path for path in source.iterdir() if path.suffix.lower() in SUFFIXES
                            and not path.name.startswith("."))
            if not inside:
                raise UsageError(f"{source} holds no video and no sound; expected files that end in"
                                 f" {', '.join(sorted(SUFFIXES))}")
            found += inside
        elif source.exists():
            found.append(source)
        else:
            raise UsageError(f"there is no {source}; expected a video, a sound file or a folder of them")
    return list(dict.fromkeys(found))


def name_sources(paths: Sequence[Path]) -> dict[Path, str]:
    """Names for what is written: without suffix where that tells them apart, else with it.

    Raises:
        UsageError: two files have one name, suffix and all.
    """
    stems = [path.stem for path in paths]
    names = {path: path.stem if stems.count(path.stem) == 1 else path.name for path in paths}
    for path, name in names.items():
        twin = next((other for other, its in names.items() if its == name and other != path), None)
        if twin is not None:
            raise UsageError(f"{twin} and {path} have one name, and what is written of them would too; give them in two"
                             " calls with an --out of their own")
    return names


def look(path: Path, name: str) -> Recording:
    """What a file holds, not yet cut.

    Args:
        path: the file.
        name: of what is written of it.

    Raises:
        ClipError: it is no recording, or one that is too long or too large.
    """
    limits = DecodeLimits()
    held = probe(path, max_pixels=limits.max_frame_pixels, max_seconds=limits.max_duration_seconds,
                 timeout_seconds=limits.timeout_seconds, memory_bytes=limits.process_bytes)
    if not 0 < held.end_seconds <= limits.max_duration_seconds:
        raise ClipError(f"{path.name} lasts {held.end_seconds:.0f} s; expected a recording of up to"
                        f" {limits.max_duration_seconds:.0f} s", stage="decode")
    return Recording(path, name, held.end_seconds, held.size if held.video_span[1] > 0 else (0, 0), held.fps,
                     held.audio_stream if held.audio_span[1] > 0 else None)
