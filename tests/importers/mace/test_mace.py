"""Models of MACE give MACE's own energies, forces and stresses wherever they run."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import ase.io
import numpy as np
import pytest
import torch
from ase import Atoms
from ase.build import bulk
from ase.calculators.kim import KIM

from helpers import portable
from helpers.mace_models import maces_own, random_mace
from helpers.portable import relative
from helpers.torchscript import require_graph
from torchml import Calculator, Potential, TorchMLError
from torchml.cli import export_main, main
from torchml.importers.mace import model as mace
from torchml.models import script
from torchml.validation.lammps import evaluate_with_lammps

AGNOSTIC = "RealAgnosticInteractionBlock"
DENSITY = "RealAgnosticDensityInteractionBlock"
DENSITY_RESIDUAL = "RealAgnosticDensityResidualInteractionBlock"


def mixed(species: list[str], seed: int = 4) -> Atoms:
    """Rattled diamond, in a cell that is no cube, with all species."""
    atoms = bulk("Si", cubic=True) * (1, 1, 2)
    atoms.symbols = [species[k % len(species)] for k in range(len(atoms))]
    atoms.set_cell(atoms.cell.array @ [[0.9, 0, 0], [0.1, 0.9, 0], [0, 0.2, 0.9]], scale_atoms=True)
    atoms.rattle(0.1, seed=seed)
    return atoms


def expected(model: torch.nn.Module, atoms: Atoms, **options: Any) -> SimpleNamespace:
    """Energy, forces and virial of MACE's own calculator."""
    torch.set_default_dtype(torch.float64)  # MACE rounds some constants to it
    own = atoms.copy()
    own.calc = maces_own(model, **options)
    return SimpleNamespace(
        energy=own.get_potential_energy(),
        forces=own.get_forces(),
        virial=own.get_stress() * own.get_volume(),
    )


def agrees(found: Any, own: SimpleNamespace, limit: float = 1e-10) -> None:
    assert found.energy == pytest.approx(own.energy, rel=limit)
    assert relative(found.forces, own.forces) < limit
    assert relative(found.virial, own.virial) < limit


def evaluated(potential: mace.Scaled, atoms: Atoms, folder: Path, dtype: str = "float64") -> Any:
    archive = mace.save(potential, folder / f"{dtype}.pt", dtype)
    return Potential(archive).evaluate(atoms, virial=True)


def named(folder: Path) -> list[str]:
    """The arguments that name a model and its kind."""
    return [str(folder / "mace.model"), "--from", "mace"]


@pytest.fixture(scope="module", params=["Si", "H C Cu"])
def exported(request, tmp_path_factory, collection):
    """A model in a file, exported at the command line and installed."""
    folder = tmp_path_factory.mktemp("mace")
    species = request.param.split()
    if len(species) == 1:
        model = random_mace(species, "8x0e")
    else:
        model = random_mace(species, "4x0e+4x1o", scale=0.7)
    torch.save(model, folder / "mace.model")
    words = [
        *named(folder),
        "--output",
        str(folder),
        "--install",
        "environment",
        "--overwrite",
    ]
    assert export_main(words) == 0
    name = f"MACE_{''.join(species)}__MO_000000000000_000"
    return SimpleNamespace(model=model, species=species, folder=folder / name, name=name)


def test_every_door_gives_maces_numbers(exported):
    structures = [mixed(exported.species), portable.silicon()]
    structures[1].symbols = mixed(exported.species).symbols[: len(structures[1])]
    own = [expected(exported.model, atoms) for atoms in structures]
    ranks = {
        n: evaluate_with_lammps(exported.name, structures, exported.species, ranks=n)
        for n in (1, 2)
    }
    for k, atoms in enumerate(structures):
        agrees(Potential(exported.folder).evaluate(atoms, virial=True), own[k])
        agrees(ranks[1][k], own[k])
        agrees(ranks[2][k], own[k])
        for calculator in (KIM(exported.name), Calculator(exported.folder)):
            atoms.calc = calculator
            assert atoms.get_potential_energy() == pytest.approx(own[k].energy, rel=1e-10)
            assert relative(atoms.get_forces(), own[k].forces) < 1e-10
            assert relative(atoms.get_stress() * atoms.get_volume(), own[k].virial) < 1e-10


VARIANTS = {
    "first layer without residual, repulsion": {"first": AGNOSTIC, "pair_repulsion": True},
    "density": {"first": DENSITY, "later": DENSITY_RESIDUAL, "scale": 0.8},
    "density, late cutoff": {
        "first": DENSITY_RESIDUAL,
        "later": DENSITY_RESIDUAL,
        "apply_cutoff": False,
    },
    "transformed distances": {"distance_transform": "Agnesi", "radial_type": "gaussian"},
    "three layers, l up to 3": {"num_interactions": 3, "max_ell": 3, "correlation": 2},
    "one layer": {"num_interactions": 1, "gate": None},
    "one product for all, last readout": {
        "use_agnostic_product": True,
        "use_last_readout_only": True,
        "gate": torch.tanh,
    },
    "l = 2 in features": {"hidden": "4x0e+4x1o+4x2e", "keep_last_layer_irreps": True},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_of_mace(name, tmp_path):
    options = {"hidden": "4x0e", **VARIANTS[name]}
    model = random_mace(["O", "Si"], **options)
    atoms = mixed(["Si", "O"])
    if options.get("pair_repulsion"):  # its range is that of chemical bonds
        atoms.set_cell(atoms.cell * 0.8, scale_atoms=True)
    own = expected(model, atoms)
    agrees(evaluated(mace.load(model), atoms, tmp_path), own)


def test_heads_have_their_own_energies(tmp_path):
    heads = ["pbe", "default"]
    model = random_mace(["O", "Si"], "4x0e", scale=0.9, heads=heads)
    atoms = mixed(["Si", "O"])
    own = {head: expected(model, atoms, head=head) for head in heads}
    assert abs(own["pbe"].energy - own["default"].energy) > 1e-3
    agrees(evaluated(mace.load(model, head="pbe"), atoms, tmp_path), own["pbe"])
    agrees(evaluated(mace.load(model, head="default"), atoms, tmp_path), own["default"])
    with pytest.raises(TorchMLError, match=r"several heads, expected head to be pbe \| default"):
        mace.load(model)
    with pytest.raises(TorchMLError, match=r"no head 'scan', expected head to be pbe \| default"):
        mace.load(model, head="scan")


def test_reference_energies_are_those_of_the_file(tmp_path):
    """A fine-tuned model has other energies of isolated atoms than the one that it started from."""
    model = random_mace(["O", "Si"], "4x0e", scale=0.9)
    atoms = mixed(["Si", "O"])
    before = evaluated(mace.load(model), atoms, tmp_path).energy
    model.atomic_energies_fn.atomic_energies -= 200.0
    own = expected(model, atoms)
    found = evaluated(mace.load(model), atoms, tmp_path)
    agrees(found, own)
    assert before - found.energy == pytest.approx(200.0 * len(atoms))


def test_some_of_the_elements_in_another_order(tmp_path):
    model = random_mace(["H", "O", "Si"], "4x0e+4x1o", pair_repulsion=True)
    potential = mace.load(model, species=["Si", "O"])
    assert potential.species == ["Si", "O"]
    atoms = mixed(["Si", "O"])
    agrees(evaluated(potential, atoms, tmp_path), expected(model, atoms))
    with pytest.raises(TorchMLError, match="has no Cu, expected some of H O Si"):
        mace.load(model, species=["Si", "Cu"])


def test_single_precision(tmp_path):
    """Distances stay in float64 and so do the energies of the atoms: only the network rounds."""
    model = random_mace(["Si"], "8x0e+8x1o", scale=0.7)
    atoms = mixed(["Si"])
    own = expected(model, atoms)
    found = evaluated(mace.load(model), atoms, tmp_path, "float32")
    assert found.energy == pytest.approx(own.energy, rel=1e-7)
    assert relative(found.forces, own.forces) < 1e-5
    assert relative(found.forces, own.forces) > 1e-12
    assert relative(found.virial, own.virial) < 1e-5


def test_models_that_were_trained_in_single_precision(tmp_path):
    """Rounding of MACE's couplings brings in few monomials that do not occur in float64."""
    exact = mace.load(random_mace(["Si"], "4x0e+4x1o"))
    model = random_mace(["Si"], "4x0e+4x1o", dtype=torch.float32)
    potential = mace.load(model)
    for one, two in zip(potential.network.blocks, exact.network.blocks, strict=True):
        assert one.product.terms.size(0) <= 1.2 * two.product.terms.size(0)
    atoms = mixed(["Si"])
    agrees(evaluated(potential, atoms, tmp_path), expected(model, atoms), limit=1e-6)


def test_atoms_with_few_and_many_neighbours():
    """Sums over edges as a table, which TorchScript uses, and edge by edge are the same."""
    potential = mace.load(random_mace(["O", "Si"], "4x0e+4x1o"))
    rng = np.random.default_rng(0)
    for spread in (2.0, 6.0):
        positions = torch.tensor(rng.normal(size=(30, 3)) * spread)
        apart = torch.cdist(positions, positions) + 9 * torch.eye(30)
        edges = torch.stack(((apart < 4.0) & (apart > 0.3)).nonzero(as_tuple=True))
        edges = edges[:, torch.randperm(edges.size(1), generator=torch.Generator().manual_seed(1))]
        vectors = (positions[edges[0]] - positions[edges[1]]).requires_grad_()
        species = torch.arange(30) % 2
        counts = [30] * 3, [edges.size(1)] * 2
        one = potential(species, vectors, edges, *counts)
        two = script(potential, "edges")(species, vectors, edges, 0 * species, *counts)
        assert relative(two.detach(), one.detach()) < 1e-13
        (first,) = torch.autograd.grad(one.sum(), vectors)
        (second,) = torch.autograd.grad(two.sum(), vectors)
        assert relative(second, first) < 1e-12


@pytest.mark.parametrize("hidden", ["4x0e", "4x0e+4x1o"])
def test_compressed(hidden, tmp_path):
    """Splines in place of the radial networks, at the command line."""
    model = random_mace(["Si", "O"], hidden, first=AGNOSTIC, scale=0.7)
    torch.save(model, tmp_path / "mace.model")
    assert export_main([*named(tmp_path), "--compress", "--name", "Splines"]) == 0
    atoms = mixed(["Si", "O"])
    found = Potential(Path("Splines__MO_000000000000_000")).evaluate(atoms, virial=True)
    own = expected(model, atoms)
    assert found.energy == pytest.approx(own.energy, rel=1e-8)
    assert relative(found.forces, own.forces) < 1e-5
    assert relative(found.forces, own.forces) > 1e-14
    assert relative(found.virial, own.virial) < 1e-5


def test_check_compares_the_interfaces_of_a_named_model(tmp_path, capsys):
    torch.save(random_mace(["Si"], "4x0e"), tmp_path / "mace.model")
    ase.io.write(tmp_path / "one.extxyz", mixed(["Si"]))
    words = ["--quick", "--structures", str(tmp_path / "one.extxyz")]
    assert main(["check", *named(tmp_path), *words]) == 0
    assert "eager: forces" in capsys.readouterr().out
    assert main(["check", str(tmp_path / "mace.model"), *words]) == 1
    assert "export it with '--from mace'" in capsys.readouterr().err


def test_transformed_distances_cannot_be_compressed(tmp_path, capsys):
    torch.save(random_mace(["Si"], "4x0e", distance_transform="Soft"), tmp_path / "mace.model")
    assert export_main([*named(tmp_path), "--compress"]) == 1
    assert "no functions of the distance alone" in capsys.readouterr().err


def test_reading_a_model_leaves_no_settings_behind(tmp_path):
    torch.save(random_mace(["Si"], "4x0e"), tmp_path / "mace.model")
    torch.set_default_dtype(torch.float32)
    mace.load(tmp_path / "mace.model")
    assert "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD" not in os.environ
    assert torch.get_default_dtype() == torch.float32


def test_what_is_not_supported_is_named(tmp_path):
    model = random_mace(["Si"], "4x0e")

    class EnergyDipolesMACE(torch.nn.Module):
        pass

    with pytest.raises(TorchMLError, match="EnergyDipolesMACE, expected a MACE or ScaleShiftMACE"):
        mace.load(EnergyDipolesMACE())
    torch.save(torch.nn.Linear(1, 1), tmp_path / "linear.model")
    assert not mace.is_mace(tmp_path / "linear.model")
    with pytest.raises(TorchMLError, match="is a Linear, expected a MACE"):
        mace.load(tmp_path / "linear.model")
    with pytest.raises(TorchMLError, match="no such file"):
        mace.load(tmp_path / "none.model")

    model.interactions[1].cueq_config = SimpleNamespace(enabled=True)
    with pytest.raises(TorchMLError, match="converted for cuEquivariance"):
        mace.load(model)
    nonlinear = "RealAgnosticResidualNonLinearInteractionBlock"
    model = random_mace(["Si"], "4x0e", later=nonlinear)
    with pytest.raises(TorchMLError, match=f"interactions of class {nonlinear}, expected Real"):
        mace.load(model)

    class LoRALinear(torch.nn.Module):
        pass

    model = random_mace(["Si"], "4x0e")
    model.readouts[0].adapter = LoRALinear()
    with pytest.raises(TorchMLError, match="LoRA adapters"):
        mace.load(model)


def test_a_variant_that_computes_something_else_is_refused():
    model = random_mace(["Si"], "4x0e")
    forward = type(model).forward

    def doubled(self: Any, *args: Any, **options: Any) -> Any:
        found = forward(self, *args, **options)
        return found | {"node_energy": 2 * found["node_energy"]}

    class MACE(type(model)):
        pass

    MACE.forward = doubled
    model.__class__ = MACE
    with pytest.raises(TorchMLError, match="differ from those of its package by"):
        mace.load(model)


def test_it_needs_no_torchscript_to_be_compiled():
    require_graph(mace.load(random_mace(["Si"], "4x0e", num_interactions=1, gate=None)), "edges")
