"""compile on a GPU: one CUDA graph, captured once and replayed, in the simulator and on a stand-in
driver that does nothing before somebody waits."""

import numpy as np
import pytest

import numgrad as ng
from numgrad.device import cuda

pytest.importorskip("greenlet", reason="the CUDA simulator needs greenlet")


@pytest.fixture(params=["simulator", "machine"])
def device(request):
    request.getfixturevalue(request.param)
    ng.manual_seed(0)
    yield request.param


def close(own, other):
    np.testing.assert_allclose(
        own.detach().cpu().numpy(), other.detach().cpu().numpy(), rtol=2e-6, atol=1e-7
    )


def agree(function, *arguments, times=4):
    """The compiled function on the GPU gives what the plain one gives on the CPU, every time."""
    compiled = ng.compile(function)
    for k in range(times):
        given = [a(k) if callable(a) else a for a in arguments]
        expected = function(*given)
        found = compiled(*[a.cuda() if isinstance(a, ng.Tensor) else a for a in given])
        for own, other in zip(_listed(found), _listed(expected), strict=True):
            close(own, other)
            assert own.is_cuda
    assert compiled.reason is None and compiled.programs >= 1, compiled.reason
    return compiled


def _listed(result):
    return result if isinstance(result, tuple) else (result,)


def draw(*shape):
    return lambda k: ng.randn(*shape)


def test_several_results(device):
    agree(lambda x: (ng.softmax((x * 2 + 1).exp(), -1) * 3, x.T + 1), draw(3, 4))


def test_a_view_of_a_result_and_an_input_with_strides(device):
    agree(lambda x: (x.T * 2)[1:], lambda k: ng.randn(4, 3).T)
    agree(lambda x: x.exp()[:, 1], draw(3, 4))


def test_chains_are_one_kernel(device):
    compiled = agree(lambda x, y: ng.where((x > y) & (x > 0), x * y, x - y), draw(8), draw(8))
    assert len(compiled.graph.calls) == 1 and "one loop" in compiled.source


def test_a_reduction_of_a_chain_is_one_kernel(device):
    compiled = agree(lambda x, w: (x * w).exp().mean(-1), draw(2, 520), draw(520), times=3)
    assert "reduces s1 by sum_rows" in compiled.source and len(compiled.graph.calls) == 1


def test_integers_and_broadcasting_in_one_kernel(device):
    agree(
        lambda x, y: ((x + 1) * y, x > y), lambda k: ng.arange(4) + k, lambda k: ng.ones(3, 1) * k
    )


def test_the_same_result_and_empty_ones(device):
    agree(lambda x: (x * 2, x[:0] + 1), draw(4))
    agree(lambda x: x * 2, draw(0, 3))


def test_a_call_is_one_replay(machine):
    compiled = ng.compile(lambda x: ng.softmax(x * 2 + 1, -1) * 3)
    arguments = [ng.randn(3, 4).cuda() for _ in range(4)]
    compiled(arguments[0])
    compiled(arguments[1])
    machine.log.clear()
    for x in arguments:
        compiled(x)
    asked = [what for what, *_ in machine.log if what != "device"]
    assert asked == ["allocate", "copy", "replay", "copy"] * 4
    assert not machine.asked("launch")


def test_numbers_are_passed_to_the_graph_as_they_are(machine):
    compiled = ng.compile(lambda x, k: (x + 1) * k)
    x = ng.ones(2, device="cuda")
    for k in (2.0, 3.0, 4.0):
        assert compiled(x, k).tolist() == [2 * k, 2 * k]
    machine.log.clear()
    for k in (5.0, 5.0, 6.0):
        assert compiled(x, k).tolist() == [2 * k, 2 * k]
    assert compiled.programs == 2  # one for the first number, one for any
    assert len(machine.asked("replay")) == 3 and not machine.asked("captured")
    assert len(machine.asked("copy in")) == 2  # of the numbers, where they have changed


def test_a_cpu_tensor_with_one_number(device):
    scale = ng.tensor(2.0)
    compiled = ng.compile(lambda x: x * scale)
    for k in range(4):
        scale.fill_(float(k))
        assert compiled(ng.ones(2, device="cuda")).tolist() == [k, k]
    passed = ng.compile(lambda x, scale: x * scale)
    for k in range(4):
        assert passed(ng.ones(2, device="cuda"), ng.tensor(float(k))).tolist() == [k, k]
    assert compiled.reason is None and passed.reason is None and passed.programs == 1


def test_data_that_the_function_copies_to_the_gpu(device):
    kept = ng.ones(2)

    @ng.compile
    def function(x):
        return x.to("cuda") * 2 + kept.cuda() + ng.tensor([1.0, 2.0], device="cuda")

    for k in range(4):
        kept.fill_(float(10 * k))
        assert function(ng.full((2,), float(k))).tolist() == [12 * k + 1, 12 * k + 2]
    assert function.reason is None and function.programs == 1


def step(w, optimize, target):
    def function(x):
        y = (x * w).tanh() - target
        (y * y).backward(ng.ones_like(y))
        with ng.no_grad():
            optimize(w, w.grad)
        w.grad = None
        return y.detach()

    return function


@pytest.mark.parametrize("keep", [False, True])
def test_a_training_step(device, keep):
    def optimize(w, grad):
        w.sub_(grad * 0.1)

    found = []
    for place, wrap in (("cpu", lambda f: f), ("cuda", ng.compile)):
        ng.manual_seed(1)
        w = ng.linspace(-1, 1, 6).to(place).requires_grad_()
        function = wrap(step(w, optimize, 0.5))
        kept = []
        for _ in range(5):
            result = function(ng.randn(6).to(place))
            if keep:
                kept.append(result)
        found.append([w, result, *kept])
    assert function.reason is None
    for own, other in zip(found[1], found[0], strict=True):
        close(own, other)


def test_gradients_that_stay(device):
    found = []
    for place, wrap in (("cpu", lambda f: f), ("cuda", ng.compile)):
        w = ng.linspace(-1, 1, 6).to(place).requires_grad_()

        def backward(x, w=w):
            (x * w).exp().backward(ng.ones_like(x))

        function = wrap(backward)
        grads = []
        for k in range(6):
            function(ng.full((6,), float(k), device=place))
            if k % 2:
                grads.append(w.grad)  # the program must write to other memory from now on
            if k != 4:
                w.grad = None
        found.append(grads)
    assert function.reason is None
    for own, other in zip(found[1], found[0], strict=True):
        close(own, other)


def test_a_backward_of_its_own(device):
    found = []
    for place, wrap in (("cpu", lambda f: f), ("cuda", ng.compile)):
        w = ng.linspace(-1, 1, 6).to(place).requires_grad_()
        function = wrap(lambda x, w=w: ((x * w).tanh() * w, x + w))
        for k in range(4):
            x = ng.full((6,), float(k + 1)).to(place).requires_grad_()
            a, b = function(x)
            (a * 2 + b * k).backward(ng.ones(6, device=place))
            found.append((place, w.grad.clone(), x.grad))
    assert function.reason is None
    for (_, *own), (_, *other) in zip(found[4:], found[:4], strict=True):
        for a, b in zip(own, other, strict=True):
            close(a, b)


def test_two_forwards_before_their_backwards(device):
    w = ng.linspace(-1, 1, 4).cuda().requires_grad_()
    function = ng.compile(lambda x: (x * w).exp())
    for _ in range(2):
        function(ng.ones(4, device="cuda")).backward(ng.ones(4, device="cuda"))
    w.grad = None
    a, b = (function(ng.full((4,), value, device="cuda")) for value in (1.0, 2.0))
    for result, value in ((a, 1.0), (b, 2.0)):
        (grad,) = ng.autograd.grad(result, w, ng.ones(4, device="cuda"))
        np.testing.assert_allclose(
            grad.tolist(), value * np.exp(value * np.linspace(-1, 1, 4)), rtol=1e-5
        )


def test_an_argument_that_is_written_to(device):
    @ng.compile
    def function(x):
        x.mul_(2)
        return x + 1

    for k in range(4):
        x = ng.full((3,), float(k), device="cuda")
        assert function(x).tolist() == [2 * k + 1] * 3 and x.tolist() == [2 * k] * 3
    assert function.reason is None


def test_other_shapes_and_the_other_device(device):
    function = ng.compile(lambda x: x * 2 + 1)
    for shape in ((2,), (2,), (3, 2), (3, 2), (2,)):
        assert function(ng.ones(shape, device="cuda")).tolist() == ng.full(shape, 3.0).tolist()
    assert function.programs == 2
    for _ in range(3):
        result = function(ng.ones(2, device="cuda:1"))
        assert result.device.index == 1 and result.tolist() == [3.0, 3.0]
    for _ in range(2):
        assert function(ng.ones(2)).is_cpu
    assert function(ng.ones(2, device="cuda")).is_cuda
    assert function.programs == 4


def test_calls_on_several_streams(machine):
    function = ng.compile(lambda x: (x * 2).exp())
    x = ng.zeros(2, device="cuda")
    for _ in range(2):
        function(x)
    side = ng.cuda.Stream()
    side.wait_stream(ng.cuda.current_stream())
    with ng.cuda.stream(side):
        first = function(x)
    second = function(x + 1)
    side.synchronize()
    assert first.tolist() == [1.0, 1.0]
    np.testing.assert_allclose(second.tolist(), np.exp([2.0, 2.0]), rtol=1e-6)


@pytest.mark.parametrize("own", [False, True])
def test_random_numbers(device, own):
    x = ng.ones(8, device="cuda")
    generator = ng.Generator("cuda").manual_seed(3) if own else None

    def function(x):
        return (
            ng.nn.functional.dropout(x, 0.5)
            if generator is None
            else x + x.clone().uniform_(generator=generator)
        )

    compiled = ng.compile(function)
    found = []
    for draw in (function, compiled):
        ng.manual_seed(5)
        if own:
            generator.manual_seed(3)
        results = [draw(x).tolist() for _ in range(5)]
        ng.manual_seed(5)
        if own:
            generator.manual_seed(3)
        results.append(draw(x).tolist())
        found.append(results)
    assert found[0] == found[1] and found[0][0] != found[0][1]
    assert compiled.reason is None and compiled.programs == 1


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_an_optimizer(device, name):
    found = []
    for place, wrap in (("cpu", lambda f: f), ("cuda", ng.compile)):
        ng.manual_seed(1)
        w = ng.linspace(-1, 1, 6).to(place).requires_grad_()
        b = ng.zeros(6, device=place, requires_grad=True)
        optimizer = getattr(ng.optim, name)([w, b], lr=0.1)
        scheduler = ng.optim.lr_scheduler.StepLR(optimizer, 2, 0.5)

        def step(x):
            loss = ((x * w + b) ** 2).sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        function = wrap(step)
        losses = []
        for _ in range(8):
            losses.append(function(ng.randn(6).to(place)))
            scheduler.step()
        found.append([*losses, w, b])
    assert function.reason is None and function.programs <= 2
    for own, other in zip(found[1], found[0], strict=True):
        close(own, other)


# ------------------------------------------------------------------ what cannot be captured


def refused(function, *arguments):
    """The reason for which the function runs eagerly, with the right result all the same."""
    compiled = ng.compile(function)
    for _ in range(2):
        found, expected = compiled(*arguments), function(*arguments)
        close(found, expected)
    assert compiled.programs == 0
    with pytest.raises(ng.compiler.CompileError):
        ng.compile(function, fullgraph=True)(*arguments)
    return compiled.reason


def test_values_that_python_looks_at(device):
    x = ng.ones(2, device="cuda")
    reason = refused(lambda x: x * x.tolist()[0], x)
    assert "leaves the kernels for Python" in reason and __file__ in reason
    assert "a copy to the host" in refused(lambda x: x.cpu() + 1, x)
    assert "a copy between devices" in refused(lambda x: x.to("cuda:1") + 1, x)


def test_work_on_the_cpu_too(device):
    x, host = ng.ones(2, device="cuda"), ng.ones(2)
    reason = refused(lambda x, host: x + (host * 2).cuda(), x, host)
    assert "what was computed on the CPU is copied to cuda:0" in reason

    def both(x, host):
        host.add_(1)
        return x * 2

    reason = refused(both, x, host)
    assert "computes on cuda:0 and, in add, on the CPU: a CUDA graph is of one GPU" in reason


def test_two_gpus(device):
    def both(x, y):
        y.add_(1)
        return x * 2

    reason = refused(both, ng.ones(2, device="cuda:0"), ng.ones(2, device="cuda:1"))
    assert "computes on cuda:0 and cuda:1" in reason


def test_a_change_of_stream(machine):
    side = ng.cuda.Stream()

    def function(x):
        with ng.cuda.stream(side):
            return x * 2

    assert "a change of stream" in refused(function, ng.ones(2, device="cuda"))


def test_a_capture_that_fails(device, monkeypatch):
    start = cuda.start

    def start_that_allocates(*arguments):
        if cuda._state.capturing and arguments[1].name == "softmax_rows":
            cuda.empty((1,), np.float32)
        start(*arguments)

    monkeypatch.setattr(cuda, "start", start_that_allocates)
    reason = refused(lambda x: ng.softmax(x.exp(), -1), ng.ones(2, device="cuda"))
    assert reason == (
        "launch 2 of 2, softmax_rows, cannot be part of a CUDA graph on cuda:0: it allocates memory, "
        "which cannot be part of a CUDA graph"
    )


def test_memory_does_not_grow(device):
    w = ng.ones(4, device="cuda").requires_grad_()
    function = ng.compile(step(w, lambda w, grad: w.sub_(grad * 0.1), 0.5))
    for _ in range(3):
        function(ng.ones(4, device="cuda"))
    before = ng.cuda.memory_allocated()
    for _ in range(10):
        function(ng.ones(4, device="cuda"))
    assert ng.cuda.memory_allocated() == before
    del function
    ng.compiler.reset()
