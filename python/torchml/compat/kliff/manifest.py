"""The sections of KLIFF's training manifest: its keys, and KLIFF's defaults.

The keys are those that KLIFF 1.0's GNNLightningTrainer reads or its documentation shows;
`torchml.compat.kliff.translation` defines their meaning here, and which are refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from torchml.compat.typed import from_mapping
from torchml.errors import TorchMLError


@dataclass
class Workspace:
    """Folder of the runs. In the documentation of KLIFF the seed is named random_seed."""

    name: str = "kliff_workspace"
    seed: int | None = None
    random_seed: int | None = None
    resume: bool = False


@dataclass
class Keys:
    """Names of the labels; for files of type `path` only needed if they are unusual."""

    energy: str = "energy"
    forces: str = "forces"


@dataclass
class Weights:
    """Factors in the loss."""

    config: float | None = None
    energy: float | None = None
    forces: float | None = None
    stress: float | None = None


@dataclass
class Dataset:
    """Labelled structures; `weights` are weights of single configurations."""

    type: Literal["path", "ase", "colabfit"] = "path"
    path: str = "./"
    keys: Keys = field(default_factory=Keys)
    weights: Weights | str | float | None = None
    shuffle: bool = True
    save: bool = False
    save_path: str | None = None
    dynamic_loading: bool = False
    colabfit_dataset: dict[str, Any] | None = None
    colabfit_uri: str | None = None


@dataclass
class Model:
    """The model; class_path and init_args, a class and its arguments, are an addition to KLIFF."""

    name: str | None = None
    type: str | None = None
    path: str | None = None
    model_path: str | None = None
    collection: str | None = None
    input_args: list[str] | None = None
    precision: Literal["double", "single"] | None = None
    class_path: str | None = None
    init_args: dict[str, Any] | None = None


@dataclass
class GraphArguments:
    """Arguments of RadialGraph."""

    species: list[str]
    cutoff: float
    n_layers: int = 1
    mic: bool = False
    copy_to_config: bool = False


@dataclass
class DescriptorArguments:
    """Arguments of Descriptor; hyperparameters are the name of a set, or those of the kind."""

    species: list[str]
    cutoff: float
    descriptor: Literal["SymmetryFunctions", "Bispectrum", "SOAP", "Xi"]
    hyperparameters: str | dict[str, Any]
    cutoff_function: Literal["cos"] = "cos"
    copy_to_config: bool = False


@dataclass
class ConfigurationTransform:
    """Input of the model."""

    name: str | None = None
    kwargs: dict[str, Any] | None = None


@dataclass
class Transforms:
    """Transformations of structures, of labels, and of the parameters of KIM models."""

    configuration: ConfigurationTransform = field(default_factory=ConfigurationTransform)
    property: list[dict[str, Any]] = field(default_factory=list)
    properties: list[dict[str, Any]] = field(default_factory=list)
    parameter: list[Any] = field(default_factory=list)


@dataclass
class Loss:
    """The loss function. `loss_traj` asks for the CSV log, which every run writes."""

    function: str = "MSE"
    weights: Weights | str | None = None
    normalize_per_atom: bool = False
    loss_traj: bool = False


@dataclass
class Scheduler:
    """A class of torch.optim.lr_scheduler."""

    name: str
    args: dict[str, Any] = field(default_factory=dict)


@dataclass
class Optimizer:
    """A class of torch.optim."""

    name: str
    learning_rate: float
    provider: str | None = None
    kwargs: dict[str, Any] | None = None
    lr_scheduler: Scheduler | None = None
    ema: bool = False
    ema_decay: float | None = None


@dataclass
class TrainingDataset:
    """Configurations for training: a number, a fraction, or a file of indices."""

    train_size: int | float | None = None
    train_indices: str | None = None


@dataclass
class ValidationDataset:
    """Configurations for validation: a number, a fraction, or a file of indices."""

    val_size: int | float | None = None
    val_indices: str | None = None


@dataclass
class EarlyStopping:
    """Stop when the validation loss no longer falls; `delta` is the name in the GNN trainer."""

    patience: int = 10
    delta: float | None = None
    min_delta: float | None = None


@dataclass
class Training:
    """Parameters of the training."""

    optimizer: Optimizer
    loss: Loss = field(default_factory=Loss)
    lr_scheduler: Scheduler | None = None
    training_dataset: TrainingDataset = field(default_factory=TrainingDataset)
    validation_dataset: ValidationDataset = field(default_factory=ValidationDataset)
    batch_size: int = 1
    epochs: int = 10000
    num_workers: int | None = None
    device: str | None = None
    accelerator: str | None = None
    strategy: str | None = None
    ckpt_interval: int = 50
    early_stopping: EarlyStopping | None = None
    verbose: bool = False
    log_per_atom_pred: bool = False


@dataclass
class ExportTo:
    """The portable model that `save_kim_model` writes."""

    model_name: str | None = None
    model_path: str | None = None
    generate_tarball: bool = False
    driver_version: str | int | None = None


@dataclass
class Manifest:
    """All sections."""

    dataset: Dataset
    model: Model
    training: Training
    workspace: Workspace = field(default_factory=Workspace)
    transforms: Transforms = field(default_factory=Transforms)
    export: ExportTo = field(default_factory=ExportTo)


def load(source: Mapping[str, Any] | str | Path) -> dict[str, Any]:
    """Return a manifest from a mapping or a YAML file."""
    if isinstance(source, Mapping):
        return dict(source)
    yaml = import_module("yaml")
    try:
        content = yaml.safe_load(Path(source).read_text())
    except FileNotFoundError:
        raise TorchMLError(f"{source}: no such file, expected a manifest in YAML") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise TorchMLError(f"{source} cannot be read as YAML: {reason}") from None
    if not isinstance(content, dict):
        raise TorchMLError(f"{source} holds no keys with values, expected a manifest")
    return content


def parse(content: Mapping[str, Any]) -> Manifest:
    """Return the typed sections of a manifest; unknown keys and other types are errors.

    A key whose value is null counts as absent, because KLIFF writes such keys. An exception are
    hyperparameters, where g1 has no value.
    """
    return from_mapping(Manifest, _without_nulls(content), "manifest")


def _without_nulls(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {
            key: one if key == "hyperparameters" else _without_nulls(one)
            for key, one in content.items()
            if one is not None
        }
    return content
