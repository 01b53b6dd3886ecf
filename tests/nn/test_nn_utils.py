"""`nn.utils`: clipping of gradients, parameters as a vector; beside PyTorch's."""

import math

import numpy as np
import pytest

import numgrad
from numgrad import nn


def with_gradients(library):
    parameters = [library.ones(2, 3, requires_grad=True), library.ones(4, requires_grad=True)]
    parameters[0].grad = library.arange(6.0).view(2, 3) - 2
    parameters[1].grad = library.arange(4.0)
    return [*parameters, library.ones(1, requires_grad=True)]


@pytest.mark.parametrize("norm_type", [2.0, 1, 3.0, math.inf])
@pytest.mark.parametrize("max_norm", [0.5, 100])
def test_clip_grad_norm(torch, norm_type, max_norm):
    found = []
    for library in (numgrad, torch):
        parameters = with_gradients(library)
        total = library.nn.utils.clip_grad_norm_(iter(parameters), max_norm, norm_type)
        found.append([total.numpy(), *[p.grad.numpy() for p in parameters[:2]]])
        assert parameters[2].grad is None
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_clip_grad_norm_of_one_and_of_none(same):
    same(lambda t: t.nn.utils.clip_grad_norm_(t.ones(2, requires_grad=True), 1.0))
    same(lambda t: t.nn.utils.clip_grad_norm_([], 1.0))
    same(lambda t: t.nn.utils.clip_grad_norm_((p for p in ()), 1.0))
    same(lambda t: t.nn.utils.get_total_norm(t.ones(4)))


def test_norm_that_is_not_finite(same):
    def program(t):
        parameters = with_gradients(t)
        parameters[0].grad[0, 0] = math.nan
        return t.nn.utils.clip_grad_norm_(parameters, 1.0, error_if_nonfinite=True)

    same(program)


def test_clip_grad_value(torch):
    found = []
    for library in (numgrad, torch):
        parameters = with_gradients(library)
        library.nn.utils.clip_grad_value_(parameters, 1.5)
        found.append([p.grad.numpy() for p in parameters[:2]])
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_vector_round_trip():
    layer = nn.Linear(2, 3)
    vector = nn.utils.parameters_to_vector(layer.parameters())
    assert vector.shape == (9,) and vector.requires_grad
    values = numgrad.arange(9.0)
    nn.utils.vector_to_parameters(values, layer.parameters())
    np.testing.assert_array_equal(layer.weight.detach().numpy(), [[0, 1], [2, 3], [4, 5]])
    values[0] = 7
    assert layer.weight[0, 0].item() == 7 and layer.weight.requires_grad
    with pytest.raises(TypeError, match="expected torch.Tensor, but got: list"):
        nn.utils.vector_to_parameters([1.0], layer.parameters())
