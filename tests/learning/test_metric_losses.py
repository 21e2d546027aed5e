"""Metric losses against slow references and by their promises: real positives, no pairs no loss, margins that grow."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from pipeline.clip import Task
from pipeline.errors import UsageError
from pipeline.learning.emotions import emotion_distances
from pipeline.learning.metric_losses import (MARGIN, CentreLoss, MetricChoice, MetricLoss, TripletLoss, distances,
                                             metric_loss, pairs)

EMOTION = Task("emotion", ("joy", "sadness", "anger", "fear"))
CHOICES: tuple[MetricChoice, ...] = ("triplet", "emotion_relation", "centre")
WIDTH = 5


def make(choice: MetricChoice) -> MetricLoss:
    torch.manual_seed(0)
    loss = metric_loss(choice, EMOTION, WIDTH)
    assert loss is not None
    return loss


def batch(size: int = 12) -> tuple[Tensor, Tensor]:
    chance = torch.Generator().manual_seed(2)
    return torch.randn(size, WIDTH, generator=chance), torch.randint(-1, 4, (size,), generator=chance)


@pytest.mark.parametrize("choice", ["triplet", "emotion_relation"])
def test_triplets_are_the_hardest_of_the_batch(choice: MetricChoice) -> None:
    """The same by loops over anchor, positive and negative."""
    embedding, labels = batch()
    unit, apart = F.normalize(embedding), emotion_distances(EMOTION.classes)
    losses = []
    for anchor, own in enumerate(labels.tolist()):
        positives = [other for other, label in enumerate(labels.tolist()) if own == label >= 0 and other != anchor]
        negatives = [(other, label) for other, label in enumerate(labels.tolist()) if own != label >= 0]
        if own >= 0 and positives and negatives:
            farthest = max(float((unit[anchor] - unit[other]).norm()) for other in positives)
            hardest = max(MARGIN * (1 + float(apart[own, label]) * (choice == "emotion_relation"))
                          - float((unit[anchor] - unit[other]).norm()) for other, label in negatives)
            losses.append(max(0.0, farthest + hardest))
    assert len(losses) > 5
    assert float(make(choice)(embedding, labels)) == pytest.approx(sum(losses) / len(losses), rel=1e-4)


def test_a_clip_is_never_its_own_positive_and_unlabelled_ones_are_in_no_pair() -> None:
    positive, negative = pairs(torch.tensor([0, 0, 1, -1, -1]))
    assert positive.nonzero().tolist() == [[0, 1], [1, 0]]
    assert negative.nonzero().tolist() == [[0, 2], [1, 2], [2, 0], [2, 1]]


def test_one_clip_of_each_class_gives_no_triplet() -> None:
    """Fails where a clip may be its own positive."""
    loss = make("triplet")
    embedding = torch.randn(4, WIDTH, requires_grad=True)
    found = loss(embedding, torch.arange(4))
    found.backward()
    assert float(found.detach()) == 0 and embedding.grad is not None and not embedding.grad.any()
    assert (int(loss.num_batches), int(loss.num_without)) == (1, 1)


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("labels", [[-1, -1, -1], [-1]])
def test_batches_without_anything_to_compare_cost_nothing_and_are_counted(choice: MetricChoice,
                                                                          labels: list[int]) -> None:
    loss = make(choice)
    embedding = torch.randn(len(labels), WIDTH, requires_grad=True)
    found = loss(embedding, torch.tensor(labels, dtype=torch.int64))
    found.backward()
    assert float(found.detach()) == 0 and embedding.grad is not None and not embedding.grad.any()
    loss(*batch())
    assert (int(loss.num_batches), int(loss.num_without)) == (2, 1)


def test_classes_far_apart_and_tight_in_themselves_cost_nothing() -> None:
    embedding = torch.tensor([[1.0, 0], [1, 0.01], [-1, 0], [-1, 0.01]])
    for choice in ("triplet", "emotion_relation"):
        assert float(make(choice)(embedding, torch.tensor([0, 0, 1, 1]))) == 0


def test_the_margin_grows_with_the_distance_between_emotions() -> None:
    loss = make("emotion_relation")
    assert isinstance(loss, TripletLoss)
    joy, sadness, anger, fear = range(4)
    assert loss.margins[joy, sadness] > loss.margins[joy, anger] > loss.margins[anger, fear] > MARGIN
    torch.testing.assert_close(loss.margins, MARGIN * (1 + torch.from_numpy(emotion_distances(EMOTION.classes))))
    plain = make("triplet")
    assert isinstance(plain, TripletLoss) and (plain.margins == MARGIN).all()


@pytest.mark.parametrize("choice", CHOICES)
def test_lowering_the_loss_brings_clips_of_a_class_together(choice: MetricChoice) -> None:
    embedding, labels = batch(40)
    embedding.requires_grad_()
    loss = make(choice)

    def quality() -> float:
        """Mean distance to other classes less that to one's own."""
        apart, (positive, negative) = distances(F.normalize(embedding.detach())), pairs(labels)
        return float(apart[negative].mean() - apart[positive].mean())

    before, optimiser = quality(), torch.optim.Adam([embedding, *loss.parameters()], lr=0.05)
    for _ in range(50):
        optimiser.zero_grad()
        loss(embedding, labels).backward()
        optimiser.step()
    assert quality() > before + 0.1


def test_the_centre_loss_is_half_the_squared_distance_from_the_centre() -> None:
    loss = make("centre")
    assert isinstance(loss, CentreLoss) and loss.centres.shape == (4, WIDTH)
    embedding, labels = batch()
    known = labels >= 0
    expected = (F.normalize(embedding)[known] - loss.centres[labels[known]]).square().sum(1).mean() / 2
    torch.testing.assert_close(loss(embedding, labels), expected)


@pytest.mark.parametrize("choice", CHOICES)
def test_the_length_of_embeddings_does_not_count_and_equal_ones_give_finite_gradients(choice: MetricChoice) -> None:
    embedding, labels = batch()
    torch.testing.assert_close(make(choice)(10 * embedding, labels), make(choice)(embedding, labels))
    same = torch.ones(6, WIDTH, requires_grad=True)
    make(choice)(same, torch.tensor([0, 0, 1, 1, 2, 2])).backward()
    assert same.grad is not None and same.grad.isfinite().all()


def test_distances_are_euclidean() -> None:
    unit = F.normalize(batch()[0])
    torch.testing.assert_close(distances(unit), torch.cdist(unit, unit).clamp(min=1e-3), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize(("choice", "task", "width", "message"), [
    ("triplet", Task("arousal", value_range=(0.0, 1.0)), 5, "compares classes, and task 'arousal' has none"),
    ("centre", EMOTION, 0, "needs a model whose tasks are decided from hidden units in common, such as early"),
    ("emotion_relation", Task("items", ("hats", "joy")), 5, "no place on the circle .* is known for hats; known are")])
def test_losses_that_cannot_be_are_refused(choice: MetricChoice, task: Task, width: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        metric_loss(choice, task, width)


def test_none_means_none_whatever_the_task() -> None:
    assert metric_loss("none", Task("arousal", value_range=(0.0, 1.0)), 0) is None
