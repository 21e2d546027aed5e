"""Expression over time: what an emotion, a voice and a person's restlessness do to a face, frame by frame."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from scipy.ndimage import gaussian_filter1d, uniform_filter1d

_BLINK_SECONDS = 0.20
_SECONDS_BETWEEN_BLINKS = 2.2


@dataclass(frozen=True)
class Expression:
    """Curves of a face, each float64 (T,).

    Args:
        smile: corners of the mouth, −1 (down) to 1 (up).
        brows: −1 (lowered) to 1 (raised).
        furrow: brows drawn together, 0 to 1.
        inner_brows: inner ends raised, as in sorrow, 0 to 1.
        lids: −1 (wide open) over 0 (as photographed) to 1 (shut).
        wrinkle: nose wrinkled and upper lip raised, 0 to 1.
        opening: mouth, 0 (shut) to 1.
        rounding: lips drawn together, 0 to 1.
        yaw, nod: head turned to the picture's right, and down, −1 to 1.
        roll_degrees: head tilted clockwise.
        lean: how much larger the head is than at rest.
    """

    smile: np.ndarray
    brows: np.ndarray
    furrow: np.ndarray
    inner_brows: np.ndarray
    lids: np.ndarray
    wrinkle: np.ndarray
    opening: np.ndarray
    rounding: np.ndarray
    yaw: np.ndarray
    nod: np.ndarray
    roll_degrees: np.ndarray
    lean: np.ndarray

    def __post_init__(self) -> None:
        lengths = {name: np.shape(getattr(self, name)) for name in names()}
        if len(set(lengths.values())) != 1 or len(lengths["smile"]) != 1:
            raise ValueError(f"the curves of an expression have one length (T,), found {lengths}")

    def __len__(self) -> int:
        return len(self.smile)

    def rows(self, start: int, stop: int) -> Expression:
        """The frames from ``start`` up to ``stop``."""
        return Expression(**{name: getattr(self, name)[start:stop] for name in names()})


def names() -> tuple[str, ...]:
    """The curves' names."""
    return tuple(field.name for field in fields(Expression))


@dataclass(frozen=True)
class Look:
    """The face of an emotion at its height; ranges as in :class:`Expression`."""

    smile: float = 0.0
    brows: float = 0.0
    furrow: float = 0.0
    inner_brows: float = 0.0
    lids: float = 0.0
    wrinkle: float = 0.0
    opening: float = 0.0
    yaw: float = 0.0
    nod: float = 0.0
    roll_degrees: float = 0.0
    lean: float = 0.0
    restlessness: float = 1.0
    articulation: float = 1.0


# Action units of the basic emotions: Ekman and Friesen, Facial Action Coding System (1978).
LOOKS = {
    "neutral": Look(),
    "joy": Look(smile=1.0, brows=.20, lids=.12, roll_degrees=2.0, restlessness=1.5, articulation=1.05),
    "surprise": Look(brows=1.0, lids=-.9, opening=.38, nod=-.5, lean=-.03, restlessness=1.2, articulation=1.05),
    "anger": Look(smile=-.55, brows=-.9, furrow=1.0, lids=.18, nod=.45, lean=.07, restlessness=1.7, articulation=1.2),
    "sadness": Look(smile=-.9, inner_brows=1.0, lids=.48, nod=.75, roll_degrees=-3.0, lean=-.02, restlessness=.5,
                    articulation=.85),
    "fear": Look(smile=-.35, brows=.65, inner_brows=.75, furrow=.35, lids=-.75, opening=.16, nod=-.2, lean=-.06,
                 restlessness=1.6, articulation=.95),
    "disgust": Look(smile=-.55, brows=-.45, furrow=.4, lids=.34, wrinkle=1.0, yaw=.7, nod=-.3, roll_degrees=3.0,
                    restlessness=.9, articulation=.95),
}


def act(look: Look, num_frames: int, rate_hz: float, *, opening: np.ndarray | None, rounding: np.ndarray | None,
        rng: np.random.Generator) -> Expression:
    """Let a face show an emotion, and speak.

    Args:
        look: the face's aim; it is reached within half a second and then wavers.
        num_frames, rate_hz: length of the curves.
        opening, rounding: of the mouth that speaks, (num_frames,); None for one that listens: it stays as it is.
        rng: strength, head motion and blinks.
    """
    time = np.arange(num_frames) / rate_hz
    strength = float(np.clip(rng.normal(1.0, .18), .55, 1.35))
    onset = strength * (.65 + .35 * np.clip(time / .5, 0, 1))
    curves = {name: getattr(look, name) * onset * (1 + .12 * _wander(num_frames, rate_hz, rng))
              for name in names() if name != "rounding"}
    if opening is None or rounding is None:
        curves["opening"] = np.full(num_frames, look.opening * .5)
        curves["rounding"] = np.zeros(num_frames)
    else:
        rest = curves["opening"] * .5
        curves["opening"] = np.clip(rest + look.articulation * opening, 0, 1.2)
        curves["rounding"] = rounding * np.clip(opening * 2, 0, 1)
    for name, spread in (("yaw", .45), ("nod", .30), ("roll_degrees", 1.6), ("lean", .010)):
        curves[name] = curves[name] + spread * look.restlessness * _wander(num_frames, rate_hz, rng)
    if opening is not None:
        curves["nod"] = curves["nod"] + .25 * gaussian_filter1d(opening, .12 * rate_hz) * look.restlessness
    curves["lids"] = np.clip(curves["lids"] + _blinks(time, rng), -1, 1)
    return Expression(**curves)


def listening(look: Look) -> Look:
    """A listener's face: a trace of the other's emotion, and a still mouth."""
    return replace(Look(), smile=.4 * look.smile, brows=.4 * look.brows, inner_brows=.3 * look.inner_brows,
                   lids=.3 * look.lids)


def mouth_opening(loudness: np.ndarray, wanted: np.ndarray, rate_hz: float) -> np.ndarray:
    """How far a mouth opens: as loud as the sound, more for open vowels.

    Args:
        loudness: root mean square of the voice around each frame, (T,).
        wanted: opening of the sound being said, 0 to 1, (T,).
        rate_hz: frames per second.

    Returns:
        (T,) from 0 to 1; 0 where it is quiet.
    """
    loudest = max(float(np.quantile(loudness, .95)), 1e-9)
    level = np.clip(loudness / loudest, 0, 1.1)
    level = np.where(level < .04, 0.0, level) ** .75
    shape = uniform_filter1d(np.asarray(wanted, np.float64), max(1, round(.06 * rate_hz)))
    return np.asarray(np.clip(level * (.50 + .55 * shape), 0, 1))


def _wander(num_frames: int, rate_hz: float, rng: np.random.Generator) -> np.ndarray:
    """A smooth random walk around 0 of about unit size, (T,)."""
    margin = int(2 * rate_hz)
    curve = gaussian_filter1d(rng.standard_normal(num_frames + 2 * margin), .30 * rate_hz)[margin:-margin]
    return np.asarray(curve * np.sqrt(2 * np.sqrt(np.pi) * .30 * rate_hz))


def _blinks(time: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Lids shutting for a fifth of a second now and then, 0 to 1, (T,)."""
    curve: np.ndarray = np.zeros(len(time))
    moment = rng.uniform(.1, _SECONDS_BETWEEN_BLINKS)
    while len(time) and moment < time[-1]:
        curve = np.maximum(curve, np.clip(1.3 * (1 - np.abs(time - moment) / (_BLINK_SECONDS / 2)), 0, 1))
        moment += rng.uniform(.6, 1.4) * _SECONDS_BETWEEN_BLINKS
    return curve
