"""Hooks around `forward` and the backward, beside PyTorch's."""

import numpy as np
import pytest

import numgrad
from numgrad import nn


def layer(t):
    made = t.nn.Linear(2, 2)
    t.nn.init.constant_(made.weight, 0.5)
    t.nn.init.zeros_(made.bias)
    return made


def listed(grads):
    return [None if g is None else g.tolist() for g in grads]


def test_order_and_replacement(same):
    def program(t):
        log = []
        module = layer(t)
        module.register_forward_pre_hook(lambda m, a: log.append("pre 1"))
        module.register_forward_pre_hook(lambda m, a: (a[0] + 1,), prepend=True)
        module.register_forward_pre_hook(lambda m, a: a[0] * 2)
        module.register_forward_hook(lambda m, a, out: log.append(("out", a[0].tolist())))
        module.register_forward_hook(lambda m, a, out: out * 10)
        last = module.register_forward_hook(lambda m, a, out: log.append("first"), prepend=True)
        first = module(t.ones(1, 2)).tolist()
        last.remove()
        last.remove()
        return first, module(t.ones(1, 2)).tolist(), log

    same(program)


def test_with_keywords(same):
    def program(t):
        class Scaled(t.nn.Module):
            def forward(self, x, scale=1):
                return x * scale

        log = []
        module = Scaled()
        module.register_forward_pre_hook(
            lambda m, a, k: (a, {"scale": k["scale"] + 1}), with_kwargs=True
        )
        module.register_forward_hook(
            lambda m, a, k, out: log.append((a[0].tolist(), k, out.tolist())), with_kwargs=True
        )
        return module(t.ones(1), scale=4).tolist(), log

    same(program)

    def wrong(t):
        module = t.nn.Identity()
        module.register_forward_pre_hook(lambda m, a, k: 3, with_kwargs=True)
        return module(1)

    same(wrong)


def test_always_called(same):
    def program(t):
        log = []
        module = t.nn.Module()
        module.register_forward_hook(lambda m, a, out: log.append("skipped"))
        module.register_forward_hook(lambda m, a, out: log.append(out), always_call=True)

        def fails(m, a, out):
            raise KeyError("silenced")

        module.register_forward_hook(fails, always_call=True)
        try:
            module(1)
        except NotImplementedError:
            log.append("raised")
        return log

    same(program)


def test_backward_hooks(same):
    def program(t):
        log = []
        module = layer(t)
        module.register_full_backward_pre_hook(lambda m, go: (go[0] * 2,))
        module.register_full_backward_pre_hook(lambda m, go: log.append(listed(go)))
        module.register_full_backward_hook(lambda m, gi, go: log.append((listed(gi), listed(go))))
        module.register_full_backward_hook(lambda m, gi, go: (gi[0] + 1,))
        x = t.ones(1, 2, requires_grad=True)
        module(x).sum().backward()
        return log, x.grad.tolist(), module.weight.grad.tolist()

    same(program)


def test_backward_hook_of_several_values(same):
    def program(t):
        class Pair(t.nn.Module):
            def forward(self, x, number, y):
                return x * y, number, x + y

        log = []
        module = Pair()
        module.register_full_backward_hook(lambda m, gi, go: log.append((listed(gi), listed(go))))
        x = t.full((1,), 2.0, requires_grad=True)
        y = t.full((1,), 3.0)
        z = t.full((1,), 4.0, requires_grad=True)
        a, _, b = module(x, 5, y)
        (a * 2 + b).sum().backward()
        a, _, _ = module(x, t.tensor([1]), z)
        a.sum().backward()
        return log, x.grad.tolist(), z.grad.tolist()

    same(program)


def test_backward_hook_without_inputs_that_need_gradients():
    module = layer(numgrad)
    log = []
    module.register_full_backward_hook(lambda m, gi, go: log.append((gi, go[0].tolist())))
    output = module(numgrad.ones(1, 2))
    with pytest.warns(UserWarning, match="no inputs require gradients"):
        output.sum().backward()
    assert log == [((None,), [[1.0, 1.0]])]


def test_backward_hook_errors(same):
    def too_many(t):
        module = layer(t)
        module.register_full_backward_hook(lambda m, gi, go: (gi[0], gi[0]))
        module(t.ones(1, 2, requires_grad=True)).sum().backward()

    def too_many_outputs(t):
        module = layer(t)
        module.register_full_backward_pre_hook(lambda m, go: (go[0], go[0]))
        module(t.ones(1, 2, requires_grad=True)).sum().backward()

    same(too_many)
    same(too_many_outputs)


def test_hooks_leave_gradients_alone():
    grads = []
    for hooked in (False, True):
        numgrad.manual_seed(0)
        model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
        if hooked:
            for module in model.modules():
                module.register_full_backward_hook(lambda m, gi, go: None)
        x = numgrad.ones(4, 2, requires_grad=True)
        model(x).sum().backward()
        grads.append([x.grad, *[p.grad for p in model.parameters()]])
    for plain, hooked in zip(*grads, strict=True):
        np.testing.assert_array_equal(plain.numpy(), hooked.numpy())


def test_a_module_without_hooks_again_is_called_directly():
    module = nn.Identity()
    handle = module.register_forward_hook(lambda m, a, out: None)
    assert module._hooked
    handle.remove()
    module(1)
    assert not module._hooked
    with module.register_forward_hook(lambda m, a, out: "seen"):
        assert module(1) == "seen"
    assert module(1) == 1
    module.register_forward_hook(lambda m, a, out: "seen")
    module._forward_hooks.clear()
    assert module(1) == 1
