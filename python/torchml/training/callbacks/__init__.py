"""Callbacks of Lightning: averages, checkpoints, early stopping, progress, plots."""
