"""Initial values: PyTorch's numbers for the same seed, and PyTorch's errors."""

import numpy as np
import pytest

import numgrad

#: Function, shape, options, whether the numbers are equal to the bit.
ROWS = [
    ("uniform_", (3, 5), {"a": -2, "b": 3}, True),
    ("normal_", (3, 5), {"mean": 1, "std": 2}, False),
    ("normal_", (5, 8), {}, False),
    ("trunc_normal_", (6, 5), {"std": 0.5, "a": -0.4, "b": 0.9}, False),
    ("trunc_normal_", (6, 5), {"std": 2.0, "a": 0.5, "b": 0.9}, False),
    ("constant_", (2, 3), {"val": 0.3}, True),
    ("ones_", (2, 3), {}, True),
    ("zeros_", (2, 3), {}, True),
    ("eye_", (3, 2), {}, True),
    ("dirac_", (4, 2, 3), {"groups": 2}, True),
    ("dirac_", (2, 3, 3, 3), {}, True),
    ("xavier_uniform_", (4, 5), {"gain": 2.0}, True),
    ("xavier_uniform_", (4, 5, 3), {}, True),
    ("xavier_normal_", (4, 5), {}, False),
    ("kaiming_uniform_", (4, 5), {"a": 0.3}, True),
    ("kaiming_uniform_", (4, 5, 2, 2), {"mode": "fan_out", "nonlinearity": "relu"}, True),
    ("kaiming_normal_", (4, 5), {"nonlinearity": "tanh"}, False),
    ("orthogonal_", (4, 3), {"gain": 2.0}, False),
    ("orthogonal_", (3, 2, 2), {}, False),
    ("sparse_", (6, 3), {"sparsity": 0.4, "std": 2.0}, False),
]


@pytest.mark.parametrize("name, shape, options, exact", ROWS)
def test_numbers_are_pytorchs(torch, name, shape, options, exact):
    found = []
    for library in (numgrad, torch):
        library.manual_seed(11)
        tensor = library.empty(shape).requires_grad_()
        result = getattr(library.nn.init, name)(tensor, **options)
        assert result is tensor and result.is_leaf and result.requires_grad
        found.append((result.detach().numpy(), library.rand(3).numpy()))
    if exact:
        np.testing.assert_array_equal(found[0][0], found[1][0])
    else:
        np.testing.assert_allclose(found[0][0], found[1][0], rtol=1e-5, atol=2e-6)
    # The generator is left where PyTorch leaves it.
    np.testing.assert_array_equal(found[0][1], found[1][1])


@pytest.mark.parametrize("name", ["uniform_", "kaiming_uniform_", "xavier_uniform_"])
def test_generators(torch, name):
    found = []
    for library in (numgrad, torch):
        generator = library.Generator().manual_seed(5)
        tensor = library.empty(3, 4)
        found.append(getattr(library.nn.init, name)(tensor, generator=generator).numpy())
    np.testing.assert_array_equal(*found)


def test_linear_draws_as_pytorch_does(torch):
    found = []
    for library in (numgrad, torch):
        library.manual_seed(123)
        layer = library.nn.Linear(3, 4)
        found.append((layer.weight.detach().numpy(), layer.bias.detach().numpy()))
        found[-1] += (library.rand(2).numpy(),)
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_gains(same):
    names = "linear conv2d conv_transpose1d sigmoid tanh relu leaky_relu selu".split()
    same(lambda t: [t.nn.init.calculate_gain(name) for name in names])
    same(lambda t: t.nn.init.calculate_gain("leaky_relu", 0.5))
    same(lambda t: t.nn.init.calculate_gain("leaky_relu", True))
    same(lambda t: t.nn.init.calculate_gain("leaky_relu", "x"))
    same(lambda t: t.nn.init.calculate_gain("swish"))


def test_errors(same):
    same(lambda t: t.nn.init.xavier_uniform_(t.empty(3)))
    same(lambda t: t.nn.init.xavier_normal_(t.empty(3)))
    same(lambda t: t.nn.init.kaiming_uniform_(t.empty(3)))
    same(lambda t: t.nn.init.kaiming_normal_(t.empty(3, 3), mode="fan"))
    same(lambda t: t.nn.init.kaiming_uniform_(t.empty(0, 3)).shape)
    same(lambda t: t.nn.init.orthogonal_(t.empty(3)))
    same(lambda t: t.nn.init.eye_(t.empty(3)))
    same(lambda t: t.nn.init.dirac_(t.empty(3, 3)))
    same(lambda t: t.nn.init.dirac_(t.empty(3, 3, 3), groups=2))
    same(lambda t: t.nn.init.sparse_(t.empty(3), 0.1))
    same(lambda t: t.nn.init.trunc_normal_(t.empty(3), mean=9.0).shape)
