"""Faces of a store's clips as small pictures for a page: which clips, which frame, cut out and encoded."""

from __future__ import annotations

import base64
import dataclasses
import io
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from PIL import Image

from pipeline.clip import Clip
from pipeline.decode import read_media
from pipeline.errors import ClipError
from pipeline.faces import COLUMNS
from pipeline.faces.alignment import EXPRESSION_CROP, align
from pipeline.media import FeatureSequence, FrameRequest
from pipeline.store import FeatureStore

SIDE = 112
REQUEST = FrameRequest(15.0, lines=720)     # a face smaller than the crop at 720 lines gains nothing from more
SPAN_SECONDS = 0.2                          # decoded around the face; holds at least two frames of the grid
JPEG_QUALITY = 82

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class Thumbnail:
    """A face of a clip.

    Args:
        clip_id: whose it is.
        data_uri: the picture, JPEG of ``SIDE`` pixels; "" where there is none.
        problem: why there is none.
        seconds: time of the frame from the clip's start.
    """

    clip_id: str
    data_uri: str = ""
    problem: str = ""
    seconds: float = 0.0


def face_feature(store: FeatureStore) -> str | None:
    """The feature of a store that holds face boxes and landmarks, if any."""
    return next((name for name in store.features if store.head(name)["columns"] == COLUMNS), None)


def spread(keys: Mapping[str, K], wrong: Iterable[str], count: int) -> list[str]:
    """Pick clips from all groups alike, wrong and right answers in turn.

    Args:
        keys: group by clip id, in the corpus's order.
        wrong: clips whose prediction is wrong.
        count: how many at most.

    Returns:
        Clip ids, in the order of ``keys``.

    >>> spread({"a": 1, "b": 1, "c": 1, "d": 2}, ["c"], 3)
    ['a', 'c', 'd']
    """
    mistaken = set(wrong)
    queues: dict[K, list[str]] = {}
    for key in dict.fromkeys(keys.values()):
        mine = [clip_id for clip_id in keys if keys[clip_id] == key]
        halves = [[clip_id for clip_id in mine if (clip_id in mistaken) == side] for side in (True, False)]
        shorter = min(map(len, halves))
        in_turn = [clip_id for pair in zip(*halves, strict=False) for clip_id in pair]
        queues[key] = in_turn + halves[0][shorter:] + halves[1][shorter:]
    chosen: set[str] = set()
    for place in range(max(map(len, queues.values()), default=0)):
        for queue in queues.values():
            if place < len(queue) and len(chosen) < count:
                chosen.add(queue[place])
    return [clip_id for clip_id in keys if clip_id in chosen]


def picture_clip(clip: Clip, faces: FeatureSequence) -> Thumbnail:
    """Cut the clearest large face out of one frame of a clip's file.

    Args:
        clip: with its source file.
        faces: rows of :data:`pipeline.faces.COLUMNS`, at least one.

    Returns:
        The picture, or why there is none: the file is gone or cannot be read.
    """
    if clip.source is None or not clip.source.is_file():
        return Thumbnail(clip.clip_id, problem="its file is no longer there")
    size = np.prod(faces.values[:, 3:5] - faces.values[:, 1:3], axis=1)
    best = int(np.argmax(size * faces.values[:, COLUMNS.index("probability")]))
    row, seconds = faces.values[best], float(faces.times[best, 0])
    start = clip.start_seconds + seconds
    short = dataclasses.replace(clip, start_seconds=start, stop_seconds=start + SPAN_SECONDS)
    try:
        frames = read_media(short, (REQUEST,), waveform=False, on_damage="partial").frames[REQUEST]
    except ClipError as error:
        return Thumbnail(clip.clip_id, problem=f"its file cannot be decoded ({error.kind})")
    if not len(frames):
        return Thumbnail(clip.clip_id, problem="its file has no picture")
    shrink = np.array(frames.shape[2:0:-1]) / frames.source_size[::-1]
    crop = align(frames.take(slice(0, 1))[0], row[6:16].reshape(5, 2) * shrink, EXPRESSION_CROP, SIDE)
    return Thumbnail(clip.clip_id, jpeg_uri(crop), seconds=seconds)


def jpeg_uri(picture: np.ndarray) -> str:
    """A picture, uint8 RGB (H, W, 3), as a ``data:`` address."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


def problems(thumbnails: Sequence[Thumbnail]) -> dict[str, int]:
    """How many clips have no picture, by reason."""
    counts: dict[str, int] = defaultdict(int)
    for thumbnail in thumbnails:
        if thumbnail.problem:
            counts[thumbnail.problem] += 1
    return dict(counts)
