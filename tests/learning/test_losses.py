"""Losses against torch's own and against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pipeline.clip import Task
from pipeline.learning.losses import TaskLoss, class_weights, value_loss

EMOTION = Task("emotion", ("calm", "glad", "angry"))
AROUSAL = Task("arousal", value_range=(0.0, 1.0))


def test_the_loss_of_classes_is_torchs_weighted_mean_over_labelled_clips() -> None:
    torch.manual_seed(0)
    outputs, labels, weights = torch.randn(6, 3), torch.tensor([0, 2, -1, 1, 1, -1]), torch.tensor([0.5, 1.0, 2.0])
    expected = F.cross_entropy(outputs[labels >= 0], labels[labels >= 0], weight=weights, label_smoothing=0.1)
    torch.testing.assert_close(TaskLoss(EMOTION, weights, 0.1)(outputs, labels), expected)


def test_a_batch_without_labels_costs_nothing_and_has_a_gradient_of_zero() -> None:
    for task, labels in ((EMOTION, torch.full((4,), -1)), (AROUSAL, torch.full((4,), torch.nan))):
        for kind in ("ccc", "mse"):
            outputs = torch.randn(4, task.num_outputs, requires_grad=True)
            TaskLoss(task, torch.ones(3), value_loss=kind)(outputs, labels).backward()
            assert outputs.grad is not None and not outputs.grad.any()


def test_values_are_compared_in_units_of_their_deviation_and_missing_ones_skipped() -> None:
    loss = TaskLoss(AROUSAL, torch.ones(1), value_loss="mse", mean=3.0, sd=2.0)
    outputs, labels = torch.tensor([[0.0], [1.0], [9.0]]), torch.tensor([3.0, 7.0, torch.nan])
    assert float(loss(outputs, labels)) == pytest.approx((0 + 1) / 2)
    assert loss.scale == (3.0, 2.0)


def test_the_concordance_loss_is_one_minus_lins_coefficient() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(20), torch.randn(20)
    apart = x.var(correction=0) + y.var(correction=0) + (x.mean() - y.mean()) ** 2
    expected = 1 - 2 * ((x - x.mean()) * (y - y.mean())).mean() / apart
    torch.testing.assert_close(value_loss(x, y, torch.ones(20), "ccc"), expected)
    longer = value_loss(torch.cat([x, torch.ones(3)]), torch.cat([y, torch.zeros(3)]),
                        torch.cat([torch.ones(20), torch.zeros(3)]), "ccc")
    torch.testing.assert_close(longer, expected)
    assert float(value_loss(y, y, torch.ones(20), "ccc")) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("kind", "expected"), [("none", [1, 1, 1]), ("inverse", [0.5, 1, 4]),
                                                ("sqrt", [0.5 ** 0.5, 1, 2])])
def test_weights_of_classes_follow_their_rarity(kind: str, expected: list[float]) -> None:
    labels = np.repeat([0, 1, 2], [8, 4, 1])[:13]
    scale = (13 / 12) ** {"none": 0, "inverse": 1, "sqrt": 0.5}[kind]
    np.testing.assert_allclose(class_weights(labels, 3, kind), np.array(expected) * scale, rtol=1e-6)
    assert class_weights(np.zeros(4, int), 2, "inverse").tolist() == [0.5, 2.0]
