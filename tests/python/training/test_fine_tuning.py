"""Training that starts from a trained potential: what stays, and reference energies."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from ase import Atoms
from ase.calculators.lj import LennardJones
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import write

from helpers.argon import labelled_structures
from torchml.data import Configuration, read
from torchml.data.dataset import GraphDataset
from torchml.data.graph import GraphBuilder
from torchml.errors import TorchMLError
from torchml.export.prepare import prepare
from torchml.importers.checkpoint import load_fine_tuned, load_model
from torchml.importers.committees import committee_of
from torchml.importers.fine_tuned import FineTuned, isolated
from torchml.importers.opening import load
from torchml.models import ACE, SchNet
from torchml.models.ace_simulation import SimulationACE
from torchml.models.base import EdgeModel
from torchml.training import Run, api, fit
from torchml.training.cli import main
from torchml.training.loop.prediction import predict
from torchml.training.settings import from_mapping

OLD = "old/checkpoints/best.ckpt"
QUIET: dict[str, Any] = {"plots": False, "data": {"batch_size": 4, "split": {"val": 4}}}
OTHER = {"trainer__default_root_dir": "other"}
QUIET["trainer"] = {"max_epochs": 2, "accelerator": "cpu", "logger": False}


@pytest.fixture(scope="module")
def old(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run `old`, in which a small SchNet was trained."""
    folder = tmp_path_factory.mktemp("old")
    torch.manual_seed(0)
    network = SchNet(["Ne", "Ar"], 3.0, layers=2, features=8, gaussians=6)
    fit(QUIET, model=network, data__train=str(data), trainer__default_root_dir=str(folder / "old"))
    return folder


@pytest.fixture
def folder(old: Path, scratch: Path) -> Path:
    shutil.copytree(old / "old", scratch / "old")
    return scratch


@pytest.fixture(scope="module")
def new_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The old structures, with 5 eV more for each neon and 7 eV less for each argon."""
    path = tmp_path_factory.mktemp("new") / "new.extxyz"
    structures = labelled_structures(20)
    for one in structures:
        numbers = one.numbers
        energy = (
            one.get_potential_energy() + 5.0 * (numbers == 10).sum() - 7.0 * (numbers == 18).sum()
        )
        one.calc = SinglePointCalculator(one, energy=energy, forces=one.get_forces())
    write(path, structures)
    return str(path)


@pytest.fixture
def new(new_file: str) -> list[Configuration]:
    return list(read(new_file))


def tuned(data: Any, folder: str = "new", **init_from: Any) -> Run:
    rule = {"file": OLD} | init_from
    options = {"model": {"init_args": {"init_from": rule}}}
    return fit(QUIET, **options, data=data, trainer__default_root_dir=folder)


def weights(path: str | Path) -> dict[str, torch.Tensor]:
    return {name: one.detach() for name, one in load_model(path).network.named_parameters()}


def alone(path: Path) -> dict[str, float]:
    """Energies of isolated atoms, of the potential that is exported."""
    potential = load_model(path)
    energies = potential.references + potential.scale * isolated(potential.network.double())
    return dict(zip(potential.species, energies.tolist(), strict=True))


def printed(text: str) -> dict[str, float]:
    """The reference energies that a training names."""
    lines = [line.split() for line in text.splitlines() if " -> " in line]
    return {words[0]: float(words[3]) for words in lines}


# --- Reference energies ---------------------------------------------------------------------------


@pytest.mark.parametrize("references", ["refit", "keep", {"Ne": -1.5, "Ar": 2.25}])
def test_isolated_atoms_have_the_energies_that_are_printed(references, folder, new, capsys):
    before = alone(Path(OLD))
    run = tuned(new, references=references)
    named, after = printed(capsys.readouterr().out), alone(run.best)
    assert after == pytest.approx(named, abs=1e-6)
    if references == "refit":
        shifts = {symbol: after[symbol] - before[symbol] for symbol in after}
        assert shifts == pytest.approx(run.task.offsets.by_element, abs=1e-9)
    else:
        assert after == pytest.approx(before if references == "keep" else references, abs=1e-9)


def test_the_offset_is_the_mean_difference_of_labels_and_old_model(folder, data, new, capsys):
    """Labels that differ by an energy for each element differ in the offsets by just that."""
    same = tuned(list(read(str(data))), "same").task.offsets.by_element
    run = tuned(new)
    found = run.task.offsets.by_element
    differences = [found["Ne"] - same["Ne"], found["Ar"] - same["Ar"]]
    assert differences == pytest.approx([5.0, -7.0], abs=1e-9)
    text = capsys.readouterr().out
    assert f"labels - old model: Ne {found['Ne']:+.4f}, Ar {found['Ar']:+.4f} eV per atom" in text
    assert "reference energies (of isolated atoms) are refitted to the labels:" in text
    # The network need not learn the shift: the error is that of the same labels without it.
    assert run.metrics["val/loss"] == pytest.approx(fit_again(data)["val/loss"], rel=1e-6)


def fit_again(data: Path) -> dict[str, float]:
    return tuned(list(read(str(data))), "again").metrics


# --- Frozen weights, rates, low rank --------------------------------------------------------------


def test_frozen_weights_stay_to_the_bit_and_others_change(folder, new):
    run = tuned(new, freeze=["interactions.0", "readout_*.weight"])
    before, after = weights(OLD), weights(run.best)
    frozen = {name for name in before if name.startswith("interactions.0.")}
    frozen |= {"readout_in.weight", "readout_out.weight"}
    same = {name for name in before if torch.equal(before[name], after[name])}
    assert same == frozen
    assert not any(p.requires_grad for p in run.task.model.network.interactions[0].parameters())


def test_old_weights_get_a_fraction_of_the_learning_rate(folder, new):
    target = {"name": "x", "kind": "graph_scalar"}
    some = [replace(one, targets={"x": np.array([1.0])}) for one in new]
    model = {"init_from": {"file": OLD, "rate": 0.25}, "targets": [target]}
    model["optimizer"] = {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.02}}
    run = fit(QUIET, model={"init_args": model}, data=some, trainer__default_root_dir="new")
    optimizer, _ = run.task.optimizer_and_schedules(lambda: 10)
    rates = {id(p): g["lr"] for g in optimizer[0].param_groups for p in g["params"]}
    assert {rates[id(p)] for p in run.task.model.network.parameters()} == {0.005}
    assert {rates[id(p)] for p in run.task.heads.parameters()} == {0.02}


def test_low_rank_changes_are_merged_at_export(folder, new):
    run = tuned(new, lora={"rank": 2, "alpha": 8.0, "matrices": ["interactions", "readout_in"]})
    before, trained, merged = load_model(OLD), load_fine_tuned(run.best), load_model(run.best)
    assert set(merged.state_dict()) == set(before.state_dict())
    batch = run.data.dataset("val")[[0, 1, 2]]
    inputs = (batch.species, batch.edge_vectors, batch.edge_index, *counts(batch))
    assert torch.allclose(trained(*inputs), merged(*inputs), rtol=1e-12, atol=1e-12)
    assert not torch.allclose(before(*inputs), merged(*inputs), rtol=1e-3)
    # Beside the matrices nothing changes, and these by a matrix of that rank.
    old, now = weights(OLD), weights(run.best)
    changed = {name for name in old if not torch.equal(old[name], now[name])}
    assert changed == set(run.task.model.low_rank)
    assert {name.split(".")[0] for name in changed} == {"interactions", "readout_in"}
    for name in changed:
        assert torch.linalg.matrix_rank(now[name] - old[name], rtol=1e-9) <= 2
        assert torch.equal(trained_original(trained, name), old[name])


def trained_original(model: FineTuned, name: str) -> torch.Tensor:
    path, _, key = name.rpartition(".")
    return model.network.get_parameter(f"{path}.parametrizations.{key}.original")


def counts(batch: Any) -> tuple[list[int], list[int]]:
    return batch.node_counts, batch.edge_counts


# --- Networks that adapt to their data ------------------------------------------------------------


@pytest.fixture(scope="module")
def old_ace(data: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A checkpoint of a small ACE, whose scales are those of its own training data."""
    torch.manual_seed(0)
    network = ACE(["Ne", "Ar"], 3.0, radial_functions=4, degrees=[2, 2], channels=6, hidden=8)
    folder = str(tmp_path_factory.mktemp("ace"))
    return str(
        fit(QUIET, model=network, data__train=str(data), trainer__default_root_dir=folder).best
    )


@pytest.fixture
def stretched(new: list[Configuration]) -> list[Configuration]:
    """Other structures than the old ones, with other densities."""
    return [replace(one, positions=1.2 * one.positions) for one in new]


def energies(model: EdgeModel, run: Run) -> torch.Tensor:
    batch = run.data.dataset("val")[[0, 1, 2, 3]]
    inputs = batch.species, batch.edge_vectors, batch.edge_index, *counts(batch)
    return model(*inputs).detach()


def test_an_ace_starts_from_exactly_its_energies(old_ace, stretched, scratch):
    """With steps of no size, the trained model is the one that the training started from."""
    run = tuned(stretched, file=old_ace, references="keep", rate=1e-30)
    before, after = load_model(old_ace), load_model(run.best)
    for name, one in before.network.named_buffers():
        assert torch.equal(one, after.network.get_buffer(name)), name
    expected = energies(before, run)
    assert expected.std() > 0.01
    torch.testing.assert_close(energies(after, run), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("lora", [None, {"rank": 2, "alpha": 50.0}], ids=["all", "lora"])
def test_the_exported_form_of_a_fine_tuned_ace_is_the_trained_one(
    lora, old_ace, stretched, scratch
):
    run = tuned(stretched, file=old_ace, lora=lora, rate=None if lora else 1.0)
    trained = load_fine_tuned(run.best)
    expected = energies(trained, run)
    assert (energies(load_model(old_ace), run) - expected).abs().max() > 0.1
    exported = prepare(load(run.best))
    for model in (exported.network, trained.for_simulation()):
        assert isinstance(model.network, SimulationACE)
        torch.testing.assert_close(energies(model, run), expected, rtol=0, atol=1e-9)
    # The network changed too, not only the reference energies.
    before, after = (energies(load_model(one).network, run) for one in (old_ace, run.best))
    assert (after - before).abs().max() > 1e-4


# --- The new file ---------------------------------------------------------------------------------


def test_the_new_run_stands_alone(folder, new):
    run = tuned(new, lora={"rank": 2})
    shutil.rmtree("old")
    model = load_model(run.best)
    assert model.cutoff == 3.0 and model.layers == 2 and model.species == ["Ne", "Ar"]
    found = api.validate("new/config.yaml", data=run.data.configurations("val"))
    wanted = {key: value for key, value in run.metrics.items() if key.startswith("val/")}
    assert {key: found.metrics[key] for key in wanted} == pytest.approx(wanted, rel=1e-9)
    # It can be the start of the next one, whose file holds the changes of both.
    rule = {"file": str(run.best), "freeze": ["embedding"], "references": "keep"}
    next_one = fit(QUIET, model={"init_args": {"init_from": rule}}, data=new)
    assert alone(next_one.best) == pytest.approx(alone(run.best), abs=1e-9)
    first, second = (load_model(one.best).network.embedding.weight for one in (run, next_one))
    assert torch.equal(first, second)
    # Both can be the members of a committee.
    committee, _ = committee_of([load(one.best) for one in (run, next_one)])
    mean = sum(energies(load_model(one.best), run) for one in (run, next_one)) / 2.0
    torch.testing.assert_close(energies(prepare(committee).network, run), mean, rtol=0, atol=1e-9)


def test_a_killed_training_resumes_to_the_same_weights(folder, new_file, recwarn):
    options = {"data": {"train": new_file}, "checkpoint": {"every_n_epochs": 1}}
    rule = {"file": OLD, "lora": {"rank": 2}}
    whole = fit(QUIET, model={"init_args": {"init_from": rule}}, **options)
    shutil.rmtree("old")
    options |= {"ckpt_path": "run/checkpoints/epoch_0.ckpt", **OTHER}
    resumed = fit(QUIET, model={"init_args": {"init_from": rule}}, **options)
    assert not [one for one in recwarn if "in eval mode" in str(one.message)]
    one, two = (load_fine_tuned(run.last).state_dict() for run in (whole, resumed))
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
    rule["references"] = "keep"
    with pytest.raises(TorchMLError, match=r"init_from\.references.*its weights depend on that"):
        fit(QUIET, model={"init_args": {"init_from": rule}}, **options)


# --- Replay ---------------------------------------------------------------------------------------


def test_old_data_train_with_their_weight_and_the_new_reference_energies(folder, data, new_file):
    replay = {"files": str(data), "weight": 0.25, "count": 5}
    both = {"train": new_file, "replay": replay}
    run = fit(QUIET, model={"init_args": {"init_from": OLD}}, data=both)
    trained = run.data.dataset("train").configurations
    assert len(trained) == 16 + 5 and len(run.data.configurations("train")) == 16
    old = list(read(str(data)))
    shifts = run.task.replay_shifts
    for one, source in zip(trained[-5:], (old[int(k)] for k in np.linspace(0, 19, 5)), strict=True):
        moved = sum(shifts[symbol] for symbol in one.to_atoms().get_chemical_symbols())
        assert one.energy == pytest.approx(source.energy + moved, abs=1e-9)
        assert (one.weights.energy, one.weights.forces) == (0.25, 0.25)
    # Offsets are of the new labels alone.
    alone = fit(QUIET, model={"init_args": {"init_from": OLD}}, data={"train": new_file}, **OTHER)
    assert shifts == alone.task.replay_shifts


def force_error(path: Path, structures: list[Atoms]) -> float:
    """Mean absolute error of the forces (eV/Å)."""
    model = load_model(path)
    builder = GraphBuilder(model.species, model.cutoff, model.layers)
    data = GraphDataset([Configuration.from_atoms(one) for one in structures], builder)
    batch = data[[*range(len(structures))]]
    return float((predict(model, batch).forces - batch.forces).abs().mean())


def closer(structures: list[Atoms]) -> list[Atoms]:
    """The same structures with shorter distances, and their own forces."""
    found = []
    for one in structures:
        atoms = Atoms(one.numbers, 0.93 * one.positions)
        atoms.calc = LennardJones(rc=3.0, smooth=True)
        atoms.get_forces()
        found.append(atoms)
    return found


def test_replay_keeps_the_old_error_while_the_new_one_falls(folder, data):
    options = {"trainer__max_epochs": 25, "trainer__check_val_every_n_epoch": 25, "ema": None}
    options |= {"data__batch_size": 8}
    model: dict[str, Any] = {"init_from": {"file": OLD, "rate": 1.0}}
    model["optimizer"] = {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.01}}
    first = fit(QUIET, model={"init_args": model}, data__train=str(data), **options).best
    write("closer.extxyz", closer(labelled_structures(12, 5)))
    model["init_from"] = {"file": str(first), "rate": 0.3, "references": "keep"}
    both = {"data__train": "closer.extxyz", "data__replay": {"files": str(data)}}
    second = fit(QUIET, model={"init_args": model}, **both, **options, **OTHER).best
    old, new = labelled_structures(12, 98), closer(labelled_structures(12, 99))
    assert force_error(second, old) < 1.1 * force_error(first, old)
    assert force_error(second, new) < 0.8 * force_error(first, new)


@pytest.mark.parametrize("missing", ["error", "mask"])
def test_old_data_without_labels_are_one_sentence(missing, folder, new_file):
    bare = [Atoms("NeAr", [[0, 0, 0], [0, 0, 1.2]]), Atoms("Ne2", [[0, 0, 0], [0, 0, 1.3]])]
    write("bare.extxyz", bare)
    model = {"init_args": {"init_from": OLD, "missing": missing}}
    both = {"train": new_file, "replay": {"files": "bare.extxyz"}}
    expected = {
        "error": r"^data\.replay: bare\.extxyz.* has no energy, expected the labels",
        "mask": r"^data\.replay: none of 2 configurations has a label, expected energy, forces",
    }
    with pytest.raises(TorchMLError, match=expected[missing]):
        fit(QUIET, model=model, data=both)


# --- Bad input, and settings that change nothing --------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        ({"freeze": ["blok.*"]}, r"freeze: 'blok\.\*' matches none of the 23 weights, expected a "),
        ({"freeze": ["*"]}, r"all of the 23 weights are frozen, expected some to train"),
        ({"lora": {"rank": 50}}, r"all of the 23 weights are frozen, expected some to train"),
        ({"lora": {"rank": 0}}, r"lora\.rank is 0, expected at least 1"),
        ({"lora": {"matrices": ["x"]}}, r"lora\.matrices: 'x' matches none of the 23 weights"),
        ({"rate": 0.0}, r"rate is 0\.0, expected a positive number"),
        ({"references": {"Ne": 1.0}}, r"references lacks Ar, expected an energy for each of Ne Ar"),
        ({"python": "python3"}, r"python is for models of other packages, expected .*\.source"),
        ({"file": "none.ckpt"}, r"none\.ckpt: no such file, expected a checkpoint"),
    ],
)
def test_bad_settings_are_one_sentence(rule, sentence, folder, new):
    with pytest.raises(TorchMLError, match=sentence) as caught:
        tuned(new, **rule)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("network", "name"),
    [
        ({"class_path": "SchNet", "init_args": {"cutoff": 4.0}}, "SchNet"),
        ({"class_path": "torchml.models.ACE"}, "ACE"),  # the default one
        ({"init_args": {"size": "small"}}, "ACE"),
    ],
)
def test_a_second_network_is_refused(network, name):
    with pytest.raises(
        TorchMLError, match=rf"^model\.model is torchml.*{name}, but model\.init_from"
    ):
        from_mapping("fit", {"model": {"init_from": OLD, "model": network}}, {})


def test_a_text_is_one_pattern_of_frozen_weights():
    rule = {"file": OLD, "freeze": "blocks.9"}
    assert from_mapping("fit", {"model": {"init_from": rule}}, {}).init_from.changes.freeze == (
        "blocks.9",
    )


def test_data_that_are_old_of_nothing_are_refused(folder, data, new_file):
    both = {"train": new_file, "replay": str(data)}
    with pytest.raises(TorchMLError, match=r"^data\.replay is for a training that starts from"):
        fit(QUIET, data=both)


def test_keys_beside_a_text_are_one_sentence(folder, new_file, capsys):
    Path("tune.yaml").write_text(f"model: {{init_from: {OLD}}}\ndata: {{train: {new_file}}}\n")
    assert main(["fit", "--config", "tune.yaml", "--model.init_from.rate", "0.5"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "expected model.init_from.file, also where" in error


def test_what_changes_nothing_is_a_warning(folder, new, caplog):
    some = [replace(one, energy=None) for one in new]
    rule = {"file": OLD, "rate": 0.5, "freeze": ["*.bias", "readout_in"], "lora": {"rank": 2}}
    model = {"init_from": rule, "missing": "mask", "normalization": {"references": "none"}}
    fit(QUIET, model={"init_args": model}, data=some)
    text = caplog.text
    assert "model.init_from.rate is 0.5, but changes nothing: all old weights are frozen" in text
    assert "model.init_from.freeze: '*.bias' changes nothing" in text
    assert "model.normalization.references changes nothing beside model.init_from" in text
    assert "references is refit, but changes nothing: the training data have no energies" in text
    assert "'readout_in'" not in text  # a matrix, which would have a low-rank change


def test_print_config_says_what_is_frozen(folder, new_file, capsys):
    words = ["--data.train", new_file, "--model.init_from.file", OLD]
    assert main(["fit", *words, "--model.init_from.freeze", "[embedding]", "--print_config"]) == 0
    text = capsys.readouterr().out
    arguments = yaml.safe_load(text)["model"]["init_args"]
    assert arguments["model"] is None and arguments["init_from"]["file"] == OLD
    assert "# frozen: 16 numbers in 1 tensors (embedding.weight)" in text
    assert "# trained at 0.1 of the learning rate: 713 numbers in 22 tensors" in text
    # What it prints is a configuration.
    Path("printed.yaml").write_text(text)
    assert from_mapping("fit", "printed.yaml", {}).init_from.freeze == ["embedding"]
