"""The random streams: against NumPy's Mersenne Twister, against torch, and their saved state."""

import pickle
import threading

import numpy as np
import pytest

from numgrad._generator import DEFAULT_SEED, GeneratorState
from numgrad.kernels import random as kernels
from numgrad.kernels._contract import kernel

SEED = 123
FLOATS = [np.float32, np.float64]
DTYPES = [*FLOATS, np.int64, np.int32, np.int16, np.int8, np.uint8, np.bool_]
#: Counts around the sixteen of the normal draws and the 624 words of a block.
COUNTS = [0, 1, 5, 15, 16, 17, 40, 311, 312, 313, 623, 624, 625, 2000]


def words(seed, count):
    """The first 32-bit draws of the stream, from NumPy."""
    return np.random.RandomState(seed & 0xFFFFFFFF).randint(0, 1 << 32, count, np.uint64)


def drawn(method, out, *arguments, seed=SEED, **keywords):
    getattr(GeneratorState(seed), method)(out, *arguments, **keywords)
    return out


@pytest.mark.parametrize("seed", [0, 1, 5489, DEFAULT_SEED, (1 << 64) - 1])
def test_words_are_the_mersenne_twisters(seed):
    out = drawn("integers", np.empty(2000, np.int64), 0, 1 << 27, seed=seed)
    np.testing.assert_array_equal(out, words(seed, 2000) % (1 << 27))


def test_wide_words_take_two_draws_the_first_one_high():
    # An odd draw first: the 312th wide word straddles two blocks.
    generator = GeneratorState(SEED)
    first, out = np.empty(1, np.float32), np.empty(700, np.int64)
    generator.uniform(first)
    generator.integers(out, -(1 << 63), None)
    pairs = words(SEED, 1401)[1:].reshape(-1, 2)
    expected = (pairs[:, 0] << np.uint64(32)) | pairs[:, 1]
    np.testing.assert_array_equal(out, expected.astype(np.int64))


def test_uniform_numbers():
    single = drawn("uniform", np.empty(1000, np.float32))
    np.testing.assert_array_equal(single, words(SEED, 1000) % (1 << 24) * np.float32(2.0**-24))
    double = drawn("uniform", np.empty(1000), -2.0, 5.0)
    assert -2.0 <= double.min() < -1.95 and 4.95 < double.max() < 5.0


@pytest.mark.parametrize("count", [1, 2, 16, 1000])
def test_permutations(count):
    out = drawn("permutation", np.empty(count, np.int64))
    expected, draws = np.arange(count), words(SEED, count)
    for i in range(count - 1):
        j = i + int(draws[i]) % (count - i)
        expected[[i, j]] = expected[[j, i]]
    np.testing.assert_array_equal(out, expected)


def test_permutations_of_hundreds_of_millions_take_wide_words(monkeypatch):
    monkeypatch.setattr(kernels, "MANY", 10)
    generator = GeneratorState(SEED)
    out = np.empty(50, np.int64)
    kernel(items=lambda *_: 1)(kernels.permutation.py_func)(generator.prepare(), out)
    wide = [int(high) << 32 | int(low) for high, low in words(SEED, 100).reshape(-1, 2)]
    expected = []
    for i, draw in enumerate(wide):
        j = draw % (i + 1)
        expected.append(i)
        expected[i], expected[j] = expected[j], i
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("dtype", FLOATS)
def test_moments(dtype):
    count = 1 << 16
    normal = drawn("normal", np.empty(count, dtype), 3.0, 2.0)
    assert abs(normal.mean() - 3.0) < 0.03 and abs(normal.std() - 2.0) < 0.03
    one_by_one = drawn("normal", np.empty(count, dtype), 3.0, 2.0, strided=True)
    assert abs(one_by_one.mean() - 3.0) < 0.03 and abs(one_by_one.std() - 2.0) < 0.03
    assert abs(drawn("exponential", np.empty(count, dtype), 4.0).mean() - 0.25) < 0.005
    assert abs(drawn("bernoulli", np.empty(count, dtype), 0.3, 2.0).mean() - 0.6) < 0.01
    assert abs(drawn("geometric", np.empty(count, dtype), 0.25).mean() - 4.0) < 0.06
    assert abs(np.median(drawn("cauchy", np.empty(count, dtype), 1.0, 0.5)) - 1.0) < 0.02
    logs = np.log(drawn("log_normal", np.empty(count, dtype), 0.5, 0.25))
    assert abs(logs.mean() - 0.5) < 0.01 and abs(logs.std() - 0.25) < 0.01
    picks = drawn(
        "multinomial", np.empty((2, count), np.int64), np.array([[1, 0, 3], [0, 1, 0]], dtype)
    )
    assert abs((picks[0] == 2).mean() - 0.75) < 0.01 and (picks[0] != 1).all()
    assert (picks[1] == 1).all()


def test_a_seed_restarts_the_stream():
    generator = GeneratorState()
    assert generator.initial_seed() == DEFAULT_SEED
    first, second = np.empty(7, np.float32), np.empty(7, np.float32)
    generator.normal(first[:1].copy())  # leaves a normal value behind
    generator.manual_seed(-1)
    assert generator.initial_seed() == (1 << 64) - 1
    generator.normal(first)
    generator.manual_seed((1 << 64) - 1)
    generator.normal(second)
    np.testing.assert_array_equal(first, second)
    assert generator.seed() == generator.initial_seed()
    for seed in (1 << 64, -(1 << 63) - 1):
        with pytest.raises(ValueError, match="Overflow when unpacking long long"):
            generator.manual_seed(seed)


@pytest.mark.parametrize("before", [0, 1, 3, 624, 1000])
def test_a_saved_state_continues_the_stream(before):
    generator = GeneratorState(SEED)
    generator.uniform(np.empty(before, np.float32))
    generator.normal(np.empty(3))  # an odd number: one is kept
    saved = generator.get_state()
    assert saved.dtype == np.uint8 and saved.shape == (5056,)
    copies = [GeneratorState(), pickle.loads(pickle.dumps(generator))]
    copies[0].set_state(saved)
    expected = np.empty(20)
    generator.normal(expected[:5])
    generator.uniform(expected[5:])
    for copy in copies:
        assert copy.initial_seed() == SEED
        out = np.empty(20)
        copy.normal(out[:5])
        copy.uniform(out[5:])
        np.testing.assert_array_equal(out, expected)


def test_a_damaged_state_is_refused():
    generator = GeneratorState(SEED)
    saved = generator.get_state()
    with pytest.raises(TypeError, match=r"RNG state must be a torch\.ByteTensor"):
        generator.set_state(saved.astype(np.float32))
    with pytest.raises(RuntimeError, match="CPUGeneratorImplState of size 5056 but found .* be 5"):
        generator.set_state(saved[:5])
    for offset, value in ((8, 0), (8, 200), (12, 0), (16, 9), (28, 1)):
        damaged = saved.copy()
        damaged[offset] = value
        with pytest.raises(RuntimeError, match="Invalid mt19937 state"):
            generator.set_state(damaged)
    np.testing.assert_array_equal(generator.get_state(), saved)


def test_bad_arguments_are_refused_before_anything_is_drawn():
    generator = GeneratorState(SEED)
    saved = generator.get_state()
    single, integer = np.zeros(3, np.float32), np.zeros(3, np.int64)
    cases = [
        ("uniform", (single, 1.0, 0.0), r"from=1 > to=0"),
        ("normal", (single, 0.0, -1.0), r"normal expects std >= 0\.0, but found std -1"),
        ("integers", (integer, 5, 5), r"got from=5 >= to=5"),
        ("integers", (np.zeros(3, np.uint8), 0, 300), "to - 1 is out of bounds for unsigned char"),
        ("integers", (np.zeros(3, np.uint8), -1, 3), "from is out of bounds for unsigned char"),
        ("bernoulli", (single, 2.0), r"p to be in \[0, 1\], but got p=2"),
        ("bernoulli_each", (single, single + 2), "Expected p_in >= 0 && p_in <= 1"),
        ("exponential", (single, 0.0), "exponential_ expects lambda > 0.0, but found lambda=0"),
        ("geometric", (single, 1.0), r"geometric_ expects p to be in \(0, 1\), but got p=1"),
        ("cauchy", (single, 0.0, 0.0), "cauchy_ expects sigma > 0.0, but found sigma=0"),
        ("log_normal", (single, 0.0, 0.0), "log_normal_ expects std > 0.0, but found std=0"),
        ("multinomial", (integer, single - 1), "contains either `inf`, `nan` or element < 0"),
        ("multinomial", (integer, single), "invalid multinomial distribution"),
    ]
    for method, arguments, message in cases:
        with pytest.raises(RuntimeError, match=message):
            getattr(generator, method)(*arguments)
    with pytest.raises(NotImplementedError, match="\"normal_kernel_cpu\" not .* for 'Long'"):
        generator.normal(integer)
    with pytest.raises(ValueError, match="must be C-contiguous"):
        generator.uniform(np.zeros((4, 2), np.float32)[:, 0])
    with pytest.raises(ValueError, match=r"expected probabilities of shape \(3,\), got \(2,\)"):
        generator.bernoulli_each(single, single[:2])
    with pytest.raises(ValueError, match="expected int64 rows"):
        generator.multinomial(np.zeros((3, 1), np.int64), np.ones((2, 3), np.float32))
    assert not single.any() and not integer.any()
    np.testing.assert_array_equal(generator.get_state(), saved)


def test_threads_share_a_stream_without_losing_a_draw():
    generator, expected = GeneratorState(SEED), np.empty(4000)
    GeneratorState(SEED).uniform(expected)
    parts = np.empty((4, 1000))

    def work(row):
        for i in range(row.size):
            generator.uniform(row[i : i + 1])

    threads = [threading.Thread(target=work, args=(row,)) for row in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(np.sort(parts.ravel()), np.sort(expected))


# Against torch


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def torch_dtype(torch, dtype):
    return getattr(torch, "bool" if dtype is np.bool_ else np.dtype(dtype).name)


class Pair:
    """Our stream and torch's, seeded alike, drawing the same things."""

    def __init__(self, torch, seed=SEED):
        self.torch, self.ours, self.theirs = torch, GeneratorState(seed), torch.Generator()
        self.theirs.manual_seed(seed)

    def check(self, method, torch_method, dtype, count, *arguments, tolerance=0.0):
        out = np.empty(count, dtype)
        getattr(self.ours, method)(out, *arguments)
        empty = self.torch.empty(count, dtype=torch_dtype(self.torch, dtype))
        expected = getattr(empty, torch_method)(*arguments, generator=self.theirs).numpy()
        if tolerance:
            np.testing.assert_allclose(out, expected, tolerance, tolerance)
        else:
            np.testing.assert_array_equal(out, expected)

    def check_state(self):
        ours, theirs = self.ours.get_state(), self.theirs.get_state().numpy()
        np.testing.assert_array_equal(ours[:5024], theirs[:5024])  # all but a kept normal value


@pytest.mark.parametrize("dtype", FLOATS)
def test_continuous_draws_are_torchs(torch, dtype):
    pair = Pair(torch)
    rounding = 2e-6 if dtype is np.float32 else 1e-14
    for count in COUNTS:
        pair.check("uniform", "uniform_", dtype, count)
        pair.check("uniform", "uniform_", dtype, count, -3.5, 7.25)
        pair.check("normal", "normal_", dtype, count, 0.0, 1.0, tolerance=rounding)
        pair.check("normal", "normal_", dtype, count, 1.5, 2.5, tolerance=rounding)
        pair.check("cauchy", "cauchy_", dtype, count, 1.0, 2.0, tolerance=rounding)
        pair.check("log_normal", "log_normal_", dtype, count, 0.5, 0.25, tolerance=rounding)
        pair.check("geometric", "geometric_", dtype, count, 0.2)
        pair.check_state()
    out, strided = np.empty(40, dtype), torch.empty(40, 2, dtype=torch_dtype(torch, dtype))[:, 0]
    pair.ours.normal(out, strided=True)
    expected = strided.normal_(generator=pair.theirs).numpy()
    np.testing.assert_allclose(out, expected, rounding, rounding)


@pytest.mark.parametrize("dtype", DTYPES)
def test_integer_draws_are_torchs(torch, dtype):
    pair = Pair(torch)
    bounds = [(0, 2)] if dtype is np.bool_ else [(0, 10), (3, 100)]
    if dtype in (np.int64, np.int32):
        bounds += [(-5, 7), (0, (1 << 28) - 1), (0, 1 << 28), (-(1 << 30), 1 << 30)]
    if dtype is np.int64:
        bounds += [(0, 1 << 31), (0, 1 << 32), (-(1 << 62), 1 << 62), (-(1 << 63), None)]
    for count in COUNTS:
        for low, high in bounds:
            pair.check("integers", "random_", dtype, count, low, high)
        pair.check("integers_of_dtype", "random_", dtype, count)
        pair.check_state()


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.float32])
def test_permutations_are_torchs(torch, dtype):
    pair = Pair(torch)
    for count in [*COUNTS, (1 << 16) - 1, 1 << 16, (1 << 16) + 1, 1_000_000]:
        out = np.empty(count, dtype)
        pair.ours.permutation(out)
        theirs = torch.randperm(
            count, dtype=torch_dtype(torch, dtype), generator=pair.theirs
        ).numpy()
        np.testing.assert_array_equal(out, theirs)
    pair.check_state()


@pytest.mark.parametrize("dtype", FLOATS)
def test_drawn_events_are_torchs(torch, dtype):
    pair = Pair(torch)
    chances = np.random.default_rng(0).random((3, 50)).astype(dtype)
    tensor = torch.from_numpy(chances)
    for _ in range(5):
        out = np.empty_like(chances)
        pair.ours.bernoulli_each(out, chances)
        np.testing.assert_array_equal(out, torch.bernoulli(tensor, generator=pair.theirs).numpy())
        picks = np.empty((3, 7), np.int64)
        pair.ours.multinomial(picks, chances)
        theirs = torch.multinomial(tensor, 7, replacement=True, generator=pair.theirs)
        np.testing.assert_array_equal(picks, theirs.numpy())
    pair.check_state()


def draws_from_this_stream(torch):
    """On an Intel processor torch takes these from MKL's generator, one word of ours seeding it."""
    probe = torch.Generator().manual_seed(SEED)
    torch.empty(9).bernoulli_(0.5, generator=probe)
    return int(probe.get_state().numpy()[16:24].view(np.uint64)[0]) == 18


@pytest.mark.parametrize("dtype", FLOATS)
def test_masks_and_exponential_numbers_are_torchs(torch, dtype):
    if not draws_from_this_stream(torch):
        pytest.skip("this torch draws them from MKL's generator, as it does on Intel processors")
    pair = Pair(torch)
    for count in COUNTS:
        pair.check("bernoulli", "bernoulli_", dtype, count, 0.3)
        pair.check("exponential", "exponential_", dtype, count, 2.0, tolerance=1e-6)
    pair.check_state()
    torch.manual_seed(SEED)
    theirs = torch.nn.functional.dropout(torch.ones(1000), 0.3).numpy()
    ours = drawn("bernoulli", np.empty(1000, np.float32), 0.7, 1.0 / 0.7)
    np.testing.assert_allclose(ours, theirs, 1e-6)


@pytest.mark.parametrize("seed", [0, 1, SEED, (1 << 62) + 1, -1])
def test_states_travel_to_torch_and_back(torch, seed):
    pair = Pair(torch, seed)
    np.testing.assert_array_equal(pair.ours.get_state(), pair.theirs.get_state().numpy())
    pair.check("normal", "normal_", np.float64, 3, tolerance=1e-14)
    # Ours continues theirs, kept value included; then theirs continues ours.
    pair.ours.set_state(pair.theirs.get_state().numpy())
    np.testing.assert_array_equal(pair.ours.get_state(), pair.theirs.get_state().numpy())
    pair.check("normal", "normal_", np.float64, 2, tolerance=1e-14)
    pair.check("uniform", "uniform_", np.float32, 624)
    pair.theirs.set_state(torch.from_numpy(pair.ours.get_state()))
    assert pair.theirs.initial_seed() == pair.ours.initial_seed()
    pair.check("normal", "normal_", np.float32, 7, tolerance=2e-6)
    pair.check_state()
