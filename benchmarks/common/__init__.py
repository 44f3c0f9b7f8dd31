"""What the benchmarks share; a folder, because `make bench` runs every script beside it."""
