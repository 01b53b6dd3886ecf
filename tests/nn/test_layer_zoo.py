"""Every layer beside PyTorch's: text, initial values, outputs, gradients, buffers."""

import warnings
from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np
import pytest

import numgrad


@dataclass
class Row:
    make: object  # nn -> module
    shapes: list = field(default_factory=lambda: [(3, 4)])
    integers: int = 0  # inputs are numbers below this
    random: bool = False  # draws random numbers in training
    name: str = ""


def _plain(name, **options):
    return Row(lambda nn: getattr(nn, name)(**options), name=name)


ROWS = [
    Row(lambda nn: nn.Identity(1, a=2), name="Identity"),
    Row(lambda nn: nn.Linear(4, 5), name="Linear"),
    Row(lambda nn: nn.Linear(4, 5, bias=False), [(2, 3, 4)], name="Linear-no-bias"),
    Row(lambda nn: nn.Bilinear(4, 3, 5), [(2, 4), (2, 3)], name="Bilinear"),
    Row(lambda nn: nn.Flatten(), [(2, 3, 4)], name="Flatten"),
    Row(lambda nn: nn.Unflatten(1, (2, 2)), name="Unflatten"),
    Row(lambda nn: nn.Embedding(7, 3), [(2, 5)], integers=7, name="Embedding"),
    Row(
        lambda nn: nn.Embedding(7, 3, padding_idx=-1, max_norm=1.0, scale_grad_by_freq=True),
        [(2, 5)],
        integers=7,
        name="Embedding-options",
    ),
    Row(lambda nn: nn.LayerNorm(4), name="LayerNorm"),
    Row(lambda nn: nn.LayerNorm((3, 4), eps=1e-3, bias=False), [(2, 3, 4)], name="LayerNorm-2"),
    Row(lambda nn: nn.LayerNorm(4, elementwise_affine=False), name="LayerNorm-plain"),
    Row(lambda nn: nn.RMSNorm(4), name="RMSNorm"),
    Row(lambda nn: nn.RMSNorm((3, 4), eps=1e-3), [(2, 3, 4)], name="RMSNorm-2"),
    Row(lambda nn: nn.GroupNorm(2, 4), [(3, 4, 5)], name="GroupNorm"),
    Row(lambda nn: nn.BatchNorm1d(4), name="BatchNorm1d"),
    Row(lambda nn: nn.BatchNorm1d(4, momentum=None), [(3, 4, 2)], name="BatchNorm1d-average"),
    Row(lambda nn: nn.BatchNorm1d(4, affine=False), name="BatchNorm1d-plain"),
    Row(lambda nn: nn.BatchNorm1d(4, track_running_stats=False), name="BatchNorm1d-batch"),
    Row(lambda nn: nn.BatchNorm2d(2, eps=1e-3), [(3, 2, 2, 2)], name="BatchNorm2d"),
    Row(lambda nn: nn.BatchNorm3d(2), [(3, 2, 2, 1, 2)], name="BatchNorm3d"),
    Row(lambda nn: nn.Dropout(0.3), random=True, name="Dropout"),
    Row(lambda nn: nn.Dropout1d(0.4), [(3, 4, 2)], random=True, name="Dropout1d"),
    Row(lambda nn: nn.Dropout2d(0.4), [(3, 4, 2, 2)], random=True, name="Dropout2d"),
    Row(lambda nn: nn.Dropout3d(0.4), [(4, 2, 2, 2)], random=True, name="Dropout3d"),
    Row(lambda nn: nn.AlphaDropout(0.4), random=True, name="AlphaDropout"),
    Row(lambda nn: nn.FeatureAlphaDropout(0.4), [(3, 4, 2)], random=True, name="FeatureAlpha"),
    _plain("ReLU"),
    _plain("ReLU6"),
    _plain("LeakyReLU", negative_slope=0.2),
    Row(lambda nn: nn.PReLU(), name="PReLU"),
    Row(lambda nn: nn.PReLU(4, init=0.1), [(2, 4, 3)], name="PReLU-4"),
    Row(lambda nn: nn.RReLU(), random=True, name="RReLU"),
    _plain("ELU", alpha=0.7),
    _plain("SELU"),
    _plain("CELU", alpha=0.7),
    _plain("GELU"),
    Row(lambda nn: nn.GELU(approximate="tanh"), name="GELU-tanh"),
    _plain("SiLU"),
    _plain("Mish"),
    _plain("Hardswish"),
    _plain("Hardsigmoid"),
    _plain("Hardtanh", min_val=-0.5),
    _plain("Hardshrink"),
    _plain("Softshrink", lambd=0.3),
    _plain("Tanhshrink"),
    _plain("Softplus", beta=2),
    _plain("Softsign"),
    _plain("LogSigmoid"),
    _plain("Sigmoid"),
    _plain("Tanh"),
    _plain("Softmax", dim=1),
    _plain("LogSoftmax", dim=-1),
    _plain("Softmin", dim=0),
    Row(lambda nn: nn.Softmax2d(), [(2, 3, 2, 2)], name="Softmax2d"),
    _plain("Threshold", threshold=0.1, value=20),
    _plain("GLU"),
    Row(lambda nn: nn.ConstantPad1d((1, 2), 3.5), name="ConstantPad1d"),
    Row(lambda nn: nn.ConstantPad2d(1, 3.5), name="ConstantPad2d"),
    Row(lambda nn: nn.ConstantPad3d(1, 2), [(2, 2, 2)], name="ConstantPad3d"),
    Row(lambda nn: nn.ZeroPad1d(2), name="ZeroPad1d"),
    Row(lambda nn: nn.ZeroPad2d((1, 0, 2, 1)), name="ZeroPad2d"),
    Row(lambda nn: nn.ZeroPad3d(1), [(2, 2, 2)], name="ZeroPad3d"),
    Row(lambda nn: nn.CosineSimilarity(), [(3, 4), (3, 4)], name="CosineSimilarity"),
    Row(lambda nn: nn.PairwiseDistance(p=3), [(3, 4), (3, 4)], name="PairwiseDistance"),
    Row(lambda nn: nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2)), name="Sequential"),
    Row(
        lambda nn: nn.Sequential(OrderedDict(a=nn.Linear(4, 2), b=nn.ReLU())),
        name="Sequential-named",
    ),
]


def made(library, row):
    """The layer, with PyTorch's initial values for this seed, and its inputs."""
    library.manual_seed(7)
    module = row.make(library.nn)
    draw = np.random.default_rng(0)
    inputs = []
    for shape in row.shapes:
        if row.integers:
            inputs.append(library.from_numpy(draw.integers(0, row.integers, shape)))
        else:
            values = draw.normal(size=shape).astype(np.float32)
            inputs.append(library.from_numpy(values).requires_grad_())
    return module, inputs


def results(library, row, training):
    """Everything to be compared, by name: outputs, gradients, state before and after."""
    module, inputs = made(library, row)
    found = {f"initial {name}": value.clone() for name, value in module.state_dict().items()}
    module.train(training)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        output = module(*inputs)
        again = module(*inputs)
    found["output"], found["output again"] = output, again
    if output.requires_grad:
        # Weights that are all different, so that no gradient vanishes by symmetry.
        weights = library.arange(output.numel()).reshape(output.shape).to(output.dtype)
        (output * weights).sum().backward()
        found.update({f"gradient of input {i}": x.grad for i, x in enumerate(inputs)})
        found.update({f"gradient of {n}": p.grad for n, p in module.named_parameters()})
    found.update({f"final {name}": value for name, value in module.state_dict().items()})
    return found


ROWS_ = pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)


@ROWS_
def test_text_is_pytorchs(torch, row):
    assert repr(made(numgrad, row)[0]) == repr(made(torch, row)[0])


@ROWS_
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_values_are_pytorchs(torch, row, training):
    ours, theirs = results(numgrad, row, training), results(torch, row, training)
    assert list(ours) == list(theirs)
    for name in ours:
        if theirs[name] is None:
            assert ours[name] is None, name
            continue
        np.testing.assert_allclose(
            ours[name].detach().numpy(),
            theirs[name].detach().numpy(),
            rtol=5e-5,
            atol=5e-5,
            err_msg=name,
        )


@pytest.mark.parametrize(
    "name",
    "ReLU ReLU6 LeakyReLU ELU SELU CELU SiLU Mish Hardswish Hardsigmoid Hardtanh".split(),
)
def test_inplace_layers_write_their_input(torch, name):
    found = []
    for library in (numgrad, torch):
        layer = getattr(library.nn, name)(inplace=True)
        leaf = library.linspace(-2, 2, 7).requires_grad_()
        x = leaf * 2
        y = layer(x)
        assert y is x
        y.sum().backward()
        found.append((repr(layer), y.detach().numpy(), leaf.grad.numpy()))
    assert found[0][0] == found[1][0]
    for ours, theirs in zip(found[0][1:], found[1][1:], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=1e-6)


def test_every_layer_has_a_row():
    bases = {"Module", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict"}
    names = {
        name
        for name in dir(numgrad.nn)
        if isinstance(getattr(numgrad.nn, name), type)
        and issubclass(getattr(numgrad.nn, name), numgrad.nn.Module)
        and not name.endswith("Loss")
    }
    covered = {type(row.make(numgrad.nn)).__name__ for row in ROWS}
    assert names - bases - covered == set()
