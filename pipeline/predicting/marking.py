"""The marked-up video: faces boxed, the speaking one highlighted, the others blurred if that is asked for."""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from pipeline.clip import Clip
from pipeline.decode import DecodeLimits, frame_count, read_media
from pipeline.errors import ClipError
from pipeline.faces import RATE_HZ
from pipeline.faces.choice import LEAST_SPEAKING
from pipeline.media import FrameRequest
from pipeline.predicting.findings import Prediction
from pipeline.predicting.stretches import Recording
from pipeline.predicting.strips import GROUND, SMALL, Panel, font
from pipeline.rendering.film import add_sound, writing_film
from pipeline.speaking.tracks import Faces

LEAST_SIDE, MOST_SIDE, LEAST_WIDTH = 640, 960, 480  # pixels: of the picture's longer side, and of the video
RATES = 10.0, 30.0, 25.0        # least and most frames a second, and how many where the file states none
BLOCK_SECONDS, BLOCKS = 10.0, 100   # decoded at once; of a long recording a hundredth, as each costs a look at the file
_BLOCK_BYTES = 2 ** 26          # of decoded frames in memory
_FRAMES_AT_ONCE = 8
SPEAKER, LISTENER, EDGE = (240, 228, 66), (225, 225, 225), (0, 0, 0)
_MARGIN = 0.2                   # of a face's box that is blurred around it: hair, ears and chin
_BLUR_STEPS = 3                 # frames of the grid before and after in which a face was found are blurred, too
_MOSAIC = 6                     # squares across a blurred face: nobody is recognised in so few, and no filter undoes it


def write_marked(found: Prediction, out: Path, *, blur_others: bool,
                 progress: Callable[[int, int], None] = lambda done, total: None) -> tuple[str, ...]:
    """Write the video of a recording that has a picture.

    Args:
        found: of the recording.
        out: ``.mp4``, replaced where it is there.
        blur_others: blur every face but the one that speaks.
        progress: told how many frames are done, of how many.

    Returns:
        What a viewer should know: stretches that could not be decoded, sound that is missing.

    Raises:
        PipelineError: the file cannot be written.
        ClipError: not one picture can be decoded.
    """
    recording = found.recording
    height, width = _picture_size(recording.size)
    panel = Panel(found, max(width, LEAST_WIDTH)) if found.stretches else None
    below = np.zeros((0, max(width, LEAST_WIDTH), 3), np.uint8)             # nothing, where there is no panel
    marker = _Marker(found.faces, height / recording.size[0], width / recording.size[1], blur_others=blur_others)
    rate_hz = float(np.clip(recording.fps, *RATES[:2])) if recording.fps else RATES[2]
    total = frame_count(recording.duration_seconds, rate_hz)
    silent = out.with_name(f".{out.stem}.{os.getpid()}.tmp.mp4")
    sounding = out.with_name(f".{out.stem}.{os.getpid()}.sound.tmp.mp4")
    notes: list[str] = []
    try:
        with writing_film(silent, height=height + (panel.height if panel else 0), width=below.shape[1],
                          rate_hz=rate_hz) as write:
            for number, picture in enumerate(_pictures(recording, (height, width), rate_hz, total, notes)):
                seconds = number / rate_hz
                write(_composed(marker.mark(picture, seconds), panel.draw(seconds) if panel else below)[None])
                progress(number + 1, total)
        if recording.audio_stream is not None:
            hindered = add_sound(silent, recording.source, recording.audio_stream, sounding,
                                 timeout_seconds=DecodeLimits().timeout_seconds)
            notes += [f"the marked-up video is silent: {hindered}"] if hindered else []
        os.replace(sounding if sounding.exists() else silent, out)
    finally:
        for left in (silent, sounding):
            with contextlib.suppress(OSError):
                left.unlink(missing_ok=True)
    return tuple(dict.fromkeys(notes))


def _picture_size(size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) in the video, even: small pictures are enlarged, so that what is drawn on them can be read."""
    scale = float(np.clip(max(size), LEAST_SIDE, MOST_SIDE)) / max(size)
    height, width = (max(2, 2 * round(side * scale / 2)) for side in size)
    return height, width


def _composed(picture: np.ndarray, panel: np.ndarray) -> np.ndarray:
    """Picture over panel; a narrow picture stands in the middle."""
    missing = panel.shape[1] - picture.shape[1]
    if missing:
        whole = np.full((len(picture), panel.shape[1], 3), GROUND, np.uint8)
        whole[:, missing // 2:missing // 2 + picture.shape[1]] = picture
        picture = whole
    return np.concatenate([picture, panel])


def _pictures(recording: Recording, size: tuple[int, int], rate_hz: float, total: int,
              notes: list[str]) -> Iterator[np.ndarray]:
    """``total`` frames, decoded block by block; where none can be had the one before is held."""
    block = max(1, round(max(BLOCK_SECONDS, recording.duration_seconds / BLOCKS) * rate_hz))
    request, held, seen = FrameRequest(rate_hz, size=size), np.zeros((*size, 3), np.uint8), False
    for start in range(0, total, block):
        wanted = min(block, total - start)
        clip = Clip("all/marked", recording.source, start / rate_hz,
                    None if start + wanted == total else (start + wanted) / rate_hz)
        given = 0
        try:
            media = read_media(clip, (request,), waveform=False, on_damage="partial",
                               limits=DecodeLimits(memory_bytes=_BLOCK_BYTES))
            for _, frames in media.frames[request].blocks(_FRAMES_AT_ONCE):
                for held in frames[:wanted - given]:
                    seen = True
                    yield held
                given = min(wanted, given + len(frames))
        except ClipError as error:
            if not seen and start + wanted == total:
                raise
            notes.append(f"the marked-up video stands still from {start / rate_hz:.1f} s: {error}")
        for _ in range(wanted - given):
            yield held


class _Marker:
    """Draws the faces of one recording.

    Args:
        faces: of the recording in its own pixels; None for none.
        down, across: what a source pixel measures in the picture.
        blur_others: blur every face but the one that speaks.
    """

    def __init__(self, faces: Faces | None, down: float, across: float, *, blur_others: bool) -> None:
        self._rows: dict[int, list[tuple[int, tuple[float, ...], float]]] = defaultdict(list)
        self._blur_others = blur_others
        for row, track, time, score in zip(faces.rows, faces.tracks, faces.times[:, 0], faces.speaking, strict=True) \
                if faces is not None else ():
            box = np.clip(row[1:5].astype(float), -1e4, 1e5) * (across, down, across, down)
            corners = min(box[0], box[2]), min(box[1], box[3]), max(box[0], box[2]), max(box[1], box[3])
            self._rows[round(float(time) * RATE_HZ)].append((int(track), corners, float(score)))

    def mark(self, picture: np.ndarray, seconds: float) -> np.ndarray:
        """A new picture with its faces."""
        step = int(seconds * RATE_HZ + 1e-6)
        here = self._rows.get(step, [])
        speaking = [row for row in here if row[2] >= LEAST_SPEAKING]
        speaker = max(speaking, key=lambda row: row[2])[0] if speaking else None
        if not here and not self._blur_others:
            return picture
        image = Image.fromarray(picture)
        if self._blur_others:
            for other in range(step - _BLUR_STEPS, step + _BLUR_STEPS + 1):
                for track, box, _ in self._rows.get(other, []):
                    if track != speaker:
                        _blur(image, box)
        canvas = ImageDraw.Draw(image)
        for track, box, _ in sorted(here, key=lambda row: row[0] == speaker):
            _outline(canvas, box, speaks=track == speaker)
        return np.asarray(image)


def _outline(canvas: ImageDraw.ImageDraw, box: tuple[float, ...], *, speaks: bool) -> None:
    width = 4 if speaks else 2
    left, top, right, bottom = box
    canvas.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=EDGE, width=width + 2)
    canvas.rectangle((left, top, right, bottom), outline=SPEAKER if speaks else LISTENER, width=width)
    if speaks:
        words = font(SMALL + 1)
        low = max(0.0, top - SMALL - 10)
        canvas.rectangle((left, low, left + words.getlength("speaking") + 8, low + SMALL + 7), fill=SPEAKER)
        canvas.text((left + 4, low + 1), "speaking", EDGE, words)


def _blur(image: Image.Image, box: tuple[float, ...]) -> None:
    """Make a face into a mosaic of few squares, with soft edges; in place."""
    left, top, right, bottom = box
    across, down = _MARGIN * (right - left), _MARGIN * (bottom - top)
    area = (max(0, round(left - across)), max(0, round(top - down)), min(image.width, round(right + across)),
            min(image.height, round(bottom + down)))
    if area[2] - area[0] < 2 or area[3] - area[1] < 2:
        return
    size = area[2] - area[0], area[3] - area[1]
    mosaic = image.crop(area).resize((_MOSAIC, _MOSAIC), Image.Resampling.BOX).resize(size, Image.Resampling.BILINEAR)
    mask = Image.new("L", size, 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, size[0] - 1, size[1] - 1), min(size) // 3, fill=255)
    image.paste(mosaic, area[:2], mask.filter(ImageFilter.MaxFilter(3)))
