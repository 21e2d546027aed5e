"""Average precision: by hand, against the published procedure row by row, and what ties and weights do."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from pipeline.scores.average_precision import average_precision


def published(labels: np.ndarray, scores: np.ndarray) -> float:
    """The benchmark's procedure in plain loops: precision and recall row by row, then the best precision to the right.

    Rows come in order of score; among equals the earlier one first.
    """
    order = sorted(range(len(scores)), key=lambda row: (-scores[row], row))
    hits, recall, precision = 0, [0.0], [0.0]
    for rank, row in enumerate(order, 1):
        hits += bool(labels[row])
        precision.append(hits / rank)
        recall.append(hits / int(labels.sum()))
    recall.append(1.0)
    precision.append(0.0)
    for row in range(len(precision) - 2, -1, -1):
        precision[row] = max(precision[row], precision[row + 1])
    return float(np.sum(np.array([(recall[row] - recall[row - 1]) * precision[row] for row in range(1, len(recall))
                                  if recall[row] != recall[row - 1]])))


def test_by_hand() -> None:
    labels, scores = np.array([0, 1, 0, 1, 1, 0], bool), np.array([.9, .8, .7, .6, .5, .4])
    # Positives at ranks 2, 4, 5 have precision 1/2, 2/4, 3/5; the best at or after each is 3/5.
    assert average_precision(labels, scores) == pytest.approx(3 / 5, abs=1e-15)
    assert average_precision_score(labels, scores) == pytest.approx((1 / 2 + 2 / 4 + 3 / 5) / 3), "not interpolated"


def test_among_equal_scores_the_earlier_row_comes_first() -> None:
    assert average_precision(np.array([True, False]), np.array([.5, .5])) == 1.0
    assert average_precision(np.array([False, True]), np.array([.5, .5])) == .5


@pytest.mark.parametrize("digits", [1, 2, 16])
def test_the_published_procedure_gives_the_same(digits: int) -> None:
    rng = np.random.default_rng(digits)
    for size in (1, 2, 7, 400):
        labels = rng.random(size) < .3
        labels[rng.integers(size)] = True
        scores = np.round(rng.random(size), digits)
        assert average_precision(labels, scores) == published(labels, scores), "to the last bit"


def test_a_weight_is_as_many_rows() -> None:
    rng = np.random.default_rng(0)
    labels, scores, weights = rng.random(50) < .4, rng.random(50), rng.integers(0, 4, 50)
    repeated = average_precision(np.repeat(labels, weights), np.repeat(scores, weights))
    assert average_precision(labels, scores, weights) == pytest.approx(repeated, abs=1e-14)


def test_the_type_of_the_scores_does_not_matter() -> None:
    labels, scores = np.array([True, False, True]), np.array([200, 100, 3])
    found = [average_precision(labels, scores.astype(kind)) for kind in ("uint8", "int64", "float32")]
    assert found == [pytest.approx(5 / 6)] * 3 and len(set(found)) == 1


def test_what_cannot_be_scored_is_refused() -> None:
    labels, scores = np.array([True, False]), np.array([.1, .2])
    with pytest.raises(ValueError, match="one score and one weight a label"):
        average_precision(labels, scores[:1])
    with pytest.raises(ValueError, match="must be numbers"):
        average_precision(labels, np.array([np.nan, 0]))
    with pytest.raises(ValueError, match="weights 0 or more"):
        average_precision(labels, scores, np.array([-1, 1]))
    for weights in (np.array([0, 1]), np.array([0, 0])):
        with pytest.raises(ValueError, match="no positive row"):
            average_precision(labels, scores, weights)
