"""What a clip's rows are made from, as a digest: the file's bytes and span, the words, the speaker's name."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipeline.clip import Clip
from pipeline.errors import ClipError
from pipeline.packing import SourceRecord
from pipeline.recipes import PlannedFeature
from pipeline.weights import file_digest


def needs_media(feature: PlannedFeature) -> bool:
    """Must the clip's file be there? Features made from others come from the same file."""
    return feature.needs.media or bool(feature.needs.features)


def input_digest(feature: PlannedFeature, clip: Clip, source_digest: str) -> str:
    """Digest of what a feature of a clip is made from: the file's bytes and span, the words, the speaker's name."""
    parts: list[object] = []
    if needs_media(feature):
        parts += [source_digest, clip.start_seconds, clip.stop_seconds]
    if feature.needs.text:
        parts.append(clip.text)
    if feature.needs.speaker:
        parts.append(clip.speaker)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def source_record(source: Path, known: SourceRecord = SourceRecord()) -> SourceRecord:
    """Size, time of change and digest of a file; its bytes are not read again where size and time are ``known``.

    Raises:
        ClipError: the file is not there or cannot be read.
    """
    try:
        status = source.stat()
        if known.digest and (status.st_size, status.st_mtime_ns) == (known.size, known.mtime_ns):
            return known
        if not source.is_file():
            raise ClipError(f"{source} is not a file; expected a video, sound or picture", stage="decode")
        return SourceRecord(status.st_size, status.st_mtime_ns, file_digest(source))
    except FileNotFoundError:
        raise ClipError(f"{source} does not exist; put it there and run again with --retry-failed",
                        stage="decode") from None
    except OSError as error:
        raise ClipError(f"{source} cannot be read ({error.strerror})", stage="decode", kind="passing") from error


def source_digests(clips: Sequence[Clip], known: Mapping[str, SourceRecord]) -> dict[str, str]:
    """Digest of each known clip's file, "" where it cannot be read; files whose size and time are as known are not
    read."""
    def digest(clip: Clip) -> str:
        if clip.source is None or clip.clip_id not in known:
            return ""
        try:
            return source_record(clip.source, known[clip.clip_id]).digest
        except ClipError:
            return ""
    with ThreadPoolExecutor(4) as pool:
        return dict(zip((clip.clip_id for clip in clips), pool.map(digest, clips), strict=True))
