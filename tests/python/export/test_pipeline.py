"""The exporter: what it understands by itself, what it refuses, and what it leaves behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ase.build import bulk
from ase.calculators.kim import KIM

from helpers.provenance import without_provenance
from torchml import kim
from torchml.cli import export_main, main
from torchml.contract import metadata
from torchml.contract.completion import complete, merge
from torchml.contract.metadata import ModelMetadata, quiet_torchscript
from torchml.contract.signature import Signature, probe
from torchml.errors import TorchMLError
from torchml.export import Export, Result, export
from torchml.models import Scaled, SchNet, StillingerWeber, TensorNet, describe, script

pytestmark = pytest.mark.usefixtures("quick_probe")

CUTOFF = 4.0
NAME = "Test__MO_000000000000_000"

# Bodies of graph models of one layer. `pair` is smooth at the cutoff 4 Å; only contributing atoms
# (0) have energies.
PAIR = """
    d = coords[edge_index0[0]] - coords[edge_index0[1]]
    pair = self.scale * ((d * d).sum(1) - 16.0).square()
    energies = torch.zeros_like(coords[:, 0]).index_add(0, edge_index0[1], pair)
    owned = (energies * (contributing == 0)).sum()
"""
FORCES = """
    edge_forces = 4.0 * self.scale * ((d * d).sum(1, keepdim=True) - 16.0) * d
    owners = (contributing[edge_index0[1]] == 0).unsqueeze(1)
    forces = torch.zeros_like(coords).index_add(0, edge_index0[1], edge_forces * owners)
    forces = forces.index_add(0, edge_index0[0], -edge_forces * owners)
"""


def save_module(
    path: Path,
    body: str,
    inputs: str = "species, coords, edge_index0, contributing",
    result: str = "Tensor",
    dtype: torch.dtype = torch.float64,
    scale: float = 0.01,
) -> Path:
    """Archive without metadata whose forward has this body; inputs are tensors unless typed."""
    typed = ", ".join(one if ":" in one else f"{one}: Tensor" for one in inputs.split(", "))

    class Model(torch.jit.ScriptModule):
        def __init__(self) -> None:
            super().__init__()
            self.scale = torch.nn.Parameter(torch.tensor(scale, dtype=dtype))
            self.define(f"def forward(self, {typed}) -> {result}:\n{body}\n")

    with quiet_torchscript():
        Model().save(str(path))
    return path


@pytest.fixture
def pair_model(tmp_path):
    return save_module(tmp_path / "pair.pt", PAIR + "    return owned")


@pytest.fixture
def ours(tmp_path):
    """Writes a small model of the package with its metadata."""

    def write(convention: str, layers: int = 2, **said: object) -> Path:
        torch.manual_seed(0)
        model = (
            StillingerWeber()
            if convention == "none"
            else SchNet(["Si", "O"], CUTOFF, layers, features=8, gaussians=8)
        )
        facts = {**describe(model, convention).__dict__, **said}
        path = tmp_path / f"{convention}.pt"
        metadata.save(script(model, convention), path, ModelMetadata(**facts))
        return path

    return write


def order(model: Path, tmp_path: Path, **changes) -> Export:
    facts = ModelMetadata(**changes.pop("facts", {}))
    return Export(model=model, name="Test", facts=facts, output=tmp_path / "out", **changes)


PAIR_FACTS = {"species": ("Si", "O"), "cutoff": CUTOFF}


def verdicts(result: Result) -> dict[str, str]:
    return {check.name: check.verdict for check in result.checks}


# --- What goes well ------------------------------------------------------------------------------


@pytest.mark.parametrize("convention", ["none", "graph", "edges"])
def test_archive_with_metadata_needs_no_further_word(ours, tmp_path, convention):
    source = ours(convention)
    result = export(order(source, tmp_path))
    assert set(verdicts(result).values()) == {"pass"}
    folder = tmp_path / "out" / NAME
    assert result.folder == folder
    assert {path.name for path in folder.iterdir()} == {
        "CMakeLists.txt",
        "embed.cmake",
        "kimspec.edn",
        "model.param",
        "model.pt",
    }
    assert without_provenance(metadata.read(folder / "model.pt")) == metadata.read(source)
    lines = (folder / "model.param").read_text().splitlines()
    assert lines[5] == convention.capitalize()
    assert "model.pt" in lines


def test_flags_are_all_that_a_plain_archive_needs(pair_model, tmp_path, real_probe):
    result = export(order(pair_model, tmp_path, facts=PAIR_FACTS))
    assert set(verdicts(result).values()) == {"pass"}
    assert result.folder is not None
    assert without_provenance(metadata.read(result.folder / "model.pt")) == ModelMetadata(
        convention="graph",
        species=("Si", "O"),
        cutoff=CUTOFF,
        layers=1,
        dtype="float64",
        species_input="code",
        stage_edges="symmetric",
        returns_forces=False,
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_model_that_returns_its_forces(tmp_path, dtype):
    model = save_module(
        tmp_path / "forces.pt",
        PAIR + FORCES + "    return owned, forces",
        result="Tuple[Tensor, Tensor]",
        dtype=dtype,
    )
    result = export(order(model, tmp_path, facts=PAIR_FACTS))
    assert verdicts(result)["forces"] == "pass"
    assert result.facts is not None
    assert result.facts.returns_forces is True
    assert result.facts.dtype == str(dtype).removeprefix("torch.")


def test_other_extra_files_stay_in_the_archive(tmp_path, pair_model):
    with quiet_torchscript():
        module = torch.jit.load(pair_model)
        module.save(str(tmp_path / "noted.pt"), _extra_files={"notes.txt": "trained on Tuesday"})
    result = export(order(tmp_path / "noted.pt", tmp_path, facts=PAIR_FACTS))
    assert result.folder is not None
    assert metadata.extra_files(result.folder / "model.pt")["notes.txt"] == b"trained on Tuesday"


def test_what_edge_vectors_matter_for_is_found_out(ours, tmp_path):
    result = export(order(ours("edges", radial=None), tmp_path))
    assert result.facts is not None
    assert result.facts.radial is True
    sw = tmp_path / "sw.pt"
    metadata.save(
        script(StillingerWeber(), "edges"), sw, ModelMetadata(species=("Si",), cutoff=3.77118)
    )
    result = export(order(sw, tmp_path, facts={"layers": 1}, overwrite=True))
    assert result.facts is not None
    assert result.facts.radial is False


def test_large_reference_energies_hide_no_directions(tmp_path):
    torch.manual_seed(0)
    network = TensorNet(["C", "H"], cutoff=4.0, features=8, dtype="float32")
    model = Scaled(network)
    model.set_normalization({"C": -1000.0, "H": -500.0}, 1e-3)
    facts = {**describe(model, "edges").__dict__, "radial": None}
    metadata.save(script(model, "edges"), tmp_path / "model.pt", ModelMetadata(**facts))
    result = export(order(tmp_path / "model.pt", tmp_path))
    assert result.facts is not None
    assert result.facts.radial is False


def test_jump_at_the_cutoff_is_a_warning(tmp_path, pair_model):
    result = export(order(pair_model, tmp_path, facts={**PAIR_FACTS, "cutoff": 3.5}))
    assert verdicts(result)["smooth at the cutoff"] == "warn"
    assert result.folder is not None


# --- What the signature tells --------------------------------------------------------------------


def signature(*arguments: str, outputs=("Tensor",), dtypes=("float64",)) -> Signature:
    types = tuple("List[int]" if "counts" in name else "Tensor" for name in arguments)
    return Signature(arguments, types, outputs, dtypes)


NONE = ("species", "coords", "n_neigh", "nlist", "contributing")
GRAPH = ("z", "coords", "edge_index0", "edge_index1", "edge_index2", "batch")
EDGES = ("species", "edge_vectors", "edge_index", "contributing")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (NONE, ("raw", 1, "code")),
        (GRAPH, ("graph", 3, "atomic_number")),
        (("species", "x", "edge_index0", "edge_index1", "contributing"), ("graph", 2, "code")),
        (("atomic_numbers", "x", "edges0", "contributing"), ("graph", 1, "atomic_number")),
    ],
)
def test_names_of_the_inputs_tell_the_convention(arguments, expected):
    told = ModelMetadata(species=("Si",), cutoff=4.0)
    facts = complete(told, signature(*arguments), Path("m.pt"))
    assert (facts.convention, facts.layers, facts.species_input) == expected


@pytest.mark.parametrize("counts", [(), ("node_counts",), ("node_counts", "edge_counts")])
def test_edges_convention_is_recognised(counts):
    told = ModelMetadata(species=("Si",), cutoff=4.0, layers=2)
    facts = complete(told, signature(*EDGES, *counts), Path("m.pt"))
    assert (facts.convention, facts.stage_edges) == ("edges", None)


@pytest.mark.parametrize(
    ("found", "told", "message"),
    [
        (signature("a", "b", "c", "d", "e"), {}, "pass --convention raw | graph | edges"),
        (signature("q", *NONE[1:]), {}, "'q', .* pass --species-input code | atomic_number"),
        (signature(*EDGES), {}, "number of layers .* pass --layers"),
        (signature(*NONE, dtypes=()), {}, "pass --dtype"),
        (signature(*NONE), {"species": None}, "lack its species; pass --species"),
        (signature(*NONE), {"cutoff": None}, "lack its cutoff; pass --cutoff"),
        (signature("descriptor"), {}, "do not contain the descriptor; pass --descriptor"),
        (signature(*NONE, dtypes=("float32", "float64")), {}, "several types"),
        (signature(*NONE, dtypes=("bfloat16",)), {}, "of m.pt are bfloat16, expected float32 or"),
        (signature(*NONE, outputs=("Dict[str, Tensor]",)), {}, r"returns \(Dict\[str, Tensor\]\)"),
        (signature(*NONE, outputs=("Tensor",) * 3), {}, "expected a tensor, or a tuple"),
    ],
)
def test_what_stays_open_is_asked_for(found, told, message):
    facts = ModelMetadata(**{"species": ("Si",), "cutoff": 4.0, **told})
    with pytest.raises(TorchMLError, match=message):
        complete(facts, found, Path("m.pt"))


# --- Contradictions ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "inside", "outside", "message"),
    [
        ("cutoff", 4.0, 5.0, "'cutoff' is '4.0' in .*m.pt but '5.0' in the caller, expected"),
        ("species", ("Si", "O"), ("O", "Si"), "'species' is 'Si O' in .* but 'O Si' in the caller"),
        ("layers", 2, 3, "'layers' is '2' in .* but '3' in"),
        ("convention", "graph", "none", "'convention' is 'graph' in .* but 'raw' in"),
    ],
)
def test_caller_and_archive_must_agree(key, inside, outside, message):
    with pytest.raises(TorchMLError, match=message):
        merge(
            ("the metadata of m.pt", ModelMetadata(**{key: inside})),
            ("the caller", ModelMetadata(**{key: outside})),
        )


@pytest.mark.parametrize(
    ("found", "told", "message"),
    [
        (
            signature(*NONE),
            {"dtype": "float32"},
            "'dtype' is 'float32' in .* but 'float64' in the forward of",
        ),
        (
            signature(*NONE),
            {"returns_forces": True},
            "'returns_forces' is 'True' in .* but 'False' in",
        ),
        (signature(*GRAPH), {"layers": 2}, "with 2 layer.* edge_index1: Tensor, contributing"),
        (signature(*NONE), {"convention": "edges", "layers": 1}, "the convention 'edges' with"),
        (
            signature(*NONE),
            {"stage_edges": "directed"},
            "stage_edges is 'directed', but only .* 'graph'",
        ),
        (signature(*NONE), {"species": ("Xx",)}, "Xx"),
    ],
)
def test_signature_and_facts_must_agree(found, told, message):
    facts = ModelMetadata(**{"species": ("Si",), "cutoff": 4.0, **told})
    with pytest.raises(TorchMLError, match=message):
        complete(facts, found, Path("m.pt"))


# --- Models that must not get out ----------------------------------------------------------------


@dataclass
class Bad:
    """A body of a graph model and the check that it fails."""

    body: str
    check: str
    result: str = "Tensor"


BAD = {
    "energy is NaN": Bad(PAIR + "    return owned * float('nan')", "energy"),
    "forces of the wrong sign": Bad(
        PAIR + FORCES + "    return owned, -forces", "forces", "Tuple[Tensor, Tensor]"
    ),
    "energies of ghosts are counted": Bad(PAIR + "    return energies.sum()", "domain"),
    "contributing is read the wrong way": Bad(
        PAIR + "    return (energies * contributing).sum()", "domain"
    ),
    "constant per simulation": Bad(PAIR + "    return owned + 1.0", "domain"),
    "constant per atom": Bad(
        "    return (contributing == 0).to(coords.dtype) * self.scale", "forces"
    ),
    "throws": Bad(
        "    assert coords.size(0) < 0, 'no atoms please'\n    return coords", "loads in the driver"
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_model_is_not_exported(tmp_path, kind, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    bad = BAD[kind]
    model = save_module(tmp_path / "bad.pt", bad.body, result=bad.result)
    facts = ["--species", "Si", "--cutoff", "4.0"]
    code = export_main([str(model), "--name", "Test", *facts, "--output", str(tmp_path / "out")])
    shown = capsys.readouterr()
    assert code == 1
    assert shown.err.startswith("nothing was written: the check '" + bad.check)
    assert shown.err.count("\n") == 1
    assert "fail" in shown.out
    assert not (tmp_path / "out").exists()


def test_false_claim_about_edge_vectors_is_found(tmp_path):
    model = StillingerWeber()
    facts = {**describe(model, "edges").__dict__, "radial": True}
    metadata.save(script(model, "edges"), tmp_path / "sw.pt", ModelMetadata(**facts))
    result = export(order(tmp_path / "sw.pt", tmp_path))
    assert verdicts(result)["edge vectors"] == "fail"
    assert result.folder is None
    assert not (tmp_path / "out").exists()


def test_too_few_layers_are_found(ours, tmp_path):
    """The shells end too early: energies then depend on who owns which atom."""
    truth = ours("edges", layers=3)
    with quiet_torchscript():
        module = torch.jit.load(truth)
    liar = tmp_path / "liar.pt"
    module.save(str(liar))
    facts = {"species": ("Si", "O"), "cutoff": CUTOFF, "layers": 2}
    result = export(order(liar, tmp_path, facts=facts))
    assert result.folder is None
    assert "fail" in verdicts(result).values()


@pytest.mark.parametrize("content", [b"", b"no zip file", b"PK\x03\x04 cut off"])
def test_damaged_archive(tmp_path, content):
    (tmp_path / "model.pt").write_bytes(content)
    with pytest.raises(TorchMLError, match=r"model.pt: not a readable TorchScript archive"):
        export(order(tmp_path / "model.pt", tmp_path))


def test_weights_alone_are_no_model(tmp_path):
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "weights.pt")
    with pytest.raises(TorchMLError, match=r"weights\.pt is no checkpoint of TorchML"):
        export(order(tmp_path / "weights.pt", tmp_path))


def test_other_files_are_no_model(tmp_path, real_probe):
    with zipfile.ZipFile(tmp_path / "other.pt", "w") as archive:
        archive.writestr("other/notes.txt", "nothing")
    result = export(order(tmp_path / "other.pt", tmp_path))
    assert verdicts(result) == {"loads with torch alone": "fail"}
    assert "other.pt cannot be loaded as TorchScript by torch alone" in result.checks[0].detail


def test_missing_operator_library_is_named(tmp_path, pair_model, real_probe):
    facts = {**PAIR_FACTS, "extensions": ("no_such_library",)}
    result = export(order(pair_model, tmp_path, facts=facts))
    assert "no_such_library" in result.checks[0].detail
    assert result.folder is None


def test_operator_without_library_is_named(tmp_path, pair_model):
    needy = tmp_path / "needy.pt"
    with zipfile.ZipFile(pair_model) as source, zipfile.ZipFile(needy, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith(".py"):
                content = content.replace(b"torch.square(", b"ops.my_operators.square(")
            target.writestr(name, content)
    with pytest.raises(TorchMLError, match=r"operator my_operators::square.* pass --extensions"):
        probe(needy)


def test_nothing_is_overwritten_unasked(ours, tmp_path):
    folder = tmp_path / "out" / NAME
    folder.mkdir(parents=True)
    (folder / "mine").touch()
    with pytest.raises(TorchMLError, match="exists already; pass --overwrite"):
        export(order(ours("none"), tmp_path))
    assert [path.name for path in folder.iterdir()] == ["mine"]
    export(order(ours("none"), tmp_path, overwrite=True))
    assert (folder / "model.pt").exists()
    assert not (folder / "mine").exists()


def test_missing_driver_is_said_before_anything_is_written(ours, tmp_path):
    driver = "Nowhere__MD_000000000000_000"
    with pytest.raises(TorchMLError, match=f"{driver} is not installed .* install it with"):
        export(order(ours("none"), tmp_path, collection="environment", driver=driver))
    assert not (tmp_path / "out").exists()


def test_exported_model_runs_in_kim_like_the_native_one(ours, tmp_path, collection):
    driver = kim.DRIVER
    wish = order(ours("none"), tmp_path, collection="environment", driver=driver)
    result = export(wish)
    assert result.folder is not None
    assert kim.installed_folder(NAME) == collection / NAME
    for path in kim.extract_parameter_files(NAME, tmp_path / "back"):
        assert path.read_bytes() == (result.folder / path.name).read_bytes()

    atoms = bulk("Si", cubic=True)
    atoms.rattle(0.1, seed=2)
    forces = []
    for name in (NAME, "SW_StillingerWeber_1985_Si__MO_405512056662_005"):
        atoms.calc = KIM(name)
        forces.append(atoms.get_forces())
    np.testing.assert_allclose(forces[0], forces[1], rtol=0, atol=1e-12 * abs(forces[1]).max())

    shutil.rmtree(result.folder)
    with pytest.raises(TorchMLError, match="is installed already; pass --overwrite"):
        export(wish)
    assert export(replace(wish, overwrite=True)).folder == result.folder


# --- The command ---------------------------------------------------------------------------------


def test_command_leaves_the_terminal_clean(ours, tmp_path):
    # ASE 3.29 sets shapes of arrays, which NumPy 2.5 deprecates.
    warnings = ["-W", "always", "-W", "ignore::DeprecationWarning:ase.atoms"]
    command = [sys.executable, *warnings, "-m", "torchml_export"]
    done = subprocess.run(
        [*command, str(ours("none")), "--name", "Test", "--output", "out"],
        cwd=tmp_path,
        env={**os.environ, "COLUMNS": "160"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    for name in ("loads with torch alone", "signature", "dtype", "energy", "forces", "smooth"):
        assert name in done.stdout
    assert f"wrote out/{NAME}" in done.stdout
    assert (tmp_path / "out" / NAME / "model.param").exists()


def test_torchml_export_is_the_same_command(pair_model, tmp_path, capsys):
    arguments = [str(pair_model), "--name", "Test", "--output", str(tmp_path / "out")]
    assert main(["export", *arguments]) == 1
    assert capsys.readouterr().err == (
        f"torchml export: error: the metadata of {pair_model} lack its species; pass --species\n"
    )
    assert main(["export", *arguments, "--species", "Si", "O", "--cutoff", "4.0"]) == 0
    spec = (tmp_path / "out" / NAME / "kimspec.edn").read_text()
    assert f'"model-driver" "{kim.DRIVER}"' in spec


def test_help_explains_the_conventions(capsys):
    with pytest.raises(SystemExit, match="0"):
        export_main(["--help"])
    text = capsys.readouterr().out
    for word in ("raw ", "graph ", "edges ", "examples:", "--install", "kim init"):
        assert word in text
