"""`torchml::messages` and its derivatives against the same sums written out in torch."""

from __future__ import annotations

import pytest
import torch

import torchml._core  # noqa: F401  (registers the operators)
from helpers.instruction_sets import check_instruction_sets
from torchml.models import GCN, PaiNN, SchNet, TensorNet
from torchml.models.radial import RadialFunction

operators = torch.ops.torchml
NODES = 9
SIMPLE = [0, 0, 0, -1]
# Rows that are read and written several times, two parts of the filter, factors and none.
MIXED = [0, 0, 0, -1, 1, 1, 1, 0, 1, 0, 0, 2, 2, 2, 1, -1, 3, 2, 0, 1]


class Given(RadialFunction):
    """Filters as they are."""

    def forward(self, expansion):
        return expansion


def graph(edges=40, seed=1, dtype=torch.float64, terms=MIXED, width=5):
    """filters, features, factors and edge_index of random edges in no order."""
    generator = torch.Generator().manual_seed(seed)

    def random(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    index = torch.randint(0, NODES - 1, (2, edges), generator=generator)  # the last has no edges
    rows, parts = max(terms[1::4]) + 1, max(terms[2::4]) + 1
    factors = random(edges, 3) if max(terms[3::4]) >= 0 else None
    return random(edges, parts * width), random(NODES, rows * width), factors, index


def fused(filters, features, factors, index, terms=MIXED, nodes=NODES, order=None, weight=None):
    order = operators.edge_order(index, NODES) if order is None else order
    return operators.messages(filters, weight, features, factors, index, order, terms, nodes)


def written(filters, features, factors, index, terms=MIXED, nodes=NODES, weight=None):
    filters = filters if weight is None else filters @ weight.t()
    return Given().convolve(filters, features, factors, index, None, terms, nodes)


def linear(inputs, width=5, terms=MIXED, **options):
    """inputs, features, factors, index and weight: the filters are a linear map of the inputs."""
    filters, features, factors, index = graph(width=width, terms=terms, **options)
    generator = torch.Generator().manual_seed(5)
    weight = torch.randn(filters.size(1), inputs, generator=generator, dtype=torch.float64)
    return filters @ weight / filters.size(1), features, factors, index, weight


def leaves_of(*arrays, dtype=None):
    return [None if one is None else one.detach().to(dtype).requires_grad_() for one in arrays]


def second_derivatives(sums, leaves, needed):
    """The sums, their derivatives by `needed`, and those of a function of these, by all leaves."""
    weights = torch.linspace(-1.0, 1.0, sums.numel()).to(sums.dtype).view(sums.shape)
    energy = (weights * sums).square().sum()
    first = torch.autograd.grad(energy, needed, create_graph=True)
    loss = sum(one.square().sum() for one in first) + energy
    return [sums, *first, *torch.autograd.grad(loss, leaves)]


@pytest.mark.parametrize("needed", [[0, 1, 2], [0], [1], [2]])
@pytest.mark.parametrize("terms", [SIMPLE, MIXED])
def test_two_derivatives_are_those_written_out(terms, needed):
    *arrays, index = graph(terms=terms)
    results = []
    for function in (fused, written):
        leaves = leaves_of(*arrays)
        sums = function(*leaves, index, terms)
        given = [one for one in leaves if one is not None]
        chosen = [leaves[k] for k in needed if leaves[k] is not None] or given
        results.append(second_derivatives(sums, given, chosen))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-9)
    assert (results[0][0][-1] == 0).all()  # the node without edges


# Sizes around those of vectors and blocks.
@pytest.mark.parametrize(("inputs", "width", "edges"), [(1, 1, 40), (7, 16, 200), (33, 9, 400)])
@pytest.mark.parametrize("needed", [[0, 1, 2, 3], [0], [3]])
def test_filters_may_be_a_linear_map(inputs, width, edges, needed):
    *arrays, index, weight = linear(inputs, width, edges=edges)
    results = []
    for function in (fused, written):
        leaves = leaves_of(*arrays, weight)
        sums = function(*leaves[:3], index, weight=leaves[3])
        results.append(second_derivatives(sums, leaves, [leaves[k] for k in needed]))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(
            one, other, rtol=1e-10, atol=1e-10 * float(other.detach().abs().max())
        )


@pytest.mark.parametrize("terms", [SIMPLE, MIXED])
def test_second_derivatives_are_differences(terms):
    *arrays, index = graph(edges=7, width=2, terms=terms)
    given = [one for one in leaves_of(*arrays) if one is not None]

    def sums(filters, features, factors=None):
        return fused(filters, features, factors, index, terms)

    assert torch.autograd.gradcheck(sums, given)
    assert torch.autograd.gradgradcheck(sums, given)


def test_second_derivatives_of_a_linear_map_are_differences():
    *arrays, index, weight = linear(inputs=2, width=2, edges=5)

    def sums(inputs, features, factors, weight):
        return fused(inputs, features, factors, index, weight=weight)

    leaves = leaves_of(*arrays, weight)
    assert torch.autograd.gradcheck(sums, leaves)
    assert torch.autograd.gradgradcheck(sums, leaves)


@pytest.mark.parametrize("width", [1, 33])
def test_single_precision_is_double_precision_rounded(width):
    *arrays, index, weight = linear(20, width=width)
    results = []
    for dtype in (torch.float64, torch.float32):
        leaves = leaves_of(*arrays, weight, dtype=dtype)
        sums = fused(*leaves[:3], index, weight=leaves[3])
        results.append(second_derivatives(sums, leaves, leaves))
    for one, other in zip(*results, strict=True):
        assert other.dtype == torch.float32
        assert (other.double() - one).abs().max() < 2e-5 * one.abs().max()


def test_a_layer_may_take_the_first_edges_and_nodes():
    filters, features, factors, index = graph()
    index = index[:, torch.argsort(index[1], stable=True)]
    nodes = 5
    edges = int((index[1] < nodes).sum())
    order = operators.edge_order(index, NODES)
    whole = leaves_of(filters, features, factors)
    part = leaves_of(filters[:edges], features, factors[:edges])
    ours = second_derivatives(fused(*part, index[:, :edges], nodes=nodes, order=order), part, part)
    sums = fused(*whole, index, order=order)[:nodes]
    others = second_derivatives(sums, whole, whole)
    for one, other in zip(ours, others, strict=True):
        torch.testing.assert_close(one, other[: len(one)], rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("nodes", [0, 3])
def test_no_edges(nodes):
    filters = torch.zeros(0, 4, dtype=torch.float64, requires_grad=True)
    features = torch.ones(nodes, 4, dtype=torch.float64, requires_grad=True)
    index = torch.zeros(2, 0, dtype=torch.int64)
    order = operators.edge_order(index, nodes)
    sums = operators.messages(filters, None, features, None, index, order, SIMPLE, nodes)
    assert sums.shape == (nodes, 4) and (sums == 0).all()
    to_filters, to_features = torch.autograd.grad(sums.sum(), (filters, features))
    assert to_filters.shape == (0, 4) and (to_features == 0).all()


def test_threads_change_no_bit():
    generator = torch.Generator().manual_seed(2)
    nodes = 100
    index = torch.randint(0, nodes, (2, 2_000), generator=generator)
    shapes = (2_000, 10), (nodes, 3 * 16), (2_000, 3), (2 * 16, 10)
    arrays = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
    order = operators.edge_order(index, nodes)

    def results(threads):
        torch.set_num_threads(threads)
        inputs, features, factors, weight = leaves = leaves_of(*arrays)
        sums = operators.messages(inputs, weight, features, factors, index, order, MIXED, nodes)
        return second_derivatives(sums, leaves, leaves)

    try:
        expected = results(1)
        for threads in (2, 4):
            for one, other in zip(expected, results(threads), strict=True):
                assert torch.equal(one, other)
    finally:
        torch.set_num_threads(1)


SETS = """
import sys, torch, torchml._core
torch.manual_seed(0)
index = torch.randint(0, 6, (2, 50))
shapes = (50, 9), (35, 9), (6, 35)
leaves = [torch.randn(shape).double().requires_grad_() for shape in shapes]
order = torch.ops.torchml.edge_order(index, 6)
sums = torch.ops.torchml.messages(*leaves, None, index, order, [0, 0, 0, -1], 6)
first = torch.autograd.grad(sums.square().sum(), leaves, create_graph=True)
second = torch.autograd.grad(sum(one.square().sum() for one in first), leaves)
torch.save([sums, *first, *second], sys.argv[1])
"""


def test_all_instruction_sets_agree(tmp_path):
    check_instruction_sets(SETS, tmp_path, atol=1e-11)


def test_shapes_without_numbers():
    *arrays, index, weight = (one.to("meta") for one in linear(6))
    leaves = leaves_of(*arrays, weight)
    order = operators.edge_order(index, NODES)
    sums = fused(*leaves[:3], index, nodes=4, order=order, weight=leaves[3])
    assert sums.shape == (4, 4 * 5)
    first = torch.autograd.grad(sums.sum(), leaves, create_graph=True)
    second = torch.autograd.grad(sum(one.sum() for one in first), leaves)
    for leaf, *derivatives in zip(leaves, first, second, strict=True):
        for one in derivatives:
            assert one.shape == leaf.shape and one.dtype == leaf.dtype


def test_third_derivatives_are_refused():
    *arrays, index = graph()
    leaves = leaves_of(*arrays)
    first = torch.autograd.grad(fused(*leaves, index).square().sum(), leaves, create_graph=True)
    (second,) = torch.autograd.grad(first[0].square().sum(), leaves[:1], create_graph=True)
    with pytest.raises(RuntimeError, match="third derivatives do not exist"):
        torch.autograd.grad(second.sum(), leaves)


def test_torchscript_calls_it():
    @torch.jit.script
    def sums(filters: torch.Tensor, features: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
        order = torch.ops.torchml.edge_order(index, 9)
        return torch.ops.torchml.messages(
            filters, None, features, None, index, order, [0, 0, 0, -1], 9
        )

    filters, features, _, index = graph(terms=SIMPLE)
    expected = written(filters, features, None, index, SIMPLE)
    torch.testing.assert_close(sums(filters, features, index), expected, rtol=1e-12, atol=1e-12)


def damaged(change):
    filters, features, factors, index = graph()
    order = operators.edge_order(index, NODES)
    arguments = {
        "filters": filters, "weight": None, "features": features, "factors": factors,
        "edge_index": index, "order": order, "terms": MIXED, "nodes": NODES,
    }  # fmt: skip
    return list((arguments | change(arguments)).values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: {"filters": a["filters"].long()}, "filters are no float matrix"),
        (lambda a: {"filters": a["filters"][:, :-1]}, "multiple of the 2 parts"),
        (lambda a: {"weight": torch.ones(10, 4).double()}, "weight do not fit"),
        (lambda a: {"weight": torch.ones(9, 10).double()}, "there are 9 filters"),
        (lambda a: {"features": a["features"].float()}, "features do not fit"),
        (lambda a: {"features": a["features"][:3]}, "an edge comes from a node beyond the 3"),
        (lambda a: {"features": a["features"].repeat(2, 1)}, "features of 18 nodes"),
        (lambda a: {"factors": None}, "factors do not fit"),
        (lambda a: {"factors": a["factors"][1:]}, "factors do not fit"),
        (lambda a: {"edge_index": a["edge_index"][:, 1:]}, "expected an edge_index"),
        (lambda a: {"terms": [0, 0, 0]}, "expected four for each"),
        (lambda a: {"terms": [0, 0, -1, 0]}, "negative row or part"),
        (lambda a: {"order": a["order"][1:]}, "expected what torchml::edge_order makes"),
        (lambda a: {"nodes": NODES + 1}, "sums of 10, expected at most the 9"),
    ],
)
def test_what_does_not_fit_is_one_sentence(change, message):
    with pytest.raises(RuntimeError, match=message):
        operators.messages(*damaged(change))


NETWORKS = {
    "SchNet": lambda: SchNet(["Si", "C"], cutoff=3.0, layers=2, features=6, gaussians=5),
    "PaiNN": lambda: PaiNN(["Si", "C"], cutoff=3.0, layers=2, features=6, radial_functions=5),
    "TensorNet": lambda: TensorNet(["Si", "C"], cutoff=3.0, features=6, radial_functions=5),
    "GCN": lambda: GCN(["Si", "C"], cutoff=3.0, layers=2, features=6, radial_functions=5),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_training_derivatives_are_those_of_torchs_operations(name):
    """Python runs the operator, TorchScript torch's own operations."""
    torch.manual_seed(0)
    network = NETWORKS[name]()
    index = graph(edges=60)[3]
    vectors = torch.nn.functional.normalize(torch.randn(60, 3, dtype=torch.float64))
    vectors = vectors * (1.0 + 1.9 * torch.rand(60, 1, dtype=torch.float64))
    species = torch.arange(NODES) % 2
    counts = [NODES] * (network.layers + 1), [60] * network.layers
    results = []
    for model in (network, torch.jit.script(network)):
        rows = vectors.clone().requires_grad_()
        energies = model(species, rows, index, *counts)
        (forces,) = torch.autograd.grad(energies.sum(), rows, create_graph=True)
        loss = forces.square().sum() + energies.square().sum()
        parameters = [one for one in model.parameters() if one.requires_grad]
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
        results.append([energies, forces, *(one for one in gradients if one is not None)])
    assert "torchml::" not in str(torch.jit.script(network).inlined_graph)
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-11)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_other_devices():
    *arrays, index, weight = linear(6)
    results = []
    for device in ("cpu", "cuda"):
        leaves = leaves_of(*(one.to(device) for one in (*arrays, weight)))
        sums = fused(*leaves[:3], index.to(device), weight=leaves[3])
        results.append(second_derivatives(sums, leaves, leaves))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(other.cpu(), one, rtol=1e-10, atol=1e-9)
