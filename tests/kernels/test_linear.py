"""The linear layer's three products against float64."""

import numpy as np
import pytest

from numgrad.kernels.linear import (
    linear_backward_input,
    linear_backward_weight,
    linear_forward,
)


@pytest.mark.parametrize(
    ("rows", "in_features", "out_features"),
    [(2, 2, 30), (1, 300, 40), (64, 50, 10), (100, 40, 2), (0, 3, 4), (3, 0, 4), (70, 65, 130)],
)
def test_forward_and_backward(rows, in_features, out_features):
    rng = np.random.default_rng(0)
    x, weight, bias, grad = (
        rng.standard_normal(shape).astype(np.float32)
        for shape in (
            (rows, in_features),
            (out_features, in_features),
            (out_features,),
            (rows, out_features),
        )
    )
    wide = [array.astype(np.float64) for array in (x, weight, grad)]
    close = {"rtol": 0, "atol": 1e-4}

    out = np.empty((rows, out_features), np.float32)
    linear_forward(x, weight, bias, out)
    np.testing.assert_allclose(out, wide[0] @ wide[1].T + bias, **close)
    linear_forward(x, weight, None, out)
    np.testing.assert_allclose(out, wide[0] @ wide[1].T, **close)

    grad_x = np.empty_like(x)
    linear_backward_input(grad, weight, grad_x)
    np.testing.assert_allclose(grad_x, wide[2] @ wide[1], **close)

    grad_weight, grad_bias = np.empty_like(weight), np.empty_like(bias)
    linear_backward_weight(grad, x, grad_weight, grad_bias)
    np.testing.assert_allclose(grad_weight, wide[2].T @ wide[0], **close)
    np.testing.assert_allclose(grad_bias, wide[2].sum(0), **close)
