"""The repository as a KIM item: KIM-API's own tool installs it, with the options it documents."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from ase.calculators.kim import KIM

from helpers import portable
from torchml import Calculator, TorchMLError, kim
from torchml.validation.kim_client import KimModel, kim_log_explains

REPOSITORY = Path(__file__).resolve().parents[2]
DRIVER = "TorchMLOfATest__MD_000000000000_000"


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A second driver: its own ID, aware of MPI, without message passing."""
    sources = tmp_path_factory.mktemp("sources")
    for name in ("CMakeLists.txt", "kimspec.edn", "cmake", "descriptor", "driver"):
        (sources / name).symlink_to(REPOSITORY / name)
    collection = tmp_path_factory.mktemp("model-drivers")
    others = os.environ.get("KIM_API_MODEL_DRIVERS_DIR", "")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KIM_API_MODEL_DRIVERS_DIR", f"{collection}:{others}".rstrip(":"))
        patch.setenv("KIM_MODEL_DRIVER_ID", DRIVER)
        patch.setenv("KIM_MODEL_MPI_AWARE", "yes")
        patch.setenv("KIM_MODEL_DISBALE_GRAPH", "yes")  # as the original's README spells it
        patch.setenv("MAKEFLAGS", f"-j{os.cpu_count()}")
        done = subprocess.run(
            ["kim-api-collections-management", "install", "environment", str(sources)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        yield collection / DRIVER / "libkim-api-model-driver.so"


def install(
    kind: str, convention: str, example: Callable[[str, str], portable.Example], folder: Path
) -> str:
    """One of the models of the tests, for the second driver."""
    found = example(kind, convention)
    name = f"Second_{found.name}"
    files = {
        "model.pt": found.archive,
        "model.param": next(found.folder.glob("*.param")),
    }
    portable.write_folder(folder / name, files, list(found.model.species), driver=DRIVER)
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
