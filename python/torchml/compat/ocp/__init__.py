"""The Open Catalyst Project's command line and configurations, carried out by this package.

    python -m torchml.compat.ocp --mode train --config-yml configs/s2ef/200k/schnet/schnet.yml

`translate` converts a configuration of OCP into that of `torchml fit`.
"""

from typing import TYPE_CHECKING

from torchml.lazy import lazy_names

if TYPE_CHECKING:
    from torchml.compat.ocp.schedule import WarmupMilestones
    from torchml.compat.ocp.translation import Translation, translate

_HOMES = {
    "Translation": "torchml.compat.ocp.translation",
    "WarmupMilestones": "torchml.compat.ocp.schedule",
    "translate": "torchml.compat.ocp.translation",
}

__all__ = [
    "Translation",
    "WarmupMilestones",
    "translate",
]

__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
