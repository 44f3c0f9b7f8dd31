"""A model examined through every interface: `torchml check MODEL`.

command.py        the command
examination.py    the steps of an examination, in their order
interfaces.py     the model in Python, C++, KIM-API, ASE and LAMMPS
kim_client.py     the model through KIM-API
kim_checks.py     KIM's verification checks
lammps.py         the model through LAMMPS
properties.py     physics of the model as checks
installing.py     the model under a name of KIM-API
results.py        what was found, and the same as JSON
report.py         the table of the checks
page.py           the page
curve_figures.py  the plots of the page

`torchml.reference` has the independent model in Python, structures, tolerances and the physics.
"""
