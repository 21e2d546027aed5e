"""Groups of tracks: people with a known truth are found, and those in view together never joined."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import AgglomerativeClustering
from sklearn.metrics import adjusted_rand_score

from pipeline.faces.clusters import NOBODY, cluster, overlapping, prototypes

NONE = np.zeros((0, 2), np.int64)


def crowd(num_people: int, num_tracks: int, *, noise: float, seed: int = 0,
          alike: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Embeddings and who each is of, a few people in most of them; ``alike`` is the cosine of two people's means."""
    random = np.random.default_rng(seed)
    means = random.normal(size=(num_people, 128))
    means = np.sqrt(1 - alike) * means / np.linalg.norm(means, axis=1, keepdims=True)
    means[:, 0] += np.sqrt(alike)
    share = 1 / np.arange(1, num_people + 1)
    who = random.choice(num_people, num_tracks, p=share / share.sum())
    rows = means[who] + noise * random.normal(size=(num_tracks, 128)) / np.sqrt(128)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32), who


@pytest.mark.parametrize(("noise", "alike"), [(0.2, 0.0), (0.5, 0.0), (0.4, 0.4)])
def test_people_are_found_again(noise: float, alike: float) -> None:
    rows, who = crowd(60, 1500, noise=noise, alike=alike)
    labels = cluster(rows, NONE, least_likeness=0.7)
    assert adjusted_rand_score(who, labels) > 0.99


def test_the_groups_are_those_of_average_linkage_over_all_pairs() -> None:
    rows, _ = crowd(12, 150, noise=0.75)
    expected = AgglomerativeClustering(n_clusters=None, distance_threshold=0.4, metric="cosine",
                                       linkage="average").fit_predict(rows)
    labels = cluster(rows, NONE, least_likeness=0.6)
    assert len(set(expected)) > 12, "the noise splits some people, so that the order of joining matters"
    assert adjusted_rand_score(expected, labels) > 0.97


def test_groups_are_numbered_by_size() -> None:
    rows, _ = crowd(5, 100, noise=0.2)
    labels = cluster(rows, NONE, least_likeness=0.7)
    counts = np.bincount(labels)
    assert (np.diff(counts) <= 0).all() and counts.sum() == 100


def test_tracks_that_are_in_view_together_are_two_people_however_alike() -> None:
    twins = np.tile(crowd(1, 1, noise=0.0)[0], (6, 1))
    apart = np.array([[0, 1], [2, 3], [4, 5]])
    labels = cluster(twins, apart, least_likeness=0.5)
    assert all(labels[one] != labels[other] for one, other in apart.tolist())
    assert sorted(np.bincount(labels)) == [3, 3], "each is joined with one of every other pair"


def test_no_group_of_many_holds_two_who_are_apart() -> None:
    rows, _ = crowd(10, 600, noise=0.9)
    clips = np.arange(600) // 3
    apart = overlapping(clips, np.tile([[0.0, 1.0]], (600, 1)))
    labels = cluster(rows, apart, least_likeness=0.2)
    assert len(apart) == 600 and (labels[apart[:, 0]] != labels[apart[:, 1]]).all()
    assert labels.max() < 100, "they are joined all the same"


def test_a_row_of_zeros_is_nobody() -> None:
    rows, _ = crowd(1, 4, noise=0.1)
    rows[2] = 0
    assert cluster(rows, np.array([[0, 2]]), least_likeness=0.7).tolist() == [0, 0, NOBODY, 0]


def test_none_and_one_are_no_trouble() -> None:
    rows, _ = crowd(1, 1, noise=0.1)
    assert cluster(rows, NONE, least_likeness=0.7).tolist() == [0]
    assert cluster(rows[:0], NONE, least_likeness=0.7).tolist() == []


@pytest.mark.parametrize("wrong", [0.0, 1.1])
def test_a_threshold_that_joins_all_or_none_is_refused(wrong: float) -> None:
    with pytest.raises(ValueError, match="above 0 and at most 1"):
        cluster(np.zeros((1, 2), np.float32), NONE, least_likeness=wrong)


def test_overlaps_are_within_a_clip_and_more_than_a_touch() -> None:
    clips = np.array([0, 1, 0, 0, 1])
    times = np.array([[0, 2], [0, 9], [1, 3], [3, 4], [8, 9.5]])
    assert {frozenset(pair) for pair in overlapping(clips, times).tolist()} == {frozenset((0, 2)), frozenset((1, 4))}
    assert overlapping(clips[:0], times[:0]).shape == (0, 2)


def test_prototypes_are_means_of_length_one() -> None:
    rows = np.array([[1, 0], [0, 1], [0, 1]], np.float32)
    np.testing.assert_allclose(prototypes(rows, np.array([0, 0, NOBODY])), [[.5 ** .5] * 2], rtol=1e-6)
    assert prototypes(rows, np.full(3, NOBODY)).shape == (0, 2)
