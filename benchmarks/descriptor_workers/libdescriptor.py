"""libdescriptor's shared library, timed for benchmarks/descriptor.py.

It uses the functions for single atoms: those for many need gigabytes and are not faster.
"""

import ctypes
import sys

import numpy as np
from serving import System, cotangent, few, read, serve

Pointer = ctypes.c_void_p
real = ctypes.c_double


def main() -> None:
    """Time values and vector-Jacobian products of all kinds of the library."""
    system, cases = read()
    library, bridge_path = sys.argv[3:]
    ctypes.CDLL(library, ctypes.RTLD_GLOBAL)
    bridge = ctypes.CDLL(bridge_path)
    ways, results = {}, {}
    for case in cases:
        name, width = case["name"], case["width"]
        program = Program(bridge, make(bridge, case, system.cutoff), width, system)
        results |= {f"{name} values": program.values, f"{name} vjp": program.pull_back}
        ways |= {
            f"{name} values": few(program.values, system.centers),
            f"{name} vjp": few(program.pull_back, system.centers),
        }
    serve(ways, results, "")


class Program:
    """A descriptor of the library with its functions of the first n atoms."""

    def __init__(self, bridge: ctypes.CDLL, handle: Pointer, width: int, system: System) -> None:
        self.bridge, self.handle, self.width = bridge, handle, width
        self.species = np.zeros(len(system.positions), np.int32)
        self.offsets = np.ascontiguousarray(system.offsets, np.int64)
        self.neighbors = np.ascontiguousarray(system.neighbors, np.int32)
        self.positions = np.ascontiguousarray(system.positions)

    def values(self, n: int) -> np.ndarray:
        """[n, width]."""
        found = np.zeros((n, self.width))
        self.bridge.compute(*self._system(n), found.ctypes.data_as(Pointer))
        return found

    def pull_back(self, n: int) -> np.ndarray:
        """[N, 3]."""
        arrays = np.zeros((n, self.width)), cotangent(n, self.width), np.zeros_like(self.positions)
        pointers = [array.ctypes.data_as(Pointer) for array in arrays]
        self.bridge.pull_back(*self._system(n), *pointers)
        return arrays[2]

    def _system(self, n: int) -> tuple:
        arrays = self.species, self.offsets, self.neighbors, self.positions
        pointers = [array.ctypes.data_as(Pointer) for array in arrays]
        return self.handle, n, self.width, len(self.positions), *pointers


def make(bridge: ctypes.CDLL, case: dict, cutoff: float) -> Pointer:
    """The library's object for a case."""
    for name in ("make_symmetry_functions", "make_bispectrum", "make_soap", "make_xi"):
        getattr(bridge, name).restype = Pointer
    given = case["parameters"]
    if case["kind"] == "Bispectrum":
        handle = bridge.make_bispectrum(real(cutoff), given["twojmax"], real(0.99363))
    elif case["kind"] == "SOAP":
        sizes = given["n_max"], given["l_max"]
        handle = bridge.make_soap(real(given["cutoff"]), *sizes, real(given["eta"]))
    elif case["kind"] == "Xi":
        handle = bridge.make_xi(real(given["cutoff"]), given["q"])
    else:
        groups = given["groups"]
        numbers = np.concatenate([np.ravel(rows) for rows in groups.values()])
        sizes = np.ravel([(len(rows), len(rows[0])) for rows in groups.values()]).astype(np.int32)
        names = (ctypes.c_char_p * len(groups))(*[name.encode() for name in groups])
        handle = bridge.make_symmetry_functions(
            real(cutoff),
            len(groups),
            names,
            sizes.ctypes.data_as(Pointer),
            numbers.ctypes.data_as(Pointer),
            len(numbers),
        )
    return Pointer(handle)


if __name__ == "__main__":
    main()
