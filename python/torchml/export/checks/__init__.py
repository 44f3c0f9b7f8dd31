"""Checks that an exported model passes before it is written."""
