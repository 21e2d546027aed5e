"""A clip's faces drawn on its frames: boxes, landmarks, track numbers, scores, and who speaks."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pipeline.clip import Clip
from pipeline.decode import read_media
from pipeline.errors import ClipError, StoreError, UsageError
from pipeline.faces import COLUMNS, RATE_HZ
from pipeline.faces.alignment import landmarks_of, resized
from pipeline.faces.choice import LEAST_SPEAKING
from pipeline.media import FrameRequest, Frames
from pipeline.speaking.tracks import Faces, face_features, read_faces
from pipeline.storage.durable import replacing
from pipeline.storage.packing import stored_clips
from pipeline.store import FeatureStore
from pipeline.weights import file_digest
from pipeline.windows import Snippets

LINES = 360                 # frames are drawn at this height at most
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
# Colours of tracks, told apart by colour-blind people too (Okabe and Ito 2008); yellow is kept for who speaks.
COLOURS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (213, 94, 0), (204, 121, 167), (0, 114, 178))
SPEAKER = (240, 228, 66)
INK, PAPER = (0, 0, 0), (255, 255, 255)
MARGIN = 4


def draw_clip(store: FeatureStore, clip_id: str, out: Path, *, faces: str | None = None, num_frames: int = 12) -> None:
    """Write a contact sheet of a clip's frames with what is known of the faces in them.

    Args:
        store: that holds the clip and its faces.
        clip_id: which clip.
        out: ``.png`` or ``.jpg``; replaced where it is there.
        faces: name of the feature, where there are variants.
        num_frames: frames on the sheet, evenly from the clip's first to its last.

    Raises:
        UsageError: ``out`` is no picture's name, or ``num_frames`` below 1.
        StoreError: no such clip, no faces, the clip's file is gone or another one, or ``out`` cannot be written.
        ClipError: the file cannot be decoded.
    """
    if out.suffix.lower() not in FORMATS:
        raise UsageError(f"--draw {out}: expected a name that ends in {', '.join(FORMATS)}")
    if num_frames < 1:
        raise UsageError(f"at least 1 frame is drawn, found {num_frames}")
    place = store.place(clip_id)
    names = face_features(store, faces)
    clip = stored_clips(store)[place]
    check_source(store, clip, str(store.column("source_digest")[place]))
    request = FrameRequest(RATE_HZ, lines=LINES, snippets=Snippets("spread", size=1, most=num_frames))
    frames = read_media(clip, (request,), waveform=False, on_damage="partial").frames[request]
    if not len(frames):
        raise ClipError(f"{clip.source} has no picture to draw on", stage="decode")
    picture = draw_sheet(frames, read_faces(store, place, *names))
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, FORMATS[out.suffix.lower()])
    try:
        with replacing(out) as file:
            file.write(buffer.getvalue())
    except OSError as error:
        raise StoreError(f"cannot write {out}: {error.strerror or error}") from error


def check_source(store: FeatureStore, clip: Clip, digest: str) -> None:
    """Make sure that a clip's file is there and is the one that its features were made from.

    Args:
        store: for messages.
        clip: the clip.
        digest: of the file, as the store has it; "" where it is not known.

    Raises:
        StoreError: it is not.
    """
    if clip.source is None:
        raise StoreError(f"clip {clip.clip_id} of {store.path} was made without a file; there is nothing to draw on")
    try:
        if not clip.source.is_file():
            raise StoreError(f"{clip.source}, which clip {clip.clip_id} was made from, is no longer there; put it back"
                             " to draw on it")
        found = file_digest(clip.source)
    except OSError as error:
        raise StoreError(f"{clip.source}, which clip {clip.clip_id} was made from, cannot be read"
                         f" ({error.strerror or error}); put it back to draw on it") from error
    if digest and found != digest:
        raise StoreError(f"{clip.source} is not the file that clip {clip.clip_id} was made from (its digest is"
                         f" {found[:8]}…, expected {digest[:8]}…): boxes would lie in wrong places; put the old file"
                         " back, or extract again")


def draw_sheet(frames: Frames, faces: Faces) -> np.ndarray:
    """Frames in rows of up to four, each with its time and its faces.

    Args:
        frames: of a clip, on the grid of faces, at least one.
        faces: of the clip.

    Returns:
        uint8 RGB (H, W, 3).
    """
    on_grid = np.round(faces.times[:, 0] * RATE_HZ).astype(int)
    larger = max(1, LINES // frames.shape[1])  # so that labels do not hide a small picture
    scale = larger * np.array(frames.shape[2:0:-1]) / frames.source_size[::-1]
    tiles = []
    for row, index in enumerate(frames.indices.tolist()):
        mine = on_grid == index
        picture = frames.take(slice(row, row + 1))[0].repeat(larger, 0).repeat(larger, 1)
        tiles.append(draw_faces(picture, resized(faces.rows[mine], scale), faces.speaking[mine],
                                f"{index / frames.rate_hz:.2f} s"))
    return _sheet(tiles, columns=min(4, len(tiles)))


def draw_faces(picture: np.ndarray, rows: np.ndarray, speaking: np.ndarray, caption: str = "") -> np.ndarray:
    """One picture with its faces: a box in the track's colour, five points and a label.

    The label holds the track's number, the probability that it is a face (p) and the speaking score (s). The face with
    the greatest score speaks, if that is 0.5 or more: its box is thick and its label yellow.

    Args:
        picture: uint8 RGB (H, W, 3).
        rows: of :data:`pipeline.faces.COLUMNS` in pixels of the picture, (K, 16).
        speaking: score of each, (K,); NaN where it is not known.
        caption: written into the upper left corner.

    Returns:
        A new picture of the same size.
    """
    image = Image.fromarray(picture.copy())
    canvas = ImageDraw.Draw(image)
    font = ImageFont.load_default(max(9, picture.shape[0] // 26))
    speaker = int(np.nanargmax(speaking)) if (speaking >= LEAST_SPEAKING).any() else -1
    order = sorted(range(len(rows)), key=lambda place: place == speaker)  # the speaker lies on top
    for place in order:
        row, speaks = rows[place], place == speaker
        _label(canvas, font, (float(row[1]), float(row[2])), _words(row, float(speaking[place]), speaks),
               SPEAKER if speaks else _colour(row), above=True)
    for place in order:
        canvas.rectangle(_box(rows[place]), outline=_colour(rows[place]), width=5 if place == speaker else 2)
        for x, y in landmarks_of(rows[place]).tolist():
            canvas.ellipse((x - 2, y - 2, x + 2, y + 2), fill=_colour(rows[place]), outline=INK)
    if caption:
        _label(canvas, font, (0, 0), caption, PAPER, above=False)
    return np.asarray(image)


def _box(row: np.ndarray) -> tuple[float, float, float, float]:
    """Corners of a box in order, as far as a canvas goes."""
    x1, y1, x2, y2 = np.clip(row[1:5].astype(float), -1e5, 1e5).tolist()
    return min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2)


def _colour(row: np.ndarray) -> tuple[int, int, int]:
    return COLOURS[int(row[0]) % len(COLOURS)]


def _words(row: np.ndarray, score: float, speaks: bool) -> str:
    words = f"#{int(row[0])} p{row[COLUMNS.index('probability')]:.2f}"
    return words if np.isnan(score) else f"{words} {'SPEAKS ' if speaks else 's'}{score:.2f}"


def _label(canvas: ImageDraw.ImageDraw, font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
           corner: tuple[float, float], words: str, colour: tuple[int, int, int], *, above: bool) -> None:
    """Words on a coloured ground, kept within the picture."""
    left, top, right, bottom = canvas.textbbox((0, 0), words, font=font)
    width, height = right - left + 2 * MARGIN, bottom - top + 2 * MARGIN
    x = float(np.clip(corner[0], 0, max(0, canvas.im.size[0] - width)))
    y = float(np.clip(corner[1] - (height if above else 0), 0, max(0, canvas.im.size[1] - height)))
    canvas.rectangle((x, y, x + width, y + height), fill=colour)
    canvas.text((x + MARGIN - left, y + MARGIN - top), words, font=font, fill=INK)


def _sheet(tiles: Sequence[np.ndarray], *, columns: int) -> np.ndarray:
    """Tiles of one size side by side on white paper, row after row."""
    height, width = tiles[0].shape[:2]
    num_rows = -(-len(tiles) // columns)
    sheet = np.full((num_rows * (height + MARGIN) + MARGIN, columns * (width + MARGIN) + MARGIN, 3), PAPER, np.uint8)
    for place, tile in enumerate(tiles):
        row, column = divmod(place, columns)
        top, left = (MARGIN + row * (height + MARGIN), MARGIN + column * (width + MARGIN))
        sheet[top:top + height, left:left + width] = tile
    return sheet
