"""Configurations of OCP's Lightning edition: translated, and trained to files."""

from __future__ import annotations

import copy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
import pytest
import torch
import yaml
from ase.build import add_adsorbate, fcc111
from ase.constraints import FixAtoms

from helpers.labelled import labelled
from torchml import Calculator, TorchMLError, export_model
from torchml.compat.ocp_lightning import OwnModel, translate
from torchml.compat.ocp_lightning.command import main
from torchml.compat.ocp_lightning.configs import Tune
from torchml.compat.ocp_lightning.documents import merged, put
from torchml.compat.ocp_lightning.translation import parse, tuning
from torchml.compat.ocp_lightning.tuning import tune
from torchml.data import Configuration, write_aselmdb, write_lmdb
from torchml.importers.checkpoint import load_model
from torchml.training import fit, predict, validate

# The configuration in OCP's documentation, with smaller sizes.
README = """\
model:
  gnn:
    class_path: ocpmodels.models.gcn.GraphConvModel
    init_args:
      atom_embedding_dim: 8
      out_dim: 4
      num_blocks: 3
      num_fc_layers: 3
      activation: torch.nn.SiLU
      readout: dgl.nn.pytorch.SumPooling
      cutoff: 4.0
  regress_forces: False
  normalize_kwargs:
    target_mean: -0.7554450631141663
    target_std: 2.887317180633545
    grad_target_mean: 0.0
    grad_target_std: 2.887317180633545
data:
  class_path: ocpmodels.lightning.data.DGLDataModule
  init_args:
    train_path: train
    batch_size: 4
    num_workers: 0
optimizer:
  class_path: torch.optim.Adam
  init_args:
    lr: 0.0005
lr_scheduler:
  class_path: torch.optim.lr_scheduler.ExponentialLR
  init_args:
    gamma: 0.1
trainer:
  max_steps: 3
  limit_val_batches: 0
  limit_test_batches: 0
  limit_predict_batches: 0
  accelerator: "cpu"
  num_nodes: 1
  devices: 1
  strategy: null
seed_everything: 42
"""

# What a reader of that page adds to have errors and predictions.
PARTS = """\
data:
  init_args: {val_path: val, test_path: test}
trainer:
  {limit_val_batches: 1.0, limit_test_batches: 1.0, limit_predict_batches: 1.0}
"""


def structures(count: int, seed: int) -> list[Configuration]:
    """Hydrogen on copper with a fixed layer, moved at random, with the labels of EMT."""
    made = []
    for k in range(count):
        slab = fcc111("Cu", size=(2, 2, 2), vacuum=6.0)
        add_adsorbate(slab, "H", 1.2, "fcc")
        slab.set_constraint(FixAtoms(mask=slab.get_tags() == 2))
        slab.rattle(0.05, seed=seed + k)
        slab.info.clear()
        made.append(Configuration.from_atoms(labelled(slab), index=k))
    return made


def relaxed(configurations: list[Configuration]) -> list[Configuration]:
    """With relaxed energies alone."""
    return [replace(c, energy=None, relaxed_energy=c.energy) for c in configurations]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data sets as OCP has them, then and today, for S2EF and IS2RE."""
    folder = tmp_path_factory.mktemp("data")
    for part, count, seed in (("train", 8, 0), ("val", 3, 20), ("test", 2, 40)):
        made = structures(count, seed)
        write_lmdb(made, folder / part / "data.0000.lmdb")
        write_lmdb(relaxed(made), folder / f"is2re-{part}" / "data.0000.lmdb")
        write_aselmdb(made, folder / f"today-{part}" / "data.0000.aselmdb")
        write_aselmdb(relaxed(made), folder / f"today-is2re-{part}" / "data.0000.aselmdb")
    return folder


@pytest.fixture
def here(data: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with links to the data."""
    for source in data.iterdir():
        (scratch / source.name).symlink_to(source)
    monkeypatch.syspath_prepend(str(scratch))
    return scratch


def config(**model: Any) -> dict[str, Any]:
    """Energies and forces of the graph convolution, for one epoch."""
    content = yaml.safe_load(README)
    content["model"] |= {"regress_forces": True, **model}
    content["data"]["init_args"] |= {"val_path": "val", "test_path": "test"}
    content["trainer"] = {"max_epochs": 1, "accelerator": "cpu", "logger": False}
    return content


def having(key: str, value: Any) -> dict[str, Any]:
    """The configuration with another value, or with one key less if the value is None."""
    content = config()
    *path, leaf = key.split(".")
    section = content
    for name in path:
        section = section.setdefault(name, {})
    section[leaf] = value
    return content


# --- From the documentation's configuration to files ----------------------------------------------


def test_the_documented_configuration_runs_from_fit_to_predict(here, capsys, caplog) -> None:
    Path("readme.yml").write_text(README)
    Path("parts.yml").write_text(PARTS)
    options = ["--config", "readme.yml", "--config", "parts.yml"]

    assert main(["s2ef", "fit", *options, "--trainer.max_steps=4"]) == 0
    printed = yaml.safe_load(capsys.readouterr().out.partition("\n...\n")[0])
    assert printed["model"]["init_args"]["model"]["class_path"] == "torchml.models.GCN"
    assert printed["trainer"]["max_steps"] == 4
    assert "do not change when a structure is moved" in caplog.text
    assert "out_dim, num_fc_layers have no counterpart" in caplog.text
    written = yaml.safe_load(Path("run/config.yaml").read_text())
    assert written["model"]["init_args"]["model"]["init_args"]["species"] == ["H", "Cu"]

    for command in ("validate", "test", "predict"):
        assert main(["s2ef", command, *options]) == 0
        assert "energy_mae" in capsys.readouterr().out
    frames = ase.io.read("run/predictions.extxyz", ":")
    assert len(frames) == 2
    for atoms, source in zip(frames, structures(2, 40), strict=True):
        np.testing.assert_allclose(atoms.positions, source.positions)
        energy = Calculator("run/checkpoints/best.ckpt").get_potential_energy(atoms)
        assert atoms.info["predicted_energy"] == pytest.approx(energy, abs=1e-5)


def test_a_second_training_needs_permission_and_print_config_trains_nothing(here, capsys) -> None:
    Path("run/checkpoints").mkdir(parents=True)
    Path("run/checkpoints/last.ckpt").touch()
    Path("a.yml").write_text(README)
    assert main(["s2ef", "fit", "--config", "a.yml"]) == 1
    assert "--overwrite," in capsys.readouterr().err
    assert main(["s2ef", "fit", "--overwrite", "--config", "a.yml", "--print_config"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["overwrite"] is True
    assert main(["s2ef", "fit", "--config=a.yml", "--print_config"]) == 0
    assert yaml.safe_load(capsys.readouterr().out)["data"]["train"] == "train"
    assert not Path("run/config.yaml").exists()


def test_the_module_is_a_command(here) -> None:
    words = [sys.executable, "-m", "torchml.compat.ocp_lightning"]
    done = subprocess.run([*words, "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and "s2ef|is2re" in done.stdout


# --- The four models ------------------------------------------------------------------------------

DIMENET = {
    "emb_size": 8, "out_emb_size": 16, "int_emb_size": 4, "basis_emb_size": 4, "num_blocks": 2,
    "num_spherical": 3, "num_radial": 4, "cutoff": 3.5, "envelope_exponent": 5.0,
    "activation": "torch.nn.SiLU",
}  # fmt: skip
EGNN = {
    "embed_in_dim": 1, "embed_hidden_dim": 8, "embed_out_dim": 16, "embed_depth": 3,
    "embed_feat_dims": [8, 8], "embed_message_dims": [8, 8], "embed_position_dims": [8],
    "embed_edge_attributes_dim": 0, "embed_activation": "relu", "embed_residual": True,
    "embed_normalize": True, "embed_tanh": True, "embed_activate_last": False,
    "embed_k_linears": 1, "embed_use_attention": True, "embed_attention_norm": "sigmoid",
    "readout": "sum", "node_projection_depth": 3, "node_projection_hidden_dim": 8,
    "node_projection_activation": "relu", "prediction_out_dim": 1, "prediction_depth": 3,
    "prediction_hidden_dim": 8, "prediction_activation": "relu", "cutoff": 3.5,
}  # fmt: skip
GALA = {
    "D_in": 1, "hidden_dim": 8, "depth": 1, "dilation": 3, "residual": False,
    "nonlinearities": True, "merge_fun": "mean", "join_fun": "mean", "invariant_mode": "full",
    "rank": 2, "value_normalization": "momentum", "pc_size": 8, "cutoff": 3.5,
}  # fmt: skip
GCN = {"atom_embedding_dim": 8, "out_dim": 4, "num_blocks": 3, "cutoff": 3.5}

# Class path and arguments there; class, arguments, and lost parameters here.
MODELS = [
    ("ocpmodels.models.DimeNetPP", DIMENET, "DimeNetPP",
     {"layers": 3, "features": 8, "triplet_features": 4, "basis_features": 4, "cutoff": 3.5,
      "spherical_degrees": 3, "radial_functions": 4, "spherical_functions": 4},
     "DimeNetPP: out_emb_size has no counterpart"),
    ("ocpmodels.models.dgl.egnn.PLEGNNBackbone", EGNN, "EGNN",
     {"layers": 3, "features": 8, "attention": True, "cutoff": 3.5},
     "embed_position_dims, embed_activation, embed_tanh, node_projection_depth"),
    ("GalaPotential", GALA, "GAANet", {"layers": 2, "features": 8, "cutoff": 3.5},
     "residual, merge_fun, join_fun, invariant_mode, value_normalization, pc_size have"),
    ("GraphConvModel", GCN, "GCN", {"layers": 2, "features": 8, "cutoff": 3.5},
     "GraphConvModel: out_dim has no counterpart"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "given", "name", "sizes", "lost"), MODELS, ids=[row[2] for row in MODELS]
)
def test_each_model_takes_a_batch(path, given, name, sizes, lost, here, caplog) -> None:
    content = config(gnn={"class_path": path, "init_args": given})
    content["data"]["init_args"]["train_path"] = ["train", "today-train"]
    content["trainer"]["fast_dev_run"] = True
    translated = translate("s2ef", content)
    network = translated["model"]["init_args"]["model"]
    assert network["class_path"] == f"torchml.models.{name}"
    assert network["init_args"] == {"species": [], "dtype": "float32", **sizes}
    assert lost in caplog.text
    run = fit(translated, plots=False)
    assert len(run.data.configurations("train")) == 16
    assert run.trainer.global_step == 1
    assert type(run.task.model.network).__name__ == name
    assert np.isfinite(run.metrics["train/forces_loss"])


def test_the_loss_is_in_units_of_the_standard_deviations(here) -> None:
    content = config(force_coefficient=3.0, force_loss="MSELoss")
    std, force_std = 2.0, 0.5
    values = {"target_mean": 4.0, "target_std": std, "grad_target_std": force_std}
    content["model"]["normalize_kwargs"] = values
    run = fit(translate("s2ef", content), plots=False)
    energies, forces = [], []
    for source in structures(3, 20):
        atoms = source.to_atoms()
        atoms.calc = Calculator(run.last)
        energies.append(abs(atoms.get_potential_energy() - source.energy) / std)
        errors = atoms.get_forces(apply_constraint=False) - source.forces
        forces.append(np.square(errors / force_std).mean())
    expected = np.mean(energies) + 3.0 * np.mean(forces)
    assert run.metrics["val/loss"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("of", ["is2re", "today-is2re"])
def test_relaxed_energies_are_learned_by_is2re(of, here) -> None:
    content = config(regress_forces=False)
    content["data"] = {
        "class_path": "IS2REDGLDataModule",
        "init_args": {"train_path": f"{of}-train", "val_path": f"{of}-val", "batch_size": 4},
    }
    content["model"] = {"class_path": "IS2RELitModule", "init_args": content["model"]}
    run = fit(translate(None, content), plots=False)
    assert run.task.kind == "is2re"
    errors = []
    for source in structures(3, 20):
        atoms = source.to_atoms()
        atoms.calc = Calculator(run.last)
        errors.append(abs(atoms.get_potential_energy() - source.energy))
    assert run.metrics["val/energy_mae"] == pytest.approx(np.mean(errors), abs=1e-4)


# --- A model of the user --------------------------------------------------------------------------

OWN = '''
import torch
from ocpmodels.models.base import AbstractEnergyModel


class Pairs(AbstractEnergyModel):
    """Two passes of messages over the neighbours."""

    cutoff = 3.5
    layers = 2

    def __init__(self, width: int, activation: type[torch.nn.Module] = torch.nn.Tanh):
        super().__init__()
        self.save_hyperparameters()
        self.embedding = torch.nn.Embedding(100, width)
        self.mix = torch.nn.ModuleList(torch.nn.Linear(width, width) for _ in range(2))
        self.act = activation()
        self.out = torch.nn.Linear(width, 1)

    def forward(self, graph):
        with graph.local_scope():
            x = self.embedding(graph.ndata["atomic_numbers"].long())
            source, target = graph.edges()
            weight = (1 - graph.distances / self.cutoff).square().unsqueeze(1)
            for layer in self.mix:
                sums = torch.zeros_like(x).index_add(0, target, x[source] * weight)
                x = x + self.act(layer(sums))
            return graph.pool(self.out(x))


class Tagged(Pairs):
    def forward(self, graph):
        return super().forward(graph) + graph.pool(graph.ndata["tags"].float().unsqueeze(1))


class Deeper(Pairs):
    layers = 1


class Placed(Pairs):
    def forward(self, graph):
        return super().forward(graph) + graph.pool(graph.ndata["pos"][:, :1])


class Flat(Pairs):
    def forward(self, graph):
        return super().forward(graph).squeeze(1)


class Still(Pairs):
    def forward(self, graph):
        return graph.pool(self.out(self.embedding(graph.ndata["atomic_numbers"].long())))


class Slow(Pairs):
    def forward(self, graph):
        graph.update_all(None, None)
'''


@pytest.fixture
def own(here: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The module of the user's models, which imports ocpmodels."""
    name = f"own_{here.name.replace('-', '_')}"
    Path(f"{name}.py").write_text(OWN)
    yield name
    sys.modules.pop(name, None)


def of_own(path: str, **arguments: Any) -> dict[str, Any]:
    return translate(
        "s2ef", config(gnn={"class_path": path, "init_args": {"width": 6, **arguments}})
    )


def test_a_model_of_the_user_trains_with_forces_and_runs_as_an_archive(own) -> None:
    run = fit(of_own(f"{own}.Pairs", activation="torch.nn.SiLU"))
    assert "ocpmodels" not in sys.modules
    assert isinstance(run.task.model, OwnModel)
    assert isinstance(run.task.model.network.model.act, torch.nn.SiLU)
    done = predict("run/config.yaml", data={"test": "test"}, trainer={"logger": False})
    exported = export_model(run.best, output="models").folder
    assert exported.name.startswith("Pairs_HCu")
    for atoms, source in zip(ase.io.read(done.folder / "predictions.extxyz", ":"),
                             structures(2, 40), strict=True):  # fmt: skip
        forces = atoms.arrays["predicted_forces"]
        atoms.calc = Calculator(exported)
        assert atoms.get_potential_energy() == pytest.approx(
            float(atoms.info["predicted_energy"]), abs=2e-5
        )
        found = atoms.get_forces(apply_constraint=False)
        np.testing.assert_allclose(found, forces, atol=2e-5)
        step = 0.01
        atoms.positions[-1, 2] += step
        above = atoms.get_potential_energy()
        atoms.positions[-1, 2] -= 2 * step
        slope = (above - atoms.get_potential_energy()) / (2 * step)
        assert forces[-1, 2] == pytest.approx(-slope, abs=2e-3)
        assert len(atoms) == len(source)


def test_energies_of_the_elements_and_the_scale_are_those_of_the_data(own) -> None:
    values = {"target_mean": 3.0, "target_std": 2.0, "grad_target_std": 2.0}
    content = config(gnn={"class_path": f"{own}.Pairs", "init_args": {"width": 6}},
                     normalize_kwargs=values)  # fmt: skip
    content["trainer"]["fast_dev_run"] = True
    run = fit(translate("s2ef", content), plots=False)
    batch = run.data.dataset("train")[[0, 1]]
    energies = []
    for bias in (1.0, 0.0):  # of the 9 atoms of each structure
        with torch.no_grad():
            for parameter in run.task.model.network.model.out.parameters():
                parameter.fill_(0.0)
            run.task.model.network.model.out.bias.fill_(bias)
        energies.append(run.task.forward(batch).energy)
    assert (energies[0] - energies[1]).tolist() == pytest.approx([18.0, 18.0])
    mean = np.mean([c.energy for c in structures(8, 0)])
    assert energies[1].tolist() == pytest.approx([mean, mean])


def test_a_model_that_no_simulator_can_run_trains_and_says_why(own) -> None:
    configuration = of_own(f"{own}.Tagged")
    run = fit(configuration, plots=False)
    found = validate(configuration, plots=False)
    assert found.metrics["val/loss"] == pytest.approx(run.metrics["val/loss"])
    with pytest.raises(TorchMLError, match=r"graph.ndata has no 'tags', which no simulator has"):
        load_model(run.best)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("Deeper", r"its attribute layers \(1\) must be the number of its passes"),
        ("Placed", "energies must not depend on where an atom is"),
    ],
)
def test_a_trace_is_compared_with_training(name, reason, own) -> None:
    OwnModel(["H", "Cu"], f"{own}.Pairs", {"width": 6}).compiled()
    with pytest.raises(TorchMLError, match=reason) as caught:
        OwnModel(["H", "Cu"], f"{own}.{name}", {"width": 6}).compiled()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("path", "arguments", "reason"),
    [
        ("Flat", {}, r"forward of Flat returned \[3\], expected energies \[3, 1\]"),
        ("Still", {}, "energies of .*Still do not depend on the positions"),
        ("Slow", {}, "the graph has no 'update_all', it has ndata, edata"),
        ("Pairs", {"widht": 5}, "has no argument 'widht'; did you mean 'width'"),
        ("Pairs", {"width": "wide"}, "width"),
        ("Pears", {}, "has no attribute 'Pears'"),
        ("torch", {}, "is no subclass of AbstractEnergyModel"),
    ],
)
def test_errors_in_a_model_of_the_user_are_one_sentence(path, arguments, reason, own) -> None:
    with pytest.raises(TorchMLError, match=reason) as caught:
        fit(of_own(f"{own}.{path}", **arguments))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("import dgl", "DGL is no longer developed and is not needed here"),
        ("from ocpmodels.common import utils", "expected AbstractEnergyModel of ocpmodels.models"),
        ("import no_such_package", "imports no_such_package, which is not installed"),
        ("1 / 0", "cannot be imported: ZeroDivisionError"),
    ],
)
def test_a_file_that_cannot_be_imported_is_one_sentence(line, reason, here) -> None:
    Path("broken_models.py").write_text(f"{line}\n{OWN}")
    try:
        with pytest.raises(TorchMLError, match=reason) as caught:
            fit(of_own("broken_models.Pairs"))
    finally:
        sys.modules.pop("broken_models", None)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_one_sentence(here) -> None:
    with pytest.raises(TorchMLError, match=r"expected a file no_models.py in the working folder"):
        fit(of_own("no_models.Model"))


# --- tune -----------------------------------------------------------------------------------------


def test_tune_finds_a_batch_size_and_a_learning_rate(here, capsys) -> None:
    content = config() | {"tune": {"num_training": 20, "min_lr": 1e-5, "max_lr": 0.1}}
    Path("a.yml").write_text(yaml.safe_dump(content))
    assert main(["s2ef", "tune", "--config", "a.yml"]) == 0
    printed = capsys.readouterr().out
    assert "batch size: 8 of 8 configurations" in printed
    found = yaml.safe_load(Path("run/tuned.yml").read_text())
    assert found["data"] == {"init_args": {"batch_size": 8}}
    rate = found["optimizer"]["init_args"]["lr"]
    assert 1e-5 <= rate <= 0.1
    assert f"learning rate: {rate:.3g}" in printed
    assert sorted(path.name for path in Path("run").iterdir()) == ["tuned.yml"]
    options = ["--config", "a.yml", "--config", "run/tuned.yml", "--print_config"]
    assert main(["s2ef", "fit", *options]) == 0
    translated = yaml.safe_load(capsys.readouterr().out)
    assert translated["data"]["batch_size"] == 8
    assert translated["model"]["init_args"]["optimizer"]["class_path"] == "torch.optim.Adam"
    assert translated["model"]["init_args"]["optimizer"]["init_args"]["lr"] == rate


def test_a_batch_size_is_kept_if_no_learning_rate_is_found(here, capsys) -> None:
    Path("a.yml").write_text(yaml.safe_dump(config()))
    few = ["--tune.num_training", "2", "--tune.max_trials", "1"]
    assert main(["s2ef", "tune", "--config", "a.yml", *few]) == 1
    output = capsys.readouterr()
    assert "batch size: 2 of 8 configurations, in run/tuned.yml" in output.out
    assert "lowers the loss in 2 steps, expected larger tune.num_training" in output.err
    assert yaml.safe_load(Path("run/tuned.yml").read_text()) == {
        "data": {"init_args": {"batch_size": 2}}
    }


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"num_training": 0}, "tune.num_training is 0, expected 1 or more"),
        ({"init_val": 0}, "tune.init_val is 0"),
        ({"min_lr": 0.0}, "tune.min_lr is 0 and tune.max_lr 1, expected positive numbers"),
        ({"min_lr": 1.0, "max_lr": 0.1}, "the second one larger"),
        ({"lr": False, "batch_size": False}, "expected at least one of them"),
    ],
)
def test_wrong_arguments_of_tune_are_one_sentence(values, reason) -> None:
    with pytest.raises(TorchMLError, match=reason):
        tune({}, Tune(**values), {})


def test_arguments_of_lightning_1_choose_what_is_tuned() -> None:
    def tune(**trainer: Any) -> Tune:
        return tuning(parse(having("trainer", trainer)))

    assert tune() == Tune(batch_size=True, lr=True, mode="power")
    assert tune(auto_lr_find=True) == Tune(batch_size=False, lr=True)
    assert tune(auto_lr_find=False, auto_scale_batch_size=False) == tune()
    binsearch = tune(auto_scale_batch_size="binsearch")
    assert binsearch == Tune(batch_size=True, lr=False, mode="binsearch")


# --- Translation ----------------------------------------------------------------------------------

TASK = "model.init_args"
SECTION = {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.5}}
CASES: list[tuple[str, Any, str, Any]] = [
    ("seed_everything", 7, "seed_everything", 7),
    ("model.regress_forces", False, f"{TASK}.force_coefficient", 0.0),
    ("model.force_coefficient", 5, f"{TASK}.force_coefficient", 5.0),
    ("model.energy_coefficient", 5, f"{TASK}.energy_coefficient", 5.0),
    ("model.energy_loss", "torch.nn.MSELoss", f"{TASK}.energy_loss.class_path", "torch.nn.MSELoss"),
    ("model.force_loss", {"class_path": "HuberLoss", "init_args": {"delta": 2.0}},
     f"{TASK}.force_loss", {"class_path": "torch.nn.HuberLoss", "init_args": {"delta": 2.0}}),
    ("model.normalize_kwargs", None, f"{TASK}.normalization", {"references": "none", "scale": 1.0}),
    ("model.normalize_kwargs.target_mean", 0, f"{TASK}.normalization.references", "none"),
    ("model.nan_check", True, f"{TASK}.schedule", "constant"),
    ("optimizer", SECTION, f"{TASK}.optimizer", SECTION),
    ("optimizer", {"class_path": "SGD", "init_args": {"lr": 0.5}}, f"{TASK}.optimizer", SECTION),
    ("lr_scheduler", {"class_path": "StepLR", "init_args": {"step_size": 2}},
     f"{TASK}.scheduler.class_path", "torch.optim.lr_scheduler.StepLR"),
    ("lr_scheduler",
     {"class_path": "ReduceLROnPlateau", "init_args": {"monitor": "validation_loss"}},
     f"{TASK}.monitor", "val/loss"),
    ("data.init_args.val_path", None, "data.split", {"val": 0}),
    ("data.init_args.batch_size", 3, "data.batch_size", 3),
    ("data.init_args.num_workers", 1, "data.num_workers", 1),
    ("data.init_args.num_gpus", 2, "trainer.devices", 2),
    ("data.init_args.dataset_class", "ocpmodels.datasets.S2EFDataset", "data.train", "train"),
    ("data.class_path", "PyGDataModule", "data.train", "train"),
    ("data.class_path", "ocpmodels.lightning.data_utils.GraphDataModule", "data.test", "test"),
    ("trainer", {"gpus": 2}, "trainer.accelerator", "gpu"),
    ("trainer", {"gpus": 0}, "trainer.accelerator", "cpu"),
    ("trainer.num_gpus", 2, "trainer.devices", 2),
    ("trainer.strategy", None, "trainer.strategy", "auto"),
    ("trainer.strategy", "ddp", "trainer.strategy", "ddp"),
    ("trainer.precision", 64, "model.init_args.model.init_args.dtype", "float64"),
    ("trainer.gradient_clip_val", 2.0, "trainer.gradient_clip_val", 2.0),
    ("trainer.resume_from_checkpoint", "a.ckpt", "ckpt_path", "a.ckpt"),
    ("trainer", {"weights_summary": "top", "gpus": None, "devices": None, "auto_lr_find": False,
                 "track_grad_norm": -1}, "trainer", {"gradient_clip_val": None}),
    ("trainer.logger", [{"class_path": "pytorch_lightning.loggers.CSVLogger",
                         "init_args": {"save_dir": "logs"}}],
     "trainer.logger", [{"class_path": "lightning.pytorch.loggers.CSVLogger",
                         "init_args": {"save_dir": "logs"}}]),
    ("trainer.callbacks", [{"class_path": "EarlyStopping",
                            "init_args": {"monitor": "validation_loss"}}],
     "trainer.callbacks", [{"class_path": "EarlyStopping", "init_args": {"monitor": "val/loss"}}]),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value", "place", "expected"), CASES)
def test_values_arrive_at_their_place(key, value, place, expected) -> None:
    found = translate("s2ef", having(key, value))
    for name in place.split("."):
        found = found[name]
    assert found == expected


def test_learning_rate_and_gamma_take_the_place_of_sections() -> None:
    content = config(lr=0.01, gamma=0.5)
    del content["optimizer"], content["lr_scheduler"]
    found = translate("s2ef", content)["model"]["init_args"]
    assert found["optimizer"] == {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.01}}
    assert found["scheduler"]["init_args"] == {"gamma": 0.5}


ERRORS = [
    ("modle", {}, "configuration.modle is an unknown key; did you mean 'model'"),
    ("model.gn", {}, "model.gn is an unknown key; did you mean 'gnn'"),
    ("model.gnn.init_args.num_block", 3, "num_block is an unknown key; did you mean 'num_blocks'"),
    ("model.gnn.class_path", "GraphConvModell", "did you mean 'GraphConvModel'"),
    ("model.gnn.class_path", "ocpmodels.models.pyg.ForceNet", "known: GraphConvModel, DimeNetPP"),
    ("model.gnn.init_args.readout", "dgl.nn.pytorch.AvgPooling", "the sum over its atoms"),
    ("model.gnn.init_args.cutoff", "far", "cutoff is 'far', expected a number"),
    ("model.class_path", "S2EFLitModul", "did you mean 'S2EFLitModule'"),
    ("model.class_path", "IS2RELitModule", "but the task is s2ef"),
    ("model.normalize_kwargs.target_standard", 1, "did you mean 'target_std'"),
    ("model.normalize_kwargs.target_std", 0, "expected a positive number"),
    ("model.normalize_kwargs.grad_target_std", 1.5, "expected the same with torch.nn.HuberLoss"),
    ("model.normalize_kwargs.grad_target_mean", 0.1, "add up to zero"),
    ("data.class_path", "DGLDatamodule", "did you mean 'DGLDataModule'"),
    ("data.class_path", "IS2REDGLDataModule", "but the task is s2ef"),
    ("data.init_args.train_pth", "x", "did you mean 'train_path'"),
    ("data.init_args.dataset_class", "IS2REDataset", "but the task is s2ef"),
    ("data.init_args.train_path", None, "data.train_path is None"),
    ("data.batch_size", 3, "data.batch_size stands beside class_path"),
    ("trainer.max_epoch", 3, "did you mean 'max_epochs'"),
    ("trainer.weights_summary", "full", "Lightning 2 has no such argument"),
    ("trainer.gpus", 2, "trainer.gpus is 2 and data.num_gpus is 1, expected the same"),
    ("trainer.plugins", [{"class_path": "ocpmodels.lightning.ddp.X"}], "no counterpart"),
    ("optimizer", "Adamm", "did you mean 'Adam'"),
    ("optimizer", {"class_path": "Adam", "init_args": {"learning": 1}},
     "optimizer.init_args.learning is no argument of Adam"),
    ("lr_scheduler", "StepLR", "lr_scheduler.init_args lacks step_size"),
    ("trainer.callbacks", [{"class_path": "EarlyStopping", "init_args": {"monitor": "val_los"}}],
     r"trainer.callbacks\[0\].init_args.monitor is 'val_los', no metric; did you mean 'val_loss'"),
    ("data.init_args.transforms", ["torch.nn.Identity"], "data.transforms cannot be honoured"),
    ("lr_scheduler", {"init_args": {"gamma": 1}}, "lr_scheduler lacks class_path"),
    ("optimizer", None, "model.lr is missing"),
    ("tune.lrs", 1, "did you mean 'lr'"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value", "reason"), ERRORS)
def test_wrong_keys_and_values_are_one_sentence(key, value, reason) -> None:
    content = having(key, value)
    if key == "model.normalize_kwargs.grad_target_std":
        content["model"]["force_loss"] = "HuberLoss"
    if key == "trainer.gpus":
        content["data"]["init_args"]["num_gpus"] = 1
    if key == "model.class_path":
        section = content["model"]
        path = section.pop("class_path")
        content["model"] = {"class_path": path, "init_args": section}
    with pytest.raises(TorchMLError, match=reason) as caught:
        translate("s2ef", content)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("command", "key"), [("validate", "val_path"), ("predict", "test_path")])
def test_a_command_without_its_data_is_one_sentence(command, key) -> None:
    with pytest.raises(TorchMLError, match=f"data.{key} is missing"):
        translate("s2ef", having(f"data.init_args.{key}", None), command)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["s2ef", "fti"], "the command is 'fti', expected one of fit"),
        (["fit2"], "expected s2ef or is2re, or one of fit"),
        (["s2ef"], "the command is None"),
        (["s2ef", "fit"], "there is no configuration, expected --config FILE"),
        (["s2ef", "fit", "--config"], "--config has no value"),
        (["s2ef", "fit", "--config", "no.yml"], "error: no.yml: no such file, expected a"),
        (["s2ef", "fit", "a.yml"], "'a.yml' is no option"),
        (["fit", "--config", "a.yml"], "the task is not given"),
        (["s2ef", "fit", "--config", "a.yml", "--trainer.max_steps.x", "1"], "keys with values"),
    ],
)
def test_wrong_words_are_one_sentence(words, reason, here, capsys) -> None:
    Path("a.yml").write_text(README)
    assert main(words) == 1
    error = capsys.readouterr().err
    assert reason in error and error.count("\n") == 1


def test_files_are_merged_and_words_replace_values() -> None:
    one = {"a": {"class_path": "A", "init_args": {"x": 1, "y": 2}}, "b": 1, "o": "Adam"}
    other = {"a": {"init_args": {"x": 3}}, "c": 2, "o": {"init_args": {"lr": 1}}}
    both = merged([one, other])
    assert both["a"] == {"class_path": "A", "init_args": {"x": 3, "y": 2}}
    assert (both["b"], both["c"]) == (1, 2)
    assert both["o"] == {"class_path": "Adam", "init_args": {"lr": 1}}
    another = merged([one, {"a": {"class_path": "B", "init_args": {"z": 1}}}])
    assert another["a"] == {"class_path": "B", "init_args": {"z": 1}}
    content = copy.deepcopy(both)
    put(content, "a.x", "[1, 2]")
    put(content, "a.init_args.y", "text")
    put(content, "d.e", "1e-3")
    put(content, "o", "SGD")
    assert content["a"]["init_args"] == {"x": [1, 2], "y": "text"}
    assert content["d"] == {"e": "1e-3"}
    assert content["o"] == {"class_path": "SGD"}


def test_another_data_module_or_task_keeps_the_arguments() -> None:
    one = {
        "data": {"class_path": "DGLDataModule", "init_args": {"train_path": "a", "batch_size": 2}}
    }
    other = {"data": {"class_path": "S2EFDGLDataModule", "init_args": {"batch_size": 3}}}
    both = {"class_path": "S2EFDGLDataModule", "init_args": {"train_path": "a", "batch_size": 3}}
    assert merged([one, other]) == {"data": both}
    content = copy.deepcopy(one)
    put(content, "data", "IS2REDGLDataModule")
    put(content, "data.train_path", "b")
    assert content["data"] == {
        "class_path": "IS2REDGLDataModule",
        "init_args": {"train_path": "b", "batch_size": 2},
    }
