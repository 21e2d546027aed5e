"""Who is it? InceptionResnetV1 on a few good crops of each face track: one 512-d row a track, to tell people apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from pipeline import weights
from pipeline.config import setting
from pipeline.errors import ClipError
from pipeline.extractors import Extractor
from pipeline.faces import COLUMNS, RATE_HZ
from pipeline.faces.alignment import IDENTITY_CROP, cut, resized
from pipeline.faces.quality import sharpness, yaw_degrees
from pipeline.media import FeatureSequence, FrameRequest, Frames, Media, Needs
from pipeline.networks.backbones import build, optimised, weights_record
from pipeline.windows import Snippets

SIDE = 160          # of the network's input, in pixels
NUM_CLASSES = 8631  # people of VGGFace2, whose layer stands in the published file and gives no part of an embedding
MOST_LOOKED_AT = 3  # crops that are cut for each one that is used
EVERY_FOURTH = Snippets(size=1, hop=4, most=2 ** 31)


def _network() -> torch.nn.Module:
    from facenet_pytorch import InceptionResnetV1
    return InceptionResnetV1(classify=True, num_classes=NUM_CLASSES)  # type: ignore[no-any-return]


def _load(path: Path) -> object:
    return weights.load_state(_network(), path)


VGGFACE2 = weights.Official(
    "20180402-114759-vggface2.pt", "facenet-pytorch's InceptionResnetV1, trained on VGGFace2",
    "MIT, as facenet-pytorch; VGGFace2's photographs have terms of their own", 111.9, _load,
    "https://github.com/timesler/facenet-pytorch/releases/download/v2.2.9/20180402-114759-vggface2.pt")


class FaceIdentity(Extractor):
    """Row ``k`` is the person of track ``k`` of ``faces``: the mean over good crops of the track, of length 1.

    The track is cut into equal stretches; of each the most probable and frontal faces are cut out and the sharpest of
    them goes through the network. Frames are looked at four apart, and all of them where a track is too short for that.
    A row of zeros says that nothing is known of the person. Times are the track's first to last second.
    """

    modality = "face"
    trainable_input = False
    identity = True

    @dataclass(frozen=True)
    class Config(Extractor.Config):
        weights: str = setting("pretrained", "pretrained, random, a weight file, or a folder that holds it")
        crops: int = setting(5, "crops of a track that are averaged, from as many stretches of it")
        lines: int = setting(720, "crops are cut from the picture at this height at most")
        batch_size: int = setting(16, "crops at a time", machine=True)

        def __post_init__(self) -> None:
            for name in ("crops", "lines", "batch_size"):
                if getattr(self, name) < 1:
                    raise ValueError(f"{name} is at least 1, found {getattr(self, name)}")

    @property
    def request(self) -> FrameRequest:
        """Every fourth frame, large."""
        return FrameRequest(RATE_HZ, lines=self.config.lines, snippets=EVERY_FOURTH)

    @property
    def all_frames(self) -> FrameRequest:
        """The same without gaps, for tracks that lie between."""
        return FrameRequest(RATE_HZ, lines=self.config.lines)

    @property
    def needs(self) -> Needs:
        return Needs(frames=(self.request,), features=("faces",))

    def second_look(self, media: Media) -> tuple[FrameRequest, ...]:
        faces, frames = media.features["faces"], media.frames[self.request]
        seen = np.isin(_grid_frames(faces), frames.indices)
        return () if set(_tracks(faces)[seen]) == set(_tracks(faces)) else (self.all_frames,)

    @property
    def row_shape(self) -> tuple[int, ...]:
        return (512,)

    @property
    def sources(self) -> tuple[weights.Published, ...]:
        return (VGGFACE2,) if self.config.weights == "pretrained" else ()

    @property
    def weights(self) -> tuple[weights.WeightsRecord, ...]:
        return (weights_record("inception_resnet_v1", self.config.weights, VGGFACE2),)

    @cached_property
    def network(self) -> torch.nn.Module:
        """InceptionResnetV1 without its layer of classes: (B, 3, 160, 160) → (B, 512), rows of length 1."""
        network = build(_network, self.config.weights, VGGFACE2)
        network.classify = False  # type: ignore[assignment]
        del network.logits
        return optimised(network, dtype="float32", device=self.device)

    def settings(self) -> dict[str, object]:
        return {**super().settings(), "crop": IDENTITY_CROP.name}

    def extract(self, media: Sequence[Media]) -> list[FeatureSequence]:
        return [self._extract_one(clip) for clip in media]

    def _extract_one(self, clip: Media) -> FeatureSequence:
        faces = clip.features["faces"]
        tracks = _tracks(faces)
        if not len(tracks):
            return FeatureSequence.empty(self.row_shape)
        num_tracks = int(tracks.max()) + 1
        frames = clip.frames[self.all_frames if self.all_frames in clip.frames else self.request]
        crops: list[np.ndarray] = []
        owners: list[int] = []
        for track in range(num_tracks):
            found = _good_crops(frames, faces, np.flatnonzero(tracks == track), self.config.crops)
            crops += found
            owners += [track] * len(found)
        sums = np.zeros((num_tracks, *self.row_shape), np.float32)
        if crops:
            np.add.at(sums, owners, self._embed(np.stack(crops)))
        values = sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)
        times = [[faces.times[tracks == track, 0].min(), faces.times[tracks == track, 1].max()]
                 for track in range(num_tracks)]
        return FeatureSequence(values.astype(np.float32), np.array(times, np.float32))

    def _embed(self, crops: np.ndarray) -> np.ndarray:
        """uint8 (N, 160, 160, 3) → float32 (N, 512)."""
        size, rows = self.config.batch_size, []
        with torch.inference_mode():
            for start in range(0, len(crops), size):
                pixels = torch.from_numpy(crops[start:start + size]).to(self.device).permute(0, 3, 1, 2).float()
                rows.append(self.network((pixels - 127.5) / 128).cpu().numpy())
        return np.concatenate(rows)


def _tracks(faces: FeatureSequence) -> np.ndarray:
    """Track of each row, int64 (R,).

    Raises:
        ClipError: they are not numbered from 0.
    """
    tracks = faces.values[:, COLUMNS.index("track")].astype(np.int64)
    if not np.array_equal(np.unique(tracks), np.arange(len(set(tracks.tolist())))):
        raise ClipError("the tracks of its faces are not numbered 0, 1, 2, …; extract faces again", stage="faces")
    return tracks


def _grid_frames(faces: FeatureSequence) -> np.ndarray:
    return np.round(faces.times[:, 0] * RATE_HZ).astype(np.int64)


def _good_crops(frames: Frames, faces: FeatureSequence, rows: np.ndarray, count: int) -> list[np.ndarray]:
    """The sharpest of the most frontal faces of each of ``count`` stretches of a track, of its rows of ``faces``."""
    grid = _grid_frames(faces)
    rows = rows[np.isin(grid[rows], frames.indices)]
    here = resized(faces.values, np.array(frames.shape[2:0:-1]) / np.maximum(frames.source_size[::-1], 1))
    crops = []
    for stretch in np.array_split(rows, min(count, len(rows))) if len(rows) else ():
        is_good = here[stretch, COLUMNS.index("probability")] * np.cos(np.deg2rad(yaw_degrees(here[stretch])))
        best = stretch[np.argsort(-is_good, kind="stable")[:MOST_LOOKED_AT]]
        pictures = frames.take(frames.at(grid[best]))
        found = np.stack([cut(picture, here[row], IDENTITY_CROP, SIDE)
                          for picture, row in zip(pictures, best.tolist(), strict=True)])
        crops.append(found[sharpness(found).argmax()])
    return crops
