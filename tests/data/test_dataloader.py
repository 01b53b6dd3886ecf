"""`DataLoader` in one process; its workers are in test_workers.py."""

import multiprocessing
import pickle
import warnings

import numpy as np
import pytest

import numgrad
from numgrad.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset


class Squares(Dataset):
    def __init__(self, size):
        self.size = size

    def __getitem__(self, index):
        return index, index * index

    def __len__(self):
        return self.size


class Stream(IterableDataset):
    def __init__(self, size):
        self.size = size

    def __iter__(self):
        return iter(range(self.size))

    def __len__(self):
        return self.size


class Together(Squares):
    def __getitems__(self, indices):
        return [("together", index) for index in indices]


def lists(loader):
    return [[column.tolist() for column in batch] for batch in loader]


def test_batches_in_order():
    loader = DataLoader(Squares(5), batch_size=2)
    assert lists(loader) == [[[0, 1], [0, 1]], [[2, 3], [4, 9]], [[4], [16]]]
    assert len(loader) == 3 and len(iter(loader)) == 3


def test_drop_last():
    loader = DataLoader(Squares(5), batch_size=2, drop_last=True)
    assert [batch[0].tolist() for batch in loader] == [[0, 1], [2, 3]]
    assert len(loader) == 2


def test_shuffle_gives_each_sample_once_in_a_new_order():
    loader = DataLoader(Squares(40), batch_size=7, shuffle=True)
    epochs = [[i for batch in loader for i in batch[0].tolist()] for _ in range(2)]
    assert epochs[0] != epochs[1]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(40))


def test_without_batches():
    loader = DataLoader(Squares(2), batch_size=None)
    assert list(loader) == [[0, 0], [1, 1]] and len(loader) == 2
    (array,) = DataLoader([np.ones(2)], batch_size=None)
    assert isinstance(array, numgrad.Tensor)


def test_own_sampler_and_collate_fn():
    loader = DataLoader(Squares(9), batch_size=2, sampler=[8, 1, 3], collate_fn=lambda batch: batch)
    assert list(loader) == [[(8, 64), (1, 1)], [(3, 9)]]


def test_own_batch_sampler():
    loader = DataLoader(Squares(9), batch_sampler=[[8], [1, 3]])
    assert [batch[1].tolist() for batch in loader] == [[64], [1, 9]]
    assert len(loader) == 2 and loader.batch_size is None


def test_getitems_is_used():
    (batch,) = DataLoader(Together(3), batch_size=3)
    assert batch[0] == ("together",) * 3 and batch[1].tolist() == [0, 1, 2]


def test_stream():
    loader = DataLoader(Stream(5), batch_size=2)
    assert [batch.tolist() for batch in loader] == [[0, 1], [2, 3], [4]]
    loader = DataLoader(Stream(5), batch_size=2, drop_last=True)
    assert [batch.tolist() for batch in loader] == [[0, 1], [2, 3]] and len(loader) == 2
    assert list(DataLoader(Stream(3), batch_size=None)) == [0, 1, 2]
    assert len(DataLoader(Stream(5), batch_size=2)) == 3


def test_a_used_up_iterator_stays_used_up():
    for dataset in (Stream(3), Squares(3)):
        iterator = iter(DataLoader(dataset, batch_size=2))
        assert len(list(iterator)) == 2
        assert next(iterator, None) is None


def test_a_stream_longer_than_it_said_warns():
    dataset = Stream(3)
    loader = DataLoader(dataset, batch_size=None)
    len(loader)
    dataset.size = 4
    with pytest.warns(UserWarning, match="was reported to be 3.*but 4 samples have been fetched"):
        assert len(list(loader)) == 4


def test_pin_memory_is_accepted():
    loader = DataLoader(Squares(2), pin_memory=True)
    with pytest.warns(UserWarning, match="no accelerator is found"):
        assert len(list(loader)) == 2


def test_iterators_are_independent():
    loader = DataLoader(Squares(4), batch_size=2)
    pairs = [(a[0].tolist(), b[0].tolist()) for a in loader for b in loader]
    assert len(pairs) == 4


def test_a_failing_dataset_raises_its_own_error():
    class Failing(Squares):
        def __getitem__(self, index):
            raise LookupError("no such sample")

    with pytest.raises(LookupError, match="no such sample"):
        list(DataLoader(Failing(1)))


def test_attributes_are_fixed_after_construction():
    loader = DataLoader(Squares(4))
    for name in ("batch_size", "batch_sampler", "sampler", "drop_last", "dataset"):
        with pytest.raises(
            ValueError, match=f"{name} attribute should not be set after DataLoader"
        ):
            setattr(loader, name, None)
    loader.collate_fn = len
    assert list(loader) == [1] * 4


def test_an_iterator_cannot_be_pickled_but_a_loader_can():
    loader = DataLoader(Squares(4), batch_size=2)
    assert lists(pickle.loads(pickle.dumps(loader))) == lists(loader)
    with pytest.raises(NotImplementedError, match="cannot be pickled"):
        pickle.dumps(iter(loader))


_INVALID = [
    {"num_workers": -1},
    {"timeout": -1},
    {"prefetch_factor": 2},
    {"num_workers": 1, "prefetch_factor": -1},
    {"persistent_workers": True},
    {"sampler": [0], "shuffle": True},
    {"batch_sampler": [[0]], "batch_size": 2},
    {"batch_sampler": [[0]], "shuffle": True},
    {"batch_sampler": [[0]], "sampler": [0]},
    {"batch_sampler": [[0]], "drop_last": True},
    {"batch_size": None, "drop_last": True},
    {"batch_size": 0},
    {"batch_size": 1.5},
    {"drop_last": 1},
    {"multiprocessing_context": "fork"},
    {"num_workers": 1, "multiprocessing_context": "thread"},
    {"num_workers": 1, "multiprocessing_context": 3},
    {"shuffle": True, "size": 0},
    {"stream": True, "shuffle": True},
    {"stream": True, "sampler": [0]},
    {"stream": True, "batch_sampler": [[0]]},
]


def _refusal(library, options):
    """The type and the text of the error that a library raises for these options."""
    options = dict(options)
    data = library.utils.data
    if options.pop("stream", False):

        class Stream(data.IterableDataset):
            def __iter__(self):
                return iter(())

        dataset = Stream()
    else:
        dataset = list(range(options.pop("size", 3)))
    with pytest.raises((ValueError, TypeError)) as caught:
        data.DataLoader(dataset, **options)
    return caught.type, str(caught.value)


@pytest.mark.parametrize("options", _INVALID, ids=str)
def test_invalid_options_are_refused_as_by_torch(options):
    kind, text = _refusal(numgrad, options)
    assert any(name in text for name in [*options, "num_samples", "auto-batching", "num_workers"])
    torch = pytest.importorskip("torch")

    assert (kind, text) == _refusal(torch, options)


def test_timeout_needs_workers():
    with pytest.raises(AssertionError, match="requires timeout == 0"):
        iter(DataLoader(Squares(2), timeout=1))


def test_too_many_workers_warn():
    with pytest.warns(UserWarning, match="will create 4096 worker processes in total"):
        DataLoader(Squares(2), num_workers=4096)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loader = DataLoader(Squares(2), num_workers=1, multiprocessing_context="spawn")
    assert loader.multiprocessing_context is multiprocessing.get_context("spawn")


@pytest.mark.parametrize("own_generator", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {"batch_size": 2, "shuffle": True},
        {"batch_size": 5, "shuffle": True, "drop_last": True},
        {"batch_size": None, "shuffle": True},
        {"batch_size": 3},
    ],
    ids=str,
)
def test_batches_and_streams_are_torchs(options, own_generator):
    torch = pytest.importorskip("torch")

    def run(library):
        library.manual_seed(123)
        x = library.rand(13, 2)
        dataset = library.utils.data.TensorDataset(x, library.arange(13))
        generator = library.Generator().manual_seed(9) if own_generator else None
        loader = library.utils.data.DataLoader(dataset, generator=generator, **options)
        seen = [lists(loader)]
        next(iter(loader))  # an epoch that is broken off draws its base seed and its order
        seen += [lists(loader), library.rand(3).tolist()]
        seen.append(library.rand(3, generator=generator).tolist())
        return seen

    assert run(numgrad) == run(torch)


def test_the_appendix():
    """The figures of the seed document's data loader."""
    numgrad.manual_seed(123)
    x = numgrad.tensor([[-1.2, 3.1], [-0.9, 2.9], [-0.5, 2.6], [2.3, -1.1], [2.7, -1.5]])
    loader = DataLoader(
        TensorDataset(x, numgrad.tensor([0, 0, 0, 1, 1])), batch_size=2, shuffle=True
    )
    assert [batch[1].tolist() for batch in loader] == [[1, 0], [0, 0], [1]]
    numgrad.manual_seed(123)
    assert next(iter(loader))[0].flatten().tolist() == pytest.approx([2.3, -1.1, -0.9, 2.9])
