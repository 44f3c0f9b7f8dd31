"""Compare the interfaces of a model, and check its physics: `torchml check MODEL`.

kim_client.py  the model through KIM-API
lammps.py      the model through LAMMPS
checks.py      properties of any potential: derivatives and symmetries
report.py      the table of the checks
command.py     the command

The model in Python, the structures and the tolerances are in `torchml.reference`.
"""
