"""Names in the folder of a run."""

CHECKPOINTS = "checkpoints"
