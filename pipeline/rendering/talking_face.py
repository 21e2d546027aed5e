"""A photograph that speaks: smooth warps of mouth, lids, brows and head, with teeth and the dark of the mouth.

Two passes of backward warping: the expression is drawn into the photograph, then the head moves before the camera. Both
trace each pixel they make back to where it comes from. Coordinates are pixels of the photograph. Shapes: B frames, H by
W pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from pipeline.rendering.acting import Expression, names
from pipeline.rendering.portrait import BROW_POINTS, FACE_BOX, HEAD_CENTRE, NECK, NOSE

Field = torch.Tensor
_FRAMES_AT_ONCE = 8
_EXPRESSION_BOX = (172, 70, 278, 198)  # left, top, right, bottom of what an expression may change

_EYE_ROWS, _MOUTH_ROWS = slice(86 - 70, 112 - 70), slice(117 - 70, 198 - 70)  # of that box, which begins at 70
_GRID_SCALE, _GRID_SHIFT = 2 / 512, .5 * 2 / 512 - 1  # pixels of the photograph to grid_sample's coordinates

_MOUTH_X, _MOUTH_HALF_WIDTH = 224.0, 20.5
_MOUTH_SLANT = 0.036  # the photograph's mouth rises to its left
_CORNER_Y, _UPPER_LIP_SAG, _LOWER_LIP_SAG = 140.2, 3.5, 9.6  # inner edges of the lips as photographed
_SHUT_Y, _SHUT_CORNER_Y = 145.8, 145.4  # where the lips meet when the mouth is shut and does not smile
_MOUTH_DARK, _TONGUE = (41.0, 10.0, 13.0), (115.0, 41.0, 43.0)  # RGB of 255
# Centre and half width, height of the upper lid at its highest, of the lower lid at its lowest.
_EYES = ((204.0, 12.0, 97.0, 104.7), (247.0, 12.0, 98.8, 106.7))


@dataclass(frozen=True)
class Camera:
    """What of the photograph is seen.

    Args:
        centre: (x, y) of the photograph in the middle of the frame.
        zoom: output pixels per pixel of the photograph.
        height, width: of the frame.
        face_width: the head's width relative to the photograph's.
        mirrored: flip the frame.
    """

    centre: tuple[float, float]
    zoom: float
    height: int
    width: int
    face_width: float = 1.0
    mirrored: bool = False

    def face_box(self) -> tuple[float, float, float, float]:
        """Where the face is at rest: left, top, right, bottom in output pixels."""
        left, right = ((x - self.centre[0]) * self.zoom * self.face_width + self.width / 2 for x in FACE_BOX[::2])
        top, bottom = ((y - self.centre[1]) * self.zoom + self.height / 2 for y in FACE_BOX[1::2])
        return (self.width - right, top, self.width - left, bottom) if self.mirrored else (left, top, right, bottom)

    def grid(self) -> tuple[Field, Field]:
        """Photograph coordinates of every output pixel's centre, two of (H, W)."""
        x = (torch.arange(self.width) + .5 - self.width / 2) / (self.zoom * self.face_width) + self.centre[0] - .5
        y = (torch.arange(self.height) + .5 - self.height / 2) / self.zoom + self.centre[1] - .5
        return x.expand(self.height, -1), y[:, None].expand(-1, self.width)


def render_face(picture: np.ndarray, expression: Expression, camera: Camera) -> Iterator[np.ndarray]:
    """Frames of one person.

    Args:
        picture: the coloured photograph, float32 RGB (512, 512, 3) in [0, 1].
        expression: curves of T frames.
        camera: what is seen.

    Yields:
        Blocks of frames in order, uint8 RGB (≤ 8, H, W, 3).
    """
    channels_first = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[None]
    source = channels_first * 255 + .5  # the conversion to uint8 cuts: with the half it rounds
    canvas = source.repeat(min(_FRAMES_AT_ONCE, len(expression)), 1, 1, 1)
    left, top, right, bottom = _EXPRESSION_BOX
    head, brows = _HeadMotion(*camera.grid()), _BrowMotion()
    for start in range(0, len(expression), _FRAMES_AT_ONCE):
        part = expression.rows(start, min(start + _FRAMES_AT_ONCE, len(expression)))
        curves = {name: torch.as_tensor(getattr(part, name), dtype=torch.float32)[:, None, None] for name in names()}
        pictures = canvas[:len(part)]
        pictures[:, :, top:bottom, left:right] = _express(source, brows, curves)
        frames = _sample(pictures, head.trace(curves)).to(torch.uint8)
        if camera.mirrored:
            frames = frames.flip(3)
        yield frames.permute(0, 2, 3, 1).contiguous().numpy()


def _express(source: Field, brows: _BrowMotion, curves: dict[str, Field]) -> Field:
    """The face with each frame's expression, as large as ``_EXPRESSION_BOX``, (B, 3, h, w)."""
    x, y = brows.trace(curves)
    y[:, _EYE_ROWS] = _move_lids(x[:, _EYE_ROWS], y[:, _EYE_ROWS], curves)
    mouth = _move_mouth(x[:, _MOUTH_ROWS], y[:, _MOUTH_ROWS], curves)
    x[:, _MOUTH_ROWS], y[:, _MOUTH_ROWS] = mouth.x, mouth.y
    places = torch.stack([x, y], dim=-1) * _GRID_SCALE + _GRID_SHIFT
    face = _sample(source.expand(len(x), -1, -1, -1), places)
    face[:, :, _MOUTH_ROWS] = _paint_mouth(face[:, :, _MOUTH_ROWS], mouth, curves)
    return face * brows.shade(curves)[:, None]


def _sample(pictures: Field, places: Field) -> Field:
    """Colours of pictures (B, 3, 512, 512) at places (B, H, W, 2) in torch's −1 to 1, bilinear, (B, 3, H, W)."""
    sampled: Field = torch.nn.functional.grid_sample(pictures, places, mode="bilinear", padding_mode="border",
                                                     align_corners=False)
    return sampled


def _bump(x: Field, y: Field, centre: tuple[float, float], radius_x: float, radius_y: float) -> Field:
    distance = ((x - centre[0]) / radius_x) ** 2 + ((y - centre[1]) / radius_y) ** 2
    return torch.exp(-distance.clamp(max=30))  # further out the result would be denormal, and ten times slower


def _ease(z: Field) -> Field:
    """1 at 0 and below, 0 at 1 and above, smooth between."""
    return .5 + .5 * torch.cos(torch.pi * z.clamp(0, 1))


def _blend(weights: Sequence[Field], shapes: Field) -> Field:
    """Shapes (K, H, W) added up with weights (B, 1, 1) each, (B, H, W)."""
    blended: Field = torch.tensordot(torch.cat([weight[:, :, 0] for weight in weights], dim=1), shapes, dims=1)
    return blended


class _HeadMotion:
    """The head turning about the neck; what is far from the head stays where it is.

    Args:
        x, y: place in the photograph of every output pixel with the head at rest, (H, W).
    """

    def __init__(self, x: Field, y: Field) -> None:
        distance = torch.sqrt(((x - HEAD_CENTRE[0]) / 78) ** 2 + ((y - HEAD_CENTRE[1]) / 86) ** 2)
        held = _ease((distance - .95) / .65)
        near = _bump(x, y, NOSE, 36, 46)  # the nose stands out: it moves further than the outline
        scaled = x * _GRID_SCALE + _GRID_SHIFT, y * _GRID_SCALE + _GRID_SHIFT
        moves = held * (x - NECK[0]), held * (y - NECK[1]), held, near
        self.shapes = torch.stack([*scaled, *(move * _GRID_SCALE for move in moves)])

    def trace(self, curves: dict[str, Field]) -> Field:
        """Where each pixel comes from, in torch's −1 to 1, (B, H, W, 2)."""
        angle, scale = torch.deg2rad(-curves["roll_degrees"]), 1 / (1 + curves["lean"])
        cosine, sine, yaw, nod = scale * torch.cos(angle), scale * torch.sin(angle), curves["yaw"], curves["nod"]
        one, none = torch.ones_like(yaw), torch.zeros_like(yaw)
        return torch.stack([_blend((one, none, cosine - 1, -sine, -3.0 * yaw, -3.5 * yaw), self.shapes),
                            _blend((none, one, sine, cosine - 1, -2.0 * nod, -3.5 * nod), self.shapes)], dim=-1)


class _BrowMotion:
    """Raised, lowered and furrowed brows, a wrinkled nose, and the folds that they draw."""

    def __init__(self) -> None:
        left, top, right, bottom = _EXPRESSION_BOX
        y, x = torch.meshgrid(torch.arange(top, bottom).float(), torch.arange(left, right).float(), indexing="ij")
        self.x, self.y = x, y
        ends = [[_bump(x, y, (point[0], point[1] - 1.0), 8.5, 6.5) for point in points] for points in BROW_POINTS]
        outer, middle, inner = (one + other for one, other in zip(*ends))
        nose = _bump(x, y, (NOSE[0], NOSE[1] + 6), 16, 12)
        self.lifts = torch.stack([outer, middle, inner, nose])
        self.towards_middle = ends[0][2] - ends[1][2]
        self.frown_folds = _bump(x, y, (220.5, 95), 1.5, 6) + _bump(x, y, (229.5, 95), 1.5, 6)
        self.nose_folds = torch.stack([_bump(x, y, (225, row), 4.5, 1.0) for row in (103.0, 106.5, 110.0)]).sum(0)

    def trace(self, curves: dict[str, Field]) -> tuple[Field, Field]:
        """Where each pixel of the face comes from, (B, H, W) each."""
        up, down, inner = curves["brows"].clamp(min=0), curves["brows"].clamp(max=0), curves["inner_brows"]
        lifts = (3.0 * up + .9 * down - .9 * inner, 3.6 * up + 1.4 * down, 2.6 * up + 2.2 * down + 2.4 * inner,
                 2.6 * curves["wrinkle"])
        return self.x - 3.2 * curves["furrow"] * self.towards_middle, self.y + _blend(lifts, self.lifts)

    def shade(self, curves: dict[str, Field]) -> Field:
        """Darkening of the folds, factor (B, H, W)."""
        return 1 - .32 * curves["furrow"] * self.frown_folds - .20 * curves["wrinkle"] * self.nose_folds


def _move_lids(x: Field, y: Field, curves: dict[str, Field]) -> Field:
    """Upper lids that shut or widen: piecewise linear between brow, lid and lower lid, (B, H, W)."""
    moved = y
    travel = curves["lids"].clamp(min=0), 4.2 * curves["lids"].clamp(max=0)
    for centre, half_width, upper, lower in _EYES:
        along = (x - centre) / half_width
        inside = (1 - along ** 2).clamp(min=0)
        lid, bottom = upper + 5.0 * along ** 2, lower - 1.5 * along ** 2
        top = lid - 7.5
        target = lid + (travel[0] * (bottom - lid - .8) + travel[1]) * inside
        above = top + (y - top) * 7.5 / (target - top)
        below = lid + (y - target) * (bottom - lid) / (bottom - target)
        active = (inside > 0) & (y > top) & (y < bottom)
        moved = torch.where(active, torch.where(y < target, above, below), moved)
    return moved


@dataclass(frozen=True)
class _Mouth:
    """Traced coordinates (x, y) and what the inside of the mouth needs, each (B, H, W)."""

    x: Field
    y: Field
    along: Field
    from_upper: Field
    to_lower: Field
    gap: Field


def _move_mouth(x: Field, y: Field, curves: dict[str, Field]) -> _Mouth:
    """Undo opening, rounding, smile and raised lip.

    The photograph smiles and shows teeth: inside the lips its teeth are kept, above the upper and below the lower lip's
    inner edge the skin is pushed so that those edges come to lie where this frame has them.
    """
    smile, opening, rounding = curves["smile"], curves["opening"], curves["rounding"]
    happy, sad = smile.clamp(min=0), (-smile).clamp(min=0)
    half_width = _MOUTH_HALF_WIDTH * (.86 + .16 * happy - .04 * sad - .20 * rounding - .04 * opening)
    zone = torch.exp(-(((x - _MOUTH_X) / 34) ** 4 + ((y - 147) / 20) ** 4).clamp(max=30))
    source_x = _MOUTH_X + (x - _MOUTH_X) * (1 + (_MOUTH_HALF_WIDTH / half_width - 1) * zone)
    along = (source_x - _MOUTH_X) / _MOUTH_HALF_WIDTH
    arch, bowl = (1 - along ** 2).clamp(min=0), (1 - along.abs() ** 3).clamp(min=0)
    beyond = _ease((along.abs() - 1) / .9)

    slant = _MOUTH_SLANT * (source_x - _MOUTH_X).clamp(-_MOUTH_HALF_WIDTH, _MOUTH_HALF_WIDTH)
    upper_source = _CORNER_Y + slant + _UPPER_LIP_SAG * arch
    lower_source = _CORNER_Y + slant + _LOWER_LIP_SAG * bowl
    corner = _SHUT_CORNER_Y - 5.4 * happy + 4.4 * sad + .5 * opening
    line = corner + (_SHUT_Y - .8 * sad - corner) * arch
    upper = line - (1.6 * opening + 2.2 * happy + 3.0 * curves["wrinkle"]) * arch
    lower = line + (10.5 * opening + 2.2 * happy + .8 * curves["wrinkle"]) * bowl

    upward = (upper - y) / (11 + 11 * (along ** 2).clamp(max=1))
    downward = (y - lower) / 36
    shift_up, shift_down = (upper - upper_source) * beyond, (lower - lower_source) * beyond
    above, below = y - shift_up * _ease(upward), y - shift_down * _ease(downward)
    # The teeth hang from the skull: they stay where they are while the lips move over them.
    within = torch.minimum(y - .25 * (upper - upper_source) * beyond, lower_source - .5)
    within = torch.maximum(within, upper_source + .3)
    source_y = torch.where(y < upper, above, torch.where(y > lower, below, within))
    return _Mouth(source_x, source_y, along, y - upper, lower - y, lower - upper)


def _paint_mouth(face: Field, mouth: _Mouth, curves: dict[str, Field]) -> Field:
    """Dark and tongue behind the teeth, and the line where shut lips meet; (B, 3, H, W)."""
    dark, tongue = (torch.tensor(colour)[None, :, None, None] for colour in (_MOUTH_DARK, _TONGUE))
    between = (mouth.along.abs() < 1).float()
    inside = between * torch.sigmoid(mouth.from_upper * 2.5) * torch.sigmoid(mouth.to_lower * 2.5)
    inside = inside * (mouth.gap / 1.5).clamp(0, 1)
    teeth_length = 2.2 + 3.0 * curves["smile"].clamp(min=0) + 1.5 * curves["wrinkle"]
    hidden = inside * torch.sigmoid((mouth.from_upper - teeth_length) * 2.0)
    shadow = inside * .30 * torch.exp(-(mouth.from_upper / 1.2).clamp(0, 30))
    depth = torch.sigmoid((mouth.to_lower - 3.0) * -1.2) * (mouth.gap / 9).clamp(0, 1)
    cavity = dark + (tongue - dark) * depth[:, None]
    painted = face * (1 - hidden[:, None]) + cavity * hidden[:, None]
    shut = between * (1 - (mouth.gap / 2.0)).clamp(0, 1) * torch.exp(-(mouth.from_upper ** 2).clamp(max=30))
    return painted * (1 - shadow[:, None]) * (1 - .55 * shut[:, None])
