import itertools

import pytest

import numgrad
from numgrad.utils.data import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    WeightedRandomSampler,
)
from numgrad.utils.data.distributed import DistributedSampler


def test_base_class_asks_for_iter():
    with pytest.raises(NotImplementedError):
        list(Sampler())


def test_sequential_sampler_follows_a_growing_source():
    source = [1, 2]
    sampler = SequentialSampler(source)
    source.append(3)
    assert list(sampler) == [0, 1, 2] and len(sampler) == 3


def test_random_sampler_gives_every_index_once():
    assert sorted(RandomSampler(range(50))) == list(range(50))
    assert len(RandomSampler(range(50))) == 50


def test_random_sampler_starts_over_when_asked_for_more():
    drawn = list(RandomSampler(range(3), num_samples=7))
    assert len(drawn) == 7
    assert sorted(drawn[:3]) == sorted(drawn[3:6]) == [0, 1, 2]


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"replacement": 1}, TypeError, "replacement should be a boolean value"),
        ({"num_samples": 0}, ValueError, "num_samples should be a positive integer value"),
        ({"num_samples": 1.5}, ValueError, "but got num_samples=1.5"),
    ],
)
def test_random_sampler_errors(kwargs, error, message):
    with pytest.raises(error, match=message):
        RandomSampler(range(3), **kwargs)


def test_random_sampler_of_nothing():
    with pytest.raises(ValueError, match="but got num_samples=0"):
        RandomSampler([])


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (([1.0], 0), "num_samples should be a positive integer"),
        (([1.0], True), "num_samples should be a positive integer"),
        (([1.0], 1, 1), "replacement should be a boolean"),
        (([[1.0]], 1), r"weights should be a 1d sequence but given weights have shape \(1, 1\)"),
    ],
)
def test_weighted_sampler_errors(args, message):
    with pytest.raises(ValueError, match=message):
        WeightedRandomSampler(*args)


@pytest.mark.parametrize(
    ("weights", "replacement", "message"),
    [
        ([-1.0, 2.0], False, "either `inf`, `nan` or element < 0"),
        ([float("nan"), 2.0], True, "either `inf`, `nan` or element < 0"),
        ([0.0, 0.0], True, "sum of probabilities <= 0"),
        ([1.0], False, "cannot sample n_sample > prob_dist"),
    ],
)
def test_weighted_sampler_refuses_bad_weights(weights, replacement, message):
    with pytest.raises(RuntimeError, match=message):
        list(WeightedRandomSampler(weights, 2, replacement))


def test_weighted_sampler_without_replacement_gives_each_index_once():
    drawn = list(WeightedRandomSampler([1.0, 5.0, 2.0, 3.0], 4, replacement=False))
    assert sorted(drawn) == [0, 1, 2, 3]


def test_batch_sampler():
    assert list(BatchSampler(range(5), 2, False)) == [[0, 1], [2, 3], [4]]
    assert list(BatchSampler(range(5), 2, True)) == [[0, 1], [2, 3]]
    assert [len(BatchSampler(range(n), 3, False)) for n in range(5)] == [0, 1, 1, 1, 2]
    assert [len(BatchSampler(range(n), 3, True)) for n in range(7)] == [0, 0, 0, 1, 1, 1, 2]


@pytest.mark.parametrize("batch_size", [0, -1, 1.5, True])
def test_batch_sampler_refuses_batch_size(batch_size):
    with pytest.raises(ValueError, match=f"but got batch_size={batch_size}"):
        BatchSampler(range(5), batch_size, False)


def test_batch_sampler_refuses_drop_last():
    with pytest.raises(ValueError, match="drop_last should be a boolean value"):
        BatchSampler(range(5), 2, 1)


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("size", [8, 9, 11])
def test_distributed_sampler_shares_are_equal_and_cover(size, drop_last):
    shares = [
        list(DistributedSampler(range(size), 4, rank, drop_last=drop_last)) for rank in range(4)
    ]
    assert len({len(share) for share in shares}) == 1
    seen = {index for share in shares for index in share}
    assert len(seen) == (size - size % 4 if drop_last else size)


def test_distributed_sampler_epochs_differ():
    sampler = DistributedSampler(range(20), 2, 0)
    first = list(sampler)
    assert list(sampler) == first
    sampler.set_epoch(1)
    assert list(sampler) != first


@pytest.mark.parametrize("rank", [-1, 2])
def test_distributed_sampler_refuses_rank(rank):
    with pytest.raises(ValueError, match=rf"Invalid rank {rank}, .* interval \[0, 1\]"):
        DistributedSampler(range(4), 2, rank)


def _orders(library):
    """What each sampler gives on the global stream and on a generator, twice each."""
    data = library.utils.data
    makers = [
        lambda g: data.RandomSampler(range(7), generator=g),
        lambda g: data.RandomSampler(range(7), num_samples=4, generator=g),
        lambda g: data.RandomSampler(range(7), num_samples=19, generator=g),
        lambda g: data.RandomSampler(range(7), replacement=True, generator=g),
        lambda g: data.RandomSampler(range(900), replacement=True, num_samples=70, generator=g),
        lambda g: data.SubsetRandomSampler([9, 5, 1, 7], generator=g),
        lambda g: data.WeightedRandomSampler([0.1, 0.9, 0.4, 3.0], 9, generator=g),
        lambda g: data.WeightedRandomSampler([0.1, 0.9, 0.4, 3.0], 1, generator=g),
        lambda g: data.WeightedRandomSampler([0.1, 0.9, 0.4, 3.0], 3, False, generator=g),
    ]
    orders = []
    for make, own in itertools.product(makers, (False, True)):
        library.manual_seed(11)
        generator = library.Generator().manual_seed(3) if own else None
        sampler = make(generator)
        orders.append([list(sampler), list(sampler)])
        # The streams are left where PyTorch leaves them.
        orders.append(library.rand(2).tolist())
        orders.append(library.rand(2, generator=generator).tolist())
    return orders


def test_samplers_draw_as_torch():
    torch = pytest.importorskip("torch")

    assert _orders(numgrad) == _orders(torch)


@pytest.mark.parametrize("size", [3, 12, 13])
@pytest.mark.parametrize("replicas", [1, 4, 5])
def test_distributed_sampler_is_torchs(size, replicas):
    torch = pytest.importorskip("torch")
    from torch.utils.data.distributed import DistributedSampler as TorchSampler

    for rank, shuffle, drop_last in itertools.product(range(replicas), (0, 1), (False, True)):
        arguments = (range(size), replicas, rank, bool(shuffle), 7, drop_last)
        ours, theirs = DistributedSampler(*arguments), TorchSampler(*arguments)
        for epoch in range(2):
            ours.set_epoch(epoch)
            theirs.set_epoch(epoch)
            assert list(ours) == list(theirs)
            assert len(ours) == len(theirs)
    assert torch
