"""Read models of other packages, in a process that has torch and that package alone.

The modules in this folder import torch, numpy, the standard library and the package that they read,
and each other by relative imports: nothing else of torchml. So one file that holds them (a zip file
that Python runs) works in any environment.
"""
