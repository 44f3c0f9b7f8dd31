"""Structures, models, portable models and reference implementations that tests share."""
