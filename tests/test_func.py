"""`numgrad.func` beside `torch.func`."""

import pytest

import numgrad
from numgrad import func

torch = pytest.importorskip("torch")


def both(build):
    """The same program in both libraries, as lists."""
    results = []
    for library, functions in ((numgrad, func), (torch, torch.func)):
        library.manual_seed(0)
        results.append(build(library, functions))
    return results


def as_list(tree):
    if isinstance(tree, (tuple, list)):
        return [as_list(item) for item in tree]
    if isinstance(tree, dict):
        return {key: as_list(value) for key, value in tree.items()}
    return (tree.tolist(), tree.requires_grad)


PROGRAMS = {
    "grad": lambda t, f: f.grad(lambda x: (x**3).sum())(t.tensor([1.0, 2.0])),
    "second": lambda t, f: f.grad(f.grad(lambda x: x**3 + x))(t.tensor(2.0)),
    "third": lambda t, f: f.grad(f.grad(f.grad(lambda x: x**4)))(t.tensor(2.0)),
    "argnums": lambda t, f: f.grad(lambda x, y: (x * y).sum(), (0, 1))(
        t.ones(2), t.tensor([2.0, 3])
    ),
    "last": lambda t, f: f.grad(lambda x, y: (x * y * y).sum(), -1)(t.ones(2), t.tensor([2.0, 3])),
    "aux": lambda t, f: f.grad(lambda x: (x.sum() * 2, x + 1), has_aux=True)(t.ones(2)),
    "value": lambda t, f: f.grad_and_value(lambda x: (x**2).sum())(t.tensor([1.0, 3.0])),
    "tree": lambda t, f: f.grad(lambda p: (p["a"] * p["b"][0]).sum())(
        {"a": t.tensor([1.0, 2.0]), "b": [t.tensor([3.0, 4.0])]}
    ),
    "unused": lambda t, f: f.grad(lambda x, y: x.sum(), 1)(t.ones(2), t.ones(3)),
    "outer graph": lambda t, f: f.grad(lambda x: (x**3).sum())(
        t.tensor([2.0], requires_grad=True) * 1
    ).detach(),
    "vjp": lambda t, f: f.vjp(lambda x: x.sin(), t.tensor([0.0, 1.0]))[1](t.tensor([1.0, 2.0]))[
        0
    ].isclose(t.tensor([1.0, 1.0806046])),
    "vjp value": lambda t, f: f.vjp(lambda x: x.exp(), t.tensor([0.0, 1.0]))[0],
    "jacrev": lambda t, f: f.jacrev(lambda x: t.stack([x.sum(), x.prod()]))(t.tensor([1.0, 2, 3])),
    "call": lambda t, f: f.functional_call(
        t.nn.Linear(2, 1, bias=False), {"weight": t.ones(1, 2)}, (t.ones(1, 2),)
    ),
    "grad of call": lambda t, f: f.grad(
        lambda p: f.functional_call(t.nn.Linear(2, 1, bias=False), p, (t.ones(1, 2),)).sum()
    )({"weight": t.ones(1, 2)}),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_as_torch(name):
    ours, theirs = map(as_list, both(PROGRAMS[name]))
    assert ours == theirs


def test_result_has_to_be_scalar():
    with pytest.raises(RuntimeError, match="return a scalar tensor"):
        func.grad(lambda x: x * 2)(numgrad.ones(2))
    with pytest.raises(RuntimeError, match="only 1 positional inputs"):
        func.grad(lambda x: x.sum(), 1)(numgrad.ones(2))


def test_inside_compile():
    @numgrad.compile
    def slope(x):
        return func.grad(func.grad(lambda v: (v**3).sum()))(x)

    def plain(x):
        return 6 * x

    for _ in range(3):
        x = numgrad.randn(())
        numgrad.testing.assert_close(slope(x), plain(x)) if hasattr(numgrad, "testing") else None
        assert numgrad.allclose(slope(x), plain(x))
    assert slope.programs == 1 and slope.reason is None


def test_unknown_parameter():
    with pytest.raises(KeyError):
        func.functional_call(
            numgrad.nn.Linear(1, 1), {"wight": numgrad.ones(1, 1)}, numgrad.ones(1)
        )
