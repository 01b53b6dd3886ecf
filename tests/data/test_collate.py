import collections
import itertools

import numpy as np
import pytest

import numgrad
from numgrad.data.collate import collate, default_collate_fn_map
from numgrad.utils.data import default_collate, default_convert

Point = collections.namedtuple("Point", "x y")


class Bag(dict):
    """A mapping with an attribute of its own."""

    label = "none"


class Row(collections.UserList):
    pass


def test_tensors_are_stacked():
    batch = default_collate([numgrad.tensor([1.0, 2.0]), numgrad.tensor([3.0, 4.0])])
    assert batch.tolist() == [[1, 2], [3, 4]] and batch.dtype is numgrad.float32


def test_stacking_keeps_gradients():
    x = numgrad.ones(2, requires_grad=True)
    default_collate([x, x * 2]).sum().backward()
    assert x.grad.tolist() == [3, 3]


@pytest.mark.parametrize(
    ("batch", "dtype"),
    [
        ([1, 2], "int64"),
        ([1.5, 2], "float64"),
        ([True, False], "bool"),
        ([np.float32(1), np.float32(2)], "float32"),
        ([np.float64(1), np.float64(2)], "float64"),
        ([np.int32(1), np.int32(2)], "int32"),
        ([np.bool_(True), np.bool_(False)], "bool"),
        ([np.zeros(2, np.uint8), np.zeros(2, np.uint8)], "uint8"),
        ([np.array(1.0), np.array(2.0)], "float64"),
    ],
)
def test_numbers_and_arrays(batch, dtype):
    result = default_collate(batch)
    assert result.dtype is getattr(numgrad, dtype)
    assert result.tolist() == [item.tolist() if hasattr(item, "tolist") else item for item in batch]


def test_strings_stay():
    assert default_collate(["a", "b"]) == ["a", "b"]
    assert default_collate([b"a", b"b"]) == [b"a", b"b"]


def test_containers():
    batch = default_collate(
        [
            {"p": Point(1, numgrad.tensor(2)), "t": (3, "x"), "l": [4.5, [5]]},
            {"p": Point(6, numgrad.tensor(7)), "t": (8, "y"), "l": [9.5, [10]]},
        ]
    )
    assert list(batch) == ["p", "t", "l"]
    assert isinstance(batch["p"], Point)
    assert batch["p"].x.tolist() == [1, 6] and batch["p"].y.tolist() == [2, 7]
    assert isinstance(batch["t"], list)
    assert batch["t"][0].tolist() == [3, 8] and batch["t"][1] == ("x", "y")
    assert batch["l"][0].tolist() == [4.5, 9.5] and batch["l"][1][0].tolist() == [5, 10]


def test_container_types_are_kept():
    bag = Bag(a=1)
    bag.label = "first"
    batch = default_collate([bag, Bag(a=2)])
    assert type(batch) is Bag and batch.label == "first" and batch["a"].tolist() == [1, 2]
    assert bag["a"] == 1, "the sample itself must not change"
    rows = default_collate([Row([1, 2]), Row([3, 4])])
    assert type(rows) is Row and rows[1].tolist() == [2, 4]
    assert [column.tolist() for column in default_collate([range(2), range(2)])] == [[0, 0], [1, 1]]
    proxy = default_collate([__import__("types").MappingProxyType({"a": 1})] * 2)
    assert proxy["a"].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("batch", "error", "message"),
    [
        ([[1, 2], [3]], RuntimeError, "each element in list of batch should be of equal size"),
        ([(1, 2), (3,)], RuntimeError, "each element in list of batch should be of equal size"),
        ([object()], TypeError, "must contain tensors, numpy arrays, numbers, dicts or lists"),
        ([None], TypeError, "found <class 'NoneType'>"),
        ([np.array(["a"])], TypeError, "found <U1"),
        ([{"a": 1}, {"b": 1}], KeyError, "a"),
    ],
)
def test_errors(batch, error, message):
    with pytest.raises(error, match=message):
        default_collate(batch)


def test_unequal_tensors():
    with pytest.raises(
        RuntimeError,
        match=r"stack expects each tensor to be equal size, but got \[2\] at entry 0 and \[3\] at",
    ):
        default_collate([numgrad.zeros(2), numgrad.zeros(3)])


def test_the_table_can_be_extended():
    class Celsius(float):
        pass

    def mean(batch, *, collate_fn_map=None):
        assert collate_fn_map is not None
        return sum(batch) / len(batch)

    table = {Celsius: mean, **default_collate_fn_map}
    result = collate([(Celsius(1), 1), (Celsius(2), 2)], collate_fn_map=table)
    assert result[0] == 1.5 and result[1].tolist() == [1, 2]
    # A base class of the samples' class is found too.
    assert collate([Celsius(1)], collate_fn_map=default_collate_fn_map).tolist() == [1]


def test_convert():
    sample = {
        "a": np.array([1, 2]),
        "b": Point(np.float32(1.5), 2),
        "c": (np.ones(1),),
        "d": "text",
    }
    result = default_convert(sample)
    assert result["a"].tolist() == [1, 2] and result["a"].dtype is numgrad.int64
    assert isinstance(result["b"], Point) and result["b"].x.item() == 1.5 and result["b"].y == 2
    assert isinstance(result["c"], list) and result["c"][0].tolist() == [1]
    assert result["d"] == "text"
    strings = np.array(["a"])
    assert default_convert(strings) is strings
    tensor = numgrad.ones(2)
    assert default_convert([tensor, None])[0] is tensor
    assert default_convert(range(2)) == [0, 1]
    assert type(default_convert(Row([np.zeros(1)]))) is Row


def _described(value):
    """Types, dtypes and values of a collated batch, the same for both libraries."""
    if hasattr(value, "tolist") and hasattr(value, "requires_grad"):
        return (str(value.dtype).split(".")[-1], tuple(value.shape), value.tolist())
    if isinstance(value, dict):
        return {key: _described(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, collections.UserList)):
        return (type(value).__name__, [_described(item) for item in value])
    return value


def test_collates_as_torch():
    torch = pytest.importorskip("torch")
    from torch.utils.data import default_collate as torch_collate
    from torch.utils.data import default_convert as torch_convert

    leaves = [
        lambda t, k: k,
        lambda t, k: k + 0.5,
        lambda t, k: k == 1,
        lambda t, k: f"s{k}",
        lambda t, k: np.float32(k),
        lambda t, k: np.full((2, 1), k, np.int16),
        lambda t, k: t.full((2,), float(k)),
        lambda t, k: t.tensor(k),
    ]
    containers = [
        lambda a, b: (a, b),
        lambda a, b: [a, b],
        lambda a, b: {"a": a, "b": b},
        lambda a, b: Point(a, [b]),
        lambda a, b: Row([a, b]),
    ]
    for make, (one, two) in itertools.product(containers, itertools.pairwise(leaves)):
        ours = [make(one(numgrad, k), two(numgrad, k)) for k in range(3)]
        theirs = [make(one(torch, k), two(torch, k)) for k in range(3)]
        assert _described(default_collate(ours)) == _described(torch_collate(theirs))
        assert _described(default_convert(ours)) == _described(torch_convert(theirs))
