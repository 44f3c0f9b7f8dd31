"""Networks of ours that take the weights of other packages' models.

Each module `FAMILY.py` here has `build(network)`, which makes an `EdgeModel` of the plain values
and tensors that `torchml.importers.reading` hands over with `"family": FAMILY`.
"""
