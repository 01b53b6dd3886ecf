"""The base class: groups, errors, hooks, closures, state dicts."""

import pytest

import numgrad
from numgrad.optim import SGD, Adam, Optimizer


def leaf(*values):
    return numgrad.tensor(values, requires_grad=True)


@pytest.mark.parametrize(
    ("params", "error", "message"),
    [
        (lambda: [], ValueError, "optimizer got an empty parameter list"),
        (lambda: leaf(1.0), TypeError, "iterable of Tensors or dicts, but got torch.FloatTensor"),
        (lambda: [1], TypeError, "can only optimize Tensors, but one of the params is int"),
        (lambda: [leaf(1.0) * 2], ValueError, "can't optimize a non-leaf Tensor"),
        (lambda: [{"params": {leaf(1.0)}}], TypeError, "the ordering of tensors in sets"),
        (
            lambda: [("w", leaf(1.0)), leaf(1.0)],
            ValueError,
            "should be with/without names. Some param names are missing",
        ),
        (
            lambda: [{"params": [("w", leaf(1.0))]}, {"params": [leaf(1.0)]}],
            ValueError,
            "cannot add param group without names",
        ),
    ],
)
def test_parameters_that_are_refused(params, error, message):
    with pytest.raises(error, match=message):
        SGD(params(), lr=0.1)


def test_groups_keep_their_own_options():
    a, b = leaf(1.0), leaf(1.0)
    optimizer = SGD([{"params": [a]}, {"params": b, "lr": 0.5}], lr=0.1, momentum=0.9)
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.5]
    assert optimizer.param_groups[1]["params"] == [b]
    a.grad, b.grad = numgrad.ones(1), numgrad.ones(1)
    optimizer.step()
    assert a.item() == pytest.approx(0.9) and b.item() == 0.5


def test_a_group_in_two_places():
    w = leaf(1.0)
    optimizer = SGD([w], lr=0.1)
    with pytest.raises(ValueError, match="some parameters appear in more than one parameter"):
        optimizer.add_param_group({"params": [w]})
    with pytest.raises(TypeError, match="param_group must be a dict"):
        optimizer.add_param_group([w])
    assert len(optimizer.param_groups) == 1
    with pytest.warns(UserWarning, match="a parameter group with duplicate parameters"):
        SGD([w, w], lr=0.1)


def test_named_parameters():
    optimizer = SGD([("w", leaf(1.0)), ("b", leaf(2.0))], lr=0.1)
    assert optimizer.param_groups[0]["param_names"] == ["w", "b"]
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == ["w", "b"]


def test_zero_grad():
    w = leaf(1.0)
    optimizer = SGD([w], lr=0.1)
    w.grad = numgrad.ones(1)
    optimizer.zero_grad(set_to_none=False)
    assert w.grad.tolist() == [0]
    optimizer.zero_grad()
    assert w.grad is None
    optimizer.step()
    assert w.item() == 1


def test_closure():
    w = leaf(3.0)
    optimizer = SGD([w], lr=0.25)

    def closure():
        optimizer.zero_grad()
        loss = w * w
        loss.backward()
        return loss

    with numgrad.no_grad():
        assert optimizer.step(closure).item() == 9
    assert w.item() == 1.5


def test_hooks():
    calls = []
    w = leaf(1.0)
    w.grad = numgrad.ones(1)
    optimizer = SGD([w], lr=0.5)
    before = optimizer.register_step_pre_hook(lambda o, args, kwargs: calls.append("before"))
    after = optimizer.register_step_post_hook(lambda o, args, kwargs: calls.append(w.item()))
    optimizer.step()
    before.remove()
    optimizer.step()
    after.remove()
    optimizer.step()
    assert calls == ["before", 0.5, 0.0]

    seen = []
    optimizer.register_step_pre_hook(lambda o, args, kwargs: ((lambda: seen.append(1),), {}))
    optimizer.step()
    assert seen == [1]
    optimizer.register_step_pre_hook(lambda o, args, kwargs: 3)
    with pytest.raises(RuntimeError, match="must return None or a tuple of"):
        optimizer.step()


def test_state_dict_hooks():
    optimizer = SGD([leaf(1.0)], lr=0.5)
    order = []
    optimizer.register_state_dict_pre_hook(lambda o: order.append("second"))
    optimizer.register_state_dict_pre_hook(lambda o: order.append("first"), prepend=True)
    optimizer.register_state_dict_post_hook(lambda o, state: {**state, "note": 1})
    state = optimizer.state_dict()
    assert order == ["first", "second"] and state["note"] == 1
    optimizer.register_load_state_dict_pre_hook(lambda o, state: order.append(state.pop("note")))
    optimizer.register_load_state_dict_post_hook(lambda o: order.append("loaded"))
    optimizer.load_state_dict(state)
    assert order[2:] == [1, "loaded"] and state["note"] == 1


def test_loaded_state_is_a_copy_in_the_parameters_dtype():
    w = leaf(1.0)
    w.grad = numgrad.ones(1)
    first = Adam([w])
    first.step()
    wide = numgrad.ones(1, dtype=numgrad.float64, requires_grad=True)
    second = Adam([wide], lr=1.0)
    state = first.state_dict()
    second.load_state_dict(state)
    assert second.param_groups[0]["lr"] == 1e-3
    assert second.state[wide]["exp_avg"].dtype is numgrad.float64
    assert second.state[wide]["step"].dtype is numgrad.float32
    second.state[wide]["step"].fill_(7)
    assert first.state[w]["step"].item() == 1


def test_state_dicts_that_do_not_fit():
    two = SGD([leaf(1.0), leaf(2.0)], lr=0.1).state_dict()
    with pytest.raises(ValueError, match="doesn't match the size of optimizer's group"):
        SGD([leaf(1.0)], lr=0.1).load_state_dict(two)
    groups = SGD([{"params": [leaf(1.0)]}, {"params": [leaf(1.0)]}], lr=0.1).state_dict()
    with pytest.raises(ValueError, match="different number of parameter groups"):
        SGD([leaf(1.0)], lr=0.1).load_state_dict(groups)


def test_a_state_dict_of_an_older_version():
    w = leaf(1.0)
    w.grad = numgrad.ones(1)
    optimizer = Adam([w])
    optimizer.step()
    state = optimizer.state_dict()
    del state["param_groups"][0]["decoupled_weight_decay"], state["param_groups"][0]["maximize"]
    state["state"][0]["step"] = 1
    optimizer.load_state_dict(state)
    optimizer.step()
    assert optimizer.state[w]["step"].item() == 2


def test_an_optimizer_of_ones_own():
    class Descent(Optimizer):
        def __init__(self, params, lr=None):
            super().__init__(params, {"lr": lr})

        def step(self, closure=None):
            for group in self.param_groups:
                for param in group["params"]:
                    param.data.sub_(group["lr"] * param.grad)

    w = leaf(1.0)
    w.grad = numgrad.ones(1)
    optimizer = Descent([w], lr=0.25)
    called = []
    optimizer.register_step_post_hook(lambda *arguments: called.append(1))
    optimizer.step()
    assert w.item() == 0.75 and called == [1]
    with pytest.raises(NotImplementedError):
        Optimizer([w], {}).step()


def test_required_options():
    from numgrad.optim.optimizer import required

    with pytest.raises(ValueError, match="didn't specify a value of required .* parameter lr"):
        Optimizer([leaf(1.0)], {"lr": required})
    assert (
        Optimizer([{"params": [leaf(1.0)], "lr": 1}], {"lr": required}).param_groups[0]["lr"] == 1
    )
