"""`python -m torchml_export`: a thin entry to `torchml.export`."""
