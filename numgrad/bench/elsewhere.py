"""What other libraries call the work of numgrad's kernels.

`PEERS` holds expressions of a kernel's parameters by name, evaluated by `expression.py`: `np`,
`torch`, `F`, `jax` and `jnp` are what they usually are, `random` is a generator of NumPy's.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from ..kernels._elementwise import Elementwise

#: The names of NumPy and JAX for elementwise kernels that are called otherwise here.
_NUMPY = {
    "acos": "arccos", "asin": "arcsin", "atan": "arctan", "atan2": "arctan2", "pow": "power",
    "neg": "negative", "sub": "subtract", "mul": "multiply", "div": "divide", "round_half_even": "rint",
    "eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal", "gt": "greater",
    "ge": "greater_equal", "bitwise_not": "invert",
}  # fmt: skip
_TORCH = {"round_half_even": "round"}
_E = "(e := {np}.exp(x - x.max({d}, keepdims=True))) / e.sum({d}, keepdims=True)"
_BACK = "y * (grad - (grad * y).sum({d}, keepdims=True))"
_LOG_BACK = "grad - {np}.exp(y) * grad.sum({d}, keepdims=True)"
_NORMAL = "(x - x.mean(1, keepdims=True)) / np.sqrt(x.var(1, keepdims=True) + eps) * weight + bias"
_MEAN_LOSS = (
    "-((s := logits - logits.max(1, keepdims=True))[{np}.arange(len(target)), target]"
    " - {np}.log({np}.exp(s).sum(1))).mean()"
)


def _softmaxes(suffix: str, d: int) -> dict[str, dict[str, str]]:
    def both(text: str) -> dict[str, str]:
        return {"numpy": text.format(np="np", d=d), "jax": text.format(np="jnp", d=d)}

    return {
        f"softmax_{suffix}": {
            "numpy": _E.format(np="np", d=d),
            "torch": f"torch.softmax(x, {d}, out=out)",
            "jax": f"jax.nn.softmax(x, {d})",
        },
        f"log_softmax_{suffix}": {
            "numpy": f"(s := x - x.max({d}, keepdims=True)) - np.log(np.exp(s).sum({d}, keepdims=True))",
            "torch": f"torch.log_softmax(x, {d})",
            "jax": f"jax.nn.log_softmax(x, {d})",
        },
        f"logsumexp_{suffix}": {
            "torch": f"torch.logsumexp(x, {d})",
            "jax": f"jax.nn.logsumexp(x, {d})",
        },
        f"softmax_backward_{suffix}": {
            **both(_BACK),
            "torch": f"torch._softmax_backward_data(grad, y, {d}, y.dtype)",
        },
        f"log_softmax_backward_{suffix}": {
            **both(_LOG_BACK),
            "torch": f"torch._log_softmax_backward_data(grad, y, {d}, y.dtype)",
        },
    }


def _reductions() -> dict[str, dict[str, str]]:
    found = {}
    for suffix, d in (("rows", 1), ("columns", 1)):
        for name, of in {
            "sum": "sum", "prod": "prod", "amax": "amax", "amin": "amin", "nansum": "nansum",
            "count_nonzero": "count_nonzero", "all": "all", "any": "any",
        }.items():  # fmt: skip
            found[f"{name}_{suffix}"] = {
                "numpy": f"np.{of}(x, {d})",
                "torch": f"torch.{of}(x, {d})",
                "jax": f"jnp.{of}(x, {d})",
            }
        found[f"norm2_{suffix}"] = {
            "numpy": f"np.linalg.norm(x, axis={d})",
            "torch": f"torch.linalg.vector_norm(x, 2, {d})",
            "jax": f"jnp.linalg.norm(x, axis={d})",
        }
        for name in ("max", "min"):
            found[f"{name}_{suffix}"] = {"torch": f"torch.{name}(x, {d})"}
        found[f"variance_{suffix}"] = {
            "numpy": f"x.mean({d}) + 0 * np.var(x, {d}, ddof=1)",
            "torch": f"torch.var_mean(x, {d})[::-1]",
        }
    return found


#: What does the same as a structured kernel, by kernel and library.
PEERS: dict[str, dict[str, str]] = {
    **_softmaxes("rows", 1),
    **_softmaxes("columns", 1),
    **_reductions(),
    "sigmoid": {"numpy": "1 / (1 + np.exp(-x))", "torch": "torch.sigmoid(x, out=out)", "jax": "jax.nn.sigmoid(x)"},
    "relu": {"numpy": "np.maximum(x, 0, out=out)", "torch": "torch.relu(x)", "jax": "jax.nn.relu(x)"},
    "gelu": {"torch": "F.gelu(x)", "jax": "jax.nn.gelu(x, approximate=False)"},
    "gelu_tanh": {"torch": "F.gelu(x, approximate='tanh')", "jax": "jax.nn.gelu(x, approximate=True)"},
    "silu": {"numpy": "x / (1 + np.exp(-x))", "torch": "F.silu(x)", "jax": "jax.nn.silu(x)"},
    "mish": {"torch": "F.mish(x)", "jax": "jax.nn.mish(x)"},
    "erf": {"torch": "torch.erf(x, out=out)", "jax": "jax.lax.erf(x)"},
    "log_sigmoid": {"torch": "F.logsigmoid(x)", "jax": "jax.nn.log_sigmoid(x)"},
    "where": {"numpy": "np.where(condition, x, y)", "torch": "torch.where(condition, x, y)", "jax": "jnp.where(condition, x, y)"},
    "mse_loss": {"numpy": "(x - y) ** 2", "torch": "F.mse_loss(x, y, reduction='none')", "jax": "(x - y) ** 2"},
    "layer_norm_forward": {
        "numpy": _NORMAL,
        "torch": "torch.native_layer_norm(x, (x.shape[1],), weight, bias, eps)",
        "jax": _NORMAL.replace("np.", "jnp."),
    },
    "layer_norm_backward": {
        "torch": "torch.ops.aten.native_layer_norm_backward(grad, x, (x.shape[1],), "
        "stats[:, :1].contiguous(), stats[:, 1:].contiguous(), weight, None, [True, True, False])",
    },
    "cross_entropy_forward": {
        "numpy": _MEAN_LOSS.format(np="np"),
        "torch": "F.cross_entropy(logits, target)",
        "jax": _MEAN_LOSS.format(np="jnp"),
    },
    "take_rows": {
        "numpy": "np.take(x, index, 0, out=out)",
        "torch": "torch.index_select(x, 0, index, out=out)",
        "jax": "x[index]",
    },
    "cumsum": {"numpy": "np.cumsum(x, 1, out=out)", "torch": "torch.cumsum(x, 1)", "jax": "jnp.cumsum(x, 1)"},
    "cumprod": {"numpy": "np.cumprod(x, 1, out=out)", "torch": "torch.cumprod(x, 1)", "jax": "jnp.cumprod(x, 1)"},
    "logcumsumexp": {"torch": "torch.logcumsumexp(x, 1)"},
    "order": {"numpy": "np.argsort(x, 1, kind='stable')", "torch": "torch.sort(x, 1, stable=True)[1]", "jax": "jnp.argsort(x, 1)"},
    "triangle": {"numpy": "np.tril(x)", "torch": "torch.tril(x)", "jax": "jnp.tril(x)"},
    "join": {"numpy": "np.concatenate(parts, 1)", "torch": "torch.cat(parts, 1)", "jax": "jnp.concatenate(parts, 1)"},
    "search": {"numpy": "np.searchsorted(boundaries, values)", "torch": "torch.searchsorted(boundaries, values)", "jax": "jnp.searchsorted(boundaries, values)"},
    "count_values": {"numpy": "np.bincount(x)", "torch": "torch.bincount(x)", "jax": "jnp.bincount(x, length=1000)"},
    "uniform_float32": {"numpy": "random.random(out.shape, out=out, dtype=out.dtype)", "torch": "out.uniform_()"},
    "uniform_float64": {"numpy": "random.random(out.shape, out=out)", "torch": "out.uniform_()"},
    "normal_float32": {"numpy": "random.standard_normal(out.shape, out=out, dtype=out.dtype)", "torch": "out.normal_()"},
    "normal_float64": {"numpy": "random.standard_normal(out.shape, out=out)", "torch": "out.normal_()"},
    "sgd": {"numpy": "[np.subtract(p, lr * g, out=p) for p, g in zip(params, grads)]", "torch": "torch._foreach_add_(params, grads, alpha=-lr)"},
    "adam": {
        "torch": "torch._fused_adam_(list(params), list(grads), list(means), list(squares), [], "
        "list(steps), lr=lr, beta1=beta1, beta2=beta2, weight_decay=0.0, eps=eps, amsgrad=False, maximize=False)",
    },
    **{
        name: {"numpy": "np.matmul(a, b, out=out)", "torch": "torch.matmul(a, b, out=out)", "jax": "a @ b"}
        for name in ("matmul_small", "matmul_thin", "matmul_packed")
    },
}  # fmt: skip
#: Kernels whose results are not compared with the peers': random, in place, or not finished.
UNEQUAL = re.compile(r"^(uniform|normal)_|^adam|^sgd|^count_values$|^cross_entropy_forward$")


def peers_of(name: str, kernel: Any, names: list[str]) -> dict[str, str]:
    """Expressions that do a kernel's work in other libraries. Of an elementwise kernel some are
    only tried, under the name that it has here: a library that knows no such function is left out.
    """
    if name in PEERS:
        return PEERS[name]
    if not isinstance(kernel, Elementwise):
        return {}
    inputs, last = ", ".join(names[:-1]), names[-1]
    found = {}
    elsewhere = _NUMPY.get(name, name)
    own = getattr(np, elsewhere, None)
    if isinstance(own, np.ufunc) and own.nin == len(kernel.inputs):
        found["numpy"] = f"np.{elsewhere}({inputs}, out={last})"
        found["jax"] = f"jnp.{elsewhere}({inputs})"
    if name.endswith("_backward"):
        found["torch"] = f"torch.ops.aten.{name}({inputs})"
    elif "_backward_" not in name:
        found["torch"] = f"torch.{_TORCH.get(name, name)}({inputs}, out={last})"
    return found
