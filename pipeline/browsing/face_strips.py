"""The faces of one clip over time: aligned crops, a line for each track, cut from the clip's file."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import numpy as np

from pipeline.browsing.opened_store import OpenedStore
from pipeline.decode import DecodeLimits, read_media
from pipeline.errors import ClipError, StoreError
from pipeline.faces import RATE_HZ
from pipeline.faces.alignment import EXPRESSION_CROP, align
from pipeline.media import FrameRequest, Frames
from pipeline.pages.drawing import check_source
from pipeline.pages.thumbnails import jpeg_uri
from pipeline.speaking.tracks import Faces, face_features, read_faces
from pipeline.windows import Snippets

COLUMNS = 10                    # moments of the clip that are shown
MOST_TRACKS = 8                 # longest first
SIDE = 72                       # pixels of a crop
PATIENCE = DecodeLimits(timeout_seconds=60)
REQUEST = FrameRequest(RATE_HZ, lines=720, snippets=Snippets("spread", size=1, most=COLUMNS))


@dataclass(frozen=True)
class Strip:
    """Crops of a clip's tracks.

    Args:
        seconds: moments that are shown, from the clip's start.
        tracks: number of each track, and a ``data:`` address for each moment; "" where it is not in view.
        more: tracks that are left out.
        problem: why there are none; "" where there are.
    """

    seconds: tuple[float, ...] = ()
    tracks: tuple[tuple[int, tuple[str, ...]], ...] = ()
    more: int = 0
    problem: str = ""


class FaceStrips:
    """Cuts strips, one at a time, each once.

    Args:
        opened: the store.
    """

    def __init__(self, opened: OpenedStore) -> None:
        self._opened, self._one_at_a_time = opened, threading.Lock()

    def strip(self, place: int) -> Strip:
        """The strip of the clip at a place of the clip table.

        Raises:
            StoreError: the store holds no faces, or is damaged.
        """
        names = face_features(self._opened.store)
        return self._opened.once(("strip", place), lambda: self._cut(place, *names))

    def _cut(self, place: int, faces: str, speaking: str | None) -> Strip:
        found = read_faces(self._opened.store, place, faces, speaking)
        if not self._opened.shows_faces:
            return Strip(problem="The corpus's terms do not allow passing on pictures made from it.")
        if not len(found):
            return Strip(problem="No face was found in this clip.")
        clip = self._opened.clips[place]
        with self._one_at_a_time:  # a browser asks for many pictures at once; one ffmpeg is enough
            try:
                check_source(self._opened.store, clip, str(self._opened.store.column("source_digest")[place]))
                frames = read_media(clip, (REQUEST,), waveform=False, on_damage="partial",
                                    limits=PATIENCE).frames[REQUEST]
            except (ClipError, StoreError) as error:
                return Strip(problem=str(error))
        return _strip(frames, found) if len(frames) else Strip(problem="Its file has no picture.")


def _strip(frames: Frames, found: Faces) -> Strip:
    shrink = np.array(frames.shape[2:0:-1]) / frames.source_size[::-1]
    on_grid = np.round(found.times[:, 0] * RATE_HZ).astype(int)
    numbers, counts = np.unique(found.tracks, return_counts=True)
    shown = sorted(numbers[np.argsort(-counts, kind="stable")][:MOST_TRACKS].tolist())
    crops: dict[int, list[str]] = {number: [] for number in shown}
    for row, index in enumerate(frames.indices.tolist()):
        picture = frames.take(slice(row, row + 1))[0]
        for number in shown:
            mine = found.rows[(on_grid == index) & (found.tracks == number)]
            crops[number].append(jpeg_uri(align(picture, mine[0, 6:16].reshape(5, 2) * shrink, EXPRESSION_CROP, SIDE))
                                 if len(mine) else "")
    return Strip(tuple((frames.indices / RATE_HZ).tolist()),
                 tuple((number, tuple(addresses)) for number, addresses in crops.items()), len(numbers) - len(shown))
