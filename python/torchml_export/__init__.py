"""`python -m torchml_export`: a thin door to `torchml.export`."""
