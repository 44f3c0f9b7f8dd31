"""SevenNet (https://github.com/MDIL-SNU/SevenNet): its checkpoints, and the models it ships.

Y. Park, J. Kim, S. Hwang and S. Han, J. Chem. Theory Comput. 20, 4857 (2024).

A checkpoint holds plain values and tensors: it is read as such, no code in it runs. All that the
network computes is read from the modules that sevenn builds of the checkpoint's own settings.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .elements import SYMBOLS
from .equivariant import (
    Linear,
    gated,
    harmonics,
    linear,
    linear_by_element,
    paths,
    perceptron,
    sharpen,
)
from .nequip_layer import nequip_layer
from .plan import part
from .source import ReadingError, Results, Source, Structure, Wish, first_line

MODULE = "sevenn"
INSTALL = ("torch==2.13.0", "sevenn==0.13.0")
READS = "checkpoints; 7net-0, 7net-l3i5, 7net-mf-0 and other names that sevenn knows"
WAY = "network"
MARK = "E3_equivariant_model"  # the type of model in its settings
NAME = "SevenNet"


def open_model(wish: Wish) -> Source:
    """Read a checkpoint of SevenNet.

    Args:
        wish: `model` is a file, or the name of a model that sevenn ships, such as 7net-0; `head`
            is a modality of a model with several, in its own upper and lower case.

    Raises:
        ReadingError: the file is no checkpoint of SevenNet, or the wish does not fit it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = _path(wish.model)
        config = _config(path)
        modality, numbers = _modality(config, wish), _elements(config, wish)
        model, exact = _built(path)
    symbols = [SYMBOLS[z] for z in numbers]
    elements = [int(config["_type_map"][z]) for z in numbers]
    return Source(
        species=symbols,
        cutoff=float(config["cutoff"]),
        layers=int(config["num_convolution_layer"]),
        dtypes=("float64", "float32"),
        own_results=_calculator(model, modality, _computed),
        exact_results=_calculator(exact, modality, _computed_in_float64),
        network=_network(exact, config, symbols, elements, modality),
        provenance={
            "package": "sevenn",
            "version": import_module("sevenn").__version__,
            "model": Path(wish.model).name,
            "file": path.name,
            "trained with": f"sevenn {config.get('version')}",
            **({"modality": modality} if modality else {}),
        },
        notes=(f"cutoff {float(config['cutoff']):g} Å, {_envelope_text(exact)}",),
    )


def _path(name: str) -> Path:
    if Path(name).is_file():
        return Path(name)
    util = import_module("sevenn.util")
    shipped = util.get_available_pretrained_models()
    if "/" not in name and not name.endswith((".pt", ".pth")):
        try:
            return Path(util.pretrained_name_to_path(name))
        except ValueError:
            pass
        except Exception as error:  # some are downloads
            raise ReadingError(f"{name} could not be fetched by sevenn ({error})") from None
    raise ReadingError(
        f"{name}: no such file, expected a checkpoint or a model of sevenn: {' '.join(shipped)}"
    )


def _config(path: Path) -> dict[str, Any]:
    """The settings in a checkpoint, as this sevenn understands them."""
    config: dict[str, Any] = _checkpoint(path).config
    if "_type_map" not in config:
        raise ReadingError(f"{path}: not a checkpoint of SevenNet, it has no settings")
    return config


@cache
def _checkpoint(path: Path) -> Any:
    try:
        with _weights_only():
            checkpoint = import_module("sevenn.checkpoint").SevenNetCheckpoint(path)
            checkpoint._load()
    except Exception as error:  # sevenn and torch raise many kinds
        raise ReadingError(
            f"{path}: not a readable checkpoint of SevenNet ({first_line(error)})"
        ) from None
    return checkpoint


@cache
def _built(path: Path) -> tuple[Any, Any]:
    """The model that sevenn builds of a checkpoint, and the same in float64."""
    checkpoint = _checkpoint(path)
    try:
        model = checkpoint.build_model(enable_cueq=False, enable_flash=False, enable_oeq=False)
    except Exception as error:
        raise ReadingError(f"{path}: sevenn cannot build its model ({first_line(error)})") from None
    model.eval().requires_grad_(False)
    _keep_signs(model, checkpoint)
    return model, _exact(model)


@contextmanager
def _weights_only() -> Iterator[None]:
    """Within, torch reads tensors, plain values and arrays of numpy, and nothing else."""
    core: Any = import_module("numpy._core" if np.__version__ >= "2" else "numpy.core").multiarray
    array = [(core._reconstruct, "numpy.core.multiarray._reconstruct"), core._reconstruct]
    scalar = [(core.scalar, "numpy.core.multiarray.scalar"), core.scalar]
    kinds = [type(np.dtype(name)) for name in ("f4", "f8", "i4", "i8", "?")]
    force, free = "TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
    before = {name: os.environ.pop(name, None) for name in (force, free)}
    os.environ[force] = "1"
    try:
        allowed: list[Any] = [*array, *scalar, np.ndarray, np.dtype, *kinds, slice]
        with torch.serialization.safe_globals(allowed):
            yield
    finally:
        del os.environ[force]
        os.environ.update({name: value for name, value in before.items() if value is not None})


def _modality(config: dict[str, Any], wish: Wish) -> str | None:
    known = list(config.get("_modal_map") or {}) if config.get("use_modality") else []
    if not known:
        if wish.head is not None:
            raise ReadingError(
                f"{wish.model} has no modalities, expected no head instead of '{wish.head}'"
            )
        return None
    if wish.head in known:
        return wish.head
    what = f"has no modality '{wish.head}'" if wish.head else "has several modalities"
    raise ReadingError(
        f"{wish.model} {what}, expected head to be {' | '.join(known)} (upper and lower case count)"
    )


def _elements(config: dict[str, Any], wish: Wish) -> list[int]:
    """Atomic numbers of the elements wanted."""
    places_of = config["_type_map"]
    known = [z for z in sorted(places_of, key=places_of.__getitem__) if z > 0]
    if wish.species is None:
        return known
    names = [SYMBOLS[z] for z in known]
    if unknown := [symbol for symbol in wish.species if symbol not in names]:
        raise ReadingError(
            f"{wish.model} has no {' '.join(unknown)}, expected some of {' '.join(names)}"
        )
    return [SYMBOLS.index(symbol) for symbol in wish.species]


class _OneHot(torch.nn.Module):
    """sevenn's rows of zeros and a one, in float64."""

    def __init__(self, original: Any) -> None:
        super().__init__()
        self.original = original

    def forward(self, data: Any) -> Any:
        data = self.original(data)
        for key in (self.original.key_output, self.original.key_additional_output):
            if key is not None:
                data[key] = data[key].double()
        return data


def _exact(model: Any) -> Any:
    """The model in float64, with couplings that are not rounded to float32."""
    shared = import_module("sevenn._const").ACTIVATION.values()  # some cannot be copied
    exact = deepcopy(model, {id(function): function for function in shared}).double()
    for name, buffer in exact.named_buffers():
        if re.search(r"_(w3j|tensor)_\w+$", name):
            sharpen(buffer)
    for name in ("onehot_idx_to_onehot", "one_hot_modality"):
        if name in exact._modules:
            exact._modules[name] = _OneHot(exact._modules[name])
    return exact


def _keep_signs(model: Any, checkpoint: Any) -> None:
    """Turn the signs of radial weights, where a file's couplings have not the signs of this e3nn.

    e3nn's signs of some couplings with an odd sum of degrees changed in 0.5. sevenn turns the
    weights of files older than its 0.11, of the first path of each three degrees in a layer. The
    couplings of later files it reads, but e3nn may have made constants of its own ones before.
    """
    wigner = import_module("e3nn.o3").wigner_3j
    old = tuple(map(int, re.findall(r"\d+", str(checkpoint.config["version"]))[:2])) < (0, 11)
    other: dict[int, set[tuple[int, ...]]] = {}
    for key, value in checkpoint.model_state_dict.items():
        if found := re.match(r"(\d+)[ _]convolution\..*_w3j_(\d+)_(\d+)_(\d+)$", key):
            layer, *three = map(int, found.groups())
            if float((value.double() * wigner(*three, dtype=torch.float64)).sum()) < 0:
                other.setdefault(layer, set()).add(tuple(three))
    for layer, turned in other.items():
        convolution = model._modules[f"{layer}_convolution"]
        product = convolution.convolution
        constant = any("_tensor_constant" in name for name, _ in product.named_buffers())
        if not old and not constant:
            continue
        ways, begin = [], 0
        for way in product.instructions:
            parts = product.irreps_in1[way.i_in1], product.irreps_in2[way.i_in2]
            degrees = tuple(part.ir.l for part in (*parts, product.irreps_out[way.i_out]))
            columns = slice(begin, begin + parts[0].mul)
            begin = columns.stop
            if degrees in turned:
                ways.append((way.i_in1, way.i_in2, degrees, columns))
        done = set()
        weights = list(convolution.weight_nn)[-1].weight
        for _, _, degrees, columns in sorted(ways, key=lambda way: way[:2]):
            if not old or degrees in done:
                weights[:, columns] *= -1.0
            done.add(degrees)


def _calculator(
    model: Any, modality: str | None, computed: Callable[[Any, Any], dict[str, Any]]
) -> Callable[[Structure], Results]:
    """Results of sevenn's calculator of a model, as `computed` calls it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        own = import_module("sevenn.calculator").SevenNetCalculator(
            model, device="cpu", modal=modality
        )

    def results(structure: Structure) -> Results:
        atoms = import_module("ase").Atoms(
            list(structure.symbols),
            positions=structure.positions,
            cell=structure.cell,
            pbc=structure.pbc,
        )
        found = computed(own, atoms)
        return Results(
            float(found["energy"]),
            np.asarray(found["forces"], dtype=np.float64),
            np.asarray(found["stress"], dtype=np.float64) if any(structure.pbc) else None,
            np.asarray(found["energies"], dtype=np.float64),
        )

    return results


def _computed(own: Any, atoms: Any) -> dict[str, Any]:
    own.calculate(atoms)
    results: dict[str, Any] = own.results
    return results


def _computed_in_float64(own: Any, atoms: Any) -> dict[str, Any]:
    """What sevenn's calculator does, without rounding the vectors to float32."""
    keys = import_module("sevenn._keys")
    graph = import_module("sevenn.train.dataload").unlabeled_atoms_to_graph(
        atoms, own.cutoff, with_shift=False
    )
    data = import_module("sevenn.atom_graph_data").AtomGraphData.from_numpy_dict(dict(graph))
    data[keys.EDGE_VEC] = torch.from_numpy(np.asarray(graph[keys.EDGE_VEC], dtype=np.float64))
    volume = torch.tensor(atoms.cell.volume, dtype=torch.float64)
    data[keys.CELL_VOLUME] = volume.reshape(data[keys.CELL_VOLUME].shape)
    if own.modal:
        data[keys.DATA_MODALITY] = own.modal
    results: dict[str, Any] = own.output_to_results(own.model(data))
    return results


def _network(
    model: Any,
    config: dict[str, Any],
    symbols: list[str],
    elements: list[int],
    modality: str | None,
) -> dict[str, Any]:
    """The plan of a `torchml.importers.networks.nequip`.

    Args:
        model: sevenn's, in float64.
        config: its settings.
        symbols: of the elements wanted.
        elements: their places in the model.
        modality: its constants become part of the maps that take it.
    """
    modules, count = model._modules, int(config["num_convolution_layer"])
    one_hot = torch.eye(len(config["_type_map"]), dtype=torch.float64)[elements]
    chosen = torch.zeros(len(config.get("_modal_map") or {}), dtype=torch.float64)
    if modality:
        chosen[config["_modal_map"][modality]] = 1.0

    def mapped(name: str, x: Tensor) -> Tensor:
        """A linear module, which may take the modality as scalars beside x."""
        module = modules[name]
        if module.num_modalities > 1:
            x = torch.cat([x, chosen.expand(len(x), -1)], dim=1)
        values: Tensor = module.linear(x)
        return values

    def linear_of(name: str) -> Linear:
        module = modules[name]
        return linear(lambda x: mapped(name, x), module._irreps_in_wo_modal, module.irreps_out)

    embedding, edges = modules["onehot_to_feature_x"], modules["edge_embedding"]
    if str(embedding.irreps_out.simplify()) != f"{embedding.irreps_out.dim}x0e":
        raise ReadingError(
            f"the elements are embedded as {embedding.irreps_out}, expected even scalars alone"
        )
    first, steps = harmonics(edges.spherical, int(edges.spherical.lmax))
    present, blocks = {"0e": 0}, []
    for t in range(count):
        convolution, gate = modules[f"{t}_convolution"], modules[f"{t}_equivariant_gate"].gate
        after = modules.get(f"{t + 1}_self_interaction_1") or modules.get("reduce_input_to_hidden")
        down = linear_of(f"{t}_self_interaction_2")
        keep, more = _self_connection(modules[f"{t}_self_connection_intro"], one_hot)
        block, present = nequip_layer(
            present,
            up=linear_of(f"{t}_self_interaction_1"),
            ways=paths(convolution.convolution),
            radial=perceptron(convolution.weight_nn),
            down={k: one / float(convolution.denominator) for k, one in down.matrices.items()},
            keep=keep,
            bias=down.bias + more,
            outputs=gated(gate, after._irreps_in_wo_modal if after else gate.irreps_out),
            last=t == count - 1,
        )
        blocks.append(block)
    shift, scale = _shift_and_scale(modules["rescale_atomic_energy"], config, elements, modality)
    return {
        "family": "nequip",
        "network": part(
            "NequIP",
            species=symbols,
            cutoff=float(config["cutoff"]),
            embedding=mapped("onehot_to_feature_x", one_hot),
            basis=part(
                "Basis",
                functions=part(
                    "BesselFunctions",
                    wavenumbers=edges.basis_function.coeffs,
                    prefactor=float(edges.basis_function.prefactor),
                ),
                envelope=_envelope(edges.cutoff_function),
                late=False,
            ),
            harmonics=part("Harmonics", first=first, steps=steps),
            normalized=bool(edges.spherical.sph.normalize),
            blocks=blocks,
            readout=_readout(modules, linear_of),
            scales=scale,
        ),
        "references": dict(zip(symbols, shift.tolist(), strict=True)),
    }


def _self_connection(module: Any, one_hot: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """What an atom keeps of its features: matrices [Z, U, U'] by kind, and what is added."""
    kind = type(module).__name__
    if kind == "SelfConnectionIntro":
        product = module.fc_tensor_product
        wide = torch.zeros(len(one_hot), product.irreps_in2.dim, dtype=torch.float64)
        wide[:, : one_hot.size(1)] = one_hot
        maps = linear_by_element(product, wide, product.irreps_in1, product.irreps_out)
        return maps, torch.zeros((), dtype=torch.float64)
    if kind == "SelfConnectionLinearIntro":
        one = linear(module.linear, module.irreps_in, module.irreps_out)
        return {name: matrix.unsqueeze(0) for name, matrix in one.matrices.items()}, one.bias
    raise ReadingError(
        f"a self-connection is a {kind}, expected SelfConnectionIntro | SelfConnectionLinearIntro"
    )


def _envelope(function: Any) -> dict[str, Any]:
    kind = type(function).__name__
    if kind == "PolynomialCutoff":
        return part("PolynomialEnvelope", p=function.p, cutoff=float(function.cutoff_length))
    if kind == "XPLORCutoff":
        return part("XPLOREnvelope", onset=float(function.r_on), cutoff=float(function.r_cut))
    raise ReadingError(f"the envelope is a {kind}, expected PolynomialCutoff | XPLORCutoff")


def _envelope_text(model: Any) -> str:
    arguments = _envelope(model._modules["edge_embedding"].cutoff_function)["named"]
    if "onset" in arguments:
        return f"XPLOR envelope from {arguments['onset']:g} Å"
    return f"polynomial envelope with p = {arguments['p']}"


def _readout(modules: Any, linear_of: Callable[[str], Linear]) -> dict[str, Any]:
    if "readout_FCN" in modules:
        network = perceptron(modules["readout_FCN"].fcn)
        return part("Readout", weights=network.weights, activation=network.activation)
    hidden, energy = linear_of("reduce_input_to_hidden"), linear_of("reduce_hidden_to_energy")
    last = energy.matrices["0e"]
    bias = hidden.bias @ last + energy.bias
    return part("Readout", weights=[hidden.matrices["0e"] @ last], activation="identity", bias=bias)


def _shift_and_scale(
    module: Any, config: dict[str, Any], elements: list[int], modality: str | None
) -> tuple[Tensor, Tensor]:
    """By element (eV)."""
    kind = type(module).__name__
    shift, scale = module.shift.detach(), module.scale.detach()
    if kind == "ModalWiseRescale":
        number = config["_modal_map"][modality]
        shift = shift[number] if module.use_modal_wise_shift else shift
        scale = scale[number] if module.use_modal_wise_scale else scale
    elif kind not in ("Rescale", "SpeciesWiseRescale"):
        raise ReadingError(
            f"energies are scaled by a {kind}, expected Rescale | SpeciesWiseRescale | "
            "ModalWiseRescale"
        )
    count = len(config["_type_map"])
    return shift.expand(count)[elements].double(), scale.expand(count)[elements].double()
