"""Modules that the benchmarks share, in a folder, because `make bench` runs all scripts above."""
