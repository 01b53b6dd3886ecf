"""What is measured: every case is one program that runs with numgrad or with torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

#: name -> (suite, target ratio torch / numgrad or None, maker). maker(t) gives the timed function.
CASES: dict[str, tuple[str, float | None, Callable[[Any], Callable[[], Any]]]] = {}


def case(name: str, suite: str, target: float | None = None) -> Callable:
    """Register a case: `target` is what torch's time over numgrad's has to reach."""

    def register(make: Callable[[Any], Callable[[], Any]]) -> Callable:
        CASES[name] = (suite, target, make)
        return make

    return register


# ------------------------------------------------------------------ training steps


def _mlp_step(sizes: tuple, batch: int) -> Callable:
    def make(t: Any) -> Callable[[], Any]:
        F = t.nn.functional
        t.manual_seed(0)
        layers: list[Any] = []
        for a, b in zip(sizes, sizes[1:], strict=False):
            layers += [t.nn.Linear(a, b), t.nn.ReLU()]
        model = t.nn.Sequential(*layers[:-1])
        optimizer = t.optim.SGD(model.parameters(), lr=0.01)
        x = t.randn(batch, sizes[0])
        y = t.randint(0, sizes[-1], (batch,))

        def step() -> Any:
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        return step

    return make


case("train 2-30-20-2, batch 2", "training", 3.0)(_mlp_step((2, 30, 20, 2), 2))
case("train 784-512-256-10, batch 64", "training", 1.5)(_mlp_step((784, 512, 256, 10), 64))
case("train 784-1024-1024-10, batch 256", "training", 1.7)(_mlp_step((784, 1024, 1024, 10), 256))


@case("iterate the toy DataLoader", "training", 2.0)
def _loader(t: Any) -> Callable[[], Any]:
    data: Any = t.utils.data

    class Toy(data.Dataset):
        def __init__(self) -> None:
            self.features = t.tensor(
                [[-1.2, 3.1], [-0.9, 2.9], [-0.5, 2.6], [2.3, -1.1], [2.7, -1.5]]
            )
            self.labels = t.tensor([0, 0, 0, 1, 1])

        def __getitem__(self, index: int) -> Any:
            return self.features[index], self.labels[index]

        def __len__(self) -> int:
            return self.labels.shape[0]

    loader = data.DataLoader(Toy(), batch_size=2, shuffle=True)

    def iterate() -> Any:
        count = 0
        for features, _ in loader:
            count += len(features)
        return count

    return iterate


# ------------------------------------------------------------------- small operations


@case("a + b, 4 elements", "small", 0.5)
def _add(t: Any) -> Callable[[], Any]:
    a, b = t.ones(4), t.ones(4)
    return lambda: a + b


@case("a + b, 4 elements, recorded", "small", 0.67)
def _add_recorded(t: Any) -> Callable[[], Any]:
    a, b = t.ones(4, requires_grad=True), t.ones(4)
    return lambda: a + b


@case("linear 2 → 30, batch 2, recorded", "small")
def _linear(t: Any) -> Callable[[], Any]:
    layer, x = t.nn.Linear(2, 30), t.ones(2, 2)
    return lambda: layer(x)


# ---------------------------------------------------------------- kernels, forward and backward

_KERNELS: dict[str, tuple[float, str]] = {
    "add": (1.3, "x + y"),
    "exp": (1.8, "t.exp(x)"),
    "tanh": (4.0, "t.tanh(x)"),
    "gelu": (4.0, "F.gelu(x)"),
    "sigmoid": (1.0, "t.sigmoid(x)"),
    "log": (1.0, "t.log(y)"),
    "sin": (1.0, "t.sin(x)"),
    "sum": (1.0, "x.sum()"),
    "max": (1.0, "x.max()"),
    "softmax": (2.5, "F.softmax(m, dim=1)"),
    "log_softmax": (2.5, "F.log_softmax(m, dim=1)"),
    "relu": (1.0, "F.relu(x)"),
}


def _kernel_case(name: str, expression: str, size: int, backward: bool) -> Callable:
    code = compile(expression, f"<bench {name}>", "eval")

    def make(t: Any) -> Callable[[], Any]:
        F = t.nn.functional
        t.manual_seed(0)
        x = t.randn(size)
        y = t.rand(size) + 0.5
        width = min(size, 1024)
        m = x.view(size // width, width)
        scope = {"t": t, "F": F, "x": x, "y": y, "m": m}
        if not backward:

            def forward() -> Any:
                with t.no_grad():
                    return eval(code, scope)

            return forward
        leaf = x.requires_grad_()
        scope["m"] = leaf.view(size // width, width)
        if name == "log":
            leaf = scope["y"] = y.requires_grad_()
        result = eval(code, scope)
        grad = t.ones_like(result)
        return lambda: t.autograd.grad(result, leaf, grad, retain_graph=True)

    return make


def kernel_cases(sizes: tuple[int, ...]) -> None:
    """Register the kernel cases of these sizes."""
    for name, (target, expression) in _KERNELS.items():
        for size in sizes:
            power = size.bit_length() - 1
            full = size == 1 << 24
            wanted = target if full else 1.0 if power >= 14 else 0.5
            suite = "kernels" if full else "sizes"
            for backward in (False, True):
                if backward and name in ("max",):
                    continue
                label = f"{name}{' backward' if backward else ''}, 2^{power}"
                case(label, suite, wanted)(_kernel_case(name, expression, size, backward))


kernel_cases((1 << 24, 1 << 20, 1 << 17, 1 << 14, 1 << 10))
