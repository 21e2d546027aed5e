"""Faces of every frame: track, box, probability and five landmarks; what other face extractors read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

import numpy as np

from pipeline import weights
from pipeline.config import result_settings, setting
from pipeline.extractors import Extractor
from pipeline.faces import COLUMNS, RATE_HZ
from pipeline.faces.levels import LEVELS, DetectionLevel
from pipeline.faces.mtcnn import NUM_COLUMNS, FaceDetector, looks
from pipeline.faces.refinement import begin, follow, joined, refine
from pipeline.faces.shots import changes, cuts_of, key_frames, thumbnails
from pipeline.faces.tracking import Linked, face_rows, link
from pipeline.media import FeatureSequence, FrameRequest, Frames, Media, Needs

_FRAMES_AT_ONCE = 16
_PIXELS_AT_ONCE = 2 ** 21  # in memory and in one batch; a larger frame goes alone
# MTCNN's networks and the SHA-256 of their files in facenet-pytorch 2.5.3.
NETWORKS = {"pnet": "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f",
            "rnet": "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86",
            "onet": "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d"}


class Faces(Extractor):
    """MTCNN on key frames, its last network on the faces between them, and tracks of people within shots.

    A row is one face in one frame of a 15 Hz grid, in pixels of the upright source picture; a frame with two faces has
    two rows. Where a face was lost for a moment its box is filled in, and the probability says how little was seen.
    A clip of one frame is searched at full size at every level.
    """

    version = 2
    modality = "face"
    columns = COLUMNS
    trainable_input = False

    @dataclass(frozen=True)
    class Config(Extractor.Config):
        detection: Literal["fast", "balanced", "dense"] = setting(
            "balanced", "how thoroughly faces are sought: fast and balanced look at key frames of a small picture, and"
            " at known faces in between; dense at every frame at full size, some twenty times slower")
        lines: int | None = setting(None, "height in pixels of the picture that faces are sought in; none: the level's")
        min_face_pixels: int | None = setting(
            None, "height in source pixels of the smallest face to find; in the picture that faces are sought in it is"
            " never below 12: 48 source pixels where 180 lines stand for 720; none: the level's")
        stride: int | None = setting(None, "15 Hz frames from one key frame to the next; none: the level's")

        def __post_init__(self) -> None:
            _ = self.level  # refuses what is below 1

        @property
        def level(self) -> DetectionLevel:
            """The level with what is said beside it."""
            return self._said_beside(LEVELS[self.detection])

        @property
        def still_level(self) -> DetectionLevel:
            """The level of still pictures and clips of one frame: a single picture can always be sought thoroughly."""
            return self._said_beside(LEVELS["dense"])

        def _said_beside(self, level: DetectionLevel) -> DetectionLevel:
            return replace(level, **{name: value for name in ("lines", "min_face_pixels", "stride")
                                     if (value := getattr(self, name)) is not None})

    @property
    def request(self) -> FrameRequest:
        """All frames, at the level's size."""
        return FrameRequest(RATE_HZ, lines=self.config.level.lines)

    @property
    def still_request(self) -> FrameRequest:
        """The same for clips of one frame."""
        return FrameRequest(RATE_HZ, lines=self.config.still_level.lines)

    @property
    def needs(self) -> Needs:
        return Needs(frames=(self.request,))

    @property
    def row_shape(self) -> tuple[int, ...]:
        return (len(COLUMNS),)

    @property
    def sources(self) -> tuple[weights.Bundled, ...]:
        import facenet_pytorch
        folder = Path(facenet_pytorch.__file__).parent / "data"
        return tuple(weights.Bundled(f"mtcnn_{name}", f"MTCNN's {name}", "MIT, as facenet-pytorch", 0.0,
                                     partial(_load, name), "facenet-pytorch", folder / f"{name}.pt", digest)
                     for name, digest in NETWORKS.items())

    @property
    def weights(self) -> tuple[weights.WeightsRecord, ...]:
        return tuple(weights.file_record(name, "pretrained", source.path, source.digest)
                     for name, source in zip(NETWORKS, self.sources, strict=True))

    def settings(self) -> dict[str, object]:
        """The level's name and what it means, so that a changed level is another recipe."""
        return {"detection": self.config.detection, **result_settings(self.config.level)}

    @cached_property
    def detector(self) -> FaceDetector:
        """MTCNN, loaded at first use."""
        return FaceDetector(self.device, self.config.level.cascade)

    @cached_property
    def still_detector(self) -> FaceDetector:
        """MTCNN for clips of one frame, loaded at first use."""
        return FaceDetector(self.device, self.config.still_level.cascade)

    def second_look(self, media: Media) -> tuple[FrameRequest, ...]:
        """A clip of one frame is wanted larger than all frames of a longer one."""
        frames = media.frames[self.request]
        larger = frames.shape[1] < min(self.config.still_level.lines, frames.source_size[0])
        return (self.still_request,) if len(frames) == 1 and larger else ()

    def extract(self, media: Sequence[Media]) -> list[FeatureSequence]:
        return [self._extract_one(clip) for clip in media]

    def _extract_one(self, clip: Media) -> FeatureSequence:
        frames = clip.frames[self.request]
        if not len(frames):
            return FeatureSequence.empty(self.row_shape)
        if len(frames) == 1:
            frames = clip.frames.get(self.still_request, frames)
            search = _Search(frames, self.still_detector, self.config.still_level)
        else:
            search = _Search(frames, self.detector, self.config.level)
        tracks, faint = search.tracks()
        places, rows = face_rows(tracks, num_frames=len(frames), faint=faint)
        rows[:, [1, 3, *range(6, len(COLUMNS), 2)]] *= frames.source_size[1] / frames.shape[2]
        rows[:, [2, 4, *range(7, len(COLUMNS), 2)]] *= frames.source_size[0] / frames.shape[1]
        return FeatureSequence(rows, clip.cut(frames.times[places]))


class _Search:
    """One clip's faces, sought in its frames a few at a time."""

    def __init__(self, frames: Frames, detector: FaceDetector, level: DetectionLevel) -> None:
        self._frames, self._detector, self._level = frames, detector, level
        self._at_once = int(np.clip(_PIXELS_AT_ONCE // (frames.shape[1] * frames.shape[2]), 1, _FRAMES_AT_ONCE))

    def tracks(self) -> tuple[list[Linked], list[dict[int, float]]]:
        """All tracks, in pixels of the frames, and where each was looked for and not seen."""
        cuts = cuts_of(changes(thumbnails(block) for _, block in self._frames.blocks(self._at_once)))
        keys = key_frames(len(self._frames), cuts, self._level.stride)
        found, seen = self._detections(keys)
        linked = link(found, keys, cuts, looks=seen, follow=lambda track, stop: follow(track, self._look, stop))
        begin(linked, self._look, keys, cuts)
        linked = joined(linked, cuts)
        sights, faint = refine([track.sights for track in linked], self._look)
        return [Linked(more, track.found) for more, track in zip(sights, linked, strict=True)], faint

    def _detections(self, keys: np.ndarray) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """The whole cascade on key frames: faces (K, 15) of each, and what they look like."""
        min_face = self._level.min_face_pixels * self._frames.shape[1] / self._frames.source_size[0]
        found: list[np.ndarray] = []
        seen: list[np.ndarray] = []
        for start in range(0, len(keys), self._at_once):
            block = self._frames.take(keys[start:start + self._at_once])
            faces = self._detector(block, min_face=min_face)
            found += faces
            seen += [looks(frame, rows[:, :4]) for frame, rows in zip(block, faces, strict=True)]
        return found, seen

    def _look(self, places: np.ndarray, boxes: np.ndarray) -> np.ndarray:
        """The last network on known boxes (K, 4) of frames (K,): rows (K, 15)."""
        needed, which = np.unique(places, return_inverse=True)
        rows = np.zeros((len(places), NUM_COLUMNS), np.float32)
        for start in range(0, len(needed), self._at_once):
            here = (which >= start) & (which < start + self._at_once)
            block = self._frames.take(needed[start:start + self._at_once])
            rows[here] = self._detector.look(block, boxes[here], which[here] - start)
        return rows


def _load(name: str, path: Path) -> object:
    from facenet_pytorch.models import mtcnn
    return weights.load_state({"pnet": mtcnn.PNet, "rnet": mtcnn.RNet, "onet": mtcnn.ONet}[name](pretrained=False),
                              path)
