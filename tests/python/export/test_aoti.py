"""Models compiled ahead of time: the numbers of TorchScript, and refusals instead of crashes."""

from __future__ import annotations

import os
import pickle
import platform
import re
import subprocess
import sys
import threading
import warnings
import zipfile
from collections.abc import Callable
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ase import Atoms

from helpers import portable
from helpers.compiled import compiled_schnet, folder_of_all_workers, rewrite
from torchml import Calculator, Potential, TorchMLError, _core
from torchml.contract import metadata, param_file
from torchml.export import Export, aoti, export, export_model
from torchml.export.aoti import compilation
from torchml.export.aoti.packaging import package
from torchml.export.aoti.target import target_of
from torchml.export.checks.check import failed
from torchml.export.checks.parity import check_parity
from torchml.export.compression import compress
from torchml.inference.inspection import inspect_model
from torchml.inference.many import evaluate_many
from torchml.inference.separable import is_separable
from torchml.models import SchNet, describe, script
from torchml.reference.model import ReferenceModel

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64", reason="the archives of these tests are for x86-64"
)

PAIRS = """
def forward(self, species: Tensor, edge_vectors: Tensor, edge_index: Tensor, contributing: Tensor):
    r = edge_vectors.square().sum(1).sqrt()
    pairs = self.scale * (1.0 + torch.cos(0.25 * 3.141592653589793 * r)) * species[edge_index[0]]
    return torch.zeros_like(self.scale * contributing).index_add(0, edge_index[1], pairs)
"""


# What torch's compiler says about its own parts.
HIDDEN = (
    r"`torch\.jit\.\w+` is deprecated"
    r"|`isinstance\(treespec, LeafSpec\)` is deprecated"
    r"|pkg_resources is deprecated as an API"
)


@pytest.fixture(scope="session")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Path]]:
    """archives(convention): TorchScript and what was compiled of the network in Python."""
    folder = folder_of_all_workers(tmp_path_factory)
    return cache(lambda convention: compiled_schnet(folder, convention))


@pytest.mark.parametrize("convention", ["edges", "graph", "none"])
def test_same_numbers_as_torchscript_from_one_atom_on(convention, archives):
    plain, compiled = archives(convention)
    check = check_parity(*(_core.Potential(str(one)) for one in (compiled, plain)))
    assert check.verdict == "pass", check.detail
    for atoms in (Atoms("Si"), Atoms("SiO", positions=[[0, 0, 0], [0, 0, 1.9]]), structure()):
        found, expected = (Potential(one).evaluate(atoms, virial=True) for one in (compiled, plain))
        assert found.energy == pytest.approx(expected.energy, rel=1e-12, abs=1e-12)
        assert np.abs(found.forces - expected.forces).max() < 1e-12
        assert np.abs(found.virial - expected.virial).max() < 1e-11


@pytest.mark.parametrize("convention", ["edges", "graph", "none"])
def test_many_structures_share_a_call(convention, archives):
    plain, compiled = archives(convention)
    potential, reference = Potential(compiled), Potential(plain)
    assert is_separable(potential)
    slab = structure()
    slab.pbc = [True, True, False]
    together = [Atoms("Si"), structure(), slab, portable.cluster(), portable.dense()]
    found = evaluate_many(potential, together, stress=True, particle_energies=True)
    for one, atoms in zip(found, together, strict=True):
        expected = reference.evaluate(atoms, virial=True, particle_energies=True)
        assert one.energy == pytest.approx(expected.energy, rel=1e-12, abs=1e-12)
        for name in ("forces", "virial", "particle_energies"):
            assert np.abs(getattr(one, name) - getattr(expected, name)).max() < 1e-11


def structure() -> Atoms:
    atoms = portable.silicon(2)
    atoms.symbols[::3] = "O"
    return atoms


def test_energies_alone_and_per_atom(archives):
    plain, compiled = archives("edges")
    alone = Potential(compiled).evaluate(structure(), forces=False)
    assert alone.forces is None
    found = Potential(compiled).evaluate(structure(), particle_energies=True)
    expected = Potential(plain).evaluate(structure(), particle_energies=True)
    assert alone.energy == found.energy
    assert np.abs(found.particle_energies - expected.particle_energies).max() < 1e-12
    atoms = structure()
    atoms.calc = Calculator(compiled)
    assert atoms.get_potential_energy() == pytest.approx(found.energy)


def test_the_energy_alone_is_a_model_of_its_own(archives, tmp_path):
    _, compiled = archives("edges")

    def with_energy_of(model: str) -> Potential:
        """The archive with another model in the place of that of the energy."""
        changed = tmp_path / f"{model or 'none'}.pt2"
        with zipfile.ZipFile(compiled) as old, zipfile.ZipFile(changed, "w") as new:
            for name in old.namelist():
                if "/energy/" not in name:
                    new.writestr(name, old.read(name))
                if model and f"/{model}/" in name:
                    new.writestr(name.replace(model, "energy"), old.read(name))
        return Potential(changed)

    without = with_energy_of("")
    found = without.evaluate(structure())
    assert without.evaluate(structure(), forces=False).energy == found.energy
    wrong = with_energy_of("serial")
    assert wrong.evaluate(structure()).energy == found.energy
    with pytest.raises(TorchMLError, match=r"returned 2 tensors, expected one \(energy\)"):
        wrong.evaluate(structure(), forces=False)


def test_threads_share_a_model(archives):
    plain, compiled = archives("edges")
    potential, reference = Potential(compiled), Potential(plain)
    structures = [portable.silicon(n, seed=seed) for n in (1, 2) for seed in range(4)]
    expected = [reference.evaluate(atoms).forces for atoms in structures]
    found: dict[int, np.ndarray] = {}

    def work(k: int) -> None:
        for _ in range(3):
            found[k] = potential.evaluate(structures[k]).forces

    threads = [threading.Thread(target=work, args=(k,)) for k in range(len(structures))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k, forces in enumerate(expected):
        assert np.abs(found[k] - forces).max() < 1e-12


def test_two_threads_give_the_forces_of_one(archives):
    _, compiled = archives("edges")
    potential = Potential(compiled)
    one = potential.evaluate(portable.silicon(3)).forces
    torch.set_num_threads(2)
    try:
        two = potential.evaluate(portable.silicon(3)).forces
    finally:
        torch.set_num_threads(1)
    assert np.abs(one - two).max() < 1e-12


def test_compressed_models_are_compiled_for_one_thread_and_for_two(tmp_path, monkeypatch):
    """In float64; test_compression.py has one in float32."""
    files: list[str] = []

    def record(of_variants, *others):
        files.extend(str(file) for some in of_variants.values() for file in some)
        package(of_variants, *others)

    notices: list[str] = []

    @contextmanager
    def listen():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            yield
        notices.extend(str(one.message) for one in caught)

    monkeypatch.setattr(compilation, "package", record)
    monkeypatch.setattr(compilation, "quiet_compiler", listen)
    torch.manual_seed(2)
    network = SchNet(["Si", "O"], 4.0, layers=2, features=4, gaussians=4)
    model = compress(network, 1e-6).model
    plain, compiled = tmp_path / "model.pt", tmp_path / "model.pt2"
    metadata.save(script(model, "edges"), plain, describe(model, "edges"))
    aoti.compile_archive(plain, compiled, model=model)
    # Others than these say something about the model, or need a look before they are hidden.
    assert [one for one in notices if not re.match(HIDDEN, one)] == []
    # In torch's own folder, another process could write files of the same names.
    assert len(files) > 1
    assert all(file.startswith(f"{tmp_path}/") for file in files)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["model.pt", "model.pt2"]
    potential, reference = Potential(compiled), Potential(plain)
    expected = reference.evaluate(structure(), virial=True)
    scale = np.abs(expected.forces).max() * 1e-11
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            found = potential.evaluate(structure(), virial=True)
            assert found.energy == pytest.approx(expected.energy, rel=1e-11)
            assert np.abs(found.forces - expected.forces).max() < scale
    finally:
        torch.set_num_threads(1)


@pytest.mark.parametrize(
    ("index", "message"),
    [([[1, 0], [0, 2]], "numbers from 0 to 2, expected 0 to 1"), ([[1, -1], [0, 1]], "from -1 to")],
)
def test_edges_of_nodes_that_are_not_there_are_refused(index, message, archives):
    _, compiled = archives("edges")
    vectors, nodes = torch.ones(2, 3, dtype=torch.float64), torch.zeros(2, dtype=torch.int64)
    with pytest.raises(TorchMLError, match=message):
        aoti.load(compiled)(nodes, vectors, torch.tensor(index), nodes, [2, 2, 2], [2, 2])


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (1, torch.ones(2, 3), "input edge_vectors is of type float32, expected float64 as"),
        (1, torch.ones(2, 4).double(), r"input edge_vectors has the shape \[2, 4\], expected one"),
        (1, torch.ones(3, 3).double(), r"input edge_index has the shape \[2, 2\], expected one th"),
        (0, torch.zeros(2, dtype=torch.int32), "input species is of type int32, expected int64"),
        (3, torch.zeros(3, dtype=torch.int64), r"input contributing has the shape \[3\]"),
        (4, [2, 2], "is given 6 tensors, expected the 7 of 'inputs' in the metadata of"),
        (5, [3, 2], "edge_counts holds 3, expected 0 to 2"),
    ],
)
def test_inputs_that_do_not_fit_are_refused_in_python_too(place, value, message, archives):
    _, compiled = archives("edges")
    nodes = torch.zeros(2, dtype=torch.int64)
    index = torch.tensor([[1, 0], [0, 1]])
    arguments = [nodes, torch.ones(2, 3).double(), index, nodes, [2, 2, 2], [2, 2]]
    arguments[place] = value
    with pytest.raises(TorchMLError, match=message):
        aoti.load(compiled)(*arguments)


def test_inputs_may_be_strided(archives):
    _, compiled = archives("edges")
    model = aoti.load(compiled)
    nodes, counts = torch.tensor([0, 1]), ([2, 2, 2], [2, 2])
    vectors = torch.tensor([[0.0, 0.0, 2.0], [0.0, 0.0, -2.0]], dtype=torch.float64)
    index = torch.tensor([[1, 0], [0, 1]])
    expected = model(nodes, vectors, index, nodes * 0, *counts)
    strided = model(nodes, vectors.T.contiguous().T, index.T.contiguous().T, nodes * 0, *counts)
    for one, other in zip(strided, expected, strict=True):
        assert torch.equal(one, other)


def test_python_calls_it_as_forward(archives):
    plain, compiled = archives("edges")
    with metadata.quiet_torchscript():
        module = torch.jit.load(plain)
    vectors = torch.tensor([[0.0, 0.0, 2.0], [0.0, 0.0, -2.0]], dtype=torch.float64)
    rest = (torch.tensor([[1, 0], [0, 1]]), torch.zeros(2, dtype=torch.int64), [2, 2, 2], [2, 2])
    leaf = vectors.clone().requires_grad_()
    expected = module(torch.tensor([0, 1]), leaf, *rest)
    energy, gradient = aoti.load(compiled)(torch.tensor([0, 1]), vectors, *rest)
    torch.testing.assert_close(energy, expected.detach(), rtol=1e-12, atol=1e-12)
    (wanted,) = torch.autograd.grad(expected.sum(), leaf)
    torch.testing.assert_close(gradient, wanted, rtol=1e-12, atol=1e-12)


class Pairs(torch.jit.ScriptModule):
    """A pair potential that knows no counts, in float32."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1))
        self.define(PAIRS)


def test_export_of_an_archive_without_counts(tmp_path):
    with metadata.quiet_torchscript():
        Pairs().save(str(tmp_path / "pairs.pt"))
    facts = metadata.ModelMetadata(
        convention="edges", species=("H", "Si"), cutoff=4.0, layers=1, species_input="code"
    )
    steps: list[str] = []
    result = export(
        Export(
            tmp_path / "pairs.pt",
            facts=facts,
            output=tmp_path,
            format="both",
            progress=steps.append,
        )
    )
    assert not failed(result.checks), result.checks
    assert result.folder is not None
    assert steps == [
        "tracing",
        "compiling for avx2, serial, which can take minutes",
        "compiling for avx2, parallel, which can take minutes",
        "checking",
    ]
    facts = metadata.read(result.folder / "model.pt2")
    assert facts is not None
    assert (facts.instruction_set, facts.device, facts.dtype) == ("avx2", "cpu", "float32")
    assert Potential(result.folder).spec.returns_forces
    torchscript_runs_where_the_compiled_archive_does_not_fit(result.folder)


def torchscript_runs_where_the_compiled_archive_does_not_fit(folder: Path) -> None:
    atoms = portable.silicon()
    expected = Potential(folder / "model.pt").evaluate(atoms)
    compiled = (folder / "model.pt2").rename(folder / "elsewhere")
    rewrite(compiled, folder / "model.pt2", {"extra/torchml/instruction_set": "aarch64"})
    with pytest.warns(UserWarning, match=r"^model\.pt runs .* set 'aarch64' .* of this processor"):
        potential = Potential(folder)
    assert not potential.spec.returns_forces
    assert inspect_model(folder).metadata["instruction_set"] == "aarch64"
    with pytest.warns(UserWarning, match="aarch64"):
        copy = pickle.loads(pickle.dumps(potential))
    for one in (potential, copy):
        found = one.evaluate(atoms)
        assert found.energy == expected.energy
        assert np.array_equal(found.forces, expected.forces)
    assert ReferenceModel(folder, potential.spec).evaluate(atoms).energy == pytest.approx(
        expected.energy, rel=1e-5
    )
    (folder / "model.pt").unlink()
    with pytest.raises(TorchMLError, match="aarch64"):
        Potential(folder)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("instruction_set", "avx2 avx1024", "instruction set 'avx2 avx1024'.* one of this process"),
        ("instruction_set", "aarch64", "instruction set 'aarch64'"),
        ("torch", "3.0.0", r"compiled with torch 3\.0\.0 .* this libtorch's 2\."),
        ("torch", "2.999.1", "compiled with torch 2.999.1"),
        ("device", "cuda", "compiled for the device 'cuda' .* must run on 'cpu'"),
        ("dtype", "float32", "'dtype' is 'float32' but 'inputs' is .* expected inputs of that"),
        ("inputs", "species", r"an input is 'species' .* expected name:type\[sizes\]"),
        ("returns_forces", "false", "cannot be differentiated"),
        ("torch", None, "'torch' is not in the metadata"),
        ("cutoff", "5.0", "'cutoff' is .*4.0"),
    ],
)
def test_what_cannot_run_here_is_refused_before_it_is_loaded(
    key, value, message, archives, tmp_path
):
    _, compiled = archives("edges")
    changed = tmp_path / "model.pt2"
    rewrite(compiled, changed, {f"extra/torchml/{key}": value})
    # Without code there is nothing that could be loaded.
    keywords = {"cutoff": 4.0} if key == "cutoff" else {}
    with pytest.raises(TorchMLError, match=message):
        Potential(changed, **keywords)


def test_wrong_inputs_are_refused_although_the_library_would_run(archives, tmp_path):
    _, compiled = archives("edges")
    facts = metadata.read(compiled)
    assert facts is not None
    lie = facts.inputs.replace("edge_vectors:float64[E,3]", "edge_vectors:float64[E,4]")
    changed = tmp_path / "model.pt2"
    with zipfile.ZipFile(compiled) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            new.writestr(name, lie if name.endswith("torchml/inputs") else old.read(name))
    with pytest.raises(TorchMLError, match=r"input edge_vectors has the shape \[\d+, 3\]"):
        Potential(changed)


def test_damaged_archives_are_refused(archives, tmp_path):
    plain, compiled = archives("edges")
    (tmp_path / "cut.pt2").write_bytes(compiled.read_bytes()[:100_000])
    with pytest.raises(TorchMLError, match=r"cannot read cut\.pt2 .* an AOTInductor archive"):
        Potential(tmp_path / "cut.pt2")
    (tmp_path / "script.pt2").write_bytes(plain.read_bytes())
    with pytest.raises(TorchMLError, match="'instruction_set' is not in the metadata"):
        Potential(tmp_path / "script.pt2")
    (tmp_path / "compiled.pt").write_bytes(compiled.read_bytes())
    with pytest.raises(TorchMLError, match="expected a TorchScript archive"):
        Potential(tmp_path / "compiled.pt")


def test_a_temporary_folder_is_needed(archives, tmp_path):
    """In a process of its own: a process that has loaded the archive once keeps its libraries.

    Without the folder, the TorchScript of a portable model runs.
    """
    plain, compiled = archives("edges")
    facts = metadata.read(compiled)
    assert facts is not None
    arguments = len(aoti.arguments_of(facts) or ())
    files = {
        "model.pt2": compiled,
        "model.pt": plain,
        "model.param": param_file.render(facts, "model.pt2", arguments),
    }
    portable.write_folder(tmp_path / "both", files, ["Si", "O"])
    program = """
import sys, torchml
assert not torchml.Potential(sys.argv[1]).spec.returns_forces
torchml.Potential(sys.argv[2])
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "both"), str(compiled)],
        env=os.environ | {"TMPDIR": "/no/such/folder"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    reason = r"cannot unpack {}: the temporary folder /no/such/folder does not exist, expected"
    assert re.search(r"model\.pt runs .* since " + reason.format(r"model\.pt2"), done.stderr)
    assert re.search(r"Error: " + reason.format(re.escape(compiled.name)), done.stderr)


FORCES = """
def forward(self, species: Tensor, edge_vectors: Tensor, edge_index: Tensor, contributing: Tensor):
    energy = self.scale * edge_vectors.square().sum() + torch.zeros_like(contributing)
    derivative = torch.autograd.grad([energy.sum()], [edge_vectors])[0]
    assert derivative is not None
    return energy, derivative
"""


class Differentiating(torch.jit.ScriptModule):
    """Autograd runs inside of it."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(1))
        self.define(FORCES)


def test_what_cannot_be_compiled_says_so(tmp_path):
    facts = metadata.ModelMetadata(
        convention="edges",
        species=("Si",),
        cutoff=4.0,
        layers=1,
        dtype="float32",
        species_input="code",
    )
    with metadata.quiet_torchscript():
        metadata.save(Differentiating(), tmp_path / "fixed.pt", facts)
    with pytest.raises(TorchMLError, match=r"fixed\.pt cannot be compiled: .* the format torchscr"):
        aoti.compile_archive(tmp_path / "fixed.pt", tmp_path / "fixed.pt2")
    assert [file.name for file in tmp_path.iterdir()] == ["fixed.pt"]


def test_the_reason_of_the_network_is_named(tmp_path, monkeypatch):
    """Not what its TorchScript meets, which is tried next."""
    model = SchNet(["Si"], 4.0, layers=1, features=4, gaussians=4)

    def refused(reason):
        def energy(*_):
            raise TorchMLError(reason)

        return energy

    monkeypatch.setattr(compilation, "energy_of_network", refused("sizes depend on values"))
    monkeypatch.setattr(compilation, "energy_of_torchscript", refused("torch has no target"))
    module, facts, output = script(model, "edges"), describe(model, "edges"), tmp_path / "model.pt2"
    for given in (module, None):
        with pytest.raises(TorchMLError, match="sizes depend on values"):
            compilation.compile_module(given, facts, output, name="SchNet", network=model)
    with pytest.raises(TorchMLError, match="torch has no target"):
        compilation.compile_module(module, facts, output, name="SchNet")
    assert list(tmp_path.iterdir()) == []


def test_a_compiler_is_needed(archives, tmp_path, monkeypatch):
    plain, _ = archives("edges")
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(TorchMLError, match=r"no C\+\+ compiler was found, expected g\+\+"):
        aoti.compile_archive(plain, tmp_path / "model.pt2")


def test_options_of_compiled_archives_need_the_format(tmp_path, archives):
    plain, compiled = archives("edges")
    with pytest.raises(TorchMLError, match="run on any; expected the format 'aoti'"):
        export(Export(plain, output=tmp_path, format="torchscript", device="cuda"))
    given = {"format": "both", "device": "cuda", "facts": metadata.ModelMetadata(cutoff=5.0)}
    for name, value in given.items():
        what = "cutoff" if name == "facts" else name
        with pytest.raises(TorchMLError, match=rf"is compiled already .* where {what} is given"):
            export(Export(compiled, output=tmp_path, **{name: value}))
    with pytest.raises(TorchMLError, match="the instruction set is 'sse', expected avx2"):
        aoti.compile_archive(plain, tmp_path / "model.pt2", instruction_set="sse")


def test_a_compiled_archive_is_exported_as_it_is(archives, tmp_path):
    _, compiled = archives("edges")
    model = export_model(compiled, output=tmp_path, name="SiO")
    assert model.folder is not None
    assert (model.folder / "model.pt2").read_bytes() == compiled.read_bytes()
    expected, found = (Potential(one).evaluate(structure()) for one in (compiled, model.folder))
    assert found.energy == expected.energy
    rewrite(compiled, other := tmp_path / "other.pt2", {"extra/torchml/inputs": None})
    with pytest.raises(
        TorchMLError, match="no 'inputs', expected an archive that TorchML compiled"
    ):
        export_model(other, output=tmp_path)


def test_the_engine_agrees_with_the_compiled_model_in_python(archives):
    _, compiled = archives("edges")
    potential = Potential(compiled)
    found = potential.evaluate(portable.silicon(), virial=True)
    expected = ReferenceModel(compiled, potential.spec).evaluate(portable.silicon())
    assert found.energy == pytest.approx(expected.energy, rel=1e-12)
    assert np.abs(found.forces - expected.forces).max() < 1e-12
    assert np.abs(found.virial - expected.virial).max() < 1e-10


MEMORY = """
import sys
from torchml import Potential

def resident():
    (line,) = [line for line in open("/proc/self/status") if line.startswith("VmRSS")]
    return int(line.split()[1])

def mapped():
    return sum("aotinductor" in line for line in open("/proc/self/maps"))

for _ in range(5):  # the heap grows to what one creation needs
    Potential(sys.argv[1])
before, libraries = resident(), mapped()
for _ in range(20):
    Potential(sys.argv[1])
print(resident() - before, mapped() - libraries)
"""


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="reads Linux's /proc")
def test_memory_comes_back(archives):
    """Loading a library anew for each model cost 700 KiB each: nothing unloads it."""
    command = [sys.executable, "-c", MEMORY, str(archives("edges")[1])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    kibibytes, libraries = map(int, done.stdout.split())
    assert libraries == 0
    assert kibibytes < 2000  # of 20 creations; 15,000 when each kept its libraries


@pytest.mark.skipif(platform.machine() != "x86_64", reason="other processors have one target")
def test_an_inductor_that_knows_one_processor_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch._inductor, "config", SimpleNamespace(cpp=SimpleNamespace()))
    with pytest.raises(TorchMLError, match=r"expected torch 2\.13 or newer"):
        target_of(None)


@pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"),
    reason="this processor has no avx2",
)
def test_a_compiler_without_openmp_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Like Clang without libomp: torch then lists no instruction set at all."""
    monkeypatch.setattr(torch._inductor.cpu_vec_isa, "valid_vec_isa_list", list)
    monkeypatch.setenv("CXX", "clang++")
    with pytest.raises(TorchMLError, match=r"'clang\+\+' compiles no program with OpenMP for avx2"):
        target_of(None)
