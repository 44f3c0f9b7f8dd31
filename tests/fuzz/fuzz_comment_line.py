"""Random comment lines of extended XYZ, for some time, compared with what is right and with ASE.

PYTHONPATH=tests python tests/fuzz/fuzz_comment_line.py [SECONDS [SEED]]
"""

import random
import sys
import time

from helpers.comment_lines import check_any, check_well_formed, mutated, well_formed

seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 600.0
seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(1 << 30)
print("seed", seed, flush=True)
chance = random.Random(seed)
lines = compared = 0
end = time.monotonic() + seconds
while time.monotonic() < end:
    line, expected = well_formed(chance)
    check_well_formed(line, expected)
    compared += check_any(line) + check_any(mutated(chance, line))
    lines += 2
print(f"{lines} lines, {compared} of them compared with ASE: no difference")
