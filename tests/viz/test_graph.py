"""`viz.graph`: what is drawn, where it lies, and that drawing changes nothing."""

import gc
import pathlib
import re
import sys
from xml.etree import ElementTree

import pytest

import numgrad as ng
from numgrad import nn, viz
from numgrad.autograd.tape import Node
from numgrad.device import cpu
from numgrad.nn import functional as F
from numgrad.nn._hooks import HookedCall
from numgrad.ops import _core
from numgrad.viz import layout
from numgrad.viz.program import program_graph
from numgrad.viz.tape import tape_graph
from numgrad.viz.watch import watching

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "compile"))
from test_transformer import LENGTH, VOCABULARY, Block, Transformer  # noqa: E402

SVG = "{http://www.w3.org/2000/svg}"


class Deep(Transformer):
    def __init__(self, blocks=12):
        super().__init__()
        self.blocks = nn.Sequential(*[Block() for _ in range(blocks)])


@pytest.fixture(scope="module")
def deep():
    ng.manual_seed(0)
    return Deep(), ng.randint(0, VOCABULARY, (3, LENGTH))


def mlp():
    ng.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 6), nn.ReLU(), nn.Linear(6, 3))
    return model, ng.randn(4, 2), ng.randint(0, 3, (4,))


def texts(picture):
    return [element.text for element in ElementTree.fromstring(picture.svg).iter(f"{SVG}text")]


def check(picture):
    """It is well-formed, uses what every viewer keeps, and all of it lies inside."""
    root = ElementTree.fromstring(picture.svg)
    assert {e.tag.removeprefix(SVG) for e in root.iter()} <= {
        "svg",
        "title",
        "rect",
        "text",
        "path",
    }
    assert not re.search(r"nan|inf\b|style=|class=|href", re.sub(r">[^<]*<", "><", picture.svg))
    for rect in list(root.iter(f"{SVG}rect"))[1:]:
        x, y, w, h = (float(rect.get(k)) for k in ("x", "y", "width", "height"))
        assert 0 <= x and x + w <= picture.width and 0 <= y and y + h <= picture.height
    for element in root.iter(f"{SVG}text"):
        assert 0 < float(element.get("x")) < picture.width
        assert 0 < float(element.get("y")) < picture.height


def items_apart(group):
    """No two items of a group overlap, and each lies inside it."""
    items = list(group.items)
    for k, one in enumerate(items):
        if group.parent is not None:
            assert 0 <= one.x and one.x + one.width <= group.width + 1e-6
            assert layout.HEAD <= one.y + 1e-6 and one.y + one.height <= group.height
        for other in items[:k]:
            assert (
                one.x + one.width <= other.x + 1e-6
                or other.x + other.width <= one.x + 1e-6
                or one.y + one.height <= other.y + 1e-6
                or other.y + other.height <= one.y + 1e-6
            ), (one, other)
        if not hasattr(one, "lines"):
            items_apart(one)


def test_a_loss_by_itself():
    model, x, y = mlp()
    picture = viz.graph(F.cross_entropy(model(x), y))
    check(picture)
    shown = texts(picture)
    for expected in (
        "Sequential",
        "0: Linear",
        "18 parameters",
        "relu",
        "[4, 6] float32",
        "2: Linear",
    ):
        assert expected in shown
    assert "[4, 3] float32" in shown and "nll_loss" in shown


def test_kernels_are_those_that_ran():
    model, x, y = mlp()
    picture = viz.graph(lambda: F.cross_entropy(model(x), y), layers=True)
    check(picture)
    shown = texts(picture)
    assert {"kernel: relu", "kernel: cross_entropy_forward"} <= set(shown)
    assert any(text.startswith("kernel: matmul") for text in shown)
    assert {"1: ReLU", "weight", "bias", "[6, 2] float32"} <= set(shown)
    with watching():
        loss = model(x).exp().sum()
    assert "kernel: exp_" in texts(viz.graph(loss))
    unwatched = texts(viz.graph(model(x).exp().softmax(1).sum()))
    assert {"kernel: exp_", "kernels/matmul.py", "kernels/softmax.py"} <= set(unwatched)
    assert "kernels/reduction.py" in unwatched


def test_gradients_are_the_gradients():
    model, x, y = mlp()
    loss = F.cross_entropy(model(x), y)
    shown = texts(viz.graph(loss, gradients=True))
    loss.backward()
    norm = model[2].weight.grad.norm().item()
    assert f"‖gradient of weight‖ {norm:.3g}" in shown
    assert "backward: relu_backward" in shown and "‖gradient‖ 1" in shown


def test_drawing_changes_nothing():
    model, x, y = mlp()
    called = []
    hidden = model[0](x)
    hidden.register_hook(lambda grad: called.append(grad))
    hidden.retain_grad()
    loss = F.cross_entropy(model[2](hidden.relu()), y)
    places = (cpu.launch, cpu.run, _core._launch, Node.__init__, HookedCall.__call__)
    viz.graph(loss, gradients=True)
    viz.graph(model, x)
    assert (cpu.launch, cpu.run, _core._launch, Node.__init__, HookedCall.__call__) == places
    assert not called and hidden.grad is None and model[0].weight.grad is None
    loss.backward()
    assert len(called) == 1 and model[0].weight.grad is not None


def test_a_graph_that_backward_has_freed():
    model, x, y = mlp()
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    picture = viz.graph(loss)
    check(picture)
    assert "Sequential, shapes are unknown where backward() has freed the graph" in texts(picture)
    assert "0: Linear" in texts(picture)


@pytest.mark.parametrize("watched", [False, True])
def test_twelve_layers_stay_readable(deep, watched):
    model, tokens = deep
    gc.collect()  # other models that hold the same parameters
    picture = viz.graph(model, tokens) if watched else viz.graph(model(tokens))
    check(picture)
    assert int(picture.what.split()[0]) < 40 and picture.width < 700
    shown = texts(picture)
    for expected in ("blocks: Sequential", "0: Block", "attention: Attention", "11 more like 0",
                     "qkv: Linear", "norm: LayerNorm", "head: Linear"):  # fmt: skip
        assert expected in shown
    assert sum(text == "softmax" for text in shown) == 1


def test_without_folding_and_by_depth(deep):
    model, tokens = deep
    full = viz.graph(model, tokens, fold=False, depth=99)
    check(full)
    assert sum(text == "softmax" for text in texts(full)) == 12
    outer = texts(viz.graph(model, tokens, depth=1, fold=False))
    assert "blocks: Sequential" in outer and "11: Block" in outer and "softmax" not in outer
    assert int(viz.graph(model, tokens, fold=False).what.split()[0]) <= viz.READABLE


def test_modules_found_from_the_parameters_are_those_that_ran(deep):
    model, tokens = Deep(3), deep[1]
    for block in model.blocks:  # no operation of its own in a dropout that does nothing
        block.eval()
    found, *_ = tape_graph([model(tokens)], model, False)
    with watching():
        result = model(tokens)
    watched, *_ = tape_graph([result], model, False)

    def paths(graph):
        return [
            [g.label for g in box.group.chain[1:]]
            for box in sorted(graph.root.boxes(), key=lambda b: b.order)
            if box.kind != "input"
        ]

    different = [(a, b) for a, b in zip(paths(found), paths(watched), strict=True) if a != b]
    # Modules without parameters leave no trace.
    assert all(b[: len(a)] == a and b[-1] in ("1", "3") for a, b in different)


def test_a_shared_weight_and_a_module_called_twice():
    layer = nn.Linear(3, 3)
    tied = nn.Sequential(layer, nn.Tanh(), layer)
    picture = viz.graph(tied, ng.ones(2, 3))
    check(picture)
    assert sum("Linear" in text for text in texts(picture)) == 2
    check(viz.graph(tied(ng.ones(2, 3))))


def test_several_results_and_plain_operations():
    x = ng.ones(4, 6, requires_grad=True)
    a, b = x.split(3, dim=1)
    picture = viz.graph((a * b).sum(), title="pieces")
    check(picture)
    assert {"pieces", "leaf", "split", "2 results", "mul", "sum"} <= set(texts(picture))


def test_a_function_of_the_users():
    class Cube(ng.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            return grad * 3 * x * x

    x = ng.ones(2, requires_grad=True)
    shown = texts(viz.graph(lambda: Cube.apply(x)))
    assert "Cube" in shown and "kernel: pow" in shown


def compiled_step():
    model, x, y = mlp()
    optimizer = ng.optim.SGD(model.parameters(), lr=0.1)

    @ng.compile
    def step(x, y):
        loss = F.cross_entropy(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    for _ in range(4):
        step(x, y)
    return step


def test_a_compiled_step():
    step = compiled_step()
    picture = viz.graph(step)
    check(picture)
    shown = texts(picture)
    assert {"step, compiled", "relu_backward", "sgd", "x0", "0.weight, 0.bias"} <= set(shown)
    made = program_graph(step.graph, None)
    assert sum(box.kind != "input" for box in made.root.boxes()) == len(step.graph.calls)


def test_fused_groups():
    @ng.compile
    def function(a, b):
        return ((ng.tanh(a) - b) ** 2).sum(dim=1)

    a, b = ng.randn(16, 1024), ng.randn(16, 1024)
    for _ in range(3):
        function(a, b)
    shown = texts(viz.graph(function))
    assert "3 functions in one loop" in shown and "s1 = sub(s0, x1)" in shown
    assert "reduces s2 by sum_rows" in shown


def test_a_compiled_transformer_is_grouped():
    model = Deep(2)
    optimizer = ng.optim.SGD(model.parameters(), lr=0.1)
    tokens = ng.randint(0, VOCABULARY, (3, LENGTH))

    @ng.compile
    def step(tokens):
        loss = F.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    for _ in range(4):
        step(tokens)
    picture = viz.graph(step, depth=9, fold=False)
    check(picture)
    shown = texts(picture)
    assert "blocks: Sequential" in shown and "blocks (backward): Sequential" in shown


def test_nothing_overlaps(deep):
    model, tokens = deep
    for what, layers in ((model(tokens), True), (model(tokens), False)):
        made, *_ = tape_graph([what], model, False)
        if not layers:
            made.close_layers()
        made.fold(4)
        layout.lay_out(made)
        items_apart(made.root)
    made = program_graph(compiled_step().graph, None)
    layout.lay_out(made)
    items_apart(made.root)


def test_saved_to_a_file_and_shown(tmp_path):
    x = ng.ones(3, requires_grad=True)
    picture = viz.graph(x.exp())
    picture.save(tmp_path / "graph.svg")
    assert ElementTree.parse(tmp_path / "graph.svg").getroot().tag == f"{SVG}svg"
    assert picture._repr_svg_() == picture.svg
    assert repr(picture).startswith("<picture of 2 boxes, ")


def test_what_has_no_graph():
    with pytest.raises(TypeError, match="expects a tensor, a module or a function, got 3"):
        viz.graph(3)
    with pytest.raises(RuntimeError, match="nothing was recorded"):
        viz.graph(ng.ones(2) * 2)
    with pytest.raises(RuntimeError, match="nothing was recorded"):
        viz.graph(ng.ones(2, requires_grad=True))
    with pytest.raises(RuntimeError, match="call it at least twice"):
        viz.graph(ng.compile(lambda x: x))
