"""A network of Behler and Parrinello for silicon: descriptors, training on forces, export, LAMMPS.

    python examples/descriptor_potential.py [--output demo-output/descriptor]

Structures of silicon are labelled by OpenKIM's Stillinger-Weber model. Each atom is described by
symmetry functions, which the C++ library computes; a small network computes energies from them and
is trained on energies and forces in a loop of plain PyTorch. It is exported together with the
parameters of its descriptor as a KIM portable model, installed into the KIM collection of the
environment, and used for molecular dynamics in LAMMPS on one and two MPI ranks. The exit status is
0 if everything is within its limits; descriptor_potential.png shows it.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import silicon_data
import torch
from ase import Atoms
from ase.io import write
from matplotlib.figure import Figure
from nve import Run, relative, run
from parity import Parity, predict
from rich.console import Console
from torch import Tensor

from torchml import TorchMLError
from torchml.contract.metadata import quiet_torchscript
from torchml.descriptors import Descriptor, SymmetryFunctions, save_parameters
from torchml.descriptors.autograd import Linearization, linearize
from torchml.export import Export, export
from torchml.models.descriptor_network import DescriptorNetwork

NAME = "Example_SymmetryFunctions_Si"
CUTOFF = 4.5  # Å; that of Stillinger and Weber's potential is 3.77
TRAIN = silicon_data.Size(snapshots=8, strained=20)
TEST = silicon_data.Size(snapshots=2, strained=4)
EPOCHS, BATCH, LEARNING_RATE = 150, 4, 5e-3
FORCE_WEIGHT = 0.2  # Å²; energies per atom weigh 1
CELLS, STEPS = 2, 400  # 64 atoms, 0.4 ps

# Limits of the errors; forces are 1.2 eV/Å on average.
ENERGY_ERROR = 0.004  # eV/atom
FORCES_ERROR = 0.08  # eV/Å
DRIFT = 1e-4  # eV per atom and ps
RANKS = 1e-9  # between one and two ranks, of step 0


@dataclass(frozen=True)
class Labelled:
    """Structures of 64 atoms for the training: descriptors with their Jacobian, and labels.

    energies [S] in eV, forces [N, 3] in eV/Å, the atoms of one structure after those of another.
    """

    described: Linearization
    energies: Tensor
    forces: Tensor

    @classmethod
    def joined(cls, parts: Sequence[Labelled]) -> Labelled:
        """Join structures."""
        return cls(
            Linearization.joined([part.described for part in parts]),
            torch.cat([part.energies for part in parts]),
            torch.cat([part.forces for part in parts]),
        )


def main() -> int:
    """Run the example; 0 when everything is within its limits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--output", type=Path, default=Path("demo-output/descriptor"), metavar="FOLDER"
    )
    output: Path = parser.parse_args().output
    console = Console(highlight=False)
    try:
        return work(output, console)
    except TorchMLError as error:
        print(f"descriptor_potential: {error}", file=sys.stderr)
        return 1


def work(output: Path, console: Console) -> int:
    """Run all steps."""
    started = time.perf_counter()
    silicon_data.check_environment()
    # Small systems are not faster with threads, and slower on shared cores.
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1)
        os.environ["OMP_NUM_THREADS"] = "1"
    console.print("[bold]Data[/]  OpenKIM's Stillinger-Weber model, 300 to 1500 K")
    structures = label(TRAIN, seed=0)
    output.mkdir(parents=True, exist_ok=True)
    write(output / "test.extxyz", label(TEST, seed=1), format="extxyz")

    descriptor = Descriptor(SymmetryFunctions(["Si"], CUTOFF, "set51"))
    console.print(f"[bold]Training[/]  {len(structures)} structures, {descriptor.width} functions")
    network = train(descriptor, structures, console)

    model = install(network, descriptor, output)
    console.print(f"[bold]Exported[/]  {output / model}", soft_wrap=True)
    parity = predict(output / model, output / "test.extxyz")
    runs = [run(model, CELLS, STEPS, ranks) for ranks in (1, 2)]
    draw(parity, runs[0], output / "descriptor_potential.png")
    passed = report(parity, runs, console)
    console.print(f"{output / 'descriptor_potential.png'}, {time.perf_counter() - started:.0f} s")
    return 0 if passed else 1


def label(size: silicon_data.Size, seed: int) -> list[Atoms]:
    """Structures with energies and forces."""
    native = silicon_data.find_native()
    with silicon_data.inside_scratch():
        return list(silicon_data.labelled(native, size, np.random.default_rng(seed)))


def train(
    descriptor: Descriptor, structures: Sequence[Atoms], console: Console
) -> DescriptorNetwork:
    """Compute the descriptors once, because the structures do not change."""
    torch.manual_seed(0)
    samples = [
        Labelled(
            linearize(descriptor, descriptor.environments(atoms)),
            torch.tensor([atoms.get_potential_energy()], dtype=torch.float64),
            torch.tensor(atoms.get_forces()),
        )
        for atoms in structures
    ]
    reference = np.mean([atoms.get_potential_energy() / len(atoms) for atoms in structures])
    network = DescriptorNetwork(descriptor.width, (24, 24), float(reference))
    network.fit_normalization(torch.cat([one.described.values for one in samples]))
    optimizer = torch.optim.Adam(network.parameters(), LEARNING_RATE)
    steps = EPOCHS * -(-len(samples) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, steps)
    for epoch in range(EPOCHS):
        total = 0.0
        for batch in batches(samples):
            loss = loss_of(network, batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() * len(batch.energies) / len(samples)
        if epoch % 30 == 29 or epoch + 1 == EPOCHS:
            console.print(f"  epoch {epoch + 1:3}  loss {total:.2e}")
    return network


def batches(samples: Sequence[Labelled]) -> Iterator[Labelled]:
    """All of them, shuffled."""
    for some in torch.randperm(len(samples)).split(BATCH):
        yield Labelled.joined([samples[i] for i in some])


def loss_of(network: DescriptorNetwork, batch: Labelled) -> Tensor:
    """Return squared errors of energies per atom and of forces, a product with the Jacobian."""
    values = batch.described.values.detach().requires_grad_()
    energies = network(values)
    (cotangent,) = torch.autograd.grad(energies.sum(), values, create_graph=True)
    forces = -batch.described.gradient(cotangent)
    atoms = len(values) / len(batch.energies)
    errors = (batch.described.energies(energies) - batch.energies) / atoms
    return errors.square().mean() + FORCE_WEIGHT * (forces - batch.forces).square().mean()


def install(network: DescriptorNetwork, descriptor: Descriptor, output: Path) -> str:
    """The KIM name of the exported model; the same from a shell:

    python -m torchml_export mlp.pt --descriptor params.yaml --install environment
    """
    with quiet_torchscript():
        torch.jit.script(network).save(str(output / "mlp.pt"))
    save_parameters(descriptor.parameters, output / "params.yaml")
    result = export(
        Export(
            output / "mlp.pt",
            NAME,
            descriptor=output / "params.yaml",
            output=output,
            collection="environment",
            overwrite=True,
        )
    )
    if result.folder is None:
        failed = next(check for check in result.checks if check.verdict == "fail")
        raise TorchMLError(f"the export failed: {failed.name}: {failed.detail}")
    return result.folder.name


def report(parity: Parity, runs: Sequence[Run], console: Console) -> bool:
    """Print the figures with limits; return whether all are within them."""
    one, two = runs
    energy, forces = parity.errors()
    difference = max(relative(two.potential[0], one.potential[0]), relative(two.forces, one.forces))
    passed = True
    for what, value, limit, unit in (
        ("energy error, test structures", 1000 * energy, 1000 * ENERGY_ERROR, "meV/atom"),
        ("force error, test structures", forces, FORCES_ERROR, "eV/Å"),
        ("NVE: drift of the total energy", abs(one.drift), DRIFT, "eV/atom/ps"),
        ("2 ranks against 1", difference, RANKS, ""),
    ):
        good = bool(value <= limit)
        passed &= good
        mark = "[green]passed[/]" if good else "[red]failed[/]"
        console.print(f"  {mark}  {what:31} {value:.3g} (limit {limit:g}) {unit}".rstrip())
    return passed


def draw(parity: Parity, walk: Run, path: Path) -> None:
    """Forces of unseen structures, and the energies of the run."""
    figure = Figure(figsize=(11, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.plot(parity.forces.ravel(), parity.predicted_forces.ravel(), ".", ms=3, alpha=0.5)
    left.axline((0.0, 0.0), slope=1, color="0.6", lw=1)
    left.set(
        title=f"Forces of unseen structures, MAE {parity.errors()[1]:.3f} eV/Å",
        xlabel="Stillinger-Weber (eV/Å)",
        ylabel="network (eV/Å)",
    )
    for energies, name in ((walk.potential, "potential"), (walk.total, "total")):
        right.plot(walk.times, (energies - energies[0]) / walk.atoms, label=name)
    right.set(title="NVE in LAMMPS", xlabel="time (ps)", ylabel="energy since the start (eV/atom)")
    right.legend()
    temporary = path.with_name(f".{path.name}")
    figure.savefig(temporary, dpi=120, format="png")
    os.replace(temporary, path)


if __name__ == "__main__":
    sys.exit(main())
