"""How sure it is that a face speaks, from its mouth and the sound; no trained weights, nothing fitted to any clip.

Two kinds of evidence are added as logarithms of odds, and the result counts only where there is a voice at all:

* **The mouth moves** more than the face around it, all the time that there is a voice. That alone tells speakers from
  listeners well (Ruvolo and Movellan, "An Alternative to Low-level-Synchrony-Based Methods for Speech Detection", NIPS
  2010), but laughing and chewing look the same, so it never weighs more than ``_MOST_FOR``.
* **Mouth and voice go together**: the mouth's motion and opening are correlated with the envelope of the voice, which
  lips lead by 0.1 to 0.2 s (Chandrasekaran et al., "The Natural Statistics of Audiovisual Speech", PLoS Computational
  Biology 5, 2009; for finding speakers first in Hershey and Movellan, "Audio Vision", NIPS 1999). What two signals that
  have nothing to do with each other would show by chance follows from their own autocorrelations (Bartlett, "Some
  Aspects of the Time-correlation Problem", Journal of the Royal Statistical Society 98, 1935), so little sound or a
  single swell says little, and many syllables say much.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.special import expit, logsumexp

from pipeline.faces.mouths import Mouth
from pipeline.sound.voice import Voice

# A mouth that speaks changes by about a third of the face's contrast from one picture to another 0.08 s later; a still
# one by a twentieth, which is grain. Even odds lie between the two; a third of that change is odds of 1 : 9.
_EVEN_CHANGE = 0.13
_SLOPE = 2.0
# The mouth lies outside the region that the head's motion is fitted on, where its error is larger.
_NOISE_SHARE = 2.0
# Log odds. Of those who move their mouth while somebody is heard, say that three in four speak (others laugh and chew).
_MOST_FOR, _MOST_AGAINST = np.log(3), 4.0
_MOST_TOGETHER = 3.0
# The mouth of one speaker in five shows nothing of the voice: a hand or a microphone before it, a beard, a song.
_HIDDEN = 0.2
# Fisher's transform of the correlation of a speaker's mouth with his voice: 0.3 to 0.6 in sentences.
_TOGETHER, _TOGETHER_SPREAD = 0.5, 0.25
_LAGS_SECONDS = -0.28, 0.20           # sound before the mouth; lips lead by 0.04 at least, files are out by up to 0.2
_SYLLABLE_SECONDS = 0.05              # smoothing that keeps syllables
_PHRASE_SECONDS = 0.1                 # and that keeps words and pauses
_DRIFT_SECONDS = 0.3                  # slower changes of the opening are moods, light and turns of the head
_WINDOW_SECONDS = 5.0                 # about twenty syllables, and seldom more than one turn
_LEAST_SECONDS = 1.0                  # three syllables; in less, any two curves look alike
_BREATH_SECONDS = 0.4
_NEAR_SECONDS = 0.6                   # mouths are watched over ± this
_UNSEEN = -1.0                        # log odds of a face whose mouth cannot be seen
_CLEAR_PIXELS = 5.0, 12.0             # between the eyes: nothing is seen below, all above


def speaking_scores(mouth: Mouth, voice: Voice) -> np.ndarray:
    """How sure it is that a face speaks, for each of its rows.

    Args:
        mouth: one stretch of a track.
        voice: what is heard in the same clip.

    Returns:
        float32 (R,) in [0, 1]; from 0.5 on it speaks.
    """
    heard = _heard(voice, mouth.row_times)
    if len(mouth.times) < 3:
        return np.asarray(expit(_UNSEEN) * heard, np.float32)
    evidence = moving(mouth, voice) + together(mouth, voice)
    low, high = _CLEAR_PIXELS
    clear = np.clip((mouth.eyes_pixels - low) / (high - low), 0, 1)
    odds = clear * evidence + (1 - clear) * _UNSEEN
    return np.asarray(expit(np.interp(mouth.row_times, mouth.times, odds)) * heard, np.float32)


def _heard(voice: Voice, seconds: np.ndarray) -> np.ndarray:
    """1 where there is a voice or just was, or soon will be: a breath between words is not somebody else's turn."""
    around = np.linspace(-_BREATH_SECONDS, _BREATH_SECONDS, 9)
    return np.asarray(np.minimum(voice.activity_at(seconds[:, None] + around).max(1) / 0.5, 1))


def excess(mouth: Mouth) -> np.ndarray:
    """Change around the mouth beyond what noise makes, in parts of the face's contrast, (T,)."""
    return np.asarray(np.sqrt(np.clip(mouth.motion ** 2 - _NOISE_SHARE * mouth.noise ** 2, 0, None)))


def moving(mouth: Mouth, voice: Voice) -> np.ndarray:
    """Log odds from the mouth's motion while there is a voice, (T,).

    Args:
        mouth: one stretch of a track.
        voice: what is heard in the same clip.
    """
    step = _step(mouth)
    weight = voice.activity_at(mouth.times) + 1e-3
    # Roots, so that moving all the time counts for more than one grimace.
    near = gaussian_filter1d(weight * np.sqrt(excess(mouth)), _NEAR_SECONDS / step, mode="constant")
    level = (near / gaussian_filter1d(weight, _NEAR_SECONDS / step, mode="constant")) ** 2
    return np.asarray(np.clip(_SLOPE * np.log(np.maximum(level, 1e-6) / _EVEN_CHANGE), -_MOST_AGAINST, _MOST_FOR))


def together(mouth: Mouth, voice: Voice) -> np.ndarray:
    """Log odds from what mouth and voice have in common, (T,): about 0 where there is too little to tell.

    Args:
        mouth: one stretch of a track.
        voice: what is heard in the same clip.
    """
    step, count = _step(mouth), len(mouth.times)
    if count * step < _LEAST_SECONDS:
        return np.zeros(count)
    size = min(count, max(3, round(_WINDOW_SECONDS / step)))
    starts = np.unique(np.linspace(0, count - size, 1 + -(-4 * (count - size) // size)).astype(int))
    first, last = (round(lag / step) for lag in _LAGS_SECONDS)
    heard = np.stack([voice.envelope_at(mouth.times - lag * step) for lag in range(first, last + 1)])
    syllables, phrases, drift = (seconds / step for seconds in (_SYLLABLE_SECONDS, _PHRASE_SECONDS, _DRIFT_SECONDS))

    def swings(signal: np.ndarray) -> np.ndarray:
        return np.asarray(gaussian_filter1d(signal, syllables) - gaussian_filter1d(signal, drift))

    pairs = [(gaussian_filter1d(np.sqrt(excess(mouth)), phrases), gaussian_filter1d(heard, phrases)),
             (swings(mouth.opening), swings(heard))]
    odds = np.array([sum(_common(seen[start:start + size], sound[:, start:start + size]) for seen, sound in pairs)
                     for start in starts])
    odds = np.logaddexp(np.log(_HIDDEN), np.log(1 - _HIDDEN) + np.minimum(odds, _MOST_TOGETHER))
    return np.asarray(np.interp(mouth.times, mouth.times[starts + size // 2], odds))


def _common(seen: np.ndarray, heard: np.ndarray) -> float:
    """Log of the odds that a signal (N,) goes with one of some shifted ones (L, N), against chance."""
    seen = seen - seen.mean()
    heard = heard - heard.mean(1, keepdims=True)
    size = np.sqrt((seen ** 2).sum() * (heard ** 2).sum(1))
    if size.min() < 1e-6:
        return 0.0
    likeness = np.arctanh(np.clip(heard @ seen / size, -0.98, 0.98))
    # The variance of Fisher's transform of the correlation of N independent pairs is 1 / (N - 3).
    chance = 1 / max(_independent_pairs(seen, heard[len(heard) // 2]) - 3, 0.25)
    spread = chance + _TOGETHER_SPREAD ** 2
    for_it = -(likeness - _TOGETHER) ** 2 / spread - np.log(spread)
    against = -likeness ** 2 / chance - np.log(chance)
    return float(logsumexp((for_it - against) / 2) - np.log(len(heard)))


def _independent_pairs(a: np.ndarray, b: np.ndarray) -> float:
    """How many independent pairs of values two signals (N,) are worth, from their own circular autocorrelations."""
    own = [np.fft.irfft(np.abs(np.fft.rfft(signal)) ** 2, len(a)) for signal in (a, b)]
    return float(len(a) * own[0][0] * own[1][0] / max((own[0] * own[1]).sum(), 1e-12))


def _step(mouth: Mouth) -> float:
    return float(mouth.times[-1] - mouth.times[0]) / (len(mouth.times) - 1)
