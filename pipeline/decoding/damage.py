"""What is wrong with a media file that ffmpeg decoded: it ends with success on most damaged ones.

Four witnesses: the container's duration against its packets, the packets against what was decoded, ffmpeg's own counts
of errors, and its messages.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

import numpy as np

from pipeline.clip import Clip
from pipeline.decoding.frame_files import FrameFile
from pipeline.decoding.probe import Probe, complaints, first_words
from pipeline.media import SAMPLE_RATE_HZ

_COUNTS = re.compile(r"Input stream #0:(\d+) \((?:video|audio)\): (\d+) packets read.*?; \d+ frames decoded"
                     r"(?:; (\d+) decode errors)?")
_BROKEN = re.compile(r"error while decoding|corrupt|Invalid data found|Invalid NAL|partial file|ended prematurely"
                     r"|missing picture|concealing|invalid residual|decode_frame\(\) failed|truncated"
                     r"|Error while filtering|Conversion failed", re.IGNORECASE)
# A recording of a broadcast begins and ends in the middle of a packet.
_BROADCAST = ("mpegts", "mpeg")


@dataclass(frozen=True)
class Decoded:
    """What ffmpeg gave for one clip.

    Args:
        frames: uint8 (T, H, W, 3) for each output of pictures.
        num_wanted: for each output, how many frames were asked for.
        sound: float32 mono (S,).
        num_samples: how many samples the packets promise; 0 when no sound was asked for.
        said: messages at ``level+verbose``.
        exit_code: of the process.
    """

    frames: tuple[np.ndarray | FrameFile, ...] = ()
    num_wanted: tuple[int, ...] = ()
    sound: np.ndarray = field(default_factory=lambda: np.zeros(0, np.float32))
    num_samples: int = 0
    said: str = ""
    exit_code: int = 0


def damages(found: Probe, clip: Clip, decoded: Decoded) -> list[str]:
    """What is wrong with a file, a few words for each finding; empty for a whole one.

    Every broken picture counts, since those after it are built on it; of the sound's packets, each of which stands
    alone, one or a hundredth may fail.
    """
    findings = [*_too_short(found, clip), *_missing(decoded)]
    counts = {int(index): (int(packets), int(errors or 0)) for index, packets, errors in _COUNTS.findall(decoded.said)}
    if found.audio_stream is not None:
        packets, errors = counts.get(found.audio_stream, (0, 0))
        if errors > max(1, packets // 100):
            findings.append(f"packets of sound that cannot be decoded: {errors} of {packets}")
    if found.video_stream is not None and counts.get(found.video_stream, (0, 0))[1]:
        findings.append(f"pictures that cannot be decoded: {counts[found.video_stream][1]}")
    said = (*found.complaints, *complaints(decoded.said))
    words = tuple(dict.fromkeys(word for word in said if is_damage(word, found)))
    if decoded.exit_code:
        findings.append(f"ffmpeg ended with code {decoded.exit_code}")
        words = words or said[-2:]
    return [*findings, f"ffmpeg says: {first_words(words)}"] if words else findings


def _too_short(found: Probe, clip: Clip) -> list[str]:
    """Does the file hold less than it states? Other streams may be what lasts that long: then nothing is said."""
    if found.duration_seconds is None or found.is_still or found.num_other_streams:
        return []
    stated = min(found.duration_seconds, clip.stop_seconds or math.inf) - clip.start_seconds
    if found.end_seconds >= 0.9 * stated or stated - found.end_seconds < 0.25:
        return []
    return [f"it states {stated:.2f} s and holds {found.end_seconds:.2f} s"]


def _missing(decoded: Decoded) -> list[str]:
    """Did less, or more, come than the packets promise?"""
    findings = [f"only {len(rows)} of {wanted} frames came"
                for rows, wanted in zip(decoded.frames, decoded.num_wanted) if len(rows) < 0.9 * wanted][:1]
    came, promised = len(decoded.sound) / SAMPLE_RATE_HZ, decoded.num_samples / SAMPLE_RATE_HZ
    if promised - came > max(0.25, 0.1 * promised) or (promised and not came):
        findings.append(f"only {came:.3f} of {promised:.3f} s of sound came")
    if came - promised > 0.5:
        findings.append("the sound changes its rate or channels midway; convert it to one form first")
    return findings


def is_damage(word: str, found: Probe) -> bool:
    """Does one of ffmpeg's complaints mean that pictures or the file itself are broken?

    The sound decoder's are left to :func:`damages`, which counts its packets.
    """
    if not _BROKEN.search(word):
        return False
    if set(found.demuxer.split(",")) & set(_BROADCAST) and re.search("input packet|Packet corrupt", word):
        return False
    speaker = word[:word.rfind("]") + 1]
    return "[aist#" not in speaker and not any(f"[{name}]" in speaker for name in found.audio_decoder)
