"""Commands that make, split, thin out, convert and check data sets: `torchml data ...`."""
