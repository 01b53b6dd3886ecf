import pytest

import numgrad
from numgrad.utils.data import (
    ChainDataset,
    ConcatDataset,
    Dataset,
    IterableDataset,
    StackDataset,
    Subset,
    TensorDataset,
    random_split,
)


class Stream(IterableDataset):
    def __init__(self, *values):
        self.values = values

    def __iter__(self):
        return iter(self.values)

    def __len__(self):
        return len(self.values)


class Letters(Dataset):
    def __init__(self, letters):
        self.letters = letters
        self.fetched_together = []

    def __getitem__(self, index):
        return self.letters[index]

    def __getitems__(self, indices):
        self.fetched_together.append(list(indices))
        return [self.letters[i] for i in indices]

    def __len__(self):
        return len(self.letters)


def test_base_class_asks_for_getitem():
    with pytest.raises(NotImplementedError, match="Subclasses of Dataset should implement"):
        Dataset()[0]
    with pytest.raises(TypeError):
        len(Dataset())


def test_tensor_dataset_indexes_every_tensor():
    x, y = numgrad.arange(6).reshape(3, 2), numgrad.tensor([7, 8, 9])
    dataset = TensorDataset(x, y)
    assert len(dataset) == 3
    row, label = dataset[-1]
    assert row.tolist() == [4, 5] and label.item() == 9
    rows, labels = dataset[0:2]
    assert rows.tolist() == [[0, 1], [2, 3]] and labels.tolist() == [7, 8]


def test_tensor_dataset_refuses_unequal_lengths():
    with pytest.raises(AssertionError, match="Size mismatch between tensors"):
        TensorDataset(numgrad.zeros(3), numgrad.zeros(2))


def test_stack_dataset():
    pairs = StackDataset(Letters("abc"), [1, 2, 3])
    assert pairs[1] == ("b", 2)
    assert pairs.__getitems__([2, 0]) == [("c", 3), ("a", 1)]
    named = StackDataset(letter=Letters("abc"), number=[1, 2, 3])
    assert len(named) == 3
    assert named.__getitems__([2]) == [{"letter": "c", "number": 3}]


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, "At least one dataset should be passed"),
        (([1],), {"a": [1]}, "both types are given"),
        (([1], [1, 2]), {}, "Size mismatch between datasets"),
    ],
)
def test_stack_dataset_errors(args, kwargs, message):
    with pytest.raises(ValueError, match=message):
        StackDataset(*args, **kwargs)


def test_stack_dataset_checks_what_getitems_returns():
    class Short(Letters):
        def __getitems__(self, indices):
            return []

    with pytest.raises(ValueError, match="output size mismatch. Expected 2, got 0"):
        StackDataset(Short("abc")).__getitems__([0, 1])


def test_concat_dataset():
    both = Letters("ab") + Letters("") + Letters("cde")
    assert isinstance(both, ConcatDataset)
    assert [both[i] for i in range(len(both))] == list("abcde")
    assert [both[-i] for i in range(1, 6)] == list("edcba")
    with pytest.raises(ValueError, match="absolute value of index should not exceed"):
        both[-6]
    with pytest.raises(IndexError):
        both[5]


def test_concat_dataset_errors():
    with pytest.raises(AssertionError, match="should not be an empty iterable"):
        ConcatDataset([])
    with pytest.raises(AssertionError, match="does not support IterableDataset"):
        ConcatDataset([Stream(1)])


def test_chain_dataset():
    chain = Stream(1, 2) + Stream(3)
    assert isinstance(chain, ChainDataset)
    assert list(chain) == [1, 2, 3] and len(chain) == 3
    with pytest.raises(AssertionError, match="only supports IterableDataset"):
        list(ChainDataset([Letters("a")]))


def test_subset_fetches_through_getitems():
    letters = Letters("abcdef")
    subset = Subset(letters, [5, 3, 1])
    assert subset[0] == "f" and len(subset) == 3
    assert subset.__getitems__([2, 1]) == ["b", "d"]
    assert letters.fetched_together == [[1, 3]]
    assert Subset("abc", [2, 0]).__getitems__([1]) == ["a"]


def test_subset_subclass_has_to_override_both():
    class Upper(Subset):
        def __getitem__(self, index):
            return super().__getitem__(index).upper()

    with pytest.raises(NotImplementedError, match="Upper overrides __getitem__ but not"):
        Upper("abc", [0])


def test_random_split_partitions():
    parts = random_split(range(10), [2, 5, 3], generator=numgrad.Generator().manual_seed(1))
    assert [len(part) for part in parts] == [2, 5, 3]
    assert sorted(value for part in parts for value in part) == list(range(10))


def test_random_split_errors():
    with pytest.raises(ValueError, match="Sum of input lengths does not equal"):
        random_split(range(10), [3, 3])
    with pytest.raises(ValueError, match="Fraction at index 0 is not between 0 and 1"):
        random_split(range(10), [1.5, -0.5])
    with pytest.warns(UserWarning, match="Length of split at index 1 is 0"):
        random_split(range(2), [1.0, 0.0])


@pytest.mark.parametrize("lengths", [[3, 7], [0.3, 0.3, 0.4], [0.5, 0.25, 0.25]])
def test_random_split_draws_as_torch(lengths):
    torch = pytest.importorskip("torch")

    def split(library, data):
        library.manual_seed(5)
        parts = data.random_split(range(11 if sum(lengths) == 1 else 10), lengths)
        other = data.random_split(range(4), [2, 2], library.Generator().manual_seed(42))
        return [list(part.indices) for part in [*parts, *other]]

    assert split(numgrad, numgrad.utils.data) == split(torch, torch.utils.data)
