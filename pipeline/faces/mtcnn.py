"""MTCNN over many frames at once: the three networks of facenet-pytorch, run as one cascade over a batch.

Zhang et al. 2016, "Joint Face Detection and Alignment using Multitask Cascaded Convolutional Networks". The weights are
those inside facenet-pytorch's wheel. Against its ``MTCNN.detect`` the image pyramid is coarser, each scale is made from
the one before, weak candidates are dropped early and all frames' candidates go through a network together; a frame
without a face is an ordinary result.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional
from torchvision.ops import batched_nms, roi_align

CELL = 12  # side in pixels of what the first network looks at
NUM_COLUMNS = 15  # x1, y1, x2, y2, probability, then x and y of left eye, right eye, nose, left and right mouth corner


@dataclass(frozen=True)
class CascadeSettings:
    """Settings of the cascade.

    Args:
        pyramid_factor: size of each scale relative to the one before; .709 in the paper, .6 loses no face and is
            a third faster, .5 does.
        thresholds: least probability after each network.
        most_candidates: per frame, kept after the first network.
    """

    pyramid_factor: float = 0.6
    thresholds: tuple[float, float, float] = (0.8, 0.7, 0.7)
    most_candidates: int = 40


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

    def _cascade(self, pixels: torch.Tensor, min_face: float) -> np.ndarray:
        """Rows of (frame, 15 columns) for uint8 (N, 3, H, W)."""
        if pixels.device.type != "cpu":
            pixels = pixels.float()  # only the CPU shrinks bytes with an antialiasing filter
        boxes, places = self._propose(pixels, CELL / min_face)
        scaled = _normalised(pixels)
        if len(boxes):
            boxes, places = self._refined(scaled, boxes, places)
        if not len(boxes):
            return np.zeros((0, 1 + NUM_COLUMNS), np.float32)
        offsets, landmarks, scores = self._judge(self._output, scaled, boxes, places, 48)
        keep = scores > self._settings.thresholds[2]
        boxes, places, scores, offsets, landmarks = (
            part[keep] for part in (boxes, places, scores, offsets, landmarks))
        corner, size = boxes[:, None, :2], boxes[:, None, 2:] - boxes[:, None, :2] + 1
        points = corner - 1 + size * landmarks.view(-1, 2, 5).transpose(1, 2)              # (K, 5, 2)
        rows = torch.cat([places[:, None].float(), _shifted(boxes, offsets), scores[:, None], points.flatten(1)], 1)
        return rows.cpu().numpy()

    def _propose(self, pixels: torch.Tensor, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
        """First network over a pyramid: square boxes (K, 4) and their frames (K,)."""
        height, width = pixels.shape[2:]
        found, picture = [], pixels
        while min(height, width) * scale >= CELL:
            size = int(height * scale + 1), int(width * scale + 1)
            if size < picture.shape[2:]:
                picture = functional.interpolate(picture, size, mode="bilinear", antialias=True)
            offsets, scores = self._proposal(_normalised(picture))
            place, row, column = torch.nonzero(scores[:, 1] >= self._settings.thresholds[0], as_tuple=True)
            cell = torch.stack([column, row], 1).float() * 2 + 1
            boxes = torch.cat([torch.floor(cell / scale), torch.floor((cell + CELL - 1) / scale)], 1)
            score = scores[place, 1, row, column]
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

    def _refined(self, scaled: torch.Tensor, boxes: torch.Tensor,
                 places: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Second network: fewer and better square boxes."""
        offsets, scores = self._judge(self._refine, scaled, boxes, places, 24)
        keep = scores > self._settings.thresholds[1]
        boxes, places, scores, offsets = boxes[keep], places[keep], scores[keep], offsets[keep]
        keep = batched_nms(boxes, scores, places, 0.7)
        return _squared(_shifted(boxes[keep], offsets[keep])), places[keep]

    def _judge(self, network: torch.nn.Module, scaled: torch.Tensor, boxes: torch.Tensor, places: torch.Tensor,
               side: int) -> tuple[torch.Tensor, ...]:
        """A later network on the boxes' crops; its outputs with the face probability (K,) in the last place."""
        height, width = scaled.shape[2:]
        whole = boxes.trunc()
        low = whole[:, :2].clamp(min=1) - 1
        high = torch.maximum(torch.minimum(whole[:, 2:], whole.new_tensor([width, height])), low + 1)
        regions = torch.cat([places[:, None].float(), low, high], 1)
        crops = roi_align(scaled, regions, (side, side), sampling_ratio=2, aligned=True)
        parts = [network(crops[start:start + 128]) for start in range(0, len(crops), 128)]
        *outputs, scores = (torch.cat(part) for part in zip(*parts, strict=True))
        return (*outputs, scores[:, 1])


def _normalised(pixels: torch.Tensor) -> torch.Tensor:
    scaled = pixels.to(torch.float32, memory_format=torch.channels_last, copy=True)
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
