"""A package's own calculator as a worker: READER KIND WISH, in the package's environment.

READER is the zip file of adapters, WISH the fields of a `Wish` as JSON. Each order has the symbols,
positions, cell and pbc of a structure; the answer is the CPU time of the call (s), the energy (eV)
and the forces (eV/Å).
"""

import importlib
import json
import sys
import time
import warnings


def main() -> None:
    reader, kind, wish = sys.argv[1:]
    sys.path.insert(0, reader)
    warnings.simplefilter("ignore")
    import numpy as np
    import torch

    torch.set_num_threads(1)
    source = importlib.import_module("torchml_reading.source")
    adapter = importlib.import_module(f"torchml_reading.{kind}")
    own = adapter.open_model(source.Wish(**json.loads(wish))).own_results
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        structure = source.Structure(
            order["symbols"], np.array(order["positions"]), np.array(order["cell"]), order["pbc"]
        )
        begin = time.process_time()
        found = own(structure)
        spent = time.process_time() - begin
        answer = {"cpu": spent, "energy": found.energy, "forces": found.forces.tolist()}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
