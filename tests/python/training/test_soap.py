"""SOAP: what it changes does not depend on the axes of the weights, and stops and resumes."""

import copy

import pytest
import torch

from torchml import TorchMLError
from torchml.training import SOAP

SHAPES = ((4, 4), (3, 2, 3))


def turned(values, rotations, back=False):
    for rotation in rotations:
        values = torch.tensordot(values, rotation, ([0], [1 if back else 0]))
    return values


def trained(start, rotations, steps=25, optimizer=SOAP, **options):
    """Weights that are turned after a training in turned coordinates; the loss is not quadratic."""
    generator = torch.Generator().manual_seed(1)
    weight = turned(start, rotations).clone().requires_grad_(True)
    descent = optimizer([weight], **options)
    for _ in range(steps):
        target = torch.randn(start.shape, generator=generator, dtype=torch.float64)
        scales = torch.arange(1, start.numel() + 1, dtype=torch.float64).view(start.shape)
        descent.zero_grad()
        (scales * (turned(weight, rotations, back=True) - target)).square().sum().sqrt().backward()
        descent.step()
    return turned(weight.detach(), rotations, back=True)


def some(shape):
    torch.manual_seed(0)
    start = torch.randn(shape, dtype=torch.float64)
    rotations = [torch.linalg.qr(torch.randn(size, size, dtype=torch.float64))[0] for size in shape]
    return start, rotations


@pytest.mark.parametrize("shape", SHAPES)
def test_turned_axes_change_nothing(shape):
    start, rotations = some(shape)
    rotations[1:-1] = [torch.eye(size, dtype=torch.float64) for size in shape[1:-1]]
    identity = [torch.eye(size, dtype=torch.float64) for size in shape]
    options = {"lr": 0.1, "interval": 3, "weight_decay": 0.1}
    plain, other = (trained(start, axes, **options) for axes in (identity, rotations))
    assert torch.allclose(plain, other, atol=1e-8)
    assert not torch.allclose(plain, start, atol=0.1)
    adam = [trained(start, axes, optimizer=torch.optim.Adam) for axes in (identity, rotations)]
    assert not torch.allclose(*adam, atol=1e-4)


def test_without_bases_it_is_adamw():
    start, _ = some((4, 6))
    identity = [torch.eye(size, dtype=torch.float64) for size in (4, 6)]
    options = {"lr": 0.1, "betas": (0.8, 0.95), "weight_decay": 0.1}
    ours = trained(start, identity, largest=1, **options)
    assert torch.allclose(ours, trained(start, identity, optimizer=torch.optim.AdamW, **options))


def test_it_resumes_with_the_same_bits():
    weights = [torch.nn.Parameter(torch.randn(shape)) for shape in (*SHAPES, (5,), (1, 4))]

    def step(weights, optimizer):
        sum((weight - 1).square().sum() + weight.sin().sum() for weight in weights).backward()
        optimizer.step()
        optimizer.zero_grad()

    optimizer = SOAP(weights, interval=2)
    for _ in range(3):
        step(weights, optimizer)
    copies = copy.deepcopy(weights)
    resumed = SOAP(copies, interval=2)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for _ in range(3):
        step(weights, optimizer)
        step(copies, resumed)
    assert all(torch.equal(one, other) for one, other in zip(weights, copies, strict=True))


@pytest.mark.parametrize("wrong", [{"lr": -1.0}, {"betas": (0.9, 1.0)}, {"interval": 0}])
def test_arguments_out_of_range(wrong):
    with pytest.raises(TorchMLError, match=f"SOAP.*{next(iter(wrong))}"):
        SOAP([torch.nn.Parameter(torch.zeros(2))], **wrong)
