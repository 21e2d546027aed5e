"""Telling speakers of one recording apart without trained weights: pure functions on frames and windows of its speech.

A window is described by how the average of its frames in each part of the sound space differs from the recording's
(a supervector: Campbell, Sturim and Reynolds, IEEE Signal Processing Letters 13, 2006). Windows are grouped by the
spectrum of a graph of nearest neighbours by cosine (Ng, Jordan and Weiss, NIPS 2001; binary neighbours as Park et al.,
IEEE Signal Processing Letters 27, 2020). Then each speaker gets a Gaussian mixture, and the best path through all
frames moves the boundaries (Reynolds and Torres-Carrasquillo, ICASSP 2005).
"""

from __future__ import annotations

import warnings

import numpy as np
import scipy.fft
import scipy.linalg
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from pipeline.sound.framing import num_windows
from pipeline.sound.prosody import runs
from pipeline.sound.spectrogram import MelSettings, log_mel, window_and_hop

_MEL = MelSettings(window_seconds=0.025, hop_seconds=0.01, bands=30, low_hz=80.0, high_hz=7600.0)
LEAST_NEIGHBOURS = 8               # of a window; with fewer, short recordings fall into pieces
_NUM_MFCC = 19                     # without the 0th, which is loudness
_RANGE_DB = 80.0                   # below the loudest band all is floor
_COMPONENTS = 16                   # parts of the sound space; fewer than 50 frames each would be no average
_RELEVANCE = 8.0                   # frames that the recording's average counts for in a window's
_SPEAKER_COMPONENTS = 5
_FRAMES = 20_000                   # that a mixture is fitted to at most
_BLOCK = 5                         # frames of 10 ms that a path decides on together
_LIKELIHOOD_SHARE = 0.3            # neighbouring frames overlap and say much the same
_LEAST_FRAMES = 50                 # whose covariance says something
_LEAST_VARIANCE = 0.1              # of standardised frames
_EDGE = 0.3                        # added to eigenvalues before their ratio, so that tiny ones count as equal
_JUMP_OF_ONE = 0.3                 # the first eigenvalue is 0 always, so the jump after it says little
_JUMP_SHARE = 0.4                  # of a jump beside likelihoods
_COST_FRAMES = 5000                # of speech, for which the cost of a group is stated: 50 s
_COST_FALLS = 0.2                  # power of the length with which it falls


def speech_frames(waveform: np.ndarray) -> np.ndarray:
    """Mel-frequency cepstra of each step of 10 ms.

    Args:
        waveform: float32 mono (S,) in [-1, 1] at 16 kHz.

    Returns:
        float64 (T, 19), T = S / 160 rounded up.
    """
    steps = num_windows(len(waveform))
    if not steps:
        return np.zeros((0, _NUM_MFCC))
    window, hop = window_and_hop(_MEL)
    padded = np.pad(waveform, ((window - hop) // 2, window))  # so that a window's middle is its step's
    levels = log_mel(padded, _MEL)[:steps]
    levels = np.maximum(levels, levels.max() - _RANGE_DB)
    return np.asarray(scipy.fft.dct(levels, axis=1, norm="ortho")[:, 1:_NUM_MFCC + 1], float)


def standardised(frames: np.ndarray, speech: np.ndarray) -> np.ndarray:
    """Frames on the scale of the recording's speech (mean 0, deviation 1 over it), 0 elsewhere; (T, D).

    Args:
        frames: (T, D).
        speech: where somebody speaks, bool (T,).
    """
    scaled = np.zeros(frames.shape)
    if speech.any():
        deviation = frames[speech].std(0)
        scaled[speech] = (frames[speech] - frames[speech].mean(0)) / np.where(deviation > 0, deviation, 1)
    return scaled


def speech_windows(speech: np.ndarray, size: int, hop: int) -> np.ndarray:
    """Overlapping windows over each stretch of speech; a stretch shorter than a window is a window.

    >>> speech_windows(np.array([0, 1, 1, 1, 1, 1, 0, 1], bool), 3, 2).tolist()
    [[1, 4], [3, 6], [7, 8]]

    Args:
        speech: bool (T,).
        size, hop: in steps, at least 1.

    Returns:
        Start and stop of each, int64 (N, 2); together they cover the stretches when ``hop`` is at most ``size``.

    Raises:
        ValueError: a size or hop below 1.
    """
    if size < 1 or hop < 1:
        raise ValueError(f"size and hop are at least 1 step, found {size} and {hop}")
    found = []
    for start, stop in runs(speech).tolist():
        starts = list(range(start, max(start, stop - size) + 1, hop))
        if starts[-1] + size < stop:
            starts.append(stop - size)
        found += [(first, min(first + size, stop)) for first in starts]
    return np.array(found, np.int64).reshape(-1, 2)


def supervectors(frames: np.ndarray, speech: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """How each window differs from the recording, (N, K · D).

    Args:
        frames: :func:`standardised`, (T, D).
        speech: bool (T,).
        windows: start and stop steps, (N, 2).
    """
    chosen = frames[speech]
    model = _mixture(chosen, max(1, min(_COMPONENTS, len(chosen) // 50)), 1e-2)
    place = np.concatenate([[0], np.cumsum(speech)])  # of a step among those of speech
    shares = model.predict_proba(chosen)
    rows = []
    for start, stop in place[windows].tolist():
        weight = shares[start:stop]
        count = weight.sum(0)[:, None]
        away = (weight.T @ chosen[start:stop] - count * model.means_) / (count + _RELEVANCE)
        rows.append((away / np.sqrt(model.covariances_) * np.sqrt(model.weights_)[:, None]).ravel())
    return np.array(rows)


def neighbour_graph(rows: np.ndarray, share: float) -> np.ndarray:
    """Who is among whose nearest by cosine: 1 both ways, 0.5 one way, else 0; symmetric, (N, N).

    Args:
        rows: one for each window, (N, D).
        share: of all windows that count as nearest, itself included; at least :data:`LEAST_NEIGHBOURS`.
    """
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    likeness = (rows / np.maximum(lengths, 1e-9)) @ (rows / np.maximum(lengths, 1e-9)).T
    np.fill_diagonal(likeness, 2.0)
    most = min(len(rows), max(LEAST_NEIGHBOURS, round(share * len(rows))))
    nearest = np.argpartition(-likeness, most - 1, axis=1)[:, :most]
    graph = np.zeros(likeness.shape)
    np.put_along_axis(graph, nearest, 1.0, axis=1)
    return np.asarray((graph + graph.T) / 2)


def spectrum(graph: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    """The least eigenvalues of a graph's normalised Laplacian and their vectors, (≤ most,) and (N, ≤ most)."""
    root = np.sqrt(graph.sum(1))
    values, vectors = scipy.linalg.eigh(np.eye(len(graph)) - graph / np.outer(root, root),
                                        subset_by_index=(0, min(most, len(graph)) - 1))
    return np.clip(values, 0, None), vectors


def count_groups(values: np.ndarray, likelihoods: np.ndarray, num_frames: int, cost: float) -> int:
    """How many groups there are: those after which a graph's eigenvalues jump, and whose own sounds are worth it.

    Each further group has to raise the likelihood of the sound by ``cost``, less in longer recordings (as Chen and
    Gopalakrishnan's criterion has it, DARPA Broadcast News Workshop, 1998; their price falls faster, because it takes
    frames for independent of each other). The jump is that of the eigengap (von Luxburg, Statistics and Computing 17,
    2007), by ratio.

    >>> count_groups(np.array([0.0, 0.02, 0.03, 0.5, 0.6, 0.7]), np.array([0, 1.0, 2.0, 2.2]), 5000, 0.5)
    3

    Args:
        values: least eigenvalues, rising, (> K,).
        likelihoods: :func:`likelihood` of the frames in 1 to K groups, (K,).
        num_frames: of speech.
        cost: of a group in 50 s of speech.
    """
    jumps = np.log((values[1:len(likelihoods) + 1] + _EDGE) / (values[:len(likelihoods)] + _EDGE))
    jumps[0] = _JUMP_OF_ONE
    price = cost * (_COST_FRAMES / num_frames) ** _COST_FALLS
    worth = likelihoods[:len(jumps)] - price * np.arange(len(jumps)) + _JUMP_SHARE * jumps
    return int(worth.argmax()) + 1


def likelihood(frames: np.ndarray, labels: np.ndarray) -> float:
    """Mean logarithmic likelihood of frames, a Gaussian for each group, but for what all groupings have in common.

    Args:
        frames: :func:`standardised`, (T, D).
        labels: of each step, -1 where nobody speaks, (T,).
    """
    parts = [frames[labels == label] for label in np.unique(labels[labels >= 0])]
    total = sum(map(len, parts))
    return float(-0.5 * sum(len(part) * _volume(part) for part in parts if len(part) >= _LEAST_FRAMES) / max(1, total))


def _volume(frames: np.ndarray) -> float:
    """Logarithm of the determinant of the covariance."""
    covariance = np.cov(frames.T) + _LEAST_VARIANCE * np.eye(frames.shape[1])
    return float(np.linalg.slogdet(covariance)[1])


def group_windows(vectors: np.ndarray, num_groups: int) -> np.ndarray:
    """A group for each row of the spectrum, int64 (N,), by k-means on rows of length 1; the same each time."""
    num_groups = min(num_groups, len(vectors))
    rows = vectors[:, :num_groups]
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=ConvergenceWarning)  # fewer distinct rows than groups
        return np.asarray(KMeans(num_groups, n_init=10, random_state=0).fit_predict(rows), np.int64)


def label_steps(windows: np.ndarray, labels: np.ndarray, speech: np.ndarray) -> np.ndarray:
    """The group of each step of speech, int64 (T,), −1 elsewhere: by vote of its windows, their middles counting most.

    A step that no window covers has the group of the window whose middle is nearest.
    """
    votes = np.zeros((len(speech), int(labels.max(initial=0)) + 1), np.float32)
    for (start, stop), label in zip(windows.tolist(), labels.tolist(), strict=True):
        votes[start:stop, label] += np.bartlett(stop - start + 2)[1:-1]
    steps = np.flatnonzero(speech)
    found = np.full(len(speech), -1, np.int64)
    found[steps] = votes[steps].argmax(1)
    lonely = steps[votes[steps].max(1) == 0]
    if len(lonely):
        middles = windows.mean(1)
        order = np.argsort(middles, kind="stable")
        right = np.clip(np.searchsorted(middles[order], lonely), 1, max(1, len(order) - 1))
        left = right - 1
        right = np.minimum(right, len(order) - 1)
        nearer = np.where(lonely - middles[order[left]] <= middles[order[right]] - lonely, left, right)
        found[lonely] = labels[order[nearer]]
    return found


def resegment(frames: np.ndarray, labels: np.ndarray, *, switch_cost: float, rounds: int = 2) -> np.ndarray:
    """Move the boundaries to where the speakers' own sounds change.

    Args:
        frames: :func:`standardised`, (T, D).
        labels: speaker of each step, −1 where nobody speaks, int64 (T,).
        switch_cost: log-likelihood that a change of speaker has to gain.
        rounds: how often mixtures are fitted and the path is found.

    Returns:
        int64 (T,), −1 at the same steps; a speaker may lose all steps.
    """
    steps = np.flatnonzero(labels >= 0)
    chosen, own = frames[steps], labels[steps]
    starts = np.arange(0, len(steps), _BLOCK)
    for _ in range(rounds):
        names = [name for name in np.unique(own) if (own == name).sum() >= 4 * _BLOCK]
        if len(names) < 2:
            break
        levels = np.stack([_mixture(chosen[own == name], max(1, min(_SPEAKER_COMPONENTS, (own == name).sum() // 100)),
                                    0.05).score_samples(chosen) for name in names], axis=1)
        path = best_path(_LIKELIHOOD_SHARE * np.add.reduceat(levels, starts), switch_cost)
        moved = np.array(names)[path].repeat(_BLOCK)[:len(own)]
        if (moved == own).all():
            break
        own = moved
    found = np.full(len(labels), -1, np.int64)
    found[steps] = own
    return found


def best_path(levels: np.ndarray, switch_cost: float) -> np.ndarray:
    """The column of each row on the path of the greatest sum, each change costing ``switch_cost``; int64 (T,)."""
    came_from = np.zeros(levels.shape, np.int64)
    stays = np.arange(levels.shape[1])
    total = levels[0].copy()
    for step in range(1, len(levels)):
        best = int(total.argmax())
        switched = total[best] - switch_cost
        came_from[step] = np.where(total >= switched, stays, best)
        total = np.maximum(total, switched) + levels[step]
    path = np.zeros(len(levels), np.int64)
    path[-1] = int(total.argmax())
    for step in range(len(levels) - 1, 0, -1):
        path[step - 1] = came_from[step, path[step]]
    return path


def _mixture(frames: np.ndarray, num_components: int, least_variance: float) -> GaussianMixture:
    """Gaussians with diagonal covariance; the same each time, fitted to evenly chosen frames where there are many."""
    chosen = frames[::max(1, -(-len(frames) // _FRAMES))]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=ConvergenceWarning)  # close enough after a few rounds
        return GaussianMixture(int(min(num_components, len(chosen))), covariance_type="diag",
                               reg_covar=least_variance, max_iter=25, random_state=0).fit(chosen)
