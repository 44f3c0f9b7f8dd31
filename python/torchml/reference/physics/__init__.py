"""What holds for any potential, checked on any function that evaluates a structure.

evaluating.py   the function that evaluates, its results, and structures that are strained
derivatives.py  forces and virial are derivatives of the energy
symmetries.py   translation, rotation, inversion, permutation, replication
repeats.py      the same call gives the same bits
isolated.py     atoms without neighbours
curves.py       energy along a path, and where it or its slope jumps
clusters.py     curves of two and three atoms, through the cutoff and towards zero distance
solids.py       crystals: equation of state, elastic constants
dynamics.py     the energy of a simulation at constant energy
"""
