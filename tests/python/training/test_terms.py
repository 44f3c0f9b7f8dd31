"""Terms of the loss against torch's own losses, with weights, gaps and several ranks."""

from __future__ import annotations

import pytest
import torch

from torchml.training.loop.terms import Sum, Term, global_mean


@pytest.mark.parametrize(
    "loss", [torch.nn.MSELoss(), torch.nn.L1Loss(), torch.nn.HuberLoss(delta=0.3)]
)
@pytest.mark.parametrize("shape", [(7,), (7, 3)])
def test_a_term_is_the_mean_that_torch_computes(loss, shape):
    prediction, label = torch.randn(2, *shape, dtype=torch.float64)
    found = Term(loss, 2.0)(prediction, label, torch.ones(7, dtype=torch.float64))
    torch.testing.assert_close(found.mean(), loss(prediction, label))
    assert loss.reduction == "mean"  # the user's object is left as it was


def test_missing_labels_and_weights_of_zero_do_not_count_and_give_no_nan():
    prediction = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    label = torch.randn(5, 3, dtype=torch.float64)
    label[1, 2] = torch.nan
    weight = torch.tensor([1.0, 1.0, 0.0, 2.0, 1.0], dtype=torch.float64)
    found = Term(torch.nn.MSELoss(), 1.0)(prediction, label, weight)
    square = (prediction - label).square().mean(1)
    expected = (square[0] + 2 * square[3] + square[4]) / 3
    torch.testing.assert_close(found.mean(), expected)
    found.mean().backward()
    assert prediction.grad.isfinite().all() and not prediction.grad[1:3].any()


def test_a_term_without_labels_is_zero():
    prediction = torch.randn(4, requires_grad=True)
    found = Term(torch.nn.MSELoss(), 1.0)(prediction, torch.full((4,), torch.nan), torch.ones(4))
    found.mean().backward()
    assert found.mean() == 0 and not prediction.grad.any()


class Mean(torch.nn.Module):
    """A loss that knows no reduction."""

    def forward(self, prediction, label):
        return (prediction - label).abs().mean()


def test_a_loss_without_reduction_is_taken_over_what_is_labelled():
    prediction, label = torch.randn(2, 4)
    label[2] = torch.nan
    found = Term(Mean(), 1.0)(prediction, label, torch.ones(4))
    known = torch.tensor([0, 1, 3])
    torch.testing.assert_close(found.mean(), (prediction - label)[known].abs().mean())


def test_uneven_ranks_together_have_the_gradient_of_one(monkeypatch):
    values = torch.randn(5, requires_grad=True)
    (expected,) = torch.autograd.grad(values.square().mean(), values)
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.distributed, "get_world_size", lambda: 2)
    monkeypatch.setattr(torch.distributed, "all_reduce", lambda count: count.fill_(5.0))
    ranks = [
        global_mean(Sum(part.square().sum(), torch.tensor(float(len(part)))))
        for part in (values[:1], values[1:])
    ]
    (found,) = torch.autograd.grad(sum(ranks) / 2, values)
    torch.testing.assert_close(found, expected)
