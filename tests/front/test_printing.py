"""The text of tensors: known texts, then thousands of drawn ones against torch."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from numgrad._printing import get_printoptions, printoptions, set_printoptions, tensor_str


@pytest.fixture(autouse=True)
def default_options():
    set_printoptions(profile="default")
    yield
    set_printoptions(profile="default")


def text(values, dtype="float32", **keywords):
    return tensor_str(np.asarray(values, dtype), dtype_name=dtype, **keywords)


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        ([1, 2], "float32", "tensor([1., 2.])"),
        ([1.5, -2], "float32", "tensor([ 1.5000, -2.0000])"),
        ([1, 100000], "float32", "tensor([1.0000e+00, 1.0000e+05])"),
        ([1e-5], "float32", "tensor([1.0000e-05])"),
        ([0.0, -0.0], "float32", "tensor([0., -0.])"),
        ([1, math.nan, -math.inf], "float32", "tensor([1., nan, -inf])"),
        ([math.nan], "float32", "tensor([nan])"),
        (3.14159, "float32", "tensor(3.1416)"),
        (7, "int64", "tensor(7)"),
        ([1, -20, 300], "int64", "tensor([  1, -20, 300])"),
        ([1, 2], "uint8", "tensor([1, 2], dtype=torch.uint8)"),
        ([True, False], "bool", "tensor([ True, False])"),
        ([0.5], "float64", "tensor([0.5000], dtype=torch.float64)"),
        ([], "float32", "tensor([])"),
        ([], "int64", "tensor([], dtype=torch.int64)"),
        (np.zeros((0, 3)), "float32", "tensor([], size=(0, 3))"),
        (np.zeros((2, 0)), "bool", "tensor([], size=(2, 0), dtype=torch.bool)"),
        ([[1, 2], [3, 4]], "int64", "tensor([[1, 2],\n        [3, 4]])"),
        (
            [[[1], [2]], [[3], [4]]],
            "int64",
            "tensor([[[1],\n         [2]],\n\n        [[3],\n         [4]]])",
        ),
        (np.arange(2000), "int64", "tensor([   0,    1,    2,  ..., 1997, 1998, 1999])"),
        (
            np.arange(2000).reshape(2, 1000),
            "int64",
            "tensor([[   0,    1,    2,  ...,  997,  998,  999],\n"
            "        [1000, 1001, 1002,  ..., 1997, 1998, 1999]])",
        ),
    ],
)
def test_known_text(values, dtype, expected):
    assert text(values, dtype) == expected


def test_suffixes_in_pytorchs_order():
    assert text([1.0], device="cuda:0", grad_fn="AddmmBackward0", requires_grad=True) == (
        "tensor([1.], device='cuda:0', grad_fn=<AddmmBackward0>)"
    )
    assert text([], "float64", device="cuda:0", requires_grad=True) == (
        "tensor([], device='cuda:0', dtype=torch.float64, requires_grad=True)"
    )
    assert text([1.0], "float64", default_dtype_name="float64") == "tensor([1.])"
    assert text([1.0], default_dtype_name="float64") == "tensor([1.], dtype=torch.float32)"
    assert text([1.0], class_name="Mask") == "Mask([1.])"


def test_lines_break_at_linewidth():
    assert text(range(30), "int64") == (
        "tensor([ 0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14, 15, 16, 17,\n"
        "        18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29])"
    )
    assert text(range(18), grad_fn="ThisNodeHasALongName0") == (
        "tensor([ 0.,  1.,  2.,  3.,  4.,  5.,  6.,  7.,  8.,  9., 10., 11., 12., 13.,\n"
        "        14., 15., 16., 17.], grad_fn=<ThisNodeHasALongName0>)"
    )
    set_printoptions(linewidth=30)
    assert text([1.5, 2.5], requires_grad=True) == (
        "tensor([1.5000, 2.5000],\n       requires_grad=True)"
    )


def test_options():
    set_printoptions(precision=2, sci_mode=True)
    assert text([1.234]) == "tensor([1.23e+00])"
    set_printoptions()
    assert get_printoptions() == {
        "precision": 2,
        "threshold": 1000,
        "edgeitems": 3,
        "linewidth": 80,
        "sci_mode": None,
    }
    with printoptions(profile="short", threshold=3):
        assert text(range(5), "int64") == "tensor([0, 1,  ..., 3, 4])"
    assert text(range(5), "int64") == "tensor([0, 1, 2, 3, 4])"
    set_printoptions(edgeitems=0, threshold=3)
    assert text([[1, 2], [3, 4]], "int64") == "tensor([...], size=(2, 2))"
    assert text([1, 2], "int64") == "tensor([1, 2], size=(2,))"
    set_printoptions(profile="full")
    assert "..." not in text(range(2000), "int64")


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"profile": "fancy"}, ValueError),
        ({"precision": -1}, ValueError),
        ({"edgeitems": -1}, ValueError),
        ({"linewidth": -1}, ValueError),
        ({"threshold": math.nan}, ValueError),
        ({"precision": 2.5}, TypeError),
    ],
)
def test_wrong_options_change_nothing(wrong, error):
    before = get_printoptions()
    with pytest.raises(error):
        set_printoptions(**{"edgeitems": 1, **wrong})
    assert get_printoptions() == before


def test_a_summary_reads_only_the_edges():
    class Watched(np.ndarray):
        """An array that refuses to be read as a whole."""

        def __getitem__(self, key):
            picked = np.asarray(self)[key]
            assert picked.size <= 36
            return picked

        def tolist(self):
            raise AssertionError("the whole array was read")

    array = np.arange(10_000_000.0).reshape(2500, 4000).view(Watched)
    assert tensor_str(array, dtype_name="float64").startswith("tensor([[0.0000e+00, 1.0000e+00,")


FLOATS = {"float16": 16, "float32": 32, "float64": 64}
DTYPES = [*FLOATS, "int8", "int16", "int32", "int64", "uint8", "bool"]


@st.composite
def arrays(draw):
    """Arrays of every dtype, up to 4-D, the values of one array alike in kind and magnitude."""
    dtype = draw(st.sampled_from(DTYPES))
    shape = tuple(draw(st.lists(st.sampled_from([0, 1, 1, 2, 3, 7, 8, 30]), max_size=4)))
    if math.prod(shape) > 3000:
        shape = shape[:2]
    # NumPy draws the bulk of the values: hypothesis, one value at a time, would take minutes.
    generator = np.random.default_rng(draw(st.integers(0, 2**32)))
    if dtype == "bool":
        return np.asarray(generator.random(shape) < 0.5)
    if dtype not in FLOATS:
        limits = np.iinfo(dtype)
        low = max(limits.min, draw(st.sampled_from([limits.min, -100, 0])))
        high = min(limits.max, draw(st.sampled_from([limits.max, 100, 9])))
        return np.asarray(generator.integers(low, high, shape, dtype, endpoint=True))
    magnitude = 10.0 ** draw(st.integers(-9, 12))
    values = generator.standard_normal(shape) * magnitude
    if draw(st.booleans()):
        values = values * 10.0 ** generator.uniform(-4, 4, shape)
    if draw(st.booleans()):
        values = np.round(values)
    special = draw(st.lists(st.floats(width=FLOATS[dtype]), max_size=4))
    if special:
        chosen = generator.choice(special, shape)
        values = np.where(generator.random(shape) < 0.3, chosen, values)
    with np.errstate(over="ignore"):
        values = np.asarray(values, dtype)
    return values.T if draw(st.booleans()) else values


options = st.fixed_dictionaries(
    {},
    optional={
        "precision": st.integers(0, 17),
        "threshold": st.sampled_from([0, 1, 10, 100, 1000, math.inf]),
        "edgeitems": st.integers(0, 5),
        "linewidth": st.integers(0, 200),
        "profile": st.sampled_from(["default", "short", "full"]),
        "sci_mode": st.sampled_from([None, True, False]),
    },
)


@settings(max_examples=1500, deadline=None)
@given(
    array=arrays(),
    options=options,
    default_dtype=st.sampled_from(["float32", "float64"]),
    gradient=st.sampled_from(["none", "leaf", "node"]),
)
def test_text_is_torchs(array, options, default_dtype, gradient):
    torch = pytest.importorskip("torch")
    tensor = torch.from_numpy(array.copy())
    keywords = {}
    if tensor.is_floating_point() and gradient != "none":
        tensor.requires_grad_()
        keywords["requires_grad"] = True
        if gradient == "node":
            tensor = tensor.clone()
            keywords["grad_fn"] = "CloneBackward0"
    set_printoptions(profile="default")
    torch.set_printoptions(profile="default")
    default = torch.get_default_dtype()
    try:
        torch.set_default_dtype(getattr(torch, default_dtype))
        torch.set_printoptions(**options)
        set_printoptions(**options)
        assert get_printoptions() == torch._tensor_str.get_printoptions()
        ours = tensor_str(
            array, dtype_name=str(array.dtype), default_dtype_name=default_dtype, **keywords
        )
        assert ours == repr(tensor)
    finally:
        torch.set_default_dtype(default)
        torch.set_printoptions(profile="default")
