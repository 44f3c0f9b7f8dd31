"""Compare a model through every interface: `torchml check MODEL`.

command.py     the command: Python, C++, KIM-API, ASE and LAMMPS on the same structures
kim_client.py  the model through KIM-API
lammps.py      the model through LAMMPS
checks.py      derivatives and symmetries, which hold for any potential
report.py      the table of the checks

`torchml.reference` has the independent model in Python, the structures and the tolerances.
"""
