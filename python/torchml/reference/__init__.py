"""Slow and simple computations, with which export, validation and tests compare the engine."""
