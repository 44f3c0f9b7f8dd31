"""The calculator of symmetrix-xl as a worker: FILE DTYPE, in its own environment.

FILE is what `symmetrix_extract_mace` makes of a model of MACE. Orders and answers are those of
own_calculator.py.
"""

import json
import sys
import time


def main() -> None:
    from ase import Atoms
    from symmetrix import Symmetrix

    calculator = Symmetrix(sys.argv[1], dtype=sys.argv[2])
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        atoms = Atoms(**json.loads(line))
        begin = time.process_time()
        calculator.calculate(atoms, ["energy", "forces", "stress"])
        answer = {"cpu": time.process_time() - begin}
        found = calculator.results
        answer |= {"energy": float(found["energy"]), "forces": found["forces"].tolist()}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
