"""Files that are damaged or made to do harm end in one sentence: no crash, no code, little memory.

Each is opened in a process of its own, whose memory and time are limited.
"""

from __future__ import annotations

import gzip
import io
import lzma
import pickle
import re
import shutil
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import lmdb
import numpy as np
import pytest
import torch

import torchml
from helpers import confined, networks
from helpers.checkpoints import save
from helpers.portable import write_example
from torchml.contract.archives import check_archive
from torchml.data.formats.aselmdb import encoded

Parts = dict[str, bytes]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a portable model."""
    return write_example("sw", "edges", tmp_path_factory.mktemp("whole")).folder


@pytest.fixture(scope="module")
def script(folder: Path) -> bytes:
    return (folder / "model.pt").read_bytes()


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("whole") / "best.ckpt"
    return save(networks.make("Scaled"), path).read_bytes()


def parts_of(archive: bytes) -> Parts:
    with zipfile.ZipFile(io.BytesIO(archive)) as file:
        return {name: file.read(name) for name in file.namelist()}


def zipped(parts: Parts, method: int = zipfile.ZIP_STORED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", method) as file:
        for name, content in parts.items():
            file.writestr(name, content)
    return target.getvalue()


def find(parts: Parts, end: str) -> str:
    return next(name for name in parts if name.endswith(end))


def first_storage(parts: Parts) -> str:
    return next(name for name in parts if "/data/" in name and parts[name])


def refused(call: Callable[[Path], None], path: Path, content: bytes) -> str:
    path.write_bytes(content)
    message = confined.refusal(call, path)
    assert message and len(message.splitlines()) == 1 and len(message) < 700, message
    assert path.name in message
    return message


# --- Archives ------------------------------------------------------------------------------------


def cut(archive: bytes) -> bytes:
    return archive[: len(archive) // 2]


def of_another_kind(archive: bytes) -> bytes:
    return b"\x7fELF" + archive[4:100]


def with_short_storage(archive: bytes) -> bytes:
    """What libtorch reads beyond its end."""
    parts = parts_of(archive)
    name = first_storage(parts)
    return zipped(parts | {name: parts[name][:-1]})


def with_short_storage_and_large_letters(archive: bytes) -> bytes:
    """libtorch ignores the case of names."""
    parts = parts_of(with_short_storage(archive))
    return zipped({name.replace("version", "VERSION"): part for name, part in parts.items()})


def without_storage(archive: bytes) -> bytes:
    parts = parts_of(archive)
    del parts[first_storage(parts)]
    return zipped(parts)


def with_pickle(archive: bytes, change: Callable[[bytes], bytes]) -> bytes:
    parts = parts_of(archive)
    name = find(parts, "/data.pkl")
    return zipped(parts | {name: change(parts[name])})


def with_large_count(pickled: bytes) -> bytes:
    """The count of numbers behind the device of the first storage becomes 2^62."""
    place = pickled.index(b"cpu") + 3
    while pickled[place : place + 1] in (b"q", b"r"):
        place += 2 if pickled[place : place + 1] == b"q" else 5
    width = {b"K": 2, b"M": 3, b"J": 5}[pickled[place : place + 1]]
    return pickled[:place] + b"\x8a\x08" + struct.pack("<q", 1 << 62) + pickled[place + width :]


def with_large_storage(archive: bytes) -> bytes:
    return with_pickle(archive, with_large_count)


def with_high_memo(archive: bytes) -> bytes:
    """libtorch makes a table of as many values."""
    return with_pickle(archive, lambda content: content[:2] + b"Nr\xff\xff\xff\xff0" + content[2:])


def with_empty_stack(archive: bytes) -> bytes:
    return with_pickle(archive, lambda content: b"\x80\x02\x87\x87.")


def with_deep_pickle(archive: bytes) -> bytes:
    return with_pickle(archive, lambda content: b"\x80\x02N" + b"\x85" * 1_000_000 + b".")


def with_itself_inside(archive: bytes) -> bytes:
    return with_pickle(archive, lambda content: b"\x80\x02]q\x00\x85h\x00h\x00ab.")


def bomb(archive: bytes) -> bytes:
    parts = parts_of(archive)
    top = next(iter(parts)).split("/")[0]
    return zipped(parts | {f"{top}/extra/torchml/authors": bytes(100 << 20)}, zipfile.ZIP_DEFLATED)


def leaving_its_folder(archive: bytes) -> bytes:
    parts = parts_of(archive)
    top = next(iter(parts)).split("/")[0]
    return zipped(parts | {f"{top}/../../executed": b"nothing"})


def with_equal_names(archive: bytes) -> bytes:
    """libtorch ignores the case of names."""
    parts = parts_of(archive)
    return zipped(parts | {find(parts, "/data.pkl").replace("data", "DATA"): b"other"})


def in_directory(
    place: int, form: str, value: int, first: bool = False
) -> Callable[[bytes], bytes]:
    """Change a number in the first or the last entry of the directory."""

    def change(archive: bytes) -> bytes:
        whole = bytearray(zipped(parts_of(archive)))
        entry = whole.index(b"PK\1\2") if first else whole.rindex(b"PK\1\2")
        struct.pack_into(form, whole, entry + place, value)
        return bytes(whole)

    return change


def with_many_parts(archive: bytes) -> bytes:
    whole = bytearray(zipped(parts_of(archive)))
    struct.pack_into("<HH", whole, whole.rindex(b"PK\5\6") + 8, 0xFFFF, 0xFFFF)
    return bytes(whole)


ARCHIVES: list[tuple[Callable[[bytes], bytes], str]] = [
    (cut, "cut short|not a whole"),
    (of_another_kind, "no zip file|not a whole"),
    (with_short_storage, r"its part 'data/\d+' has \d+ bytes of the \d+ that its tensors need"),
    (with_short_storage_and_large_letters, "bytes of the"),
    (without_storage, r"its part 'data/\d+' is missing"),
    (with_large_storage, "has a storage of 4611686018427387904 numbers"),
    (with_high_memo, "numbers a value too high"),
    (with_empty_stack, "takes a value that is not there"),
    (with_deep_pickle, "nests objects too deep"),
    (with_itself_inside, "changes an object inside of another"),
    (bomb, "unpack to more than"),
    (leaving_its_folder, "has a name that no file in a folder has"),
    (with_equal_names, "occurs twice"),
    (in_directory(42, "<I", 0), "in the place of another"),
    (in_directory(42, "<I", 7, first=True), "where none begins"),
    (in_directory(42, "<I", 0xFFFFFF00), "beyond its end"),
    (in_directory(24, "<I", 0x7FFFFFFF), "unknown method"),
    (in_directory(8, "<H", 1), "unknown method"),
    (with_many_parts, "announces 65535 parts"),
]
NAMES = [f"{k}-{damage.__name__}" for k, (damage, _) in enumerate(ARCHIVES)]


@pytest.mark.parametrize(("damage", "reason"), ARCHIVES, ids=NAMES)
def test_archives(
    damage: Callable[[bytes], bytes], reason: str, script: bytes, tmp_path: Path
) -> None:
    """In the engine, TorchScript and compiled, and where Python reads them first."""
    content = damage(script)
    for call, suffix in (
        (confined.read_metadata, ".pt"),
        (confined.read_metadata, ".pt2"),
        (confined.open_potential, ".pt"),
    ):
        message = refused(call, tmp_path / f"model{suffix}", content)
        assert re.search(reason, message), message


@pytest.mark.parametrize(("damage", "reason"), ARCHIVES, ids=NAMES)
def test_checkpoints(
    damage: Callable[[bytes], bytes], reason: str, checkpoint: bytes, tmp_path: Path
) -> None:
    message = refused(confined.load_model, tmp_path / "best.ckpt", damage(checkpoint))
    assert re.search(reason, message), message


CODE = {
    "lists": lambda n: "y = " + "[" * n + "x" + "]" * n,
    "operators": lambda n: "y = x" + " + x" * n,
    "types": lambda n: "y = annotate(" + "List[" * n + "int" + "]" * n + ", [])",
    "lines": lambda n: "\n" * n,
    "branches": lambda n: "if True:\n      y = 1\n" + "    elif True:\n      y = 1\n" * n,
}


@pytest.mark.parametrize("kind", CODE)
def test_code_that_nests(kind: str, script: bytes, tmp_path: Path) -> None:
    """libtorch's parser calls itself for each level: 100000 of them end its process."""
    parts = parts_of(script)
    name = next(name for name in parts if b"def forward" in parts[name])
    before, line, after = parts[name].rpartition(b"    return")
    parts[name] = before + b"    " + CODE[kind](100_000).encode() + b"\n" + line + after
    for rename in (str, str.upper):
        changed = zipped({rename(name): part for name, part in parts.items()})
        message = refused(confined.open_potential, tmp_path / "model.pt", changed)
        assert re.search(r"(?i)its part 'code/.*' nests expressions or blocks too deep", message)


def saved(**options: Any) -> bytes:
    """Weights, as other packages save them."""
    content = io.BytesIO()
    torch.save({"weights": torch.ones(4)}, content, **options)
    return content.getvalue()


def saved_before_zip() -> bytes:
    return saved(_use_new_zipfile_serialization=False)


def adapter(folder: Path) -> str:
    """Of a user's own model."""
    file = folder / "my_adapter.py"
    file.write_text("species, cutoff, layers = ['Si'], 3.5, 1\n\ndef energies(*_):\n    ...\n")
    return f"{file}:energies"


@pytest.mark.parametrize(("damage", "reason"), ARCHIVES[2:], ids=NAMES[2:])
def test_models_of_others(damage: Callable[[bytes], bytes], reason: str, tmp_path: Path) -> None:
    """Before the program starts that reads them."""
    path = tmp_path / "model.pt"
    path.write_bytes(damage(saved()))
    message = confined.refusal(confined.import_model, path, adapter(tmp_path))
    assert re.search(reason, message) and len(message.splitlines()) == 1, message


@pytest.mark.parametrize(
    "content", [cut(saved()), cut(saved_before_zip()), with_large_count(saved_before_zip())]
)
def test_models_of_others_that_are_no_zip_file(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    message = confined.refusal(confined.import_model, path, adapter(tmp_path))
    assert "is no module of torch" in message and len(message.splitlines()) == 1, message


def test_torch_reads_what_was_examined() -> None:
    """TorchScript is read in one place; of others' files, by a program that starts afterwards."""
    package = Path(torchml.__file__).parent
    readers = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        if re.search(r"(?<!`)torch\.(jit\.)?load\(", path.read_text())
    }
    assert {name for name in readers if not name.startswith("importers/reading/")} == {
        "contract/signature.py",  # in a process of its own
        "contract/torchscript.py",
        "data/dataset.py",  # its own scratch files
        "data/formats/unpickling.py",
        "importers/checkpoint.py",
        "importers/foreign.py",
    }


def test_whole_archives_are_read(
    folder: Path, script: bytes, checkpoint: bytes, tmp_path: Path
) -> None:
    for suffix, content in ((".pt", script), (".ckpt", checkpoint)):
        (tmp_path / f"whole{suffix}").write_bytes(zipped(parts_of(content)))
        check_archive(tmp_path / f"whole{suffix}", "archive")
        check_archive(content, "archive")
        packed = zipped(parts_of(content), zipfile.ZIP_DEFLATED)
        check_archive(packed, "archive")
    assert confined.refusal(confined.open_potential, tmp_path / "whole.pt") == ""
    assert confined.refusal(confined.load_model, tmp_path / "whole.ckpt") == ""
    assert confined.refusal(confined.open_potential, folder) == ""


def test_names_that_are_no_text(script: bytes, checkpoint: bytes, tmp_path: Path) -> None:
    """A reader that needs no such part may open the file."""
    for call, suffix, content in (
        (confined.read_metadata, ".pt", script),
        (confined.open_potential, ".pt", script),
        (confined.load_model, ".ckpt", checkpoint),
    ):
        path = tmp_path / f"model{suffix}"
        for old, new in ((b"data.pkl", b"d\xf8ta.pkl"), (b"version", b"v\xffrsion")):
            path.write_bytes(content.replace(old, new))
            assert len(confined.refusal(call, path).splitlines()) <= 1


def test_random_bytes(script: bytes, tmp_path: Path) -> None:
    """Whatever is changed in an archive ends its reading in a sentence, or changes nothing."""
    path = tmp_path / "model.pt"
    places = np.random.default_rng(20).integers(len(script), size=(15, 3))
    for where in places:
        changed = bytearray(script)
        for place in where:
            changed[place] ^= 0x55
        path.write_bytes(changed)
        message = confined.refusal(confined.open_potential, path)
        assert len(message.splitlines()) <= 1


# --- Text files of models ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("1\nSi", "2147483647\nSi", "1 species named"),
        ("1\nSi", "99999999999999999999\nSi", "the number of species"),
        ("1\nSi", "1\n" + "Si " * 100_000, "100000 species named"),
        ("1\n\n# Model", "2147483647\n\n# Model", "an integer of at most 100"),
        ("model.pt", "../model.pt", "expected one of the model's parameter files"),
        ("model.pt", "/etc/passwd", "expected one of the model's parameter files"),
        ("Si", "\0\1\2", "is malformed|no chemical symbol|expected|species"),
        ("Si", "#" * (1 << 25), "more than 16 MiB"),
    ],
)
def test_parameter_files(old: str, new: str, reason: str, folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(folder, tmp_path / folder.name))
    (param,) = copy.glob("*.param")
    text = param.read_text()
    assert old in text
    param.write_text(text.replace(old, new, 1))
    message = confined.refusal(confined.open_potential, copy)
    assert re.search(reason, message), message
    assert len(message.splitlines()) == 1 and len(message) < 700


@pytest.mark.parametrize(
    ("key", "value"), [("layers", "2000000000"), ("members", "2000000000"), ("cutoff", "1e999")]
)
def test_metadata(key: str, value: str, script: bytes, tmp_path: Path) -> None:
    parts = parts_of(script)
    top = next(iter(parts)).split("/")[0]
    changed = zipped(parts | {f"{top}/extra/torchml/{key}": value.encode()})
    message = refused(confined.open_potential, tmp_path / "model.pt", changed)
    assert f"'{key}' is '{value}'" in message


# --- Data ----------------------------------------------------------------------------------------

FRAME = "2\nProperties=species:S:1:pos:R:3 energy=1.0\nH 0 0 0\nH 0 0 1\n"


def stored(rows: dict[bytes, bytes]) -> bytes:
    """An LMDB file with these entries."""
    with tempfile.TemporaryDirectory() as scratch:
        path = str(Path(scratch) / "data")
        environment = lmdb.open(path, subdir=False, lock=False, map_size=1 << 24)
        with environment.begin(write=True) as transaction:
            for key, row in rows.items():
                transaction.put(key, row)
        environment.close()
        return Path(path).read_bytes()


def hdf5(shape: tuple[int, int, int]) -> bytes:
    """Coordinates of that shape, none of which was ever written."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        group = file.create_group("all")
        atoms = shape[1]
        group.create_dataset("coordinates", shape, "f8", chunks=(1, min(atoms, 1000), 3))
        group.create_dataset("species", (atoms,), "i1", chunks=(1,))
    return buffer.getvalue()


def zipped_storage() -> bytes:
    """A tensor whose storage is a zip file with fewer bytes than it announces."""
    buffer = io.BytesIO()
    torch.save(torch.arange(1000.0).untyped_storage(), buffer)
    storage = with_short_storage(buffer.getvalue())

    class Outer:
        def __reduce__(self) -> tuple[Any, ...]:
            return torch.storage._load_from_bytes, (storage,)

    return pickle.dumps({"pos": Outer(), "atomic_numbers": np.ones(1)})


class Harm:
    """What leaves a file when it is read as a pickle."""

    def __reduce__(self) -> tuple[Any, ...]:
        return open, ("executed", "w")


ROW = {"numbers": [1], "positions": [[0.0, 0.0, 0.0]]}
DATA: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "atoms that are not there": (
        "a.extxyz",
        lambda: FRAME.replace("2", "999999999999", 1).encode(),
        "ends after 2 of 999999999999 atoms",
    ),
    "columns that are not there": (
        "a.extxyz",
        lambda: FRAME.replace("pos:R:3", "pos:R:3:a:R:999999999999").encode(),
        "expected",
    ),
    "binary": ("a.extxyz", lambda: bytes(range(256)) * 99, "is not text|expected"),
    "one line": ("a.extxyz.gz", lambda: gzip.compress(bytes(1 << 27), 1), "unpacks to more than"),
    "many lines": (
        "a.extxyz.xz",
        lambda: lzma.compress(
            b"9" * 9 + b"\n\n" + (b"H" + b" " * 998 + b"\n") * (1 << 17), preset=0
        ),
        "unpacks to more than",
    ),
    "cut gzip": ("a.extxyz.gz", lambda: gzip.compress(FRAME.encode() * 99)[:-9], "cannot be read"),
    "code": ("a.lmdb", lambda: stored({b"0": pickle.dumps(Harm())}), "io.open"),
    "short storage": ("a.lmdb", lambda: stored({b"0": zipped_storage()}), "is damaged"),
    "no LMDB": ("a.lmdb", lambda: b"\0" * 9000, "cannot be read|cut short|damaged"),
    "rows that are not there": (
        "a.aselmdb",
        lambda: stored(
            {
                b"1": encoded(ROW),
                b"nextid": encoded(10**15),
                b"deleted_ids": encoded([7]),
            }
        ),
        "announces 999999999999998",
    ),
    "a row that unpacks": (
        "a.aselmdb",
        lambda: stored({b"1": zlib.compress(bytes(1 << 27), 1), b"nextid": encoded(2)}),
        "unpack to more than",
    ),
    "a row without end": (
        "a.aselmdb",
        lambda: stored({b"1": zlib.compress(b"[" * 1_000_000), b"nextid": encoded(2)}),
        "cannot be read: RecursionError",
    ),
    "large atoms": ("a.h5", lambda: hdf5((1, 10**9, 3)), "far more numbers than the file"),
    "many conformers": ("a.h5", lambda: hdf5((10**9, 2, 3)), "far more numbers than the file"),
    "cut HDF5": ("a.h5", lambda: hdf5((1, 2, 3))[:900], "cannot be read"),
    "no parquet": ("a.parquet", lambda: b"PAR1" + bytes(99) + b"PAR1", "cannot be read"),
}


@pytest.mark.parametrize("case", DATA)
def test_data(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name, make, reason = DATA[case]
    monkeypatch.chdir(tmp_path)
    message = refused(confined.read_all, tmp_path / name, make())
    assert re.search(reason, message), message
    assert not Path("executed").exists()


def test_lists_of_sizes_that_are_not_there(tmp_path: Path) -> None:
    """Beside LMDB files: ignored, as where there are none."""
    (tmp_path / "a.lmdb").write_bytes(
        stored({b"0": pickle.dumps({"pos": np.zeros((1, 3)), "atomic_numbers": np.ones(1)})})
    )
    header = b"{'descr': '<i8', 'fortran_order': False, 'shape': (1000000000000,)}\n"
    array = b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header
    (tmp_path / "metadata.npz").write_bytes(zipped({"natoms.npy": array}))
    assert confined.refusal(confined.read_all, tmp_path) == ""
