"""What a clip's rows are made from, as a digest: the file's bytes and span, the words, the speaker, frames' labels."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipeline.clip import Clip
from pipeline.errors import ClipError
from pipeline.recipes import PlannedFeature
from pipeline.running.neighbours import context_of
from pipeline.speaking.track_media import track_record
from pipeline.storage.packing import SourceRecord
from pipeline.weights import file_digest


def needs_media(feature: PlannedFeature) -> bool:
    """Must the clip's file be there? Features made from others come from the same file."""
    return feature.needs.media or bool(feature.needs.features)


def input_digest(feature: PlannedFeature, clip: Clip, source_digest: str) -> str:
    """Digest of what a feature of a clip is made from: the file's bytes, span and view (of a face track the times of
    its frames), the words, the speaker's name, what is said before and after, the labels of frames."""
    parts: list[object] = []
    if needs_media(feature):
        parts += [source_digest, clip.start_seconds, clip.stop_seconds]
        parts += [clip.track.times.tolist(), clip.track.rate_hz] if clip.track is not None else []
        parts += [clip.view] if clip.view is not None else []
    if feature.needs.text:
        parts.append(clip.text)
    if feature.needs.speaker:
        parts.append(clip.speaker)
    if any(feature.needs.context):
        parts.append([[tuple(one) for one in side] for side in context_of(clip, feature)])
    if feature.needs.frame_labels and (known := clip.frame_labels) is not None:
        parts += [known.times.tolist(), known.rate_hz,
                  *((task, known.labels[task].tolist()) for task in sorted(known.labels))]
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


def clip_record(clip: Clip, known: SourceRecord = SourceRecord()) -> SourceRecord:
    """What a clip's file, or the files of its track, are now; nothing for a clip without any.

    Raises:
        ClipError: one is not there or cannot be read.
    """
    if clip.track is not None:
        return track_record(clip.track, known)
    return source_record(clip.source, known) if clip.source is not None else SourceRecord()


def source_digests(clips: Sequence[Clip], known: Mapping[str, SourceRecord]) -> dict[str, str]:
    """Digest of each known clip's files, "" where one cannot be read; files whose sizes and times are as known are not
    read."""
    def digest(clip: Clip) -> str:
        if clip.clip_id not in known:
            return ""
        try:
            return clip_record(clip, known[clip.clip_id]).digest
        except ClipError:
            return ""
    with ThreadPoolExecutor(4) as pool:
        return dict(zip((clip.clip_id for clip in clips), pool.map(digest, clips), strict=True))
