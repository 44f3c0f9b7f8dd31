"""Pickles from others, read without running code in them.

Data sets in LMDB files are pickles, and a pickle may call any function of any module while it is
read. This reader knows the few names that rows of such data sets are made of, looks them up in a
table instead of importing them, and refuses all others.
"""

from __future__ import annotations

import io
import pickle
import re
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from torchml.errors import FileError


class Record(dict[str, Any]):
    """Stands for the containers of torch_geometric and munch, which need not be installed.

    It only keeps what the pickle hands over as their state, or as their items.
    """

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        for part in state if isinstance(state, tuple) else (state,):
            self.update(part or {})

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError("a record of a data set is not to be pickled")


class _Inert:
    """A function that a pickle may call; it has no attributes that the pickle could set."""

    __slots__ = ("_call",)
    _call: Callable[..., Any]

    def __init__(self, call: Callable[..., Any]) -> None:
        object.__setattr__(self, "_call", call)

    def __call__(self, *arguments: Any) -> Any:
        return self._call(*arguments)

    def __setattr__(self, name: str, value: Any) -> None:
        raise pickle.UnpicklingError(f"a pickle must not set '{name}' of a function")


def _storage(data: bytes) -> Any:
    """A torch storage inside a pickle: bytes of torch.save, which could hold any pickle again."""
    # torch writes them in its old format. Of a zip file it would read beyond parts that are short.
    if not data.startswith(b"\x80"):
        raise pickle.UnpicklingError("the storage of a tensor in it is damaged")
    try:
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # whatever damaged bytes lead to; torch's own words fill a page
        name = re.search(r"GLOBAL (\S+)", str(error))
        what = f"holds {name[1]}, which is not allowed" if name else "is damaged"
        raise pickle.UnpicklingError(f"the storage of a tensor in it {what}") from None


def _tensor(storage: Any, offset: int, size: Any, stride: Any, *_: Any) -> torch.Tensor:
    """A tensor over a storage; gradients and hooks are dropped."""
    if not isinstance(storage, torch.storage.TypedStorage):
        raise pickle.UnpicklingError(f"it has a tensor over {storage!r:.40}")
    length = storage._untyped_storage.nbytes() // storage.dtype.itemsize
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    # torch would make the storage larger, and leave what is then in it to chance.
    if min(offset, *size, *stride, 0) < 0 or (0 not in size and last >= length):
        raise pickle.UnpicklingError("it has a tensor that is larger than its storage")
    tensor: torch.Tensor = torch._utils._rebuild_tensor(storage, offset, size, stride)
    return tensor


class _Dtype:
    """Of numpy arrays: plain numbers and text only, no structures and no objects."""

    __slots__ = ("_code", "_order")

    def __init__(self, code: str, *_: Any) -> None:
        if not re.fullmatch(r"[<>=|]?[biufcSU]\d+|[?]", code):
            raise pickle.UnpicklingError(f"it has an array of the type {code!r:.40}")
        self._code = code
        self._order = "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._order = state[1]
        if any(part is not None for part in state[2:5]):
            raise pickle.UnpicklingError("it has an array of structures")

    def resolve(self) -> np.dtype[Any]:
        return np.dtype(self._order + self._code.lstrip("<>=|"))


class _Array(np.ndarray[Any, Any]):
    """An empty array of an old pickle; shape, type and bytes follow as its state."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        *version, shape, dtype, fortran, data = state
        super().__setstate__((*version, shape, dtype.resolve(), fortran, bytes(data)))


_NDARRAY = object()  # stands for the class itself, which a pickle names but must not call


def _empty_array(kind: object, *_: Any) -> _Array:
    if kind is not _NDARRAY:
        raise pickle.UnpicklingError(f"it has an array of the class {kind!r:.40}")
    return np.empty(0, dtype=np.int8).view(_Array)


def _array(data: Any, dtype: _Dtype, shape: Any, order: str) -> NDArray[Any]:
    """An array of pickles of protocol 5."""
    flat = np.frombuffer(bytes(data), dtype.resolve())
    return flat.reshape(shape, order="F" if order == "F" else "C").copy()


def _scalar(dtype: _Dtype, data: bytes) -> Any:
    return np.frombuffer(data, dtype.resolve(), count=1)[0]


def _reconstruct(kind: type, base: type, state: Any) -> Any:
    """Objects of the oldest pickle protocols: only records, whose state follows."""
    if kind is not Record or base not in (object, dict):
        raise pickle.UnpicklingError(f"it makes a {kind!r:.60}, which is not allowed")
    record = Record()
    record.update(state or {})
    return record


def _encode(text: str, encoding: str) -> bytes:
    """Bytes, in protocols that only had text."""
    return text.encode(encoding if encoding in ("latin1", "latin-1") else "ascii")


def _no_bytes() -> bytes:
    """How protocols that only had text wrote that there are none."""
    return b""


def _known_names() -> dict[tuple[str, str], Any]:
    known: dict[tuple[str, str], Any] = {
        ("collections", "OrderedDict"): OrderedDict,
        ("builtins", "object"): object,
        ("builtins", "set"): set,
        ("builtins", "frozenset"): frozenset,
        ("builtins", "slice"): slice,
        ("builtins", "complex"): complex,
        ("builtins", "bytearray"): bytearray,
        ("builtins", "dict"): dict,
        ("builtins", "list"): list,
        ("builtins", "bytes"): _Inert(_no_bytes),
        ("_codecs", "encode"): _Inert(_encode),
        ("copyreg", "_reconstructor"): _Inert(_reconstruct),
        ("torch.storage", "_load_from_bytes"): _Inert(_storage),
        ("torch", "Size"): torch.Size,
        ("torch", "device"): torch.device,
        ("torch._utils", "_rebuild_tensor"): _Inert(_tensor),
        ("torch._utils", "_rebuild_tensor_v2"): _Inert(_tensor),
        ("numpy", "ndarray"): _NDARRAY,
        ("numpy", "dtype"): _Inert(_Dtype),
    }
    for name in dir(torch):
        if isinstance(getattr(torch, name), torch.dtype):
            known["torch", name] = getattr(torch, name)
    for core in ("numpy.core", "numpy._core"):  # the name in old numpy, and in new
        known[f"{core}.multiarray", "_reconstruct"] = _Inert(_empty_array)
        known[f"{core}.multiarray", "scalar"] = _Inert(_scalar)
        known[f"{core}.numeric", "_frombuffer"] = _Inert(_array)
    for module, names in {
        "torch_geometric.data": ("Data", "HeteroData"),
        "torch_geometric.data.data": ("Data", "DataEdgeAttr", "DataTensorAttr"),
        "torch_geometric.data.hetero_data": ("HeteroData",),
        "torch_geometric.data.storage": (
            *("BaseStorage", "GlobalStorage", "NodeStorage", "EdgeStorage"),
        ),
        "munch": ("Munch", "DefaultMunch"),
    }.items():
        known |= {(module, name): Record for name in names}
    # Python 2, and protocols before 3.
    known |= {
        ("__builtin__", name): value
        for (module, name), value in known.items()
        if module == "builtins"
    }
    known["copy_reg", "_reconstructor"] = known["copyreg", "_reconstructor"]
    return known


_KNOWN = _known_names()


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _KNOWN:
            raise pickle.UnpicklingError(f"it holds {module}.{name}, which is not allowed")
        return _KNOWN[module, name]

    def persistent_load(self, identifier: Any) -> Any:
        raise pickle.UnpicklingError("it holds references to objects outside of it")


def unpickle(data: bytes, where: str) -> Any:
    """Return the object in the bytes of a row; `where` names file and key in errors.

    Containers of torch_geometric and munch come back as Record, tensors as tensors.
    """
    try:
        return _Unpickler(io.BytesIO(data), fix_imports=False).load()
    except pickle.UnpicklingError as error:
        raise FileError(
            f"{where} cannot be read as a row of a data set: {error}; expected arrays, tensors and "
            "the containers of torch_geometric"
        ) from None
    # A damaged or hostile pickle may run into nearly every exception there is.
    except Exception as error:
        raise FileError(
            f"{where} cannot be read as a row of a data set, it may be damaged: "
            f"{type(error).__name__}: {error}"
        ) from None


def fields_of(row: Any) -> dict[str, Any] | None:
    """The named values of a row, None if it is no mapping.

    torch_geometric kept them as attributes of Data before version 2, and keeps them in its storage
    since.
    """
    if isinstance(row, Record) and isinstance(row.get("_store"), Record):
        row = row["_store"]
    if isinstance(row, Record) and isinstance(row.get("_mapping"), dict):
        row = row["_mapping"]
    if not isinstance(row, dict):
        return None
    return {
        str(name): value
        for name, value in row.items()
        if value is not None and not str(name).startswith("__")
    }
