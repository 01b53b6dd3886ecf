"""The seam where `numgrad.compile` listens: what Python learns from memory, it asks for there."""

import ast
import pathlib

import pytest

import numgrad as ng
import numgrad.nn.functional as F
from numgrad import ops
from numgrad.device import cpu

SOURCES = pathlib.Path(ops.__file__).parent


class Listener:
    """Stands where a recorder stands, and notes what it is told."""

    def __init__(self):
        self.checks, self.reads = [], []

    def check(self, flag, index, function, arguments):
        assert flag.dtype.itemsize == 8 and flag.ravel()[index] == 0
        self.checks.append(function.__name__)

    def read(self, what):
        assert isinstance(what, str)
        self.reads.append(what)

    def number(self, value, dtype):
        raise AssertionError("no number here is tracked")

    def holds(self, data):
        return False


@pytest.fixture
def listener(monkeypatch):
    found = Listener()
    monkeypatch.setattr(cpu, "recorder", found)
    yield found


def tensors():
    ng.manual_seed(0)
    return {
        "x": ng.rand(4, 6),
        "g": ng.rand(4, 6, requires_grad=True),
        "n": ng.tensor([[3, 1, 2, 5, 4, 6]]),
        "i": ng.tensor([0, 3, 1]),
        "a": ng.tensor([[0, 1], [2, 3], [1, 1], [0, 0]]),
        "m": ng.rand(4, 6) > 0.5,
        "v": ng.tensor([3.0, 1.0, 2.0, 1.0]),
        "k": ng.tensor(2),
        "b": ng.tensor([True, False]),
    }


READING = {
    "item": lambda t: t["x"].sum().item(),
    "tolist": lambda t: t["x"].tolist(),
    "numpy": lambda t: t["x"].numpy(),
    "bool": lambda t: bool(t["k"]),
    "float": lambda t: float(t["k"]),
    "index": lambda t: [1, 2, 3][t["k"]],
    "repr": lambda t: repr(t["x"]),
    "in": lambda t: 1.0 in t["v"],
    "nonzero": lambda t: ng.nonzero(t["m"]),
    "nonzero of numbers": lambda t: ng.nonzero(t["x"]),
    "where alone": lambda t: ng.where(t["m"]),
    "argwhere": lambda t: ng.argwhere(t["x"]),
    "masked_select": lambda t: t["x"].masked_select(t["m"]),
    "masked_scatter": lambda t: t["x"].masked_scatter(t["m"], t["x"]),
    "x[mask]": lambda t: t["x"][t["m"]],
    "x[mask] = y": lambda t: t["x"].__setitem__(t["m"], t["x"][0, 0].expand(int(t["m"].sum()))),
    "x[0-d]": lambda t: t["x"][t["k"]],
    "x[0-d bool]": lambda t: t["x"][ng.tensor(True)],
    "x[[0-d]]": lambda t: t["x"][[t["k"], t["k"]], :],
    "unique": lambda t: ng.unique(t["v"]),
    "unique_consecutive": lambda t: ng.unique_consecutive(t["v"]),
    "bincount": lambda t: ng.bincount(t["i"]),
    "histc": lambda t: ng.histc(t["x"], 4),
    "one_hot": lambda t: F.one_hot(t["i"]),
    "repeat_interleave": lambda t: ng.repeat_interleave(t["i"], t["i"]),
    "allclose": lambda t: ng.allclose(t["x"], t["x"]),
    "equal": lambda t: ng.equal(t["x"], t["x"]),
    "is_nonzero": lambda t: ng.is_nonzero(t["k"]),
    "mode": lambda t: ng.mode(t["v"]),
    "quantile": lambda t: ng.quantile(t["v"], 0.5),
    "quantile of tensor": lambda t: ng.quantile(t["v"], ng.tensor([0.5])),
    "embedding max_norm": lambda t: F.embedding(t["i"], t["x"], max_norm=1.0),
    "arange": lambda t: ng.arange(t["k"]),
    "linspace": lambda t: ng.linspace(0, t["k"], 3),
    "tensor of tensors": lambda t: ng.tensor([t["k"], t["k"]]),
    "tensordot": lambda t: ng.tensordot(t["x"], t["x"].T, ng.tensor(1)),
    "get_rng_state": lambda t: ng.get_rng_state(),
    "manual_seed": lambda t: ng.manual_seed(0),
    "anomaly": lambda t: _anomaly(t["g"]),
    "error_if_nonfinite": lambda t: ng.nn.utils.clip_grad_norm_([_leaf()], 1.0, 2.0, True),
    "trunc_normal_": lambda t: ng.nn.init.trunc_normal_(t["x"]),
}

CHECKING = {
    "sort": lambda t: ng.sort(t["v"]),
    "kthvalue": lambda t: ng.kthvalue(t["v"], 1),
    "topk of many": lambda t: ng.topk(ng.arange(100), 50),
    "gather": lambda t: ng.gather(t["x"], 1, t["a"]),
    "take_along_dim": lambda t: ng.take_along_dim(t["x"], t["a"], 1),
    "index_select": lambda t: ng.index_select(t["x"], 0, t["i"]),
    "x[index]": lambda t: t["x"][t["i"]],
    "x[index, index]": lambda t: t["x"][t["i"], t["i"]],
    "x[index] = 0": lambda t: t["x"].__setitem__(t["i"], 0.0),
    "x[index, index] = 0": lambda t: t["x"].__setitem__((t["i"], t["i"]), 0.0),
    "index_put accumulate": lambda t: ng.index_put(t["v"], (t["i"],), t["v"][:3], True),
    "take": lambda t: ng.take(t["x"], t["i"]),
    "put": lambda t: t["x"].put(t["i"], t["v"][:3]),
    "index_add": lambda t: ng.index_add(t["v"], 0, t["i"], t["v"][:3]),
    "index_add of bools": lambda t: ng.index_add(t["b"], 0, t["i"][:1], t["b"][:1]),
    "index_copy": lambda t: ng.index_copy(t["v"], 0, t["i"], t["v"][:3]),
    "index_fill": lambda t: ng.index_fill(t["v"], 0, t["i"], 1.0),
    "scatter": lambda t: t["x"].scatter(1, t["a"], 1.0),
    "scatter_add": lambda t: t["x"].scatter_add(1, t["a"], t["x"]),
    "scatter_reduce mean": lambda t: t["x"].scatter_reduce(1, t["a"], t["x"], "mean"),
    "embedding": lambda t: F.embedding(t["i"], t["x"]),
    "embedding backward": lambda t: _back(
        F.embedding(t["i"], t["g"], padding_idx=1, scale_grad_by_freq=True)
    ),
    "one_hot of classes": lambda t: F.one_hot(t["i"], 4),
    "cross_entropy": lambda t: _back(F.cross_entropy(t["g"], t["a"][:, 0])),
    "cross_entropy twice": lambda t: _twice(F.cross_entropy(t["g"], t["a"][:, 0]), t["g"]),
    "nll_loss": lambda t: _twice(F.nll_loss(t["g"].log(), t["a"][:, 0]), t["g"]),
    "binary_cross_entropy": lambda t: F.binary_cross_entropy(t["x"], t["x"]),
    "gaussian_nll_loss": lambda t: F.gaussian_nll_loss(t["x"], t["x"], t["x"]),
    "floor_divide": lambda t: ng.floor_divide(t["n"], t["n"]),
    "remainder": lambda t: ng.remainder(t["n"], t["n"]),
    "fmod": lambda t: ng.fmod(t["n"], t["n"]),
    "bernoulli": lambda t: ng.bernoulli(t["x"]),
    "bernoulli_": lambda t: t["x"].bernoulli_(t["x"].T.contiguous().T),
    "normal": lambda t: ng.normal(0.0, t["x"]),
    "multinomial": lambda t: ng.multinomial(t["x"], 3),
    "multinomial replacement": lambda t: ng.multinomial(t["x"].T, 3, replacement=True),
    "topk": lambda t: ng.topk(t["v"], 2),
    "pad reflect": lambda t: F.pad(t["x"], (1, 1), mode="reflect"),
    "repeat_interleave by number": lambda t: ng.repeat_interleave(t["x"], 2, 0),
}

QUIET = {
    "argsort": lambda t: ng.argsort(t["v"]),
    "arithmetic": lambda t: _back((t["g"] * t["x"] + 1) / 2 - t["x"] ** 2),
    "in place": lambda t: t["x"].mul_(2).add_(t["x"]).clamp_(0, 1).zero_(),
    "in place, bool": lambda t: t["m"].logical_not_().fill_(True),
    "matmul": lambda t: _back(t["g"] @ t["x"].T),
    "reductions": lambda t: [t["x"].sum(), t["x"].mean(1), t["x"].var(0), t["x"].max(1)],
    "max backward": lambda t: _back(t["g"].max()),
    "softmax": lambda t: _back(t["g"].softmax(1)),
    "views": lambda t: [t["x"].T, t["x"][1:, ::2], t["x"].view(-1), t["x"][0, None]],
    "x[1:] = y": lambda t: t["x"].__setitem__(slice(1, None), t["x"][:3]),
    "x[mask] = number": lambda t: t["x"].__setitem__(t["m"], 0.0),
    "masked_fill": lambda t: t["x"].masked_fill(t["m"], 0.0),
    "where": lambda t: ng.where(t["m"], t["x"], 0.0),
    "isclose": lambda t: ng.isclose(t["x"], t["x"], equal_nan=True),
    "isnan of ints": lambda t: ng.isnan(t["i"]),
    "creation": lambda t: [ng.zeros(3), ng.ones(2, 2), ng.full((2,), 7.0), ng.eye(3, 4)],
    "full of a tensor": lambda t: [ng.full((2,), t["k"]), ng.full_like(t["x"], t["k"])],
    "sequences": lambda t: [ng.arange(5), ng.linspace(0, 1, 5), ng.logspace(0, 1, 3)],
    "like": lambda t: [ng.zeros_like(t["x"]), ng.ones_like(t["x"]), ng.empty_like(t["x"])],
    "random": lambda t: [ng.rand(3), ng.randn(20), ng.randint(5, (3,)), ng.randperm(4)],
    "dropout": lambda t: _back(F.dropout(t["g"], 0.5)),
    "joining": lambda t: [ng.cat([t["x"], t["x"]]), ng.stack([t["v"], t["v"]])],
    "block_diag": lambda t: ng.block_diag(t["x"], t["v"]),
    "arranging": lambda t: [ng.tril(t["x"]), ng.flip(t["x"], (0,)), ng.roll(t["x"], 1, 0)],
    "pad": lambda t: F.pad(t["x"], (1, 1), value=2.5),
    "scan": lambda t: [t["x"].cumsum(0), t["x"].cumprod(1)],
    "searchsorted": lambda t: [
        ng.searchsorted(t["i"], t["i"]),
        ng.searchsorted(t["i"], 2.5),
        ng.bucketize(t["x"], t["v"]),
    ],
    "histc of a range": lambda t: ng.histc(t["x"], 4, 0, 1),
    "floor_divide by number": lambda t: ng.floor_divide(t["n"], 2),
    "norms": lambda t: [
        F.layer_norm(t["x"], (6,)),
        F.batch_norm(t["x"], None, None, training=True),
    ],
    "losses": lambda t: [F.mse_loss(t["x"], t["x"]), F.l1_loss(t["x"], t["x"])],
    "to": lambda t: t["x"].to(ng.float64),
    "optimizer": lambda t: _step(),
}


def _back(result):
    result.sum().backward()


def _twice(loss, leaf):
    (slope,) = ng.autograd.grad(loss, leaf, create_graph=True)
    slope.sum().backward()


def _leaf():
    leaf = ng.ones(2, requires_grad=True)
    (leaf * 3).sum().backward()
    return leaf


def _anomaly(leaf):
    with ng.autograd.detect_anomaly():
        _back(leaf * 2)


def _step():
    leaf = _leaf()
    ng.optim.SGD([leaf], lr=0.1, momentum=0.9).step()
    ng.optim.Adam([leaf]).step()


@pytest.mark.parametrize("name", READING)
def test_an_operation_that_looks_at_values_says_so(name, listener):
    arguments = tensors()
    listener.reads.clear()
    READING[name](arguments)
    assert listener.reads


@pytest.mark.parametrize("name", CHECKING)
def test_an_operation_that_refuses_values_checks_them(name, listener):
    arguments = tensors()
    listener.reads.clear()
    CHECKING[name](arguments)
    assert listener.checks and not listener.reads


@pytest.mark.parametrize("name", QUIET)
def test_other_operations_learn_nothing_from_memory(name, listener):
    arguments = tensors()
    listener.reads.clear()
    QUIET[name](arguments)
    assert not listener.checks and not listener.reads


def test_a_check_gets_the_arrays_that_its_error_names(monkeypatch):
    class Keeper(Listener):
        def check(self, flag, index, function, arguments):
            self.checks.append((function, arguments))

    keeper = Keeper()
    x, index = ng.zeros(3), ng.tensor([0, 5])
    with pytest.raises(IndexError, match="index 5"):
        monkeypatch.setattr(cpu, "recorder", keeper)
        x[index]
    monkeypatch.setattr(cpu, "recorder", None)
    ((function, arguments),) = keeper.checks
    (named,) = [a for a in arguments if a is index._data]
    named[1] = -7  # as in a later run of a program
    with pytest.raises(IndexError, match="index -7"):
        function(*arguments)


#: Functions of `ops` that may call `.item()` or `.tolist()`, and why.
ALLOWED = {
    ("_core.py", "check"): "the seam itself",
    ("counting.py", "histc"): "after values()",
    ("creation.py", "_infer"): "Tensor.item, which asks at the seam",
    ("creation.py", "_leaves"): "a NumPy array of the caller's",
    ("creation.py", "arange"): "Tensor.item, which asks at the seam",
    ("creation.py", "linspace"): "Tensor.item, which asks at the seam",
    ("creation.py", "is_nonzero"): "after values()",
    ("cross_entropy.py", "_check_bounds"): "raises: called by a check that has failed",
    ("einsum.py", "_tensordot_dims"): "Tensor.tolist, which asks at the seam",
    ("indexing.py", "_plain"): "after values()",
    ("optimizer.py", "_update"): "how the arrays lie, not what they hold",
    ("views.py", "tensor_split"): "Tensor.tolist, which asks at the seam",
}


def test_no_operation_reads_elements_past_the_seam():
    found = set()
    for path in sorted(SOURCES.glob("*.py")):
        for function in ast.walk(ast.parse(path.read_text())):
            if not isinstance(function, ast.FunctionDef):
                continue
            for node in ast.walk(function):
                if isinstance(node, ast.Attribute) and node.attr in ("item", "tolist"):
                    found.add((path.name, function.name))
    assert found <= set(ALLOWED), found - set(ALLOWED)


#: NumPy functions that neither read nor write elements, or make arrays of numbers from Python.
HARMLESS = {
    "arange", "argsort", "array", "ascontiguousarray", "asarray", "broadcast_to", "cumsum", "dtype",
    "finfo", "flip", "iinfo", "lib", "may_share_memory", "moveaxis", "stack", "tril_indices",
    "triu_indices", "expand_dims", "ndarray", "generic", "integer", "bool_", "floating", "inf",
    "nan", "uint8", "uint64", "int8", "int16", "int32", "int64", "float32", "float64", "number",
}  # fmt: skip


def _uses_of_numpy(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id == "np":
                yield node.attr


#: Modules where NumPy computes on values that were asked for with values(), or on Python's numbers.
COMPUTING = {"arranging.py", "counting.py", "creation.py", "embedding.py", "sorting.py"}


@pytest.mark.parametrize("path", sorted(SOURCES.glob("*.py")), ids=lambda path: path.name)
def test_numpy_computes_nothing_elsewhere(path):
    allowed = {"isnan"} if path.name == "_gradients.py" else {"count_nonzero"}
    allowed |= {"zeros"} if path.name in ("_core.py", "indexing.py", "_place.py") else set()
    # How the arrays lie; and the class weights that are none, which live on.
    allowed |= {"empty"} if path.name in ("optimizer.py", "cross_entropy.py") else set()
    if path.name not in COMPUTING:
        assert set(_uses_of_numpy(path)) <= HARMLESS | allowed
