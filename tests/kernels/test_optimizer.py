"""The optimizer kernels against their formulas in float64, and whatever way a range is cut."""

import numpy as np
import pytest

from numgrad.kernels import _launch, optimizer

SHAPES = [(700, 60), (3,), (), (0, 4), (5, 1)]
LR, DECAY, SIGN = 0.1, 0.01, -1.0
BETA1, BETA2, EPS, KEEP = 0.9, 0.99, 1e-6, 0.95
MOMENTUM, DAMPENING, ALPHA, LR_DECAY = 0.8, 0.3, 0.9, 0.5


def gradient(p, g):
    return SIGN * g + DECAY * p


def sgd(t, p, g):
    return (p - LR * gradient(p, g),)


def sgd_momentum(t, p, g, b):
    b = MOMENTUM * b + (1 - DAMPENING) * gradient(p, g)
    return p - LR * (gradient(p, g) + MOMENTUM * b), b


def moments(t, p, g, m, v):
    g = gradient(p, g)
    return BETA1 * m + (1 - BETA1) * g, BETA2 * v + (1 - BETA2) * g * g


def adam(t, p, g, m, v, largest=None):
    m, v = moments(t, p, g, m, v)
    under = v if largest is None else np.maximum(largest, v)
    root = np.sqrt(under / (1 - BETA2**t)) + EPS
    p = KEEP * p - LR / (1 - BETA1**t) * m / root
    return (p, m, v) if largest is None else (p, m, v, under)


def rmsprop(t, p, g, s):
    g = gradient(p, g)
    s = ALPHA * s + (1 - ALPHA) * g * g
    return p - LR * g / (np.sqrt(s) + EPS), s


def rmsprop_momentum(t, p, g, s, b):
    _, s = rmsprop(t, p, g, s)
    b = MOMENTUM * b + gradient(p, g) / (np.sqrt(s) + EPS)
    return p - LR * b, s, b


def rmsprop_centered(t, p, g, s, a):
    _, s = rmsprop(t, p, g, s)
    a = ALPHA * a + (1 - ALPHA) * gradient(p, g)
    return p - LR * gradient(p, g) / (np.sqrt(s - a * a) + EPS), s, a


def rmsprop_centered_momentum(t, p, g, s, a, b):
    _, s, a = rmsprop_centered(t, p, g, s, a)
    b = MOMENTUM * b + gradient(p, g) / (np.sqrt(s - a * a) + EPS)
    return p - LR * b, s, a, b


def adagrad(t, p, g, s):
    g = gradient(p, g)
    s = s + g * g
    return p - LR / (1 + (t - 1) * LR_DECAY) * g / (np.sqrt(s) + EPS), s


STEP = (LR, DECAY, SIGN)
ADAM = (*STEP, BETA1, BETA2, EPS, KEEP)
RMSPROP = (*STEP, ALPHA, EPS)
#: Kernel, formula, number of state arrays a parameter, whether it takes step counts, options.
CASES = [
    (optimizer.sgd, sgd, 0, False, STEP),
    (optimizer.sgd_momentum, sgd_momentum, 1, False, (*STEP, MOMENTUM, DAMPENING, 1.0)),
    (optimizer.adam, adam, 2, True, ADAM),
    (optimizer.adam_amsgrad, adam, 3, True, ADAM),
    (optimizer.rmsprop, rmsprop, 1, False, RMSPROP),
    (optimizer.rmsprop_momentum, rmsprop_momentum, 2, False, (*RMSPROP, MOMENTUM)),
    (optimizer.rmsprop_centered, rmsprop_centered, 2, False, RMSPROP),
    (
        optimizer.rmsprop_centered_momentum,
        rmsprop_centered_momentum,
        3,
        False,
        (*RMSPROP, MOMENTUM),
    ),
    (optimizer.adagrad, adagrad, 1, True, (*STEP, LR_DECAY, EPS)),
]


def arrays(dtype, seed):
    rng = np.random.default_rng(seed)
    return tuple(np.asarray(rng.standard_normal(shape), dtype) for shape in SHAPES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0].name)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_kernel_computes_its_formula(case, dtype, monkeypatch):
    kernel, formula, states, takes_steps, options = case
    results = []
    for threads in (1, 2):
        monkeypatch.setattr(_launch.launcher, "threads", threads)
        columns = [arrays(dtype, 0)]
        columns += [tuple(np.zeros_like(p) for p in columns[0]) for _ in range(states)]
        wide = [[array.astype(np.float64) for array in column] for column in columns]
        steps = tuple(np.zeros((), np.float32) for _ in SHAPES)
        for t in (1, 2, 3):
            grads = arrays(dtype, t)
            optimizer.advance(steps)
            kernel(columns[0], grads, *columns[1:], *((steps,) if takes_steps else ()), *options)
            for k, grad in enumerate(grads):
                p, *state = (column[k] for column in wide)
                for column, new in zip(
                    wide, formula(t, p, grad.astype(np.float64), *state), strict=True
                ):
                    column[k] = new
        tolerance = 2e-5 if dtype == np.float32 else 1e-11
        for column, expected in zip(columns, wide, strict=True):
            for array, reference in zip(column, expected, strict=True):
                np.testing.assert_allclose(array, reference, rtol=tolerance, atol=tolerance)
        assert [float(step) for step in steps] == [3] * len(SHAPES)
        results.append(np.concatenate([a.ravel() for column in columns for a in column]))
    assert results[0].tobytes() == results[1].tobytes(), "the threads' number changed the bits"


def test_an_infinite_parameter_without_decay():
    p = (np.array([np.inf, np.nan, 1], np.float32),)
    optimizer.sgd(p, (np.array([1, 1, np.inf], np.float32),), 1.0, 0.0, 1.0)
    np.testing.assert_array_equal(p[0], [np.inf, np.nan, -np.inf])


def test_survey():
    params = arrays(np.float32, 0)
    found = np.zeros(2, np.int64)
    optimizer.survey(params, params * 2, found)
    assert found.tolist() == [sum(p.size for p in params), 0]


@pytest.mark.parametrize(
    "other",
    [np.zeros((3, 2), np.float32).T, np.zeros((2, 3)), np.zeros((2, 2), np.float32)],
    ids=["strided", "float64", "size"],
)
def test_survey_finds_what_is_unlike(other):
    found = np.zeros(2, np.int64)
    param = np.zeros((2, 3), np.float32)
    address = optimizer.survey.compile(np.float32)
    _launch.launcher.serial(address, 2, ((param, param), (param, other), found))
    assert found.tolist() == [12, 1]
    _launch.launcher.serial(address, 2, ((param, other), (param, param), found))
    assert found[1] == 1
