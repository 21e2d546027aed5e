"""MTCNN over many frames at once: the three networks of facenet-pytorch, run as one cascade over a batch.

Zhang et al. 2016, "Joint Face Detection and Alignment using Multitask Cascaded Convolutional Networks". The weights are
those inside facenet-pytorch's wheel. Against its ``MTCNN.detect`` all frames' candidates go through a network together,
a frame without a face is an ordinary result, and no picture is so large that its networks' outputs fill memory. The
settings say whether the rest is as there or cheaper: a coarser pyramid, weak candidates dropped early, crops sampled
and not averaged.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional
from torchvision.ops import batched_nms, roi_align

CELL = 12  # side in pixels of what the first network looks at
_PIXELS_AT_ONCE = 2 ** 20  # through the first network: its widest layer then takes 40 MB
_PIXELS_AS_NUMBERS = 2 ** 24  # larger pictures stay bytes when they are scaled: 200 MB as numbers
_CROPS_AT_ONCE = 128
_LOOK_SIDE = 8
_LOOK_GROWTH = 1.7
_SAMPLES = 16  # pixels averaged a side for one pixel of a crop; what a larger face has more are passed over
NUM_COLUMNS = 15  # x1, y1, x2, y2, probability, then x and y of left eye, right eye, nose, left and right mouth corner


@dataclass(frozen=True)
class CascadeSettings:
    """Settings of the cascade.

    Args:
        pyramid_factor: size of each scale relative to the one before; .709 in the paper, .6 loses no face and is
            a third faster, .5 does.
        thresholds: least probability after each network.
        most_candidates: per frame, kept after the first network.
        is_exact: every scale is made from the picture itself and crops are averaged, as in the reference; otherwise
            each scale is made from the one before and crops are sampled, which is many times faster.
    """

    pyramid_factor: float = 0.6
    thresholds: tuple[float, float, float] = (0.8, 0.7, 0.7)
    most_candidates: int = 40
    is_exact: bool = False


#: The settings of Zhang et al. and of facenet-pytorch; the bound on candidates is ours and far above what faces need.
REFERENCE = CascadeSettings(pyramid_factor=0.709, thresholds=(0.6, 0.7, 0.7), most_candidates=2000, is_exact=True)


class FaceDetector:
    """MTCNN's networks, loaded.

    Args:
        device: where they run.
        settings: of the cascade.
    """

    def __init__(self, device: torch.device, settings: CascadeSettings = CascadeSettings()) -> None:
        from facenet_pytorch.models.mtcnn import ONet, PNet, RNet
        layout = torch.channels_last
        self._proposal, self._refine, self._output = (
            network().eval().requires_grad_(False).to(device).to(memory_format=layout)
            for network in (PNet, RNet, ONet))
        self._device = device
        self._settings = settings

    def __call__(self, frames: np.ndarray, *, min_face: float) -> list[np.ndarray]:
        """Faces of each frame.

        Args:
            frames: uint8 RGB (N, H, W, 3).
            min_face: height in pixels of the smallest face to find; below 12 counts as 12.

        Returns:
            For each frame float32 (K, 15): box x1, y1, x2, y2 in pixels, probability, five landmarks x, y; the most
            probable first. K = 0 without a face.
        """
        with torch.inference_mode():
            pixels = torch.from_numpy(np.ascontiguousarray(frames)).to(self._device).permute(0, 3, 1, 2)
            found = self._cascade(pixels, max(float(min_face), float(CELL)))
        return [_without_nested(found[found[:, 0] == place][:, 1:]) for place in range(len(frames))]

    def look(self, frames: np.ndarray, boxes: np.ndarray, places: np.ndarray) -> np.ndarray:
        """What the third network alone says of boxes that are already known: the face in each, placed anew.

        Args:
            frames: uint8 RGB (N, H, W, 3).
            boxes: x1, y1, x2, y2 in pixels, (K, 4).
            places: frame of each box, (K,).

        Returns:
            float32 (K, 15), in order, as from a call; a low probability says that there is no face.
        """
        if not len(boxes):
            return np.zeros((0, NUM_COLUMNS), np.float32)
        with torch.inference_mode():
            pixels = torch.from_numpy(np.ascontiguousarray(frames)).to(self._device).permute(0, 3, 1, 2)
            known = torch.from_numpy(np.asarray(boxes, np.float32)).to(self._device)
            frame = torch.from_numpy(np.asarray(places, np.int64)).to(self._device)
            return self._landmarked(self._source(pixels), _squared(known), frame).cpu().numpy()

    def _cascade(self, pixels: torch.Tensor, min_face: float) -> np.ndarray:
        """Rows of (frame, 15 columns) for uint8 (N, 3, H, W)."""
        if pixels.device.type != "cpu":
            pixels = pixels.float()  # only the CPU shrinks bytes with an antialiasing filter
        boxes, places = self._propose(pixels, CELL / min_face)
        source = self._source(pixels) if len(boxes) else pixels
        if len(boxes):
            boxes, places = self._refined(source, boxes, places)
        if not len(boxes):
            return np.zeros((0, 1 + NUM_COLUMNS), np.float32)
        rows = torch.cat([places[:, None].float(), self._landmarked(source, boxes, places)], 1)
        return rows[rows[:, 5] > self._settings.thresholds[2]].cpu().numpy()

    def _propose(self, pixels: torch.Tensor, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
        """First network over a pyramid: square boxes (K, 4) and their frames (K,)."""
        height, width = pixels.shape[2:]
        found, picture = [], pixels
        while min(height, width) * scale >= CELL:
            size = int(height * scale + 1), int(width * scale + 1)
            picture = _reduced(pixels, size) if self._settings.is_exact else _shrunk(picture, size)
            offsets, scores = self._proposals(picture)
            place, row, column = torch.nonzero(scores >= self._settings.thresholds[0], as_tuple=True)
            cell = torch.stack([column, row], 1).float() * 2 + 1
            boxes = torch.cat([torch.floor(cell / scale), torch.floor((cell + CELL - 1) / scale)], 1)
            score = scores[place, row, column]
            keep = batched_nms(boxes, score, place, 0.5)
            found.append((boxes[keep], score[keep], offsets[place, :, row, column][keep], place[keep]))
            scale *= self._settings.pyramid_factor
        if not found:
            return pixels.new_zeros((0, 4), dtype=torch.float32), pixels.new_zeros(0, dtype=torch.long)
        boxes, score, offset, place = (torch.cat(parts) for parts in zip(*found, strict=True))
        keep = batched_nms(boxes, score, place, 0.7)
        keep = keep[_rank_within(place[keep]) < self._settings.most_candidates]
        boxes, offset, place = boxes[keep], offset[keep], place[keep]
        return _squared(boxes + offset * (boxes[:, 2:] - boxes[:, :2]).repeat(1, 2)), place

    def _proposals(self, picture: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """First network's offsets (N, 4, h, w) and face probabilities (N, h, w); large pictures in strips.

        Output row ``r`` sees rows ``2r`` to ``2r + 11``: strips of even height that share ten rows give the same.
        """
        num_frames, _, height, width = picture.shape
        strip = max(2 * CELL, _PIXELS_AT_ONCE // (max(num_frames, 1) * width) // 2 * 2)
        parts = [self._proposal(_normalised(picture[:, :, start:start + strip]))
                 for start in range(0, max(height - CELL + 2, 1), strip - CELL + 2)]
        offsets, scores = (torch.cat(part, dim=2) for part in zip(*parts, strict=True))
        return offsets, scores[:, 1]

    def _refined(self, source: torch.Tensor, boxes: torch.Tensor,
                 places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Second network: fewer and better square boxes."""
        offsets, scores = self._judge(self._refine, source, boxes, places, 24)
        keep = scores > self._settings.thresholds[1]
        boxes, places, scores, offsets = boxes[keep], places[keep], scores[keep], offsets[keep]
        keep = batched_nms(boxes, scores, places, 0.7)
        return _squared(_shifted(boxes[keep], offsets[keep])), places[keep]

    def _landmarked(self, source: torch.Tensor, boxes: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """Third network on square boxes (K, 4): box, probability and landmarks, (K, 15)."""
        offsets, landmarks, scores = self._judge(self._output, source, boxes, places, 48)
        corner, size = boxes[:, None, :2], boxes[:, None, 2:] - boxes[:, None, :2] + 1
        points = corner - 1 + size * landmarks.view(-1, 2, 5).transpose(1, 2)              # (K, 5, 2)
        return torch.cat([_shifted(boxes, offsets), scores[:, None], points.flatten(1)], 1)

    def _judge(self, network: torch.nn.Module, source: torch.Tensor, boxes: torch.Tensor, places: torch.Tensor,
               side: int) -> tuple[torch.Tensor, ...]:
        """A later network on the boxes' crops; its outputs with the face probability (K,) in the last place."""
        height, width = source.shape[2:]
        whole = boxes.trunc()
        limit = whole.new_tensor([width, height])
        low = torch.minimum(whole[:, :2].clamp(min=1) - 1, limit - 1)
        high = torch.maximum(torch.minimum(whole[:, 2:], limit), low + 1)
        regions = torch.cat([places[:, None].float(), low, high], 1)
        crop = _averaged if self._settings.is_exact else _sampled
        parts = [network(crop(source, regions[start:start + _CROPS_AT_ONCE], side))
                 for start in range(0, len(regions), _CROPS_AT_ONCE)]
        *outputs, scores = (torch.cat(part) for part in zip(*parts, strict=True))
        return (*outputs, scores[:, 1])

    def _source(self, pixels: torch.Tensor) -> torch.Tensor:
        """What crops are cut from: bytes where they are averaged, scaled numbers where they are sampled."""
        return pixels if self._settings.is_exact else _normalised(pixels, torch.contiguous_format)


def looks(frame: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """What each box and its surroundings look like, so that a person can be told from another within a shot.

    A picture of 8×8 pixels of the box grown by 1.7, which holds hair and shoulders, less its mean, at length 1. The
    product of two is 0.96 in the middle for one person half a second apart, and 0.63 for two people.

    Args:
        frame: uint8 RGB (H, W, 3).
        boxes: x1, y1, x2, y2 in pixels, (K, 4).

    Returns:
        float32 (K, 192).
    """
    if not len(boxes):
        return np.zeros((0, 3 * _LOOK_SIDE ** 2), np.float32)
    with torch.inference_mode():
        known = torch.from_numpy(np.asarray(boxes, np.float32))
        middle, half = (known[:, :2] + known[:, 2:]) / 2, (known[:, 2:] - known[:, :2]) / 2 * _LOOK_GROWTH
        limit = known.new_tensor([frame.shape[1], frame.shape[0]])
        low = torch.minimum((middle - half).clamp(min=0), limit - 1)
        high = torch.maximum(torch.minimum(middle + half, limit), low + 1)
        regions = torch.cat([known.new_zeros(len(known), 1), low, high], 1)
        pixels = torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)[None]
        values = _averaged(pixels, regions, _LOOK_SIDE).flatten(1)
        return functional.normalize(values - values.mean(1, keepdim=True)).numpy()


def _shrunk(pixels: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Bytes (N, 3, H, W) scaled down to (height, width) of ``size``; a larger size gives them as they are."""
    if size >= pixels.shape[2:]:
        return pixels
    return functional.interpolate(pixels, size, mode="bilinear", antialias=True)


def _reduced(pixels: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """As :func:`_shrunk`, but as the reference does it: means of whole pixels, and a larger size repeats them."""
    if pixels.shape[2] * pixels.shape[3] > _PIXELS_AS_NUMBERS:
        return _shrunk(pixels, size)
    return functional.interpolate(pixels.float(), size, mode="area")


def _sampled(source: torch.Tensor, regions: torch.Tensor, side: int) -> torch.Tensor:
    """Crops (K, 3, side, side) of regions (K, 5) from scaled pixels, two samples a pixel and direction."""
    crops: torch.Tensor = roi_align(source, regions, (side, side), sampling_ratio=2, aligned=True)
    return crops


def _averaged(source: torch.Tensor, regions: torch.Tensor, side: int) -> torch.Tensor:
    """Crops (K, 3, side, side) of regions (K, 5) from bytes, each pixel a mean."""
    crops = []
    for place, left, top, right, bottom in regions.long().tolist():
        step = max(1, min(bottom - top, right - left) // (_SAMPLES * side))
        region = source[place:place + 1, :, top:bottom:step, left:right:step].float()
        crops.append(functional.interpolate(region, (side, side), mode="area"))
    return _normalised(torch.cat(crops))


def _normalised(pixels: torch.Tensor, layout: torch.memory_format = torch.channels_last) -> torch.Tensor:
    """As MTCNN's networks were trained: about -1 to 1."""
    scaled = pixels.to(torch.float32, memory_format=layout, copy=True)
    return scaled.sub_(127.5).mul_(0.0078125)


def _squared(boxes: torch.Tensor) -> torch.Tensor:
    """Boxes (K, 4) grown around their middle to squares."""
    middle, side = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]).amax(1, keepdim=True)
    return torch.cat([middle - side / 2, middle + side / 2], 1)


def _shifted(boxes: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    """Boxes (K, 4) moved by a network's offsets (K, 4), in parts of width and height."""
    return boxes + offsets * (boxes[:, 2:] - boxes[:, :2] + 1).repeat(1, 2)


def _rank_within(groups: torch.Tensor) -> torch.Tensor:
    """How many earlier entries of the same group stand before each entry, (K,)."""
    order = torch.argsort(groups, stable=True)
    in_order = groups[order]
    first = torch.searchsorted(in_order, in_order)
    ranks = torch.empty_like(groups)
    ranks[order] = torch.arange(len(groups), device=groups.device) - first
    return ranks


def _without_nested(rows: np.ndarray, most_overlap: float = 0.7) -> np.ndarray:
    """Drop boxes that a more probable one covers by more than ``most_overlap`` of the smaller area; (K, 15)."""
    rows = rows[np.argsort(-rows[:, 4], kind="stable")]
    kept: list[np.ndarray] = []
    for row in rows:
        if all(_overlap_of_smaller(row, other) <= most_overlap for other in kept):
            kept.append(row)
    return np.stack(kept) if kept else np.zeros((0, NUM_COLUMNS), np.float32)


def _overlap_of_smaller(a: np.ndarray, b: np.ndarray) -> float:
    sides = np.minimum(a[2:4], b[2:4]) - np.maximum(a[:2], b[:2])
    smaller = min(np.prod(a[2:4] - a[:2]), np.prod(b[2:4] - b[:2]))
    return float(np.prod(np.clip(sides, 0, None)) / max(smaller, 1e-9))
