"""Data: labelled structures in files, as configurations, graphs and batches."""

from typing import TYPE_CHECKING

from torchml.lazy import lazy_names

if TYPE_CHECKING:
    from torchml.data.batch import GraphBatch
    from torchml.data.checks import check_duplicates, check_labels, check_species
    from torchml.data.configuration import Configuration, Weights
    from torchml.data.graph import Graph, GraphBuilder
    from torchml.data.keys import Keys
    from torchml.data.module import DataModule
    from torchml.data.reading import read
    from torchml.data.references import fit_references, reference_energy
    from torchml.data.splits import Split
    from torchml.data.weights import apply_weights, read_weights
    from torchml.data.writing import write_aselmdb, write_extxyz, write_lmdb, write_parquet

# Where each public name lives; it is imported on demand.
_HOMES = {
    "Configuration": "torchml.data.configuration",
    "DataModule": "torchml.data.module",
    "Graph": "torchml.data.graph",
    "GraphBatch": "torchml.data.batch",
    "GraphBuilder": "torchml.data.graph",
    "Keys": "torchml.data.keys",
    "Split": "torchml.data.splits",
    "Weights": "torchml.data.configuration",
    "apply_weights": "torchml.data.weights",
    "check_duplicates": "torchml.data.checks",
    "check_labels": "torchml.data.checks",
    "check_species": "torchml.data.checks",
    "fit_references": "torchml.data.references",
    "read": "torchml.data.reading",
    "read_weights": "torchml.data.weights",
    "reference_energy": "torchml.data.references",
    "write_aselmdb": "torchml.data.writing",
    "write_extxyz": "torchml.data.writing",
    "write_lmdb": "torchml.data.writing",
    "write_parquet": "torchml.data.writing",
}

__all__ = [
    "Configuration",
    "DataModule",
    "Graph",
    "GraphBatch",
    "GraphBuilder",
    "Keys",
    "Split",
    "Weights",
    "apply_weights",
    "check_duplicates",
    "check_labels",
    "check_species",
    "fit_references",
    "read",
    "read_weights",
    "reference_energy",
    "write_aselmdb",
    "write_extxyz",
    "write_lmdb",
    "write_parquet",
]

__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return __all__
