"""Measure the cost of one layer of messages per edge, and of polynomials per atom.

Forward and backward. Splines and the operators of torchml._core are compared with the operations of
torch that they replace, on the edges of a silicon crystal; polynomials are random ones, of 16 rows
in 32 channels.

    python benchmarks/operators.py [--repeats 20] [--threads 1]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from ase.build import bulk
from torch import Tensor

from torchml.export.compression import compress
from torchml.models import SchNet
from torchml.models.products import products, term_table
from torchml.neighbors import periodic_particles

CUTOFF = 4.0
SIZES = {"216 atoms": 3, "8,000 atoms": 10}


def silicon(repeats: int) -> tuple[Tensor, Tensor, int]:
    """Return distances [E], edges [2, E] between atoms, and the number of atoms, 8 per cell."""
    atoms = bulk("Si", a=5.431, cubic=True).repeat(repeats)
    atoms.positions += np.random.default_rng(0).uniform(-0.05, 0.05, atoms.positions.shape)
    found = periodic_particles(atoms.positions, atoms.cell.array, atoms.pbc, CUTOFF, CUTOFF)
    owners = len(atoms)
    target = np.repeat(np.arange(owners), np.diff(found.neighbor_offsets[: owners + 1]))
    source = found.neighbors[: len(target)]
    r = np.linalg.norm(found.coordinates[source] - found.coordinates[target], axis=1)
    inside = r < CUTOFF
    index = np.stack([found.image_of[source], target])[:, inside].astype(np.int64)
    return torch.from_numpy(r[inside]), torch.from_numpy(index), owners


def fastest(run: Callable[[], object], repeats: int) -> float:
    """Return the CPU time of the fastest of several runs, s."""
    run()
    times = []
    for _ in range(repeats):
        begin = time.process_time()
        run()
        times.append(time.process_time() - begin)
    return min(times)


def cost(model: SchNet, distances: Tensor, edge_index: Tensor, owners: int, repeats: int) -> float:
    """Return the time of a convolution and its derivatives per edge, ns."""
    model.requires_grad_(False)
    basis, filters = model.basis, model.interactions[0].filters
    dtype = model.embedding.weight.dtype
    order = basis.order(edge_index, owners)
    features = torch.randn(owners, 64, dtype=dtype, requires_grad=True)
    cotangent = torch.randn(owners, 64, dtype=dtype)
    r = distances.clone().requires_grad_()

    def run() -> None:
        sums = filters.convolve(basis(r), features, None, edge_index, order, [0, 0, 0, -1], owners)
        torch.autograd.grad(sums, (r, features), cotangent)

    return fastest(run, repeats) / len(distances) * 1e9


def polynomials(count: int, degree: int, dtype: torch.dtype, repeats: int) -> tuple[float, float]:
    """Return the time of a polynomial and its derivative per atom, µs, and Gflop/s of all terms.

    Written out, a term of degree d takes d products and a sum for its value, and as many for its
    derivative by each of its factors.
    """
    random = np.random.default_rng(0)
    terms = [(0, sorted(random.integers(0, 16, degree))) for _ in range(count)]
    table = term_table(terms)
    atoms, channels = 512, 32
    x = torch.randn(atoms, 16, channels, dtype=dtype, requires_grad=True)
    coefficients = torch.randn(1, count, channels, dtype=dtype)
    elements = torch.zeros(atoms, dtype=torch.int64)

    def run() -> None:
        energies = products(x, elements, coefficients, table, 1)
        torch.autograd.grad(energies.sum(), x)

    seconds = fastest(run, repeats) / atoms
    return seconds * 1e6, count * (degree + 1) ** 2 * channels / seconds * 1e-9


def main() -> None:
    parser = argparse.ArgumentParser(description="What one layer of messages costs per edge.")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    exact = SchNet(["Si"], CUTOFF, layers=1, features=64)
    splines = compress(exact).model
    print(f"{'':>24}{'torch':>12}{'splines':>12}{'ratio':>8}   ns per edge, forward + backward")
    for name, cells in SIZES.items():
        graph = silicon(cells)
        for dtype in (torch.float64, torch.float32):
            one, two = (cost(m.to(dtype), *graph, options.repeats) for m in (exact, splines))
            label = f"{name} {str(dtype).removeprefix('torch.')}"
            print(f"{label:>24}{one:12.0f}{two:12.1f}{one / two:8.1f}")
        _, edge_index, owners = graph
        once = fastest(lambda: splines.basis.order(edge_index, owners), options.repeats)  # noqa: B023
        print(f"{name + ' order of edges':>24}{'':12}{once / edge_index.size(1) * 1e9:12.1f}")
    print(f"\n{'polynomial':>24}{'us':>12}{'Gflop/s':>12}   per atom, forward + backward")
    for count, degree in ((150, 3), (900, 4)):
        for dtype in (torch.float64, torch.float32):
            seconds, rate = polynomials(count, degree, dtype, options.repeats)
            label = f"{count} of degree {degree} {str(dtype).removeprefix('torch.')}"
            print(f"{label:>24}{seconds:12.2f}{rate:12.1f}")


if __name__ == "__main__":
    main()
