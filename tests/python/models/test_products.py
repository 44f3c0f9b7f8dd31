"""Polynomials of atomic tensors: the operator against the same sums written out in torch."""

from __future__ import annotations

import pytest
import torch
from torch.autograd import grad, gradcheck, gradgradcheck

from torchml.models.products import products, term_table

# Two outputs; powers of one row, common factors, repeated monomials, a constant, degrees 0 to 7.
TERMS = [
    (0, []), (0, [2]), (0, [0, 0]), (0, [0, 1]), (0, [0, 1, 2]), (0, [0, 1, 3]), (0, [2, 2, 2, 2]),
    (1, [1, 3]), (1, [3]), (1, [0, 2, 3, 3]), (1, [0, 2, 3]), (1, [0, 2, 3, 3]), (1, [3]),
    (1, [3, 0, 2, 2, 0, 1, 3]), (1, [3, 0, 2, 2, 1, 1]),
]  # fmt: skip
ROWS, OUTPUTS, ELEMENTS = 5, 2, 3  # the last row occurs in no term


def written_out(x, elements, coefficients, terms=TERMS, outputs=OUTPUTS):
    columns = [torch.zeros_like(x[:, 0]) for _ in range(outputs)]
    for t, (output, factors) in enumerate(terms):
        summand = coefficients[elements, t]
        for row in factors:
            summand = summand * x[:, row]
        columns[output] = columns[output] + summand
    return torch.stack(columns, 1)


def inputs(atoms=7, channels=5, dtype=torch.float64, terms=TERMS, rows=ROWS):
    generator = torch.Generator().manual_seed(1)
    elements = torch.randint(0, ELEMENTS, (atoms,), generator=generator)
    elements[elements == 1] = 0  # an element without atoms
    x = torch.randn(atoms, rows, channels, generator=generator, dtype=torch.float64)
    shape = (ELEMENTS, len(terms), channels)
    coefficients = torch.randn(shape, generator=generator, dtype=torch.float64)
    return x.to(dtype).requires_grad_(), elements, coefficients.to(dtype).requires_grad_()


def derivatives(function, x, elements, coefficients, seed=2):
    """The value, its derivatives, and those of a loss of value, forces and weights."""
    value = function(x, elements, coefficients)
    generator = torch.Generator().manual_seed(seed)

    def random(like):
        return torch.randn(like.shape, generator=generator, dtype=torch.float64).to(like.dtype)

    leaves = (x, coefficients)
    cotangent = random(value).requires_grad_()
    first = grad(value, leaves, cotangent, create_graph=True)
    loss = sum((one * random(one)).sum() for one in first)
    second = grad(loss, (*leaves, cotangent))
    return [value, *first, *second]


def operator(x, elements, coefficients):
    return products(x, elements, coefficients, term_table(TERMS), OUTPUTS)


@pytest.mark.parametrize("channels", [1, 3, 8, 21, 32])
@pytest.mark.parametrize("atoms", [1, 11])
def test_values_and_derivatives_are_those_written_out(channels, atoms):
    arguments = inputs(atoms, channels)
    found, expected = derivatives(operator, *arguments), derivatives(written_out, *arguments)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_derivatives_are_differences():
    x, elements, coefficients = inputs(atoms=3, channels=3)

    def function(x, coefficients):
        return operator(x, elements, coefficients)

    assert gradcheck(function, (x, coefficients))
    assert gradgradcheck(function, (x, coefficients))


def test_a_single_polynomial_of_which_only_forces_are_wanted():
    terms = [(0, factors) for _, factors in TERMS]
    x, elements, coefficients = inputs()
    coefficients = coefficients.detach()
    value = products(x, elements, coefficients, term_table(terms), 1)
    expected = written_out(x, elements, coefficients, terms, 1)
    torch.testing.assert_close(value, expected, rtol=1e-12, atol=1e-12)
    weights = torch.randn(value.shape, dtype=torch.float64)
    torch.testing.assert_close(
        grad(value, x, weights, retain_graph=True), grad(expected, x, weights, retain_graph=True)
    )
    (force,) = grad(value, x, weights, create_graph=True)
    (other,) = grad(expected, x, weights, create_graph=True)
    torch.testing.assert_close(grad(force.square().sum(), x), grad(other.square().sum(), x))


def test_single_precision_is_double_precision_rounded():
    exact = derivatives(operator, *inputs(40, 33))
    rounded = derivatives(operator, *inputs(40, 33, torch.float32))
    for one, other in zip(exact, rounded, strict=True):
        assert other.dtype == torch.float32
        scale = float(one.detach().abs().max())
        torch.testing.assert_close(other.double(), one, rtol=1e-5, atol=1e-6 * scale)


def test_threads_change_no_bit():
    def results(threads):
        torch.set_num_threads(threads)
        return derivatives(operator, *inputs(2000, 20))

    try:
        first = results(1)
        for threads in (2, 4):
            for one, other in zip(first, results(threads), strict=True):
                assert torch.equal(one, other)
    finally:
        torch.set_num_threads(1)


class Module(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("terms", term_table(TERMS))

    def forward(self, x: torch.Tensor, elements: torch.Tensor, coefficients: torch.Tensor):
        return products(x, elements, coefficients, self.terms, 2)


def test_scripted_and_exported_it_is_the_same():
    x, elements, coefficients = inputs()
    arguments = x.detach(), elements, coefficients.detach()
    expected = operator(*arguments)
    assert torch.equal(torch.jit.script(Module())(*arguments), expected)
    atoms = torch.export.Dim("atoms", min=2)
    shapes = {"x": {0: atoms}, "elements": {0: atoms}, "coefficients": None}
    exported = torch.export.export(Module(), arguments, dynamic_shapes=shapes).module()
    assert torch.equal(exported(*arguments), expected)
    fewer = x.detach()[:3], elements[:3], coefficients.detach()
    assert torch.equal(exported(*fewer), expected[:3])


def test_shapes_without_numbers():
    x, elements, coefficients = inputs()
    meta = x.detach().to("meta").requires_grad_(), elements.to("meta"), coefficients.to("meta")
    value = products(*meta, term_table(TERMS).to("meta"), OUTPUTS)
    assert value.shape == (7, OUTPUTS, 5) and value.dtype == x.dtype
    assert grad(value.sum(), meta[0])[0].shape == x.shape


def test_no_atoms():
    x, elements, coefficients = inputs(atoms=0)
    value, to_x, to_coefficients, *_ = derivatives(operator, x, elements, coefficients)
    assert value.shape == (0, OUTPUTS, 5) and to_x.shape == x.shape
    assert (to_coefficients == 0).all()


def test_third_derivatives_are_refused():
    x, elements, coefficients = inputs()
    value = operator(x, elements, coefficients)
    (first,) = grad(value.square().sum(), x, create_graph=True)
    (second,) = grad(first.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="third derivatives do not exist"):
        grad(second.sum(), x)


def damaged(change):
    x, elements, coefficients = inputs()
    arguments = {
        "x": x, "elements": elements, "coefficients": coefficients, "terms": term_table(TERMS),
        "outputs": OUTPUTS,
    }  # fmt: skip
    return list((arguments | change(arguments)).values())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: {"x": a["x"][0]}, r"x is not a float tensor \[n, rows, channels\], but \[5, 5"),
        (lambda a: {"x": a["x"].half()}, "x is not a float tensor"),
        (lambda a: {"x": a["x"][:, :3]}, "a term has the factor 3, but x has 3 rows"),
        (lambda a: {"elements": a["elements"][1:]}, r"the elements do not fit, expected i64 \[7\]"),
        (lambda a: {"elements": a["elements"] + 3}, "has element [345], expected 0 to 2"),
        (lambda a: {"elements": a["elements"] - 9}, "has element -"),
        (lambda a: {"coefficients": a["coefficients"][:, 1:]}, "the coefficients do not fit"),
        (lambda a: {"coefficients": a["coefficients"].float()}, "the coefficients do not fit"),
        (lambda a: {"terms": a["terms"].long()}, r"not an i32 tensor \[T, 1 \+ degree\]"),
        (lambda a: {"terms": a["terms"][:, :1]}, "the terms are not an i32 tensor"),
        (lambda a: {"terms": a["terms"] - 1}, "term 0 belongs to output -1, expected 0 to 1"),
        (lambda a: {"terms": a["terms"] - (a["terms"] == -1).int()}, "has the factor -2"),
        (lambda a: {"outputs": 1}, "term 7 belongs to output 1, expected 0 to 0"),
        (lambda a: {"outputs": 0}, "there are 0 outputs, expected 1 or more"),
    ],
)
def test_what_does_not_fit_is_one_sentence(change, message):
    with pytest.raises(RuntimeError, match=message):
        torch.ops.torchml.products(*damaged(change))
