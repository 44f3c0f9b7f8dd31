"""Pickles of strangers, read without running what stands in them.

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

from torchml.errors import TorchMLError


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
    try:
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # whatever damaged bytes lead to; torch's own words fill a page
        name = re.search(r"GLOBAL (\S+)", str(error))
        what = f"holds {name[1]}, which is not allowed" if name else "is damaged"
        raise pickle.UnpicklingError(f"the storage of a tensor in it {what}") from None


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


def _numpy_function(module: str, name: str) -> Callable[..., Any]:
    """A function of numpy's pickles; its module is core in old numpy and _core in new."""
    try:
        source = __import__(f"numpy._core.{module}", fromlist=[name])
    except ImportError:
        source = __import__(f"numpy.core.{module}", fromlist=[name])
    found: Callable[..., Any] = getattr(source, name)
    return found


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
        ("_codecs", "encode"): _Inert(_encode),
        ("copyreg", "_reconstructor"): _Inert(_reconstruct),
        ("torch.storage", "_load_from_bytes"): _Inert(_storage),
        ("torch", "Size"): torch.Size,
        ("torch", "device"): torch.device,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }
    for name in ("_rebuild_tensor", "_rebuild_tensor_v2"):
        known["torch._utils", name] = _Inert(getattr(torch._utils, name))
    for name in dir(torch):
        if isinstance(getattr(torch, name), torch.dtype):
            known["torch", name] = getattr(torch, name)
    for module, name in (
        ("multiarray", "_reconstruct"),
        ("multiarray", "scalar"),
        ("numeric", "_frombuffer"),
    ):
        function = _Inert(_numpy_function(module, name))
        known[f"numpy.core.{module}", name] = known[f"numpy._core.{module}", name] = function
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
    """What the bytes of a row hold; where names file and key in errors.

    Containers of torch_geometric and munch come back as Record, tensors as tensors.
    """
    try:
        return _Unpickler(io.BytesIO(data), fix_imports=False).load()
    except pickle.UnpicklingError as error:
        raise TorchMLError(
            f"{where} cannot be read as a row of a data set: {error}; expected arrays, tensors and "
            "the containers of torch_geometric"
        ) from None
    # A damaged or hostile pickle may run into nearly every exception there is.
    except Exception as error:
        raise TorchMLError(
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
