"""What a clip's file holds against what its annotation promises: one look and one decoding of each clip."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.clip import Clip, Track
from pipeline.datasets import RecordedSpan
from pipeline.decode import DecodeLimits, Probe, probe, read_media
from pipeline.decoding.damage import Decoded, damages
from pipeline.decoding.probe import quoted
from pipeline.doctor.alike import REQUEST, SILENCE_DB, Print, fingerprint
from pipeline.errors import ClipError
from pipeline.media import PictureRequest
from pipeline.speaking.track_media import read_files, read_track

_SMALL = PictureRequest(16)  # all that is wanted of a track's pictures is that they can be decoded
FEW_FRAMES = 8
# Sound and picture of one clip: starts this far apart are seen (lips lead by 45 ms at most, EBU R 37, with room for the
# encoder's padding), and lengths this far apart mean that one of them was cut.
START_APART_SECONDS, LENGTH_APART_SECONDS = 0.1, 0.3
# Fast talk is 6 words a second; slow talk is one, and a clip may begin and end with ten seconds of something else.
FASTEST_WORDS_PER_SECOND, SLOWEST_WORDS_PER_SECOND, PAUSE_SECONDS = 8.0, 1.0, 10.0
_FEWEST_WORDS = 5  # fewer are said in no time
_LETTERS_A_WORD = 6  # in scripts that put no spaces between words


@dataclass(frozen=True)
class Look:
    """What was seen of one clip.

    Args:
        clip: the clip.
        trouble: a kind of finding and the message; None where the file can be used.
        found: what the file holds; None where it cannot be opened.
        peak: largest absolute sample; None where nothing was decoded or there is no sound.
        looks: what it looks and sounds like; None where nothing was decoded.
    """

    clip: Clip
    trouble: tuple[str, str] | None = None
    found: Probe | None = None
    peak: float | None = None
    looks: Print | None = None


def look(clip: Clip, *, decode: bool, limits: DecodeLimits) -> Look:
    """Open a clip's file and, if asked, decode all of it to tiny pictures and sound."""
    assert clip.source is not None
    if clip.track is not None:
        return _look_at_track(clip, clip.track, decode=decode, limits=limits)
    try:
        if not clip.source.exists():
            return Look(clip, ("missing file", "is not there; expected a media file"))
        if clip.source.is_file() and not clip.source.stat().st_size:
            return Look(clip, ("empty file", "0 bytes; expected a media file"))
        found = probe(clip.source, start_seconds=clip.start_seconds, stop_seconds=clip.stop_seconds,
                      max_pixels=limits.max_frame_pixels, max_seconds=limits.max_duration_seconds,
                      timeout_seconds=limits.timeout_seconds)
        if not decode:
            hurt = damages(found, clip, Decoded()) if found.end_seconds > 0 else ["not one packet of picture or sound"]
            return Look(clip, ("damaged file", f"{quoted(clip.source)} is damaged: {'; '.join(hurt)}; expected a whole"
                               " file: fetch it again") if hurt else None, found)
        media = read_media(clip, (REQUEST,), waveform=True, limits=limits)
    except ClipError as error:
        return Look(clip, ("damaged file" if error.kind == "permanent" else "unreadable file", str(error)))
    except OSError as error:
        return Look(clip, ("unreadable file", f"{error.strerror}; expected a file that can be read"))
    wave, frames = media.waveform, media.frames[REQUEST]
    assert wave is not None
    peak = float(np.abs(wave).max()) if len(wave) else None
    return Look(clip, None, found, peak, fingerprint(found.end_seconds, frames.take(slice(None)), wave))


def _look_at_track(clip: Clip, track: Track, *, decode: bool, limits: DecodeLimits) -> Look:
    """Find every picture and the sound of a face track and, if asked, decode them all."""
    missing = [path.name for path in track.pictures if not path.is_file()]
    if missing:
        return Look(clip, ("missing file", f"{len(missing)} of {len(track.pictures)} pictures are not there, the first"
                           f" is {missing[0]}; expected a picture for each row"))
    if track.sound is not None and not track.sound.is_file():
        return Look(clip, ("missing file", f"the sound {track.sound.name} is not there; expected sound for each track"))
    if decode:
        try:
            read_track(clip, read_files(track, limits=limits), (_SMALL,), waveform=True, limits=limits)
        except ClipError as error:
            return Look(clip, ("damaged file" if error.kind == "permanent" else "unreadable file", str(error)))
    return Look(clip)


def seconds_of(seen: Look) -> float | None:
    """How long a clip's material lasts; None for a still picture, and where nothing can be read."""
    return None if seen.found is None or seen.found.is_still else seen.found.end_seconds


def diagnose_clip(seen: Look, span: RecordedSpan | None) -> Iterator[tuple[str, str, str]]:
    """Kind, what was found and what was expected, for each trouble of one clip.

    Args:
        seen: the clip's look.
        span: where the annotation says that it was cut from; None where it does not say.
    """
    if seen.trouble is not None:
        kind, message = seen.trouble
        found, _, expected = message.partition("; expected ")
        yield kind, found, expected
    elif seen.found is not None and not seen.found.is_still:
        yield from _streams(seen, seen.found)
        yield from _length(seen.clip, seen.found.end_seconds, span)


def _streams(seen: Look, found: Probe) -> Iterator[tuple[str, str, str]]:
    (shown, unshown), (heard, unheard) = found.video_span, found.audio_span
    if unheard <= 0:
        yield "no sound", "there is no sound in the file", "picture and sound"
    elif seen.peak is not None and seen.peak < 10 ** (SILENCE_DB / 20):
        level = f"at most {20 * np.log10(seen.peak):.0f} dB" if seen.peak else "digital silence"
        yield "silent", level, f"sound above {SILENCE_DB:.0f} dB of full scale"
    if unshown <= 0:
        yield "no picture", "there is no picture in the file", "picture and sound"
        return
    frames = max(1, round((unshown - shown) * found.fps))
    if found.fps and frames < FEW_FRAMES:
        yield "few frames", f"{frames} frame{'' if frames == 1 else 's'}", f"{FEW_FRAMES} or more"
    if unheard > 0:
        late, longer = heard - shown, (unheard - heard) - (unshown - shown)
        if abs(late) > START_APART_SECONDS or abs(longer) > LENGTH_APART_SECONDS:
            yield ("sound beside picture", f"the sound starts {abs(late):.2f} s {'after' if late > 0 else 'before'} the"
                   f" picture and lasts {abs(longer):.2f} s {'longer' if longer > 0 else 'less'}",
                   f"starts within {START_APART_SECONDS:g} s and lengths within {LENGTH_APART_SECONDS:g} s")


def _length(clip: Clip, seconds: float, span: RecordedSpan | None) -> Iterator[tuple[str, str, str]]:
    stated = None if clip.stop_seconds is None else clip.stop_seconds - clip.start_seconds
    if span is not None:
        stated = span.stop_seconds - span.start_seconds
    if stated is not None and stated > 0 and abs(seconds - stated) > 1 and not 0.5 <= seconds / stated <= 2:
        yield "mis-cut", f"{seconds:.1f} s", f"{stated:.1f} s by the annotation"
    else:
        yield from words_against(clip.text, seconds)


def words_against(text: str, seconds: float) -> Iterator[tuple[str, str, str]]:
    """Can so many words be said in this time, and do they need it?"""
    words = max(len(text.split()), len(re.findall(r"\w", text)) // _LETTERS_A_WORD)
    longest = PAUSE_SECONDS + words / SLOWEST_WORDS_PER_SECOND
    if words and seconds > longest:
        yield "words do not fit", f"{seconds:.1f} s for {words} word{'' if words == 1 else 's'}", \
            f"at most {longest:.0f} s"
    elif words >= _FEWEST_WORDS and words > FASTEST_WORDS_PER_SECOND * seconds:
        yield "words do not fit", f"{seconds:.2f} s for {words} words", \
            f"at least {words / FASTEST_WORDS_PER_SECOND:.1f} s"
