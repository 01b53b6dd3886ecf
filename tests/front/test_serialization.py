"""Saving and loading: round trips, files that go both ways between numgrad and torch."""

import io
import pickle
import struct
import sys
import warnings
import zipfile
from collections import Counter, OrderedDict

import numpy as np
import pytest

import numgrad
from numgrad.nn.parameter import Parameter

DTYPES = ["float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool"]


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def saved(obj, **keywords):
    file = io.BytesIO()
    numgrad.save(obj, file, **keywords)
    return file.getvalue()


def round_trip(obj, **keywords):
    return numgrad.load(io.BytesIO(saved(obj)), **keywords)


def values(dtype, shape=(2, 3)):
    counted = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    return np.asarray(counted % 2 + 1, dtype)


def assert_same(loaded, tensor):
    assert type(loaded) is type(tensor)
    assert loaded.dtype is tensor.dtype
    assert loaded.shape == tensor.shape
    assert loaded.requires_grad == tensor.requires_grad
    np.testing.assert_array_equal(loaded.detach().numpy(), tensor.detach().numpy())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (1,), (2, 3)])
def test_round_trip_of_a_tensor(dtype, shape):
    tensor = numgrad.from_numpy(values(dtype, shape))
    assert_same(round_trip(tensor), tensor)


def test_round_trip_of_plain_data():
    metadata = OrderedDict([("", {"version": 1})])
    state = OrderedDict(weight=1, bias=2)
    state._metadata = metadata
    data = {
        "list": [1, -1, 255, 65536, -(2**31), 2**70, 2.5, float("inf"), None, True, False],
        "text": ["", "x", "é\ud800"],
        "tuples": [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)],
        ("key", 1, (2.0, None)): {1, 2},
        "bytes": [b"", b"\x00\xff", bytearray(b"abc"), bytearray()],
        "complex": 1 + 2j,
        "counter": Counter("abracadabra"),
        "state": state,
        "size": numgrad.Size([2, 3]),
        "dtypes": [numgrad.float32, numgrad.bool, numgrad.int64],
        "devices": [numgrad.device("cpu"), numgrad.device("cuda", 1)],
    }
    loaded = round_trip(data)
    assert loaded == data
    assert loaded["state"]._metadata == metadata
    assert type(loaded["size"]) is numgrad.Size
    assert loaded["dtypes"][0] is numgrad.float32


def test_references_and_cycles_are_kept():
    tensor = numgrad.tensor([1.0])
    cycle = [tensor, tensor]
    cycle.append(cycle)
    loaded = round_trip(cycle)
    assert loaded[0] is loaded[1]
    assert loaded[2] is loaded


def test_gradients_and_parameters():
    leaf = numgrad.tensor([1.0, 2.0], requires_grad=True)
    frozen = Parameter(numgrad.tensor([3.0]), requires_grad=False)
    loaded = round_trip([leaf, Parameter(numgrad.tensor([3.0])), frozen])
    assert_same(loaded[0], leaf)
    assert type(loaded[1]) is Parameter and loaded[1].requires_grad
    assert type(loaded[2]) is Parameter and not loaded[2].requires_grad
    # Written on, and differentiated, like any other leaf.
    (loaded[0] * 3).sum().backward()
    assert loaded[0].grad.tolist() == [3.0, 3.0]


def test_attributes_of_tensors_are_kept():
    tensor, parameter = numgrad.tensor([1.0]), Parameter(numgrad.tensor([2.0]))
    tensor.note = "a"
    parameter.groups = [1, 2]
    loaded = round_trip([tensor, parameter])
    assert loaded[0].note == "a"
    assert loaded[1].groups == [1, 2]


class Mask(numgrad.Tensor):
    """A subclass of a user."""


def test_subclass_of_tensor_needs_permission():
    mask = numgrad.tensor([1.0])
    mask.__class__ = Mask
    with pytest.raises(pickle.UnpicklingError, match="Mask was not an allowed global"):
        round_trip(mask)
    with numgrad.serialization.safe_globals([Mask]):
        assert type(round_trip(mask)) is Mask
    assert type(round_trip(mask, weights_only=False)) is Mask


def test_layouts():
    matrix = numgrad.from_numpy(np.arange(12.0).reshape(3, 4))
    views = [matrix.T, matrix[:, 1], matrix[1:, ::2], matrix[0].expand(5, 4), matrix[:0]]
    for view in views:
        assert_same(round_trip(view), view)
    transposed = round_trip(matrix.T)
    assert transposed.stride() == (1, 4)
    # As no tensor can be laid out, but an array can: a copy is saved.
    mirrored = np.arange(6.0)[::-1]
    fields = np.zeros(4, [("a", "i1"), ("b", "<f8")])["b"]
    for odd in (mirrored, fields):
        tensor = numgrad.from_numpy(np.zeros(1))
        tensor._data = odd
        assert round_trip(tensor).tolist() == odd.tolist()


def test_overlapping_tensors_still_overlap():
    base = numgrad.from_numpy(np.arange(12.0).reshape(3, 4))
    loaded = round_trip({"base": base, "column": base[:, 1], "again": base})
    loaded["base"][0, 1] = 100.0
    assert loaded["column"].tolist() == [100.0, 5.0, 9.0]
    assert loaded["again"] is loaded["base"]


def test_only_memory_in_use_is_saved():
    big = np.zeros((1000, 1000))
    big[:2] = [[1.0], [2.0]]
    assert len(saved(numgrad.from_numpy(big)[0, :10])) < 4000
    first, second, last = (numgrad.from_numpy(big[row, :10]) for row in (0, 1, -1))
    loaded = round_trip([first, second, last, first[2:4]])
    assert [tensor.tolist()[0] for tensor in loaded] == [1.0, 2.0, 0.0, 1.0]
    loaded[0][2] = 5.0
    assert loaded[3].tolist() == [5.0, 1.0]


def test_same_memory_as_two_types_is_refused():
    numbers = np.arange(4.0)
    pair = [numgrad.from_numpy(numbers), numgrad.from_numpy(numbers.view(np.int64))]
    with pytest.raises(RuntimeError, match="view the same data as different types"):
        saved(pair)


def test_saving_is_deterministic():
    state = {"a": numgrad.tensor([1.0, 2.0]), "b": 3}
    assert saved(state) == saved(state)


def test_records_are_aligned(tmp_path):
    path = tmp_path / "my.model.pth"
    numgrad.save({str(n): numgrad.from_numpy(values("int8", (n,))) for n in range(5)}, path)
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.namelist()[0] == "my.model/data.pkl"
        for entry in archive.infolist():
            sizes = struct.unpack_from("<2H", content, entry.header_offset + 26)
            assert (entry.header_offset + 30 + sum(sizes)) % 64 == 0
        assert archive.read("my.model/version") == b"3\n"
        assert archive.read("my.model/byteorder") == sys.byteorder.encode()


def test_paths_and_file_objects(tmp_path):
    state = {"weight": numgrad.tensor([[1.0, 2.0]])}
    for path in (tmp_path / "model.pth", str(tmp_path / "modèle.pt"), tmp_path / ".pth"):
        numgrad.save(state, path)
        assert numgrad.load(path)["weight"].tolist() == [[1.0, 2.0]]
    with open(tmp_path / "open.pth", "wb") as file:
        numgrad.save(state, file)
    with open(tmp_path / "open.pth", "rb", buffering=0) as file:
        assert numgrad.load(file)["weight"].tolist() == [[1.0, 2.0]]
    # After other content, and through an object that has only the three methods it needs.

    class Reader:
        def __init__(self, content):
            self._file = io.BytesIO(content)
            self.read, self.seek, self.tell = self._file.read, self._file.seek, self._file.tell

    reader = Reader(b"header" + saved(state))
    reader.seek(6)
    assert numgrad.load(reader)["weight"].tolist() == [[1.0, 2.0]]


def test_a_writer_that_takes_little_at_a_time():
    class Slow(io.BytesIO):
        def write(self, data):
            return super().write(data[:1000])

    file = Slow()
    numgrad.save(numgrad.from_numpy(np.arange(1000.0)), file)
    assert numgrad.load(io.BytesIO(file.getvalue())).tolist() == list(range(1000))


def test_mmap(tmp_path):
    path = tmp_path / "model.pth"
    numgrad.save([numgrad.from_numpy(np.arange(1000.0)), numgrad.tensor([])], path)
    before = path.read_bytes()
    loaded, empty = numgrad.load(path, mmap=True)
    assert loaded.tolist() == list(range(1000))
    assert empty.shape == (0,)
    loaded[0] = 7.0  # in memory, not in the file
    assert path.read_bytes() == before
    numgrad.save(loaded[:2], path)
    assert numgrad.load(path).tolist() == [7.0, 1.0]
    assert path.stat().st_size < 3000
    with pytest.raises(ValueError, match="f must be a file path in order to use the mmap"):
        numgrad.load(io.BytesIO(before), mmap=True)


def test_map_location():
    content = saved({"a": numgrad.tensor([1.0])})
    calls = []

    def everything_stays(storage, location):
        calls.append((storage.device.type, storage.dtype, len(storage), location))
        return storage

    places = [None, "cpu", numgrad.device("cpu"), {"cuda:0": "cpu"}, everything_stays]
    for place in [*places, lambda storage, location: None]:
        assert numgrad.load(io.BytesIO(content), place)["a"].tolist() == [1.0]
    assert calls == [("cpu", numgrad.float32, 1, "cpu")]
    with pytest.raises(TypeError, match="map_location returned"):
        numgrad.load(io.BytesIO(content), lambda storage, location: 1)
    with pytest.raises(RuntimeError, match="don't know how to restore data location"):
        numgrad.load(io.BytesIO(content), "moon")


def test_protocols():
    data = {"a": numgrad.tensor([1.0]), "d": numgrad.float32}
    for protocol in (2, 3, 4, 5):
        content = saved(data, pickle_protocol=protocol)
        assert numgrad.load(io.BytesIO(content), weights_only=False)["a"].tolist() == [1.0]
    with pytest.raises(pickle.UnpicklingError, match="FRAME"):
        numgrad.load(io.BytesIO(content))


def test_wrong_arguments(tmp_path):
    with pytest.raises(AttributeError, match="expected 'f' to be string, path, or a file-like"):
        numgrad.save(1, 3)
    with pytest.raises(RuntimeError, match="Parent directory .*nowhere does not exist."):
        numgrad.save(1, tmp_path / "nowhere" / "model.pth")
    with pytest.raises(ValueError, match="pickle_module"):
        numgrad.save(1, io.BytesIO(), pickle_module=io)
    with pytest.raises(ValueError, match="_use_new_zipfile_serialization"):
        numgrad.save(1, io.BytesIO(), _use_new_zipfile_serialization=False)
    with pytest.raises(FileNotFoundError):
        numgrad.load(tmp_path / "missing.pth")
    with pytest.raises(AttributeError, match="from a file that is seekable"):
        numgrad.load(3)
    with pytest.raises(RuntimeError, match="when explicit pickle_module is specified"):
        numgrad.load(io.BytesIO(saved(1)), pickle_module=pickle)
    with pytest.raises(TypeError, match="text mode"):
        numgrad.load(io.StringIO("text"))
    with pytest.warns(UserWarning, match="pickle_load_args"):
        numgrad.load(io.BytesIO(saved(1)), encoding="latin1")


def test_what_cannot_be_pickled_leaves_the_file(tmp_path):
    path = tmp_path / "model.pth"
    numgrad.save("old", path)
    with pytest.raises((AttributeError, pickle.PicklingError)):
        numgrad.save(lambda: None, path)
    assert numgrad.load(path) == "old"


class Point:
    def __init__(self, x):
        self.x = x


class Slotted:
    __slots__ = ("x", "y")


def test_safe_globals():
    point = Point(numgrad.tensor([1.0]))
    content = saved(point)
    here = f"{__name__}.Point"
    with pytest.raises(pickle.UnpicklingError, match=f"Unsupported global: GLOBAL {here} was not"):
        numgrad.load(io.BytesIO(content))
    unsafe = numgrad.serialization.get_unsafe_globals_in_checkpoint(io.BytesIO(content))
    assert unsafe == [here]
    with numgrad.serialization.safe_globals([Point]):
        assert numgrad.serialization.get_safe_globals() == [Point]
        assert numgrad.load(io.BytesIO(content)).x.tolist() == [1.0]
    assert numgrad.serialization.get_safe_globals() == []
    with numgrad.serialization.safe_globals([(Slotted, here)]):
        with pytest.raises(pickle.UnpicklingError, match="malformed"):
            numgrad.load(io.BytesIO(content))
    slotted = Slotted()
    slotted.x, slotted.y = 1, 2
    with numgrad.serialization.safe_globals([Slotted]):
        loaded = round_trip(slotted)
    assert (loaded.x, loaded.y) == (1, 2)
    assert numgrad.load(io.BytesIO(content), weights_only=False).x.tolist() == [1.0]
    with pytest.raises(ValueError, match="tuple of length 2"):
        numgrad.serialization.add_safe_globals([(Point,)])
    with pytest.raises(TypeError, match="full path"):
        numgrad.serialization.add_safe_globals([(Point, 1)])


# Both ways between numgrad and torch


def samples(library, wrap):
    """The same object made with either library."""
    matrix = wrap(np.arange(12, dtype=np.float32).reshape(3, 4))
    state = OrderedDict(weight=wrap(values("float32")), bias=wrap(values("float32", (2,))))
    state._metadata = OrderedDict([("", {"version": 1})])
    parameter = library.nn.Parameter(wrap(values("float64")))
    leaf = wrap(values("float32"))
    leaf.requires_grad = True
    return {
        **{dtype: wrap(values(dtype)) for dtype in DTYPES},
        "matrix": matrix,
        "transposed": matrix.T,
        "expanded": matrix.expand(2, 3, 4),
        "state": state,
        "parameters": [parameter, parameter],
        "leaf": leaf,
        "0-d": wrap(np.array(3.5)),
        "empty": library.zeros(0, 3),
        "emptier": library.zeros(2, 0, 3),
        "adam": {
            "state": {0: {"step": wrap(np.array(1, np.float32)), "exp_avg": wrap(values("f4"))}},
            "param_groups": [{"lr": 0.001, "betas": (0.9, 0.999), "fused": None, "params": [0, 1]}],
        },
        "data": [1, 2.5, None, True, (1,), {1, 2}, b"x", bytearray(b"k"), "s", -5, 2**70, 1 + 2j],
        "types": [library.Size([3, 4]), library.float32, library.bool],
    }  # fmt: skip


def assert_alike(ours, theirs):
    """The same structure, types apart, and the same tensors."""
    if isinstance(ours, dict):
        assert list(ours) == list(theirs)
        assert getattr(ours, "_metadata", None) == getattr(theirs, "_metadata", None)
        for name in ours:
            assert_alike(ours[name], theirs[name])
    elif isinstance(ours, list):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            assert_alike(one, other)
    elif isinstance(ours, numgrad.Tensor):
        assert type(ours).__name__ == type(theirs).__name__
        assert str(ours.dtype) == str(theirs.dtype)
        assert (tuple(ours.shape), ours.stride()) == (tuple(theirs.shape), theirs.stride())
        assert ours.requires_grad == theirs.requires_grad
        np.testing.assert_array_equal(ours.detach().numpy(), theirs.detach().numpy())
    else:
        assert ours == theirs or str(ours) == str(theirs)


def test_torch_loads_our_file(torch):
    ours = samples(numgrad, numgrad.from_numpy)
    theirs = torch.load(io.BytesIO(saved(ours)), weights_only=True)
    assert_alike(ours, theirs)
    assert theirs["parameters"][0] is theirs["parameters"][1]
    theirs["matrix"][0, 1] = 100.0
    assert theirs["transposed"][1, 0] == 100.0


def test_we_load_torchs_file(torch):
    theirs = samples(torch, torch.from_numpy)
    file = io.BytesIO()
    torch.save(theirs, file)
    for weights_only in (True, False):
        file.seek(0)
        ours = numgrad.load(file, weights_only=weights_only)
        assert_alike(ours, theirs)
        assert ours["parameters"][0] is ours["parameters"][1]
        ours["matrix"][0, 1] = 100.0
        assert ours["transposed"][1, 0].item() == 100.0


def test_our_file_is_torchs_to_the_byte(torch, tmp_path):
    ours, theirs = tmp_path / "a" / "model.pth", tmp_path / "b" / "model.pth"
    for path in (ours, theirs):
        path.parent.mkdir()
    numgrad.save(samples(numgrad, numgrad.from_numpy), ours)
    torch.save(samples(torch, torch.from_numpy), theirs)
    with zipfile.ZipFile(ours) as archive:
        fingerprint = archive.read("model/.data/serialization_id")
        crc = struct.pack("<L", archive.getinfo("model/.data/serialization_id").CRC)
    with zipfile.ZipFile(theirs) as archive:
        their_fingerprint = archive.read("model/.data/serialization_id")
        their_crc = struct.pack("<L", archive.getinfo("model/.data/serialization_id").CRC)
    expected = theirs.read_bytes().replace(their_fingerprint, fingerprint)
    assert ours.read_bytes() == expected.replace(their_crc, crc)


def test_torchs_tensors_with_attributes_and_mmap(torch, tmp_path):
    parameter = torch.nn.Parameter(torch.ones(2))
    parameter.note = "a"
    tensor = torch.ones(3)
    tensor.note = "b"
    torch.save([parameter, tensor], tmp_path / "model.pth")
    for mmap in (False, True):
        loaded = numgrad.load(tmp_path / "model.pth", mmap=mmap)
        assert [(type(t).__name__, t.note) for t in loaded] == [("Parameter", "a"), ("Tensor", "b")]
    numgrad.save(loaded, tmp_path / "ours.pth")
    for mmap in (False, True):
        theirs = torch.load(tmp_path / "ours.pth", mmap=mmap)
        assert [t.note for t in theirs] == ["a", "b"]
        assert theirs[1].tolist() == [1.0, 1.0, 1.0]


def test_half_precision_becomes_float32(torch):
    numbers = torch.tensor([1.5, -2.0, 65504.0, 1e-7, float("inf"), float("nan")])
    for dtype, name in ((torch.float16, "float16"), (torch.bfloat16, "bfloat16")):
        tensor = numbers.to(dtype)
        file = io.BytesIO()
        torch.save([tensor, tensor[1:3]], file)
        file.seek(0)
        with pytest.warns(UserWarning, match=f"{name} tensors become float32"):
            loaded, view = numgrad.load(file)
        assert loaded.dtype is numgrad.float32
        np.testing.assert_array_equal(loaded.numpy(), tensor.float().numpy())
        loaded[1] = 3.0
        assert view.tolist()[0] == 3.0


def test_what_numgrad_does_not_have(torch):
    cases = [
        (torch.ones(2, dtype=torch.complex64), "a complex tensor"),
        (torch.ones(2, dtype=torch.uint16), "dtype uint16"),
        (torch.eye(2).to_sparse(), "sparse tensor"),
        (torch.bfloat16, "dtype bfloat16"),
        (torch.nn.Linear(1, 1), "torch.nn.modules.linear.Linear"),
    ]
    for theirs, message in cases:
        file = io.BytesIO()
        torch.save(theirs, file)
        for weights_only in (True, False):
            file.seek(0)
            with pytest.raises(pickle.UnpicklingError, match=message):
                numgrad.load(file, weights_only=weights_only)


def test_tensors_saved_on_a_gpu(torch):
    content = saved(numgrad.tensor([1.0]))
    # The same length, so that nothing else in the file changes but checksums.
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    pickled = records["archive/data.pkl"]
    records["archive/data.pkl"] = pickled.replace(b"\x03\0\0\0cpu", b"\x06\0\0\0cuda:0")
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, record in records.items():
            archive.writestr(name, record)
    with pytest.raises(RuntimeError, match="Attempting to deserialize object on a CUDA device"):
        numgrad.load(file if not file.seek(0) else file)
    for place in ("cpu", numgrad.device("cpu"), {"cuda:0": "cpu"}, lambda storage, _: storage):
        file.seek(0)
        assert numgrad.load(file, place).tolist() == [1.0]


def test_module_and_adam_states_go_both_ways(torch):
    """One step with torch; its checkpoint through numgrad and back; the second step agrees."""
    torch.manual_seed(0)

    def step(model, optimizer):
        optimizer.zero_grad()
        model(torch.ones(4, 3)).square().sum().backward()
        optimizer.step()

    model = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    step(model, optimizer)
    file = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        returned = torch.load(io.BytesIO(saved(numgrad.load(file))), weights_only=True)
    assert returned["model"]._metadata == model.state_dict()._metadata
    again = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    again.load_state_dict(returned["model"])
    optimizer_again = torch.optim.Adam(again.parameters(), lr=0.1)
    optimizer_again.load_state_dict(returned["optimizer"])
    step(model, optimizer)
    step(again, optimizer_again)
    for one, other in zip(model.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_training_goes_on_in_the_other_library(torch):
    """Two steps here, the third in torch and here; and the other way round."""

    def network(library):
        layers = library.nn.Linear(3, 4), library.nn.Tanh(), library.nn.Linear(4, 2)
        model = library.nn.Sequential(*layers)
        return model, library.optim.Adam(model.parameters(), lr=0.1)

    def step(library, model, optimizer):
        optimizer.zero_grad()
        inputs = library.arange(12.0).reshape(4, 3) / 12
        (model(inputs) ** 2).sum().backward()
        optimizer.step()

    def states(model, optimizer):
        return {"model": model.state_dict(), "optimizer": optimizer.state_dict()}

    for first, second in ((numgrad, torch), (torch, numgrad)):
        first.manual_seed(0)
        here, there = network(first), network(second)
        step(first, *here)
        step(first, *here)
        file = io.BytesIO()
        first.save(states(*here), file)
        file.seek(0)
        loaded = second.load(file)
        for part, name in zip(there, ("model", "optimizer"), strict=True):
            part.load_state_dict(loaded[name])
        step(first, *here)
        step(second, *there)
        ours, theirs = states(*here), states(*there)
        assert str(ours["optimizer"]["param_groups"][0]["betas"]) == "(0.9, 0.999)"
        for name, value in ours["model"].items():
            np.testing.assert_allclose(value.numpy(), theirs["model"][name].numpy(), rtol=1e-4)


def test_whole_modules_are_saved_for_full_loading():
    model = numgrad.nn.Sequential(numgrad.nn.Linear(2, 3), numgrad.nn.ReLU())
    with pytest.raises(pickle.UnpicklingError, match="Sequential was not an allowed global"):
        round_trip(model)
    loaded = round_trip(model, weights_only=False)
    assert repr(loaded) == repr(model)
    assert loaded[0].weight.tolist() == model[0].weight.tolist()
