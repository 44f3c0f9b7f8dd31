"""Metadata without the entries that record when and by whom an archive was written."""

from __future__ import annotations

from dataclasses import replace

from torchml.contract.keys import metadata_keys
from torchml.contract.metadata import ModelMetadata


def without_provenance(facts: ModelMetadata | None) -> ModelMetadata:
    """The facts that matter for running a model."""
    assert facts is not None
    return replace(
        facts, **{key.name: None for key in metadata_keys() if key.place == "provenance"}
    )
