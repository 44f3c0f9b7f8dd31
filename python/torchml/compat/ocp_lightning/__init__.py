"""The Lightning edition of OCP: its configurations, its models, and models written for it.

    python -m torchml.compat.ocp_lightning s2ef fit --config model.yml --config data.yml

`translate` returns the configuration of `torchml fit` that means the same. A subclass of
`AbstractEnergyModel` in a file of the user trains by its class path.
"""

from typing import TYPE_CHECKING

from torchml.lazy import lazy_names

if TYPE_CHECKING:
    from torchml.compat.ocp_lightning.energy_models import AbstractEnergyModel, AbstractTask
    from torchml.compat.ocp_lightning.graph import Graph
    from torchml.compat.ocp_lightning.own_model import OwnModel
    from torchml.compat.ocp_lightning.translation import translate

# Where each public name lives; it is imported on demand.
_HOMES = {
    "AbstractEnergyModel": "torchml.compat.ocp_lightning.energy_models",
    "AbstractTask": "torchml.compat.ocp_lightning.energy_models",
    "Graph": "torchml.compat.ocp_lightning.graph",
    "OwnModel": "torchml.compat.ocp_lightning.own_model",
    "translate": "torchml.compat.ocp_lightning.translation",
}

__all__ = ["AbstractEnergyModel", "AbstractTask", "Graph", "OwnModel", "translate"]

__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
