"""Does a model give the same, right physics through every door? `torchml validate MODEL`.

reference.py   the model in Python, its inputs built without any of the C++
kim_client.py  the model through KIM-API
lammps.py      the model through LAMMPS
structures.py  what it is evaluated on
checks.py      what must hold for any potential: derivatives and symmetries
tolerances.py  how well
report.py      findings, and their table
command.py     the command
"""
