"""Faces of every frame: track, box, probability and five landmarks; what other face extractors read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from pipeline import weights
from pipeline.config import setting
from pipeline.extractors import Extractor
from pipeline.faces import COLUMNS, RATE_HZ
from pipeline.faces.mtcnn import CascadeSettings, FaceDetector
from pipeline.faces.shots import changes, cuts_of, key_frames
from pipeline.faces.tracking import face_rows, link
from pipeline.media import FeatureSequence, FrameRequest, Media, Needs

BLOCK = 16  # frames in memory and in one batch at a time
THUMBNAIL_STEP = 8
# MTCNN's networks and the SHA-256 of their files in facenet-pytorch 2.5.3.
NETWORKS = {"pnet": "a2a71925e0b9996a42f63e47efc1ca19043e69558b5c523b978d611dfae49c8f",
            "rnet": "bbb937de72efc9ef83b186c49f5f558467a1d7e3453a8ece0d71a886633f6a86",
            "onet": "165bfbe42940416ccfb977545cf0e976d5bf321f67083ae2aaaa5c764280118d"}


class Faces(Extractor):
    """MTCNN on key frames of a small picture; between them boxes and landmarks are interpolated.

    A row is one face in one frame of a 15 Hz grid, in pixels of the upright source picture; a frame with two faces has
    two rows.
    """

    modality = "face"
    columns = COLUMNS
    trainable_input = False

    @dataclass(frozen=True)
    class Config(Extractor.Config):
        lines: int = setting(180, "height in pixels of the picture that faces are sought in")
        min_face_pixels: int = setting(24, "height in source pixels of the smallest face to find; in the picture that"
                                           " faces are sought in it is never below 12: 48 source pixels at 720 lines")
        stride: int = setting(4, "15 Hz frames from one key frame to the next; 6 and more lose tracks")

        def __post_init__(self) -> None:
            if min(self.lines, self.min_face_pixels, self.stride) < 1:
                raise ValueError("lines, min_face_pixels and stride are at least 1")

    @property
    def request(self) -> FrameRequest:
        """All frames, small."""
        return FrameRequest(RATE_HZ, lines=self.config.lines)

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

    @cached_property
    def detector(self) -> FaceDetector:
        """MTCNN, loaded at first use."""
        return FaceDetector(self.device, CascadeSettings())

    def extract(self, media: Sequence[Media]) -> list[FeatureSequence]:
        return [self._extract_one(clip) for clip in media]

    def _extract_one(self, clip: Media) -> FeatureSequence:
        frames = clip.frames[self.request]
        if not len(frames):
            return FeatureSequence.empty(self.row_shape)
        cuts = cuts_of(changes(block[:, ::THUMBNAIL_STEP, ::THUMBNAIL_STEP].mean(3)
                               for _, block in frames.blocks(BLOCK)))
        keys = key_frames(len(frames), cuts, self.config.stride)
        shrink = frames.shape[1] / frames.source_size[0]
        found: list[np.ndarray] = []
        for start in range(0, len(keys), BLOCK):
            found += self.detector(frames.take(keys[start:start + BLOCK]),
                                   min_face=self.config.min_face_pixels * shrink)
        places, rows = face_rows(link(found, keys, cuts), num_keys=len(keys))
        rows[:, [1, 3, *range(6, len(COLUMNS), 2)]] *= frames.source_size[1] / frames.shape[2]
        rows[:, [2, 4, *range(7, len(COLUMNS), 2)]] *= frames.source_size[0] / frames.shape[1]
        return FeatureSequence(rows, clip.cut(frames.times[places]))


def _load(name: str, path: Path) -> object:
    from facenet_pytorch.models import mtcnn
    return weights.load_state({"pnet": mtcnn.PNet, "rnet": mtcnn.RNet, "onet": mtcnn.ONet}[name](pretrained=False),
                              path)
