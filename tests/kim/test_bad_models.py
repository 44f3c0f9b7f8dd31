"""Models that cannot work: KIM gets an error code, its log one clear line, and life goes on."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from helpers import portable
from torchml import TorchMLError, kim
from torchml.validation.kim_client import KimModel, kim_log_explains

# forward() of a graph model that works: each atom's energy grows with its distance from 0.
GOOD = "    return (coords ** 2).sum(dim=1) * self.scale\n"


def graph_model(body: str = GOOD, result: str = "Tensor") -> Callable[[Path], None]:
    return lambda path: portable.save_graph_model(body, path, result)


def good(path: Path) -> None:
    graph_model()(path)


def truncated(path: Path) -> None:
    good(path)
    path.write_bytes(path.read_bytes()[:2000])


def text(path: Path) -> None:
    path.write_text("not a model\n")


@dataclass(frozen=True)
class Case:
    """Files of a portable model, and what the log must say when it is used (nothing: it works)."""

    says: str
    param: str = portable.GRAPH_PARAM
    model: Callable[[Path], None] = good
    file: str = "model.pt"


def param(old: str, new: str) -> str:
    assert old in portable.GRAPH_PARAM
    return portable.GRAPH_PARAM.replace(old, new, 1)


CASES = {
    "Truncated": Case("cannot read model.pt .*, expected a TorchScript", model=truncated),
    "Text": Case("cannot read model.pt .*, expected a TorchScript", model=text),
    "OtherFile": Case("names the model file 'model.pt', expected .*other.pt", file="other.pt"),
    "EmptyParam": Case("expected the number of species", param="\n"),
    "BadCount": Case("'abc', expected the number of species", param=param("1\nSi", "abc\nSi")),
    "FewSpecies": Case("1 species named, expected 3", param=param("1\nSi", "3\nSi")),
    "NoElement": Case("Qq", param=param("Si", "Qq")),
    "BadCutoff": Case("cutoff '4.o'", param=param("4.0", "4.o")),
    "NegativeCutoff": Case("cutoff '-4.0'", param=param("4.0", "-4.0")),
    "BadLayers": Case("layers '0'", param=param("4.0\n1", "4.0\n0")),
    "MissingSection": Case("ends after line .*, expected", param=portable.GRAPH_PARAM[:130]),
    "UnknownKind": Case("unknown preprocessing 'wavelet'", param=param("Graph", "Wavelet")),
    "WrongInputs": Case(
        "announces 9 inputs but forward takes 4", param=param("4\n\n# Any", "9\n\n# Any")
    ),
    "EndsInComment": Case("", param=portable.GRAPH_PARAM + "# no newline after this"),
    "Crlf": Case("", param=portable.GRAPH_PARAM.replace("\n", "\r\n")),
    "TrailingBlanks": Case("", param=portable.GRAPH_PARAM.replace("\n", " \t\n")),
    "WrongShape": Case(
        r"shape \[7\], expected", model=graph_model("    return coords.sum() * torch.ones(7)\n")
    ),
    "Matrix": Case(
        r"shape \[\d+, 3\], expected", model=graph_model("    return coords * self.scale\n")
    ),
    "NotFinite": Case(
        "energy that is not finite", model=graph_model("    return coords.sum() / 0.0 * 0.0\n")
    ),
    "Integer": Case(
        "type Long, expected a floating", model=graph_model("    return species.sum()\n")
    ),
    "Throws": Case(
        "the model says no",
        model=graph_model("    assert coords.size(0) < 0, 'the model says no'\n" + GOOD),
    ),
    "NoTensor": Case(
        "forward .* returned str", model=graph_model("    return 'energy'\n", result="str")
    ),
    "Constant": Case("", model=graph_model("    return torch.ones_like(coords[:, 0])\n")),
    "Scalar": Case("", model=graph_model("    return (coords ** 2).sum() * self.scale[0]\n")),
    "AfterTheFirst": Case(
        # Works on the few particles it may be tried on when it is opened.
        "too many",
        model=graph_model("    assert coords.size(0) != 17, 'too many'\n" + GOOD),
    ),
}


@pytest.fixture(scope="module")
def names(collection: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """All cases as installed models."""
    parent = tmp_path_factory.mktemp("bad")

    def install(case: str) -> str:
        name = kim.model_name(f"Test_{case}")
        files = parent / f"{case}.pt"
        contents: dict[str, str | Path] = {
            CASES[case].file: files,
            # Bytes as they are: line ends matter here.
            "model.param": parent / f"{case}.param",
        }
        (parent / f"{case}.param").write_bytes(CASES[case].param.encode())
        portable.write_folder(parent / name, contents, ["Si"])
        kim.install(parent / name, "environment")
        return name

    # One after the other: Python 3.11 does not parse in two threads at once, and scripting parses.
    for case, it in CASES.items():
        it.model(parent / f"{case}.pt")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(CASES, pool.map(install, CASES), strict=True))


def compute(name: str) -> dict[str, np.ndarray]:
    """Create the model and compute 17 atoms."""
    atoms = portable.cluster(17)
    model = KimModel(name)
    return model.compute(["Si"] * 17, atoms.positions)


def entries(log: Path) -> list[str]:
    """What the driver itself logged as errors: KIM-API's own entries name its own files."""
    lines = [line.split(" * ", 5) for line in log.read_text().splitlines()]
    errors = [entry for entry in lines if len(entry) == 6 and entry[2] == "error"]
    return [entry[5] for entry in errors if not entry[4].startswith("KIM_")]


@pytest.mark.parametrize("case", [case for case in CASES if CASES[case].says])
def test_is_refused_in_one_line_and_the_process_lives_on(case, names, installed, scratch):
    good = installed("schnet", "edges").name
    before = compute(good)
    (scratch / "kim.log").unlink()
    with pytest.raises(Exception, match=r"(?i)model|compute"):
        compute(names[case])
    said = entries(scratch / "kim.log")
    assert len(said) == 1, said
    with pytest.raises(TorchMLError, match=CASES[case].says), kim_log_explains("it"):
        compute(names[case])
    after = compute(good)
    assert np.array_equal(after["forces"], before["forces"])


@pytest.mark.parametrize("case", [case for case in CASES if not CASES[case].says])
def test_is_accepted(case, names):
    found = compute(names[case])
    expected = 17.0 if case == "Constant" else (portable.cluster(17).positions ** 2).sum()
    assert found["energy"][0] == pytest.approx(expected)
    if case == "Constant":
        assert (found["forces"] == 0).all()


def test_a_failed_computation_leaves_nothing_stale(names):
    atoms = portable.cluster(17)
    model = KimModel(names["AfterTheFirst"])
    before = model.compute(["Si"] * 16, atoms.positions[:16])
    with pytest.raises(RuntimeError):
        model.compute(["Si"] * 17, atoms.positions)
    for array in model.arguments.arrays.values():
        array[:] = 7.0
    with pytest.raises(RuntimeError):
        model.kim.compute(model.arguments.kim, True)
    for output in ("energy", "forces"):
        assert not (model.arguments.arrays[output] == 7.0).any()
    # The model is still good for what it can do.
    after = model.compute(["Si"] * 16, atoms.positions[:16])
    assert np.array_equal(after["forces"], before["forces"])


def test_a_species_code_that_the_model_does_not_have_is_refused(installed):
    model = KimModel(installed("binary", "edges").name)
    with pytest.raises(TorchMLError, match="57"), kim_log_explains("it"):
        KimModel(model.name).compute([0, 57, 1], np.eye(3) * 2)


def test_a_species_that_the_model_does_not_have_is_not_supported(installed):
    assert set(KimModel(installed("sw", "edges").name).species) == {"Si"}
    assert KimModel(installed("binary", "edges").name).species == {"Si": 0, "O": 1}


def test_coordinates_that_are_not_finite_are_refused(installed):
    x = portable.cluster().positions
    with pytest.raises(TorchMLError, match="finite"), kim_log_explains("it"):
        model = KimModel(installed("sw", "edges").name)
        model.compute(["Si"] * len(x), x)
        # Where KIM looks for them; kimpy's own neighbour search would crash.
        model.arguments.coordinates[3, 2] = np.nan
        model.kim.compute(model.arguments.kim, True)


@pytest.mark.parametrize("device", ["nonsense", "cuda:x", "cuda:-1", "cpu:7"])
def test_a_device_that_is_none_is_refused(device, installed, monkeypatch):
    monkeypatch.setenv("KIM_MODEL_EXECUTION_DEVICE", device)
    with pytest.raises(TorchMLError, match=f"{device}.*expected"), kim_log_explains("it"):
        KimModel(installed("sw", "edges").name)


def test_a_device_that_is_absent_is_refused(installed, monkeypatch):
    # On machines with a GPU too: none is visible.
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("KIM_MODEL_EXECUTION_DEVICE", "cuda")
    with pytest.raises(TorchMLError, match=r"(?i)cuda"), kim_log_explains("it"):
        KimModel(installed("sw", "edges").name)


def test_elements_map_gives_the_model_atomic_numbers(collection, tmp_path_factory, monkeypatch):
    parent = tmp_path_factory.mktemp("map")
    archive = parent / "model.pt"
    portable.save_graph_model("    return species.to(coords.dtype) * self.scale\n", archive)
    name = kim.model_name("Test_Species")
    files = {"model.pt": archive, "model.param": param("1\nSi", "2\nO Si")}
    portable.write_folder(parent / name, files, ["O", "Si"])
    kim.install(parent / name, "environment")

    def energies():
        model = KimModel(name)
        return model.compute(["Si", "O"], np.eye(3)[:2], None, ["particle_energies"])

    assert energies()["particle_energies"].tolist() == [1, 0]
    monkeypatch.setenv("KIM_MODEL_ELEMENTS_MAP", "1")
    assert energies()["particle_energies"].tolist() == [14, 8]
