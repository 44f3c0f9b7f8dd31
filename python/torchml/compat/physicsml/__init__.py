"""physicsml's configurations, dataclasses or dictionaries, translated for `torchml fit`."""

from torchml.compat.physicsml.configs import (
    DataModuleConfig,
    EGNNModelConfig,
    EvalSplitConfig,
    LossConfig,
    ModelConfig,
    OptimizerConfig,
    SchedulerConfig,
    SplitConfig,
    TrainerConfig,
    TrainSplitConfig,
)
from torchml.compat.physicsml.translation import from_dict, translate

__all__ = [
    "DataModuleConfig",
    "EGNNModelConfig",
    "EvalSplitConfig",
    "LossConfig",
    "ModelConfig",
    "OptimizerConfig",
    "SchedulerConfig",
    "SplitConfig",
    "TrainSplitConfig",
    "TrainerConfig",
    "from_dict",
    "translate",
]
