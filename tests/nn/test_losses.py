"""Every loss beside PyTorch's: text, values, gradients, reductions."""

import numpy as np
import pytest

import numgrad

SHAPE = (4, 3)


def _values(draw, kind):
    if kind == "any":
        return draw.normal(size=SHAPE)
    if kind == "positive":
        return draw.uniform(0.1, 2, SHAPE)
    if kind == "probability":
        return draw.uniform(0.05, 0.95, SHAPE)
    if kind == "log":
        values = draw.uniform(0.1, 1, SHAPE)
        return np.log(values / values.sum(1, keepdims=True))
    if kind == "sign":
        return draw.choice([-1.0, 1.0], SHAPE)
    if kind == "row sign":
        return draw.choice([-1.0, 1.0], SHAPE[:1])
    if kind == "count":
        return draw.integers(0, 4, SHAPE).astype(float)
    if kind == "binary":
        return draw.integers(0, 2, SHAPE).astype(float)
    assert kind == "class"
    return draw.integers(0, SHAPE[1], SHAPE[:1])


#: Class name, kinds of the inputs (those that are differentiated first), options.
ROWS = [
    ("L1Loss", ["any", "any"], {}),
    ("MSELoss", ["any", "any"], {}),
    ("SmoothL1Loss", ["any", "any"], {"beta": 0.5}),
    ("HuberLoss", ["any", "any"], {"delta": 0.7}),
    ("CrossEntropyLoss", ["any", "class"], {}),
    ("CrossEntropyLoss", ["any", "class"], {"weight": [0.2, 1.0, 3.0], "ignore_index": 1}),
    ("CrossEntropyLoss", ["any", "class"], {"weight": [0.2, 1.0, 3.0], "label_smoothing": 0.1}),
    ("CrossEntropyLoss", ["any", "probability"], {"label_smoothing": 0.2}),
    ("NLLLoss", ["log", "class"], {"weight": [0.2, 1.0, 3.0]}),
    ("BCELoss", ["probability", "binary"], {}),
    ("BCELoss", ["probability", "binary"], {"weight": [0.2, 1.0, 3.0]}),
    ("BCEWithLogitsLoss", ["any", "binary"], {}),
    ("BCEWithLogitsLoss", ["any", "binary"], {"pos_weight": [0.2, 1.0, 3.0]}),
    ("KLDivLoss", ["log", "probability"], {}),
    ("KLDivLoss", ["log", "log"], {"log_target": True}),
    ("PoissonNLLLoss", ["any", "count"], {}),
    ("PoissonNLLLoss", ["positive", "count"], {"log_input": False, "full": True}),
    ("GaussianNLLLoss", ["any", "any", "positive"], {"full": True}),
    ("HingeEmbeddingLoss", ["any", "sign"], {"margin": 0.5}),
    ("MarginRankingLoss", ["any", "any", "sign"], {"margin": 0.3}),
    ("CosineEmbeddingLoss", ["any", "any", "row sign"], {"margin": 0.2}),
    ("SoftMarginLoss", ["any", "sign"], {}),
    ("MultiLabelSoftMarginLoss", ["any", "binary"], {"weight": [0.2, 1.0, 3.0]}),
    ("MultiMarginLoss", ["any", "class"], {"p": 2, "weight": [0.2, 1.0, 3.0]}),
    ("TripletMarginLoss", ["any", "any", "any"], {"swap": True, "margin": 2.0}),
    ("TripletMarginWithDistanceLoss", ["any", "any", "any"], {"swap": True}),
]
#: How many of a loss's inputs get gradients; one where it is not named here.
DIFFERENTIATED = {
    "MSELoss": 2,
    "MarginRankingLoss": 2,
    "CosineEmbeddingLoss": 2,
    "TripletMarginLoss": 3,
    "TripletMarginWithDistanceLoss": 3,
}


def computed(library, name, kinds, options, reduction):
    draw = np.random.default_rng(3)
    inputs = []
    for position, kind in enumerate(kinds):
        values = _values(draw, kind)
        if values.dtype == np.float64:
            values = values.astype(np.float32)
        tensor = library.from_numpy(values)
        if position < DIFFERENTIATED.get(name, 1):
            tensor.requires_grad_()
        inputs.append(tensor)
    options = {
        key: library.tensor(value) if isinstance(value, list) else value
        for key, value in options.items()
    }
    loss = getattr(library.nn, name)(reduction=reduction, **options)
    value = loss(*inputs)
    value.sum().backward()
    return repr(loss), [value.detach(), *[x.grad for x in inputs if x.requires_grad]]


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name, kinds, options", ROWS)
@pytest.mark.filterwarnings("ignore:reduction:UserWarning")
def test_losses_are_pytorchs(torch, name, kinds, options, reduction):
    ours = computed(numgrad, name, kinds, options, reduction)
    theirs = computed(torch, name, kinds, options, reduction)
    assert ours[0] == theirs[0]
    for a, b in zip(ours[1], theirs[1], strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=2e-5, atol=1e-6)


def test_batchmean(torch):
    for library in (numgrad, torch):
        loss = library.nn.KLDivLoss(reduction="batchmean")
        value = loss(library.zeros(2, 3), library.full((2, 3), 0.5))
        assert value.item() == pytest.approx(3 * 0.5 * np.log(0.5), rel=1e-6)


def test_every_loss_has_a_row():
    names = {name for name in dir(numgrad.nn) if name.endswith("Loss")}
    assert names == {name for name, _, _ in ROWS}


@pytest.mark.parametrize(
    "flags",
    [
        {"size_average": False},
        {"size_average": True},
        {"reduce": False},
        {"reduce": True, "size_average": False},
        {"reduce": True},
    ],
)
def test_the_old_flags_warn(same, flags):
    same(lambda t: t.nn.MSELoss(**flags).reduction)
    same(lambda t: t.nn.CrossEntropyLoss(**flags).reduction)


def test_errors(same):
    same(lambda t: t.nn.MSELoss(reduction="foo")(t.ones(2), t.ones(2)))
    same(lambda t: t.nn.SoftMarginLoss(reduction="foo")(t.ones(2), t.ones(2)))
    same(lambda t: t.nn.TripletMarginLoss(margin=0))
    same(lambda t: t.nn.TripletMarginWithDistanceLoss(margin=-1))
    same(lambda t: t.nn.MultiMarginLoss(p=3))
    same(lambda t: t.nn.MultiMarginLoss(weight=t.ones(2, 2)))


def test_weights_are_buffers(same):
    same(lambda t: list(t.nn.CrossEntropyLoss(weight=t.ones(2)).state_dict()))
    same(lambda t: list(t.nn.CrossEntropyLoss().state_dict()))
    same(lambda t: list(t.nn.BCEWithLogitsLoss(pos_weight=t.ones(2)).state_dict()))
