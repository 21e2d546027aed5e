"""Groups of face tracks that show one person.

Two groups are joined while the mean likeness over all pairs of their tracks is high enough, the most alike first
(average linkage), and never when a track of one and a track of the other were in view together: those are two people.
The mean over all pairs is the product of the groups' mean embeddings, so that only sums are kept; candidates are the
nearest neighbours of each group, found anew in every round. That makes tens of thousands of tracks affordable where a
table of all pairs would fill memory.
"""

from __future__ import annotations

import heapq
from collections import defaultdict

import numpy as np

NUM_NEIGHBOURS = 32  # candidates of a group in a round; a group that has more alike ones meets them in the next
NOBODY = -1          # label of a track whose person nothing is known of


def cluster(embeddings: np.ndarray, apart: np.ndarray, *, least_likeness: float) -> np.ndarray:
    """Group tracks by person.

    Args:
        embeddings: rows of length 1, float32 (N, D); a row of zeros is nobody's.
        apart: pairs of tracks that are two people, int64 (P, 2).
        least_likeness: mean cosine between the tracks of two groups from which on they are one person's, above 0.

    Returns:
        Group of each track, int64 (N,), numbered by size, the largest 0; :data:`NOBODY` for a row of zeros.

    Raises:
        ValueError: the threshold is not above 0 and at most 1.
    """
    if not 0 < least_likeness <= 1:
        raise ValueError(f"least_likeness is above 0 and at most 1, found {least_likeness}")
    known = np.flatnonzero(np.any(embeddings, axis=1))
    groups = _Groups(embeddings[known], _places(apart, known, len(embeddings)), least_likeness)
    while groups.join_round():
        pass
    labels = np.full(len(embeddings), NOBODY, np.int64)
    labels[known] = groups.labels()
    return labels


def overlapping(clips: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Pairs of tracks that are in view together in one clip.

    Args:
        clips: clip of each track, int64 (N,).
        times: first and last second of each track, (N, 2).

    Returns:
        int64 (P, 2), each pair once.
    """
    found = []
    order = np.lexsort((times[:, 0], clips))
    edges = np.flatnonzero(np.diff(clips[order])) + 1
    for tracks in np.split(order, edges):
        start, stop = times[tracks].T
        both = np.triu((start[:, None] < stop[None]) & (start[None] < stop[:, None]), 1)
        found.append(tracks[np.argwhere(both)])
    return np.concatenate(found).astype(np.int64) if found else np.zeros((0, 2), np.int64)


def prototypes(embeddings: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Mean embedding of each group, of length 1, float32 (G, D) for labels 0 to G − 1."""
    means = np.zeros((int(labels.max(initial=NOBODY)) + 1, embeddings.shape[1]), np.float32)
    np.add.at(means, labels[labels >= 0], embeddings[labels >= 0])
    return np.asarray(means / np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12))


def _places(apart: np.ndarray, known: np.ndarray, length: int) -> np.ndarray:
    """Pairs among the known tracks, by their place there."""
    place = np.full(length, -1, np.int64)
    place[known] = np.arange(len(known))
    pairs = place[np.asarray(apart, np.int64).reshape(-1, 2)]
    found: np.ndarray = pairs[(pairs >= 0).all(1)]
    return found


class _Groups:
    """Groups that grow; each is known by the place of one of its tracks."""

    def __init__(self, embeddings: np.ndarray, apart: np.ndarray, least_likeness: float) -> None:
        self._sums = embeddings.astype(np.float32)
        self._sizes = np.ones(len(embeddings), np.int64)
        self._members = {place: [place] for place in range(len(embeddings))}
        self._apart: defaultdict[int, set[int]] = defaultdict(set)
        for one, other in apart.tolist():
            self._apart[one].add(other)
            self._apart[other].add(one)
        self._least = least_likeness

    def labels(self) -> np.ndarray:
        """Group of each track, the largest first; of equals the one with the earliest track."""
        labels = np.zeros(len(self._sums), np.int64)
        order = sorted(self._members.values(), key=lambda tracks: (-len(tracks), min(tracks)))
        for label, tracks in enumerate(order):
            labels[tracks] = label
        return labels

    def join_round(self) -> int:
        """Join near groups, the most alike first, until none are alike enough; how many were joined."""
        near = self._neighbours()
        heap = [edge for group, others in near.items() for edge in self._edges(group, others) if edge[1] < edge[2]]
        heapq.heapify(heap)
        num_joined = 0
        while heap:
            _, one, other, one_size, other_size = heapq.heappop(heap)
            if (self._sizes[one], self._sizes[other]) != (one_size, other_size):
                continue  # one of them has grown or is gone since; what it became has edges of its own
            kept, gone = (one, other) if one_size >= other_size else (other, one)
            self._join(kept, gone, near)
            num_joined += 1
            for edge in self._edges(kept, near[kept]):
                heapq.heappush(heap, edge)
        return num_joined

    def _join(self, kept: int, gone: int, near: dict[int, set[int]]) -> None:
        self._sums[kept] += self._sums[gone]
        self._sizes[kept] += self._sizes[gone]
        self._sizes[gone] = 0
        self._members[kept] += self._members.pop(gone)
        for relation in (self._apart, near):
            for other in relation.pop(gone, set()):
                relation[other].discard(gone)
                if other != kept:
                    relation[other].add(kept)
                    relation[kept].add(other)
        if len(near[kept]) > 2 * NUM_NEIGHBOURS:  # the rest is met again in the next round
            likeness, others = self._likeness(kept, near[kept])
            dropped = others[np.argsort(-likeness, kind="stable")[NUM_NEIGHBOURS:]]
            for other in dropped.tolist():
                near[kept].discard(other)
                near[other].discard(kept)

    def _likeness(self, group: int, others: set[int]) -> tuple[np.ndarray, np.ndarray]:
        """Mean likeness over all pairs of tracks of a group and of each of some others, which come along in order."""
        places = np.fromiter(sorted(others), np.int64, len(others))
        return self._sums[places] @ self._sums[group] / (self._sizes[places] * self._sizes[group]), places

    def _edges(self, group: int, others: set[int]) -> list[tuple[float, int, int, int, int]]:
        """What may be joined with a group: less likeness, both groups, both sizes."""
        if not others:
            return []
        likeness, places = self._likeness(group, others)
        return [(-alike, group, other, int(self._sizes[group]), int(self._sizes[other]))
                for alike, other in zip(likeness.tolist(), places.tolist(), strict=True)
                if alike >= self._least and other not in self._apart[group]]

    def _neighbours(self) -> dict[int, set[int]]:
        """The nearest groups of each, both ways."""
        from sklearn.neighbors import NearestNeighbors
        groups = np.fromiter(self._members, np.int64, len(self._members))
        near: dict[int, set[int]] = {group: set() for group in groups.tolist()}
        if len(groups) < 2:
            return near
        means = self._sums[groups]
        means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
        search = NearestNeighbors(n_neighbors=min(NUM_NEIGHBOURS + 1, len(groups)), algorithm="brute").fit(means)
        for group, found in zip(groups.tolist(), groups[search.kneighbors(means, return_distance=False)].tolist(),
                                strict=True):
            for other in found:
                if other != group:
                    near[group].add(other)
                    near[other].add(group)
        return near
