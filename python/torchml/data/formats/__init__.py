"""Readers: a file each, named by the format that it reads."""
