"""How far emotions lie from each other on the circle of pleasure and arousal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.errors import UsageError

# Pleasure (polarity) and arousal, each from -1 to 1: mean ratings of J. A. Russell, A. Mehrabian, "Evidence for a
# three-factor theory of emotions", Journal of Research in Personality 11 (1977), without their third factor. Neutral is
# the origin of their scales. They did not rate "calm": it is read off figure 4 of J. A. Russell, "A circumplex model of
# affect", Journal of Personality and Social Psychology 39 (1980), whose other points agree with theirs within 0.03.
PLACES = {
    "neutral": (0.00, 0.00), "calm": (0.56, -0.31), "happy": (0.81, 0.51), "excited": (0.62, 0.75),
    "surprised": (0.40, 0.67), "angry": (-0.51, 0.59), "fearful": (-0.64, 0.60), "disgusted": (-0.60, 0.35),
    "frustrated": (-0.64, 0.52), "sad": (-0.63, -0.27), "bored": (-0.65, -0.62)}
# The words of corpora for the same.
SYNONYMS = {
    "joy": "happy", "happiness": "happy", "excitement": "excited", "surprise": "surprised", "anger": "angry",
    "fear": "fearful", "disgust": "disgusted", "frustration": "frustrated", "sadness": "sad", "boredom": "bored"}


def emotion_distances(names: Sequence[str]) -> np.ndarray:
    """Distances between emotions on the plane of pleasure and arousal, in radii of the circle: at most 2.

    Args:
        names: of the emotions, as corpora call them.

    Returns:
        float32 (C, C), symmetric, zeros on the diagonal.

    Raises:
        UsageError: an emotion whose place is not known.

    >>> emotion_distances(["happy", "sadness", "neutral"]).round(2).tolist()[0]
    [0.0, 1.6399999856948853, 0.9599999785423279]
    """
    plain = [SYNONYMS.get(name.lower(), name.lower()) for name in names]
    unknown = [name for name, known in zip(names, plain, strict=True) if known not in PLACES]
    if unknown:
        raise UsageError(f"no place on the circle of pleasure and arousal is known for {', '.join(unknown)}; known are"
                         f" {', '.join(sorted([*PLACES, *SYNONYMS]))}. Use metric_loss=triplet, which asks for none")
    places = np.array([PLACES[name] for name in plain])
    return np.asarray(np.linalg.norm(places[:, None] - places[None], axis=2), np.float32)
