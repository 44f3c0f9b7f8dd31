"""Configurations of other packages, translated into the configuration of `torchml fit`.

A key that has no equivalent is an error that names the key and what to use instead.
"""
