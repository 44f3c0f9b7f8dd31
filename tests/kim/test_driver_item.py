"""The driver as a KIM item: KIM-API's own tool installs the repository, with the options that it
documents, and `python -m torchml.kim install-driver` installs what the package carries."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ase.calculators.kim import KIM

from helpers import portable
from torchml import Calculator, TorchMLError, kim
from torchml.validation.kim_client import KimModel, kim_log_explains

REPOSITORY = Path(__file__).resolve().parents[2]
DRIVER = "TorchMLOfATest__MD_000000000000_000"
PACKAGED = "TorchMLOfThePackage__MD_000000000000_000"


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A second driver: its own ID, aware of MPI, without message passing."""
    sources = tmp_path_factory.mktemp("sources")
    for name in ("CMakeLists.txt", "kimspec.edn", "cmake", "common", "descriptor", "driver"):
        (sources / name).symlink_to(REPOSITORY / name)
    (sources / "engine").symlink_to(packaged_item() / "engine")
    collection = tmp_path_factory.mktemp("model-drivers")
    others = os.environ.get("KIM_API_MODEL_DRIVERS_DIR", "")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KIM_API_MODEL_DRIVERS_DIR", f"{collection}:{others}".rstrip(":"))
        options = {
            "KIM_MODEL_DRIVER_ID": DRIVER,
            "KIM_MODEL_MPI_AWARE": "yes",
            "KIM_MODEL_DISBALE_GRAPH": "yes",  # as the original's README spells it
            "MAKEFLAGS": f"-j{os.cpu_count()}",
        }
        done = subprocess.run(
            ["kim-api-collections-management", "install", "environment", str(sources)],
            env=os.environ | options,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        yield collection / DRIVER / "libkim-api-model-driver.so"


def install(
    kind: str,
    convention: str,
    example: Callable[[str, str], portable.Example],
    folder: Path,
    driver: str = DRIVER,
) -> str:
    """One of the models of the tests, for another driver."""
    found = example(kind, convention)
    name = f"{driver.partition('__')[0]}_{found.name}"
    files = {
        "model.pt": found.archive,
        "model.param": next(found.folder.glob("*.param")),
    }
    portable.write_folder(folder / name, files, list(found.model.species), driver=driver)
    kim.install(folder / name, "environment")
    return name


def test_the_library_finds_libtorch_by_itself(driver, monkeypatch):
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    found = subprocess.run(["ldd", str(driver)], capture_output=True, text=True, check=True).stdout
    assert "libtorch_cpu.so => /" in found
    assert "libmpi" in found
    assert "not found" not in found


def test_it_runs_models_that_name_it(driver, example, collection, tmp_path):
    atoms = portable.silicon()
    atoms.calc = KIM(install("sw", "none", example, tmp_path))
    expected = atoms.copy()
    expected.calc = Calculator(example("sw", "none").archive)
    assert atoms.get_potential_energy() == pytest.approx(expected.get_potential_energy(), rel=1e-12)


def test_without_graphs_it_refuses_message_passing(driver, example, collection, tmp_path):
    name = install("schnet", "graph", example, tmp_path)
    with pytest.raises(TorchMLError, match="KIM_MODEL_DISABLE_GRAPH"), kim_log_explains("it"):
        KimModel(name)


def packaged_environment(**variables: str) -> dict[str, str]:
    """The environment of a user of the installed package, wherever the tests take theirs from."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | variables


def install_from_package(collection: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """`python -m torchml.kim install-driver` into a collection of its own."""
    return subprocess.run(
        [sys.executable, "-m", "torchml.kim", "install-driver", *options],
        cwd=collection.parent,
        env=packaged_environment(
            KIM_API_MODEL_DRIVERS_DIR=str(collection), KIM_MODEL_DRIVER_ID=PACKAGED
        ),
        capture_output=True,
        text=True,
        check=False,
    )


def packaged_item() -> Path:
    """The KIM item in the installed package."""
    code = "import torchml.kim.driver as d; print(d._item())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd="/",
        env=packaged_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    return Path(done.stdout.strip())


def test_the_package_installs_the_driver_with_its_compiled_engine(
    example, collection, tmp_path, monkeypatch
):
    drivers = tmp_path / "model-drivers"
    drivers.mkdir()
    done = install_from_package(drivers, "--collection", "environment")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "the engine is compiled already" in done.stdout
    assert done.stdout.endswith(f"installed {drivers / PACKAGED}\n")

    again = install_from_package(drivers, "--collection", "environment")
    assert again.returncode == 1
    assert again.stderr == (
        f"python -m torchml.kim: error: the KIM collection 'environment' has {PACKAGED} already; "
        "use --force to replace it\n"
    )
    assert install_from_package(drivers, "--collection", "environment", "--force").returncode == 0

    others = os.environ.get("KIM_API_MODEL_DRIVERS_DIR", "")
    monkeypatch.setenv("KIM_API_MODEL_DRIVERS_DIR", f"{drivers}:{others}".rstrip(":"))
    atoms = portable.silicon()
    atoms.calc = KIM(install("sw", "none", example, tmp_path, PACKAGED))
    expected = atoms.copy()
    expected.calc = Calculator(example("sw", "none").archive)
    assert atoms.get_potential_energy() == pytest.approx(expected.get_potential_energy(), rel=1e-12)


def test_an_engine_that_does_not_fit_is_compiled_from_its_sources(tmp_path):
    item = shutil.copytree(packaged_item(), tmp_path / "item")
    facts = item / "engine" / "facts.txt"
    lines = facts.read_text().splitlines()
    here = next(line for line in lines if line.startswith("torch=")).removeprefix("torch=")
    facts.write_text("\n".join("torch=2.5.0" if x.startswith("torch=") else x for x in lines))
    done = subprocess.run(
        ["cmake", "-S", item, "-B", tmp_path / "build", "-DKIM_API_INSTALL_COLLECTION=ENVIRONMENT"],
        env=packaged_environment(KIM_API_MODEL_DRIVERS_DIR=str(tmp_path)),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"torch is '2.5.0' there and '{here}' here" in done.stdout
    assert "compiled from its sources" in done.stdout
    # Its sources compile with the flags of KIM's items: some of each library. All of them were
    # compiled when the package was installed.
    objects = (
        "descriptor/CMakeFiles/torchml_descriptor.dir/src/soap.cpp.o",
        "driver/core/CMakeFiles/torchml_core.dir/graph/staged_graph.cpp.o",
        "driver/core/CMakeFiles/torchml_core.dir/operators/element_shares.cpp.o",
        "driver/core/CMakeFiles/torchml_core_avx2.dir/operators/spline_kernel.cpp.o",
    )
    for built in objects:
        folder, _, file = built.partition("/CMakeFiles/")
        subprocess.run(
            ["make", "-C", tmp_path / "build" / folder, file.partition(".dir/")[2]],
            env=packaged_environment(),
            check=True,
            capture_output=True,
        )
        assert (tmp_path / "build" / built).exists()


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"CXX": "no-such-compiler"}, "'no-such-compiler' is not on the PATH"),
        ({"KIM_API_MODEL_DRIVERS_DIR": ""}, "set KIM_API_MODEL_DRIVERS_DIR"),
        ({"KIM_API_MODEL_DRIVERS_DIR": "/dev/null/drivers"}, "cannot write to /dev/null/drivers"),
        ({"PATH": "/nowhere"}, "'cmake' is not on the PATH"),
    ],
)
def test_what_is_missing_is_named_in_one_sentence(variables, sentence, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "torchml.kim", "install-driver", "--collection", "environment"],
        cwd=tmp_path,
        env=packaged_environment(**variables),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1
