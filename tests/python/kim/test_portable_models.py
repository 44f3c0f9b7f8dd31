"""KIM portable models: their names, their folders, the way into a collection and back."""

from __future__ import annotations

import base64
import ctypes
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from ase.build import bulk
from ase.calculators.kim import KIM

from torchml import kim
from torchml.errors import TorchMLError

NATIVE = "SW_StillingerWeber_1985_Si__MO_405512056662_005"
NATIVE_DRIVER = "SW__MD_335816936951_004"

CONTENT = bytes(range(256)) * 5 + b"\0\n"


@pytest.fixture
def collections(tmp_path, monkeypatch):
    """KIM collections of this test alone; KIM-API writes its log where it stands, so move."""
    for kind in ("model-drivers", "portable-models", "simulator-models"):
        folder = tmp_path / kind
        folder.mkdir()
        monkeypatch.setenv(f"KIM_API_{kind.replace('-', '_').upper()}_DIR", str(folder))
    monkeypatch.setenv("KIM_API_CONFIGURATION_FILE", str(tmp_path / "kim-config"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(folder, **changes):
    settings = {
        "driver": kim.DRIVER,
        "species": ["Si", "O"],
        "parameter_files": {"model.param": "some text\n"},
        "title": 'A "quoted" title',
        "description": "back\\slash",
    }
    kim.write_portable_model(folder, **{**settings, **changes})


def cmake(*arguments):
    done = subprocess.run(["cmake", *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_names():
    assert kim.model_name("SW_Si") == "SW_Si__MO_000000000000_000"
    assert kim.model_name("SW_Si__MO_123456789012_003") == "SW_Si__MO_123456789012_003"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "1st",
        "with space",
        "with-dash",
        "a__b",
        "Schütt",
        "a" * 101,
        "a/b",
        "SW\n",
        "SW__MO_12_000",
        "SW__MD_123456789012_000",
        "a__b__MO_123456789012_000",
    ],
)
def test_impossible_names_are_refused(name):
    with pytest.raises(TorchMLError, match="is no KIM model name, expected letters"):
        kim.model_name(name)


def test_folder_has_what_kim_needs(tmp_path):
    model = tmp_path / "weights"
    model.write_bytes(b"\x00\xff")
    folder = tmp_path / "new" / "M__MO_000000000000_000"
    write(folder, parameter_files={"model.param": "text\n", "model.pt": model}, author="A. Author")
    assert {path.name for path in folder.iterdir()} == {
        "CMakeLists.txt",
        "embed.cmake",
        "kimspec.edn",
        "model.param",
        "model.pt",
    }
    assert (folder / "model.pt").read_bytes() == b"\x00\xff"
    assert (folder / "model.param").read_text() == "text\n"
    lists = (folder / "CMakeLists.txt").read_text()
    assert "project(M__MO_000000000000_000)" in lists
    assert f'DRIVER_NAME     "{kim.DRIVER}"' in lists
    assert '"model.param"' in lists
    assert '"model.pt"' in lists
    spec = (folder / "kimspec.edn").read_text().splitlines()
    assert spec[0] == "{"
    assert spec[-1] == "}"
    assert '  "extended-id" "M__MO_000000000000_000"' in spec
    assert f'  "model-driver" "{kim.DRIVER}"' in spec
    assert '  "species" ["Si" "O"]' in spec
    assert '  "kim-api-version" "2.2"' in spec
    assert '  "title" "A \\"quoted\\" title"' in spec
    assert '  "description" "back\\\\slash"' in spec
    assert '  "author" "A. Author"' in spec
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_existing_folder_is_kept_unless_told(tmp_path):
    folder = tmp_path / "M__MO_000000000000_000"
    write(folder)
    (folder / "notes").write_text("mine")
    with pytest.raises(TorchMLError, match="exists already; pass --overwrite"):
        write(folder)
    assert (folder / "notes").exists()
    write(folder, overwrite=True)
    assert not (folder / "notes").exists()
    assert len(list(tmp_path.iterdir())) == 1


def test_failed_overwrite_leaves_the_old_folder(tmp_path):
    folder = tmp_path / "M__MO_000000000000_000"
    write(folder)
    with pytest.raises(FileNotFoundError):
        write(folder, parameter_files={"model.pt": tmp_path / "absent"}, overwrite=True)
    assert (folder / "model.param").exists()
    assert len(list(tmp_path.iterdir())) == 1


def test_driver_name_must_be_one(tmp_path):
    with pytest.raises(TorchMLError, match="'M__MO_000000000000_000' is no KIM model driver name"):
        write(tmp_path / "M__MO_000000000000_000", driver="M__MO_000000000000_000")


def test_installed_model_gives_its_files_back_and_runs(collections):
    """Through the whole circle with a driver and parameters that OpenKIM made."""
    (native,) = kim.extract_parameter_files(NATIVE, collections / "native")
    assert native.read_text().splitlines()[0].strip()
    name = kim.model_name("Copied_SW")
    folder = collections / name
    write(folder, driver=NATIVE_DRIVER, species=["Si"], parameter_files={native.name: native})
    kim.require_driver(NATIVE_DRIVER)
    assert kim.installed_folder(name) is None
    kim.install(folder, "environment")
    assert kim.installed_folder(name) == collections / "portable-models" / name

    (copy,) = kim.extract_parameter_files(name, collections / "copy")
    assert copy.name == native.name
    assert copy.read_bytes() == native.read_bytes()

    atoms = bulk("Si", "diamond", 5.43, cubic=True)
    atoms.rattle(0.1, seed=3)
    energies = []
    for model in (NATIVE, name):
        atoms.calc = KIM(model)
        energies.append(atoms.get_potential_energy())
    assert energies[0] == energies[1]

    with pytest.raises(TorchMLError, match="could not be installed"):
        kim.install(folder, "environment")
    kim.install(folder, "environment", force=True)


def test_the_build_of_a_model_compiles_no_file_as_source(collections):
    name = kim.model_name("Large")
    weights = collections / "weights"
    weights.write_bytes(CONTENT)
    write(collections / name, parameter_files={"model.param": "text\n", "model.pt": weights})
    cmake("-S", collections / name, "-B", collections / "build")
    rules = (collections / f"build/CMakeFiles/{name}.dir/build.make").read_text()
    for file in ("model.param", "model.pt"):
        assert f"{file}.embedded.c.o" in rules
        assert not re.search(rf"{file}\.c(pp)?\b", rules)


# The kinds of sources that KIM-API 2.3 and 2.4 make, and a compiler without .incbin.
@pytest.mark.parametrize(
    ("generated", "options", "decode", "expected"),
    [
        ("model.pt.c", [], bytes, CONTENT),
        ("model.pt.cpp", [], base64.b64decode, CONTENT),
        ("model.pt.c", ["-DHAVE_INCBIN=OFF"], bytes, b"generated"),
    ],
)
def test_embedded_bytes_are_those_of_the_file(generated, options, decode, expected, tmp_path):
    source, build = tmp_path / "item", tmp_path / "build"
    source.mkdir()
    build.mkdir()
    (source / "model.pt").write_bytes(CONTENT)
    (source / "CMakeLists.txt").write_text(f"""
        cmake_minimum_required(VERSION 3.10)
        project(item C)
        add_library(item MODULE "${{CMAKE_CURRENT_BINARY_DIR}}/{generated}")
        include("{Path(kim.__file__).with_name("embed.cmake")}")
        embed_parameter_files(item model.pt)""")
    (build / generated).write_text(
        'unsigned char const model_pt[] = "generated"; unsigned const model_pt_len = 9;'
    )
    cmake("-S", source, "-B", build, *options)
    cmake("--build", build)
    item = ctypes.CDLL(str(build / "libitem.so"))
    length = ctypes.c_uint.in_dll(item, "model_pt_len").value
    content = (ctypes.c_char * (length + 1)).in_dll(item, "model_pt").raw
    assert decode(content[:-1]) == expected
    assert content[-1] == 0  # KIM-API 2.4 reads up to there


def test_items_of_kim_api_2_4_hold_base64(collections):
    """As its base64-encode and its wrapper write them."""
    encoded = base64.b64encode(CONTENT).decode()
    source = collections / "item.c"
    source.write_text(f"""
        struct File {{ char const *name; unsigned length; char const *content; }};
        static char const model[] = "{encoded}", version[] = "Mi40LjI=";
        static struct File const parameters[] = {{{{"model.pt", sizeof(model) - 1, model}}}};
        static struct File const about[] =
            {{{{"item-compiled-with-version.txt", sizeof(version) - 1, version}}}};
        int kim_shared_library_schema_version = 2;
        struct {{
            int type; char const *name; int language; void *routine; char const *driver;
            struct File const *specification; int count; struct File const *parameters;
            int about_count; struct File const *about;
        }} kim_shared_library_schema = {{3, "M", 1, 0, "D", 0, 1, parameters, 1, about}};""")
    folder = collections / "portable-models" / kim.model_name("Encoded")
    folder.mkdir()
    library = folder / "libkim-api-portable-model.so"
    subprocess.run(["cc", "-shared", "-fPIC", source, "-o", library], check=True)
    (file,) = kim.extract_parameter_files(folder.name, collections / "files")
    assert file.name == "model.pt"
    assert file.read_bytes() == CONTENT


def test_unbuildable_model_is_reported(collections):
    folder = collections / kim.model_name("Broken")
    write(folder, driver=NATIVE_DRIVER)
    (folder / "model.param").unlink()
    with pytest.raises(TorchMLError, match=r"Broken.* could not be installed .*'environment'"):
        kim.install(folder, "environment")


def test_what_is_not_installed_is_named(collections):
    with pytest.raises(TorchMLError, match="no portable model named 'Nothing' is installed"):
        kim.extract_parameter_files("Nothing", collections / "files")
    with pytest.raises(TorchMLError, match="driver Nothing__MD_000000000000_000 is not installed"):
        kim.require_driver("Nothing__MD_000000000000_000")


def test_missing_kim_api_is_named(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(TorchMLError, match="not on the PATH; install KIM-API"):
        kim.installed_folder(NATIVE)
