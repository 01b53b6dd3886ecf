"""Random numbers on a simulated GPU: a stream for each, seeded and saved as in PyTorch."""

import copy
import pickle

import numpy as np
import pytest

import numgrad as ng
from numgrad.nn import functional as F


@pytest.fixture(autouse=True)
def device(simulator):
    ng.manual_seed(0)
    yield
    ng.manual_seed(0)


def host(tensor):
    return tensor.cpu().numpy()


DRAWS = [
    lambda: ng.rand(9, device="cuda"),
    lambda: ng.rand(9, device="cuda", dtype=ng.float64),
    lambda: ng.randn(3, 4, device="cuda"),
    lambda: ng.randint(5, 30, (9,), device="cuda"),
    lambda: ng.randperm(9, device="cuda"),
    lambda: ng.normal(ng.zeros(5, device="cuda"), 2.0),
    lambda: ng.rand_like(ng.zeros(9, device="cuda")),
    lambda: ng.bernoulli(ng.full((40,), 0.5, device="cuda")),
    lambda: ng.empty(9, device="cuda").exponential_(2.0),
    lambda: ng.empty(9, device="cuda").uniform_(-1, 1),
    lambda: ng.empty(9, device="cuda", dtype=ng.int64).random_(),
    lambda: ng.empty(9, device="cuda").geometric_(0.3),
    lambda: F.dropout(ng.ones(40, device="cuda"), 0.5),
    lambda: ng.multinomial(ng.ones(3, 7, device="cuda"), 20, replacement=True),
    lambda: ng.multinomial(ng.ones(7, device="cuda"), 5),
]


@pytest.mark.parametrize("draw", DRAWS)
def test_a_seed_gives_the_same_numbers_again(draw):
    first, second = draw(), draw()
    assert first.is_cuda and not np.array_equal(host(first), host(second))
    ng.manual_seed(0)
    np.testing.assert_array_equal(host(draw()), host(first))
    ng.cuda.manual_seed(1)
    assert not np.array_equal(host(draw()), host(first))


def test_the_values_are_within_their_bounds():
    x = host(ng.randint(-3, 4, (300,), device="cuda"))
    assert x.min() == -3 and x.max() == 3
    assert sorted(host(ng.randperm(50, device="cuda"))) == list(range(50))
    weights = ng.tensor([0.0, 1, 0, 2, 0]).cuda()
    assert set(host(ng.multinomial(weights, 60, True))) == {1, 3}
    assert set(host(F.dropout(ng.ones(60, device="cuda"), 0.75))) == {0.0, 4.0}


def test_the_cpus_stream_is_another():
    ng.rand(5, device="cuda")
    x = ng.rand(3)
    ng.manual_seed(0)
    assert ng.equal(ng.rand(3), x)


def test_the_state_is_the_seed_and_the_offset():
    ng.manual_seed(7)
    state = ng.cuda.get_rng_state()
    assert state.dtype == ng.uint8 and not state.is_cuda
    assert state.numpy().view(np.int64).tolist() == [7, 0]
    x = ng.rand(5, device="cuda")
    assert ng.cuda.get_rng_state().numpy().view(np.int64).tolist() == [7, 4]
    ng.cuda.set_rng_state(state)
    np.testing.assert_array_equal(host(ng.rand(5, device="cuda")), host(x))
    assert ng.cuda.initial_seed() == 7
    for bad, words in ((b"\0" * 5, "wrong size"), (b"\1" * 16, "multiple of 4")):
        with pytest.raises(RuntimeError, match=words):
            ng.cuda.set_rng_state(ng.from_numpy(np.frombuffer(bad, np.uint8).copy()))


def test_generators():
    g = ng.Generator("cuda").manual_seed(3)
    assert str(g.device) == "cuda:0"
    x = ng.rand(5, device="cuda", generator=g)
    again = pickle.loads(pickle.dumps(g))
    other = copy.deepcopy(g)
    y = host(ng.rand(5, device="cuda", generator=g))
    for one in (again, other):
        np.testing.assert_array_equal(host(ng.rand(5, device="cuda", generator=one)), y)
    g.manual_seed(3)
    np.testing.assert_array_equal(host(ng.rand(5, device="cuda", generator=g)), host(x))


def test_generators_of_another_device():
    with pytest.raises(RuntimeError, match="Expected a 'cuda' device type for generator but found"):
        ng.rand(5, device="cuda", generator=ng.Generator())
    with pytest.raises(RuntimeError, match="Expected a 'cpu' device type for generator but found"):
        ng.rand(5, generator=ng.Generator("cuda"))
    with pytest.raises(RuntimeError, match="Expected a generator on cuda:1"):
        ng.rand(5, device="cuda:1", generator=ng.Generator("cuda:0"))


def test_every_device_has_its_stream():
    first = host(ng.rand(5, device="cuda:1"))
    np.testing.assert_array_equal(host(ng.rand(5, device="cuda:0")), first)  # of the same seed
    ng.cuda.manual_seed_all(5)
    a, b = ng.rand(5, device="cuda:0"), ng.rand(5, device="cuda:1")
    np.testing.assert_array_equal(host(a), host(b))
    states = ng.cuda.get_rng_state_all()
    with ng.cuda.device(1):
        ng.cuda.manual_seed(6)
        assert ng.cuda.initial_seed() == 6
    ng.cuda.set_rng_state_all(states)
    np.testing.assert_array_equal(
        host(ng.rand(5, device="cuda:0")), host(ng.rand(5, device="cuda:1"))
    )


def test_fork_rng_restores_the_gpus_stream():
    ng.rand(1, device="cuda")
    with ng.random.fork_rng():
        inside = host(ng.rand(5, device="cuda"))
    np.testing.assert_array_equal(host(ng.rand(5, device="cuda")), inside)


def test_errors_are_the_cpus():
    with pytest.raises(RuntimeError, match="p=2"):
        ng.empty(3, device="cuda").bernoulli_(2.0)
    with pytest.raises(NotImplementedError, match="not implemented for 'Long'"):
        ng.empty(3, device="cuda", dtype=ng.int64).uniform_()
