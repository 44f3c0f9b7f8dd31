"""Potentials of this package's checkpoints and of other packages become models of ours."""
