"""Models of the convention `descriptor`: what the exporter understands, refuses and writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from helpers import portable
from helpers.descriptor_models import (
    CUTOFF,
    FUNCTIONS,
    KINDS,
    MIXTURES,
    make_parameters,
    save_network,
)
from torchml import Calculator, Potential, TorchMLError, descriptors
from torchml.cli import export_main
from torchml.contract import metadata
from torchml.contract.metadata import ModelMetadata, quiet_torchscript
from torchml.descriptors import SymmetryFunctions
from torchml.export import Export, Result, export
from torchml.models.descriptor_network import DescriptorNetwork


@pytest.fixture(autouse=True)
def quick_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inspect archives in this process: a fresh one needs seconds to import torch."""
    import torchml.export.checks.engine
    from torchml.contract.signature import Signature

    def inspect(model: Path, extensions: tuple[str, ...] = ()) -> Signature:
        with quiet_torchscript():
            schema = torch.jit.load(str(model)).forward.schema
        names = tuple(one.name for one in schema.arguments[1:])
        return Signature(names, ("Tensor",) * len(names), ("Tensor",), ("float64",))

    monkeypatch.setattr(torchml.export.checks.engine, "probe", inspect)


@pytest.fixture
def parameters() -> SymmetryFunctions:
    return SymmetryFunctions(["Si"], CUTOFF, FUNCTIONS)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save_network(tmp_path / "mlp.pt", 4)


@pytest.fixture
def yaml(tmp_path: Path, parameters: SymmetryFunctions) -> Path:
    descriptors.save_parameters(parameters, tmp_path / "params.yaml")
    return tmp_path / "params.yaml"


def run(model: Path, descriptor: Path | None, tmp_path: Path, name: str = "T", **facts) -> Result:
    said = ModelMetadata(**facts)
    return export(Export(model, name, said, descriptor, output=tmp_path / "out"))


def verdicts(result: Result) -> dict[str, str]:
    return {check.name: check.verdict for check in result.checks}


def test_a_bare_archive_and_a_yaml_file_make_a_folder(model, yaml, parameters, tmp_path):
    result = run(model, yaml, tmp_path)
    assert set(verdicts(result).values()) == {"pass"}
    assert result.folder is not None
    assert {path.name for path in result.folder.iterdir()} == {
        "CMakeLists.txt", "embed.cmake", "kimspec.edn", "model.param", "model.pt", "descriptor.dat",
    }  # fmt: skip
    assert descriptors.read(result.folder / "descriptor.dat") == parameters
    lines = (result.folder / "model.param").read_text().splitlines()
    assert lines[lines.index("# Preprocessing kind") + 1] == "Descriptor"
    assert lines[lines.index("# Any descriptors?") + 1 :] == ["SymmetryFunctions"]
    assert lines[lines.index("# Cutoff and n_conv layers") + 1 :][:2] == ["4.0", ""]
    assert "descriptor.dat" in (result.folder / "CMakeLists.txt").read_text()
    facts = metadata.read(result.folder / "model.pt")
    assert (facts.convention, facts.species, facts.cutoff) == ("descriptor", ("Si",), CUTOFF)
    assert (facts.descriptor, facts.species_input) == ("SymmetryFunctions", None)


def test_the_exported_model_is_the_network_of_the_descriptor(model, yaml, parameters, tmp_path):
    folder = run(model, yaml, tmp_path).folder
    atoms = portable.silicon(seed=4)
    values = torch.tensor(descriptors.Descriptor(parameters).compute(atoms))
    with quiet_torchscript():
        expected = torch.jit.load(model)(values).sum().item()
    for calculator in (Calculator(folder), Calculator(folder / "model.pt")):
        atoms.calc = calculator
        assert atoms.get_potential_energy() == pytest.approx(expected, rel=1e-12)
        assert np.abs(atoms.get_forces()).max() > 1e-3


def test_descriptor_dat_and_the_model_itself_are_enough(model, yaml, tmp_path):
    first = run(model, yaml, tmp_path).folder
    from_dat = run(model, first / "descriptor.dat", tmp_path, "FromDat").folder
    from_archive = run(first / "model.pt", None, tmp_path, "FromArchive").folder
    again = run(first / "model.pt", yaml, tmp_path, "Again", convention="descriptor").folder
    for folder in (from_dat, from_archive, again):
        for name in ("descriptor.dat", "model.param"):
            assert (folder / name).read_text() == (first / name).read_text()


def test_a_network_may_take_the_species(tmp_path):
    parameters = SymmetryFunctions(["Si", "C"], CUTOFF, FUNCTIONS)
    descriptors.write(parameters, tmp_path / "d.dat")
    model = save_network(tmp_path / "m.pt", 4, "descriptor, species")
    result = run(model, tmp_path / "d.dat", tmp_path)
    assert set(verdicts(result).values()) == {"pass"}
    assert (result.facts.convention, result.facts.species_input) == ("descriptor", "code")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mixture", MIXTURES)
def test_every_kind_passes_the_checks(kind, mixture, tmp_path):
    parameters = make_parameters(kind, mixture)
    width = descriptors.Descriptor(parameters).width
    descriptors.save_parameters(parameters, tmp_path / "params.yaml")
    model = save_network(tmp_path / "m.pt", width, scale=1e-3)
    result = run(model, tmp_path / "params.yaml", tmp_path)
    found = verdicts(result)
    smooth = found.pop("smooth at the cutoff")
    assert smooth == "pass" or kind == "SOAP"  # which has no cutoff function
    assert set(found.values()) == {"pass"}
    assert result.facts.descriptor == kind and result.facts.cutoff == CUTOFF


def test_a_width_that_does_not_fit_names_both(yaml, tmp_path):
    result = run(save_network(tmp_path / "m.pt", 30), yaml, tmp_path)
    assert result.folder is None and not (tmp_path / "out").exists()
    (failure,) = [check for check in result.checks if check.verdict == "fail"]
    assert failure.name == "width of the descriptor"
    assert "the network takes 30 numbers per atom, but the descriptor in" in failure.detail
    assert failure.detail.endswith("params.yaml, SymmetryFunctions, has 4")


def test_the_width_of_a_network_that_normalizes_is_found(yaml, tmp_path):
    """Its constants of one number fit any width."""
    with quiet_torchscript():
        torch.jit.script(DescriptorNetwork(5, [8])).save(str(tmp_path / "m.pt"))
    result = run(tmp_path / "m.pt", yaml, tmp_path)
    assert "the network takes 5 numbers per atom" in result.checks[-1].detail


def test_parameters_that_no_descriptor_has_are_refused_by_their_file(model, tmp_path):
    (tmp_path / "xi.yaml").write_text("{kind: Xi, species: [Si], cutoff: 4.0, parameters: {q: 99}}")
    with pytest.raises(TorchMLError, match=r"xi\.yaml: Xi has q 99, expected 0 to 15"):
        run(model, tmp_path / "xi.yaml", tmp_path)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"species": ("Si", "C")}, "'species' is 'Si C' in the caller but 'Si' in .*params.yaml"),
        ({"cutoff": 5.0}, "'cutoff' is '5.0' in the caller but '4.0' in the descriptor in"),
        ({"convention": "edges"}, "'convention' is 'edges' in the caller but 'descriptor' in"),
        ({"species_input": "code"}, "species_input is 'code', but .* takes the descriptor alone"),
    ],
)
def test_the_descriptor_and_the_caller_must_agree(model, yaml, facts, message, tmp_path):
    with pytest.raises(TorchMLError, match=message):
        run(model, yaml, tmp_path, **facts)


def test_what_is_said_twice_may_be_the_same(model, yaml, tmp_path):
    facts = {"species": ("Si",), "cutoff": CUTOFF, "convention": "descriptor"}
    assert run(model, yaml, tmp_path, **facts).folder is not None


def test_the_descriptor_of_an_archive_is_not_exchanged(model, yaml, tmp_path):
    archive = run(model, yaml, tmp_path).folder / "model.pt"
    other = tmp_path / "other.dat"
    descriptors.write(SymmetryFunctions(["Si"], 4.5, FUNCTIONS), other)
    with pytest.raises(TorchMLError, match=r"other.dat are not those in .*model.pt"):
        run(archive, other, tmp_path, "Other")


def test_a_missing_descriptor_is_asked_for(model, tmp_path):
    with pytest.raises(TorchMLError, match="do not contain the descriptor; pass --descriptor"):
        run(model, None, tmp_path, species=("Si",), cutoff=CUTOFF)


def test_files_that_are_no_descriptor_are_refused(model, tmp_path):
    with pytest.raises(TorchMLError, match=r"none.dat cannot be read"):
        run(model, tmp_path / "none.dat", tmp_path)


def test_the_command_line(model, yaml, tmp_path, capsys):
    arguments = [str(model), "--convention", "descriptor", "--descriptor", str(yaml)]
    assert export_main([*arguments, "--name", "Cli_Si", "--output", str(tmp_path / "out")]) == 0
    folder = tmp_path / "out" / "Cli_Si__MO_000000000000_000"
    assert f"wrote {folder}" in capsys.readouterr().out
    spec = Potential(folder).spec
    assert (spec.convention, spec.species, spec.cutoff) == ("descriptor", ["Si"], CUTOFF)
