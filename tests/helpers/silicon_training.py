"""A small PaiNN, and data of silicon to train it on."""

import torch

from torchml.data.module import DataModule
from torchml.models import PaiNN
from torchml.training.loop.task import S2EF


def task(model=PaiNN, kind=S2EF, **options):
    torch.manual_seed(0)
    return kind(
        model(["Si"], cutoff=3.8, layers=2, features=8),
        optimizer=lambda parameters: torch.optim.Adam(parameters, lr=5e-3),
        **options,
    )


def weights(module):
    return torch.cat([p.detach().flatten() for p in module.model.parameters()])


def data(configurations, **options):
    return DataModule.from_configurations(
        configurations[:11],
        configurations[11:],
        configurations[11:],
        **({"batch_size": 2} | options),
    )
