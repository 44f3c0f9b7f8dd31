"""KLIFF's manifests: each key changes the configuration, or is refused by its name."""

from __future__ import annotations

import copy
import typing
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

from torchml import TorchMLError
from torchml.compat.kliff import GNNLightningTrainer, translate
from torchml.compat.kliff import manifest as kliff_manifest
from torchml.contract import metadata
from torchml.models import DescriptorPotential, SchNet


class Network(nn.Module):
    """Two layers, as KLIFF's users write them; what it computes does not matter here."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1, dtype=torch.float64))

    def forward(
        self,
        z: Tensor,
        coords: Tensor,
        edge_index0: Tensor,
        edge_index1: Tensor,
        contributions: Tensor,
    ) -> Tensor:
        r = (coords[edge_index1[0]] - coords[edge_index1[1]]).square().sum(1)
        return self.scale * torch.zeros_like(coords[:, 0]).index_add(0, edge_index1[1], r)


class Reordered(nn.Module):
    def forward(
        self,
        coords: Tensor,
        z: Tensor,
        edge_index0: Tensor,
        edge_index1: Tensor,
        contributions: Tensor,
    ) -> Tensor:
        return coords[:, 0]


def manifest() -> dict[str, Any]:
    """The least that a manifest must say, with files that exist."""
    return {
        "dataset": {"path": "data"},
        "model": {"name": "net"},
        "transforms": {
            "configuration": {
                "name": "RadialGraph",
                "kwargs": {"species": ["Si"], "cutoff": 4.0, "n_layers": 2},
            }
        },
        "training": {"optimizer": {"name": "Adam", "learning_rate": 1e-3}},
    }


def having(key: str, value: Any) -> dict[str, Any]:
    """The manifest with one key, dots standing between its levels."""
    content = manifest()
    *path, leaf = key.split(".")
    branch = content
    for name in path:
        branch = branch.setdefault(name, {})
    branch[leaf] = value
    return content


@pytest.fixture(autouse=True)
def files(scratch: Path) -> None:
    (scratch / "data" / "deep").mkdir(parents=True)
    for name in ("b2.xyz", "b10.xyz", "deep/a.xyz", "c.xyz", "notes.txt"):
        (scratch / "data" / name).write_text("")
    (scratch / "weights.dat").write_text("Config Energy Forces\n1 2 3\n")


# For each key a value, and where it goes: (path in the configuration, value), or REFUSED.
REFUSED = "refused"
S2EF = "model.init_args"
FILES = [f"data/{name}" for name in ("b10.xyz", "b2.xyz", "c.xyz", "deep/a.xyz")]
CASES: list[tuple[str, Any, Any]] = [
    ("workspace.seed", 7, ("seed_everything", 7)),
    ("workspace.random_seed", 8, ("data.seed", 8)),
    ("dataset.type", "ase", ("data.train", "data")),
    ("dataset.type", "colabfit", REFUSED),
    ("dataset.path", "other", ("data.train", "other")),
    ("dataset.keys.energy", "U", ("data.keys", {"energy": "U"})),
    ("dataset.keys.forces", "F", ("data.keys", {"forces": "F"})),
    ("dataset.weights", "weights.dat", ("data.train", FILES)),
    ("dataset.weights", 2.0, ("data.weights", 2.0)),
    (
        "dataset.weights",
        {"config": 1, "forces": 5},
        ("data.weights", {"config": 1.0, "forces": 5.0}),
    ),
    ("dataset.shuffle", False, ("data.train", FILES)),
    ("dataset.dynamic_loading", True, REFUSED),
    ("dataset.colabfit_dataset", {"dataset_name": "x"}, REFUSED),
    ("dataset.colabfit_uri", "mongodb://", REFUSED),
    ("model.type", "kim", REFUSED),
    ("model.collection", "system", REFUSED),
    (
        "model.input_args",
        ["z", "coords", "edge_index0", "edge_index1", "images"],
        REFUSED,
    ),
    ("model.precision", "single", (f"{S2EF}.model.dtype", "float32")),
    ("transforms.configuration.kwargs.n_layers", 3, REFUSED),
    ("transforms.configuration.kwargs.cutoff", 5.0, (f"{S2EF}.model.cutoff", 5.0)),
    ("transforms.configuration.kwargs.species", ["C"], (f"{S2EF}.model.species", ["C"])),
    ("transforms.configuration.kwargs.mic", True, REFUSED),
    ("transforms.configuration.kwargs.copy_to_config", True, REFUSED),
    ("transforms.configuration.name", "Fingerprint", REFUSED),
    ("transforms.parameter", ["A"], REFUSED),
    (
        "transforms.property",
        [{"name": "energy", "energy": {"name": "NormalizedPropertyTransform"}}],
        REFUSED,
    ),
    ("training.loss.function", "mae", (f"{S2EF}.force_loss.class_path", "torch.nn.L1Loss")),
    (
        "training.loss.function",
        "HuberLoss",
        (f"{S2EF}.energy_loss.class_path", "torch.nn.HuberLoss"),
    ),
    ("training.loss.function", "Huber", REFUSED),
    ("training.loss.weights", {"energy": 2, "forces": 10}, (f"{S2EF}.force_coefficient", 10.0)),
    ("training.loss.weights", {"config": 3, "energy": 2}, (f"{S2EF}.energy_coefficient", 6.0)),
    ("training.loss.weights", {"energy": 1, "stress": 2}, (f"{S2EF}.stress_coefficient", 2.0)),
    ("training.loss.weights", {"energy": 0}, REFUSED),
    ("training.loss.weights", "weights.dat", ("data.weights", "weights.dat")),
    ("training.loss.normalize_per_atom", True, (f"{S2EF}.energy_per_atom", True)),
    ("training.optimizer.name", "SGD", (f"{S2EF}.optimizer.class_path", "torch.optim.SGD")),
    ("training.optimizer.name", "L-BFGS-B", REFUSED),
    ("training.optimizer.learning_rate", "1e-2", (f"{S2EF}.optimizer.init_args.lr", 1e-2)),
    ("training.optimizer.provider", "scipy", REFUSED),
    (
        "training.optimizer.kwargs",
        {"amsgrad": True},
        (f"{S2EF}.optimizer.init_args", {"lr": 1e-3, "amsgrad": True}),
    ),
    (
        "training.optimizer.lr_scheduler",
        {"name": "ReduceLROnPlateau", "args": {"factor": 0.5}},
        (f"{S2EF}.scheduler.init_args", {"factor": 0.5}),
    ),
    (
        "training.lr_scheduler",
        {"name": "ExponentialLR", "args": {"gamma": 0.9}},
        (f"{S2EF}.scheduler.class_path", "torch.optim.lr_scheduler.ExponentialLR"),
    ),
    ("training.lr_scheduler", {"name": "Exponential"}, REFUSED),
    ("training.optimizer.ema", True, ("ema.decay", 0.99)),
    ("training.optimizer.ema_decay", 0.9, REFUSED),
    ("training.training_dataset.train_size", 3, ("data.split.train", 3)),
    ("training.training_dataset.train_indices", "i.txt", ("data.split.train", "i.txt")),
    ("training.training_dataset.train_indices", "i.txt", ("data.train", FILES)),
    ("training.validation_dataset.val_size", 0.25, ("data.split.val", 0.25)),
    ("training.validation_dataset.val_indices", "i.txt", ("data.split.val", "i.txt")),
    ("training.batch_size", 4, ("data.batch_size", 4)),
    ("training.epochs", 5, ("trainer.max_epochs", 5)),
    ("training.num_workers", 2, ("data.num_workers", 2)),
    ("training.device", "cuda:1", ("trainer.devices", [1])),
    ("training.device", "mps", REFUSED),
    ("training.accelerator", "cpu", ("trainer.accelerator", "cpu")),
    ("training.strategy", "ddp", ("trainer.strategy", "ddp")),
    ("training.ckpt_interval", 2, ("checkpoint.every_n_epochs", 2)),
    (
        "training.early_stopping",
        {"patience": 3},
        ("early_stopping", {"patience": 3, "min_delta": 1e-3}),
    ),
    (
        "training.early_stopping",
        {"delta": 0.5},
        ("early_stopping", {"patience": 10, "min_delta": 0.5}),
    ),
    ("training.early_stopping", {"min_delta": 0.5}, ("early_stopping.min_delta", 0.5)),
    ("training.verbose", True, ("trainer.enable_model_summary", True)),
    ("training.log_per_atom_pred", True, REFUSED),
]

# What is no part of the configuration: the trainer's, or without effect as documented.
OF_THE_TRAINER = {
    *("workspace.name", "workspace.resume", "model.name"),
    *("dataset.save", "dataset.save_path"),
    *("model.path", "model.model_path", "model.class_path", "model.init_args"),
    *("export.model_name", "export.model_path", "export.generate_tarball"),
    *("export.driver_version", "training.loss.loss_traj", "transforms.properties"),
}


def at(configuration: dict[str, Any], path: str) -> Any:
    value: Any = configuration
    for name in path.split("."):
        value = value[name] if isinstance(value, dict) else getattr(value, name)
    return value


@pytest.mark.parametrize(("key", "value", "expected"), CASES, ids=lambda one: str(one)[:40])
def test_a_key_is_honoured_or_refused(key: str, value: Any, expected: Any) -> None:
    # A network of one's own has no arguments: those are seen on a class of the package.
    own = key not in ("model.precision",) and not key.endswith(("species", "cutoff"))
    content = having(key, value)
    if not own:
        content["model"]["class_path"] = "torchml.models.SchNet"
    model = Network() if own else None
    if expected == REFUSED:
        with pytest.raises(TorchMLError) as caught:
            translate(content, model)
        known = {key, key.rpartition(".")[2]}
        assert any(name in str(caught.value) for name in known), caught.value
        return
    path, wanted = expected
    path = path.replace(f"{S2EF}.model.", f"{S2EF}.model.init_args.")
    assert at(translate(content, model), path) == wanted
    assert at_or_nothing(translate(manifest(), Network()), path) != wanted or key == "dataset.type"


def at_or_nothing(configuration: dict[str, Any], path: str) -> Any:
    try:
        return at(configuration, path)
    except (KeyError, AttributeError, TypeError):
        return None


def leaves(cls: type, prefix: str = "") -> Iterator[str]:
    """Every key of the manifest."""
    for field in fields(cls):  # type: ignore[arg-type]
        hint = typing.get_type_hints(cls)[field.name]
        inner = [one for one in (hint, *typing.get_args(hint)) if is_dataclass(one)]
        if inner and field.name not in ("weights", "early_stopping", "lr_scheduler"):
            yield from leaves(inner[0], f"{prefix}{field.name}.")  # type: ignore[arg-type]
        elif field.name != "kwargs" or "configuration" not in prefix:
            yield f"{prefix}{field.name}"
        else:
            yield from leaves(kliff_manifest.GraphArguments, f"{prefix}kwargs.")


def test_no_key_is_forgotten() -> None:
    assert {key for key, _, _ in CASES} | OF_THE_TRAINER == set(leaves(kliff_manifest.Manifest))


@pytest.mark.parametrize("section", ["", *manifest(), "training.loss", "dataset.keys", "export"])
def test_unknown_keys_are_refused(section: str) -> None:
    with pytest.raises(TorchMLError, match="sheed is an unknown key"):
        translate(having(f"{section}.sheed" if section else "sheed", 1), Network())


def test_a_misspelt_key_gets_a_hint() -> None:
    with pytest.raises(
        TorchMLError, match="batchsize is an unknown key; did you mean 'batch_size'"
    ):
        translate(having("training.batchsize", 4), Network())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"workspace.seed": 1, "workspace.random_seed": 2}, "differ"),
        (
            {
                "training.training_dataset.train_size": 1,
                "training.training_dataset.train_indices": "i",
            },
            "expected one",
        ),
        (
            {
                "training.lr_scheduler": {"name": "StepLR"},
                "training.optimizer.lr_scheduler": {"name": "StepLR"},
            },
            "expected one",
        ),
        ({"training.device": "cpu", "training.accelerator": "gpu"}, "expected the same"),
        ({"training.loss.weights": "weights.dat", "dataset.weights": "b.dat"}, "expected one"),
        ({"training.batch_size": "many"}, "batch_size is 'many', expected a whole number"),
        ({"dataset.shuffle": False, "training.training_dataset.train_size": 9}, "holds 4 files"),
        ({"model.path": "absent.pt"}, "absent.pt"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, Any], words: str) -> None:
    content = manifest()
    for key, value in changes.items():
        for name, branch in having(key, value).items():
            content[name] = merged(content.get(name, {}), branch)
    with pytest.raises(TorchMLError, match=words):
        translate(content, Network())


def merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    result = copy.deepcopy(one)
    for key, value in other.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


def test_sections_that_must_be_there() -> None:
    for name in ("dataset", "model", "training"):
        content = manifest()
        del content[name]
        with pytest.raises(TorchMLError, match=name):
            translate(content, Network())


def test_without_shuffling_the_first_train_and_the_last_validate() -> None:
    content = having("dataset.shuffle", False)
    content["training"] |= {
        "training_dataset": {"train_size": 2},
        "validation_dataset": {"val_size": 1},
    }
    data = translate(content, Network())["data"]
    assert data["train"] == FILES[:2] and data["val"] == FILES[3:]
    assert "split" not in data


def test_a_file_of_weights_says_what_is_in_the_loss() -> None:
    made = translate(having("training.loss.weights", "weights.dat"), Network())
    names = ("energy_coefficient", "force_coefficient", "stress_coefficient")
    assert [made["model"]["init_args"][name] for name in names] == [1.0, 1.0, 0.0]
    with pytest.raises(TorchMLError, match=r"none\.dat"):
        translate(having("training.loss.weights", "none.dat"), Network())


def test_property_transforms_set_the_normalization_of_the_packages_models() -> None:
    content = manifest()
    content["transforms"]["property"] = [
        {"name": None, "property_key": None},
        {"name": "NormalizedPropertyTransform", "property_key": "energy"},
        {"name": "forces", "forces": {"name": "RMSNormalizePropertyTransform"}},
    ]
    model = SchNet(["Si"], cutoff=4.0, layers=2, features=8)
    made = translate(content, model)["model"]["init_args"]
    assert made["normalization"] == {"references": "least_squares", "scale": "forces"}
    plain = translate(manifest(), model)["model"]["init_args"]
    assert plain["normalization"] == {"references": "none", "scale": "none"}


def test_a_notebooks_strategy_is_one_process_on_the_cpu() -> None:
    content = having("training.strategy", "ddp_notebook")
    content["training"]["accelerator"] = "cpu"
    trainer = translate(content, Network())["trainer"]
    assert (trainer["strategy"], trainer["devices"]) == ("auto", 1)


def test_the_model_may_be_an_object_a_class_or_an_archive() -> None:
    own = translate(manifest(), Network())["model"]["init_args"]["model"]
    assert isinstance(own.network, Network) and own.species_input == "atomic_number"
    with metadata.quiet_torchscript():
        torch.jit.script(Network()).save("archive.pt")
    archive = having("model.path", "archive.pt")
    assert translate(archive)["model"]["init_args"]["model"].layers == 2
    by_class = having("model.class_path", "torchml.models.SchNet")
    by_class["model"]["init_args"] = {"features": 8}
    assert translate(by_class)["model"]["init_args"]["model"]["init_args"] == {
        "species": ["Si"],
        "cutoff": 4.0,
        "layers": 2,
        "features": 8,
    }
    with pytest.raises(TorchMLError, match="no model"):
        translate(manifest())
    with pytest.raises(TorchMLError, match="more than once"):
        translate(by_class, Network())


def on_descriptor(hyperparameters: Any = "set51", **model: Any) -> dict[str, Any]:
    content = having("model", {"name": "net", **model})
    content["transforms"]["configuration"] = {
        "name": "Descriptor",
        "kwargs": {
            "cutoff": 4.0,
            "species": ["Si"],
            "descriptor": "SymmetryFunctions",
            "hyperparameters": hyperparameters,
        },
    }
    return content


def test_descriptors_come_with_networks_of_the_package() -> None:
    made = translate(on_descriptor(init_args={"hidden": [8]}, precision="single"))
    network = made["model"]["init_args"]["model"]
    assert network["class_path"] == "torchml.models.DescriptorPotential"
    assert network["init_args"] == {
        "species": ["Si"],
        "cutoff": 4.0,
        "descriptor": "SymmetryFunctions",
        "parameters": "set51",
        "dtype": "float32",
        "hidden": [8],
    }
    # g1 has no parameters, and counts nevertheless.
    rows = {"g1": None, "g2": [{"eta": 0.1, "Rs": 0.0}]}
    arguments = translate(on_descriptor(rows))["model"]["init_args"]["model"]["init_args"]
    assert DescriptorPotential(**arguments).width == 2


@pytest.mark.parametrize(
    ("content", "model", "words"),
    [
        (on_descriptor(), Network(), "expected no model, or .*DescriptorPotential; .*autograd"),
        (on_descriptor(class_path="torchml.models.SchNet"), None, "expected no model, or"),
        (on_descriptor(init_args={"cutoff": 5.0}), None, "init_args.cutoff is 5.0, but .* 4.0"),
        (on_descriptor(init_args={"layers": 2}), None, "DescriptorPotential has no argument 'lay"),
        (on_descriptor(input_args=["z"]), None, "model.input_args are z, expected descriptor"),
        (on_descriptor("set52"), None, "preset 'set52' is unknown"),
        (on_descriptor(3), None, "hyperparameters is 3"),
    ],
)
def test_descriptors_that_cannot_be_honoured(content: Any, model: Any, words: str) -> None:
    with pytest.raises(TorchMLError, match=words):
        translate(content, model)


def test_a_model_that_does_not_fit_the_graph_is_refused() -> None:
    with pytest.raises(TorchMLError, match=r"SchNet has cutoff 5\.0, but .* say 4\.0"):
        translate(manifest(), SchNet(["Si"], cutoff=5.0, layers=2))
    with pytest.raises(TorchMLError, match="order z, coords"):
        translate(manifest(), Reordered())
    with pytest.raises(TorchMLError, match="dtype='float32'"):
        translate(having("model.precision", "single"), SchNet(["Si"], cutoff=4.0, layers=2))


def test_a_manifest_may_be_a_yaml_file(scratch: Path) -> None:
    Path("manifest.yaml").write_text(yaml.safe_dump(manifest()))
    assert translate("manifest.yaml", Network())["data"] == translate(manifest(), Network())["data"]
    Path("broken.yaml").write_text("a: [")
    for path, words in (("broken.yaml", "cannot be read as YAML"), ("none.yaml", "no such file")):
        with pytest.raises(TorchMLError, match=words):
            GNNLightningTrainer.from_file(path, Network())


def test_names_of_exports_are_checked_before_training() -> None:
    for key, value in (("model_name", "1 bad"), ("driver_version", "one")):
        with pytest.raises(TorchMLError, match=str(value)):
            GNNLightningTrainer(having(f"export.{key}", value), Network())


def test_networks_that_torchscript_cannot_compile_are_refused_before_training() -> None:
    class Bad(Network):
        def forward(self, z, coords, edge_index0, edge_index1, contributions):  # type: ignore[no-untyped-def]
            return {**{"a": coords}}["a"]

    with pytest.raises(TorchMLError, match="TorchScript"):
        GNNLightningTrainer(manifest(), Bad())
