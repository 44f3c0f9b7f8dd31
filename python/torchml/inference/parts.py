"""The energies of the parts of a sum, which the engine adds up."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from torchml.contract.archives import open_zip
from torchml.contract.metadata import quiet_torchscript
from torchml.contract.torchscript import load_script
from torchml.errors import ModelError
from torchml.inference.files import StoredFiles, archive_of
from torchml.neighbors import ParticleSystem

_CODE = "torchml/models/summed.py"  # where an archive keeps the code of `torchml.models.Sum`


class Parts:
    """The sum in a TorchScript archive, called in Python.

    Args:
        files: of the model.
        spec: what it declares.
        device: where it runs.

    Attributes:
        names: of the parts; empty where the model is no sum or is compiled.
    """

    def __init__(self, files: StoredFiles, spec: Any, device: str) -> None:
        self._spec, self._device = spec, device
        with files.on_disk() as path:
            self._sum = _sum_in(archive_of(path), device)
        self.names: tuple[str, ...] = tuple(self._sum.names) if self._sum is not None else ()

    def energies(self, codes: NDArray[np.int32], particles: ParticleSystem) -> dict[str, float]:
        """Return the energy of each part (eV).

        Args:
            codes: species code of each atom, [atoms].
            particles: atoms and ghosts, which get the features of their atoms.

        Raises:
            ModelError: the model is no sum.
        """
        if self._sum is None:
            raise ModelError(
                "the model has no parts, expected a TorchScript archive of a sum "
                "(python -m torchml_export --add, torchml.models.Sum)"
            )
        target = np.repeat(np.arange(len(codes)), np.diff(particles.neighbor_offsets)[: len(codes)])
        neighbors = particles.neighbors[: len(target)]
        vectors = particles.coordinates[neighbors] - particles.coordinates[target]
        near = np.einsum("ij,ij->i", vectors, vectors) < self._spec.cutoff**2
        edges = np.stack([particles.image_of[neighbors], target])[:, near]
        n, layers = len(codes), self._spec.layers
        with torch.no_grad(), quiet_torchscript():
            found = self._sum.part_energies(
                torch.from_numpy(codes.astype(np.int64)).to(self._device),
                torch.from_numpy(vectors[near]).to(
                    self._device, getattr(torch, self._spec.input_dtype)
                ),
                torch.from_numpy(edges).to(self._device),
                [n] * (layers + 1),
                [edges.shape[1]] * layers,
            )
        return dict(zip(self.names, found.sum(1).tolist(), strict=True))


def _sum_in(archive: Path, device: str) -> Any:
    """The sum in an archive, or None."""
    if not zipfile.is_zipfile(archive):
        return None
    with open_zip(archive) as file:
        if not any(name.endswith(_CODE) for name in file.namelist()):
            return None
    network = getattr(load_script(archive, device=device).eval(), "model", None)
    return network if hasattr(network, "part_energies") else None
