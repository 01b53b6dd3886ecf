"""The tape and the backward walk, beside PyTorch."""

import gc
import weakref

import numpy as np
import pytest

import numgrad as ng


def both(torch, program):
    """Run a program with both libraries and compare the tensors that it returns."""
    ours, theirs = program(ng), program(torch)
    for a, b in zip(ours, theirs, strict=True):
        if b is None:
            assert a is None
        else:
            np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-6)


def test_accumulation_and_sharing(torch):
    def program(t):
        x = t.tensor([1.0, 2.0], requires_grad=True)
        y = t.tensor([3.0, 4.0], requires_grad=True)
        (x + y).sum().backward()
        (x * y).sum().backward()
        x.grad.add_(100)  # must not reach y's gradient
        return x.grad, y.grad

    both(torch, program)


def test_diamond_and_unused(torch):
    def program(t):
        x = t.tensor(2.0, requires_grad=True)
        z = t.tensor(1.0, requires_grad=True)
        a = x * x
        b = a * 3 + a * x
        return *t.autograd.grad(b, [x, a], retain_graph=True), t.autograd.grad(
            b, [x, z], allow_unused=True
        )[1]

    both(torch, program)
    for t in (ng, torch):
        x = t.ones(1, requires_grad=True)
        z = t.ones(1, requires_grad=True)
        with pytest.raises(RuntimeError, match="appears to not have been used in the graph"):
            t.autograd.grad(x * 2, z)


def test_third_derivative(torch):
    def program(t):
        x = t.tensor(1.5, requires_grad=True)
        y = t.sin(x) * x**3
        results = []
        for _ in range(3):
            (y,) = t.autograd.grad(y, x, create_graph=True)
            results.append(y)
        return results

    both(torch, program)


def test_backward_twice_needs_retain_graph(torch):
    for t in (ng, torch):
        x = t.ones(2, requires_grad=True)
        y = t.exp(x).sum()
        y.backward(retain_graph=True)
        y.backward()
        with pytest.raises(RuntimeError, match="backward through the graph a second time"):
            y.backward()


def test_errors(torch):
    for t in (ng, torch):
        with pytest.raises(RuntimeError, match="does not require grad and does not have a grad_fn"):
            t.ones(1).backward()
        x = t.ones(2, requires_grad=True)
        with pytest.raises(RuntimeError, match="grad can be implicitly created only for scalar"):
            (x * 2).backward()
        with pytest.raises(RuntimeError, match="a leaf Variable that requires grad is being used"):
            x.add_(1)
        with pytest.raises(RuntimeError, match="a view of a leaf Variable that requires grad"):
            x[0].add_(1)
        with pytest.raises(RuntimeError, match="only Tensors of floating point"):
            t.tensor([1, 2]).requires_grad_()
        with pytest.raises(RuntimeError, match="Can't call numpy\\(\\) on Tensor that requires"):
            x.numpy()
        y = t.exp(x)
        y.add_(1)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            y.sum().backward()


def test_inplace_through_views(torch):
    def program(t):
        x = t.tensor([1.0, 2.0, 3.0], requires_grad=True)
        w = t.tensor([4.0, 5.0, 6.0], requires_grad=True)
        base = x * 2
        view = base[1:]
        first = base[0]
        view.mul_(w[1:])
        base.add_(x)
        total = (base * w).sum() + first * 10 + view.sum()
        total.backward()
        return x.grad, w.grad, base, view, first

    both(torch, program)


def test_inplace_into_a_fresh_buffer(torch):
    def program(t):
        x = t.tensor([1.0, 2.0], requires_grad=True)
        buffer = t.zeros(2, 2)
        buffer[0] = x
        row = buffer[1]
        row.copy_(x * 3)
        buffer.t().mul_(2)
        (buffer * t.tensor([[1.0, 2.0], [3.0, 4.0]])).sum().backward()
        return x.grad, buffer, row

    both(torch, program)


def test_version_counter(torch):
    for t in (ng, torch):
        x = t.zeros(4)
        assert x._version == 0
        x[1:].add_(1)
        x.detach().mul_(2)
        assert x._version == 2
        x.data.add_(1)
        assert x._version == 2


def test_hooks_and_retain_grad(torch):
    def program(t):
        x = t.tensor([1.0, 2.0], requires_grad=True)
        seen = []
        x.register_hook(lambda g: seen.append(g) or g * 2)
        y = x * 3
        y.retain_grad()
        handle = y.register_hook(lambda g: g * 100)
        handle.remove()
        y.register_hook(lambda g: g + 1)
        y.sum().backward()
        return x.grad, y.grad, seen[0]

    both(torch, program)


def test_grad_modes(torch):
    for t in (ng, torch):
        x = t.ones(1, requires_grad=True)
        with t.no_grad():
            assert not (x * 2).requires_grad
            with t.enable_grad():
                assert (x * 2).requires_grad
        with t.inference_mode():
            assert not (x * 2).requires_grad
        with t.set_grad_enabled(False):
            assert not t.is_grad_enabled()
        assert t.is_grad_enabled()

        @t.no_grad()
        def function():
            return t.is_grad_enabled()

        assert not function() and t.is_grad_enabled()


def test_custom_function(torch):
    def program(t):
        class Scale(t.autograd.Function):
            @staticmethod
            def forward(ctx, x, factor):
                ctx.factor = factor
                y = t.exp(x)
                ctx.save_for_backward(y)
                return y * factor

            @staticmethod
            def backward(ctx, grad_output):
                (y,) = ctx.saved_tensors
                assert ctx.needs_input_grad == (True, False)
                return grad_output * y * ctx.factor, None

        x = t.tensor([0.5, 1.0], requires_grad=True)
        y = Scale.apply(x, 3.0)
        (g,) = t.autograd.grad(y.sum(), x, create_graph=True)
        y.sum().backward()
        return y, g, x.grad

    both(torch, program)


def test_function_with_two_outputs(torch):
    def program(t):
        class Both(t.autograd.Function):
            @staticmethod
            def forward(ctx, x):
                ctx.save_for_backward(x)
                return x * 2, x * x

            @staticmethod
            def backward(ctx, g1, g2):
                (x,) = ctx.saved_tensors
                return g1 * 2 + g2 * 2 * x

        x = t.tensor([1.0, 2.0], requires_grad=True)
        a, b = Both.apply(x)
        b.sum().backward()
        return (x.grad,)

    both(torch, program)


def test_anomaly_names_the_forward_line():
    x = ng.tensor([0.0], requires_grad=True)
    with ng.autograd.detect_anomaly():
        y = ng.sqrt(x) * 0  # the line that is to be named
        with pytest.warns(UserWarning, match="the line that is to be named"):
            with pytest.raises(RuntimeError, match="SqrtBackward0' returned nan values"):
                y.sum().backward()


def test_gradcheck_finds_a_wrong_gradient():
    class Wrong(ng.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, grad):
            return grad * 3

    x = ng.ones(2, dtype=ng.float64, requires_grad=True)
    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        ng.autograd.gradcheck(Wrong.apply, (x,))
    assert not ng.autograd.gradcheck(Wrong.apply, (x,), raise_exception=False)


def test_graph_is_freed_without_the_garbage_collector():
    gc.collect()
    gc.disable()
    try:
        x = ng.ones(3, requires_grad=True)
        y = ng.sigmoid(ng.exp(x) * 2)
        node = weakref.ref(y._node)
        y.sum().backward()
        del y
        assert node() is None
    finally:
        gc.enable()


def test_grad_fn_names():
    x = ng.ones(2, 2, requires_grad=True)
    for result, name in [
        (x + 1, "AddBackward0"),
        (x.t(), "TBackward0"),
        (x.T, "PermuteBackward0"),
        (x.view(4), "ViewBackward0"),
        (x**2, "PowBackward0"),
        (x[0], "SelectBackward0"),
        (x.sum(), "SumBackward0"),
        (x.mean(), "MeanBackward0"),
        (x @ x, "MmBackward0"),
    ]:
        assert result.grad_fn.name() == name
        assert f"grad_fn=<{name}>" in repr(result)


def test_set_grad_enabled_prints_as_pytorchs(torch):
    for value in (True, False):
        with torch.set_grad_enabled(True), ng.set_grad_enabled(True):
            assert repr(ng.set_grad_enabled(value)) == repr(torch.set_grad_enabled(value))
