"""Losses beyond torch's own: values, gradients, missing labels."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from torchml.errors import TorchMLError
from torchml.training.loop.losses import (
    MaskedLoss,
    MultiTaskLoss,
    SerialBCEWithLogitsLoss,
    VectorNormLoss,
)


def normal(seed: int, *shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def test_vector_norm_is_the_length_of_the_difference() -> None:
    a, b = normal(0, 5, 3), normal(1, 5, 3)
    lengths = VectorNormLoss(reduction="none")(a, b)
    torch.testing.assert_close(lengths, ((a - b) ** 2).sum(1).sqrt())
    torch.testing.assert_close(VectorNormLoss()(a, b), lengths.mean())
    rotation, _ = torch.linalg.qr(normal(2, 3, 3))
    torch.testing.assert_close(VectorNormLoss()(a @ rotation, b @ rotation), lengths.mean())


def test_vector_norm_has_a_gradient_where_the_prediction_is_perfect() -> None:
    a = normal(0, 2, 3).requires_grad_()
    VectorNormLoss()(a, a.detach()).backward()
    assert a.grad is not None and torch.isfinite(a.grad).all()


@pytest.mark.parametrize("loss", [nn.MSELoss(), nn.L1Loss(), nn.HuberLoss(delta=0.3)])
def test_masked_losses_equal_the_loss_of_the_labels_that_exist(loss: nn.Module) -> None:
    a, b = normal(0, 4, 3).requires_grad_(), normal(1, 4, 3)
    b[0, 1] = b[2] = torch.nan
    exists = ~torch.isnan(b)
    expected = copy.deepcopy(loss)(a[exists], b[exists])
    masked = MaskedLoss(copy.deepcopy(loss))(a, b)
    torch.testing.assert_close(masked, expected)
    (gradient,) = torch.autograd.grad(masked, a)
    torch.testing.assert_close(gradient, torch.autograd.grad(expected, a)[0])
    each = MaskedLoss(copy.deepcopy(loss), reduction="none")(a, b)
    assert each.shape == b.shape and (each[~exists] == 0).all()
    nothing = MaskedLoss(copy.deepcopy(loss))(a, torch.full_like(b, torch.nan))
    assert nothing.item() == 0.0


def test_serial_bce_gives_every_column_the_same_say() -> None:
    logits = normal(0, 6, 2).requires_grad_()
    labels = (normal(1, 6, 2) > 0).double()
    labels[1:, 1] = torch.nan  # the second column is known once
    cross_entropy = nn.BCEWithLogitsLoss()
    columns = cross_entropy(logits[:, 0], labels[:, 0]), cross_entropy(logits[:1, 1], labels[:1, 1])
    loss = SerialBCEWithLogitsLoss()(logits, labels)
    torch.testing.assert_close(loss, (columns[0] + columns[1]) / 2)
    (gradient,) = torch.autograd.grad(loss, logits)
    assert torch.isfinite(gradient).all() and (gradient[1:, 1] == 0).all()


def test_several_tasks_have_their_own_losses_and_weights() -> None:
    a, b = normal(0, 7, 2), normal(1, 7, 2)
    loss = MultiTaskLoss([nn.MSELoss(), nn.L1Loss()], weights=[2.0, 0.5])
    expected = ((a - b)[:, 0].square() * 2).sum() + ((a - b)[:, 1].abs() * 0.5).sum()
    torch.testing.assert_close(loss(a, b), expected / 14)


def test_mistakes_are_named() -> None:
    with pytest.raises(TorchMLError, match="'average'"):
        VectorNormLoss(reduction="average")
    with pytest.raises(TorchMLError, match="2 losses and 1 weights"):
        MultiTaskLoss([nn.MSELoss(), nn.MSELoss()], weights=[1.0])
    with pytest.raises(TorchMLError, match="3 columns"):
        MultiTaskLoss([nn.MSELoss(), nn.MSELoss()])(normal(0, 2, 3), normal(1, 2, 3))
    with pytest.raises(TorchMLError, match="Linear has no attribute 'reduction'"):
        MaskedLoss(nn.Linear(1, 1))
