"""Slow and obvious: what export, validation and tests compare the engine with."""
