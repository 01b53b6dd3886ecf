"""Files that are damaged, or made to do harm, are refused, and nothing of them is run."""

import io
import os
import pickle
import struct
import tracemalloc
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import numgrad
from numgrad._checkpoint.unpickler import WeightsUnpickler, globals_in

REFUSED = (pickle.UnpicklingError, RuntimeError)


def checkpoint(pickled, storages=(), **records):
    """A well-formed archive around a pickle."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        archive.writestr("archive/version", "3\n")
        for key, storage in enumerate(storages):
            archive.writestr(f"archive/data/{key}", storage)
        for name, record in records.items():
            archive.writestr("archive/" + name, record)
    return file.getvalue()


def load(pickled, storages=(), **keywords):
    return numgrad.load(io.BytesIO(checkpoint(pickled, storages)), **keywords)


def valid_file():
    file = io.BytesIO()
    state = OrderedDict(weight=numgrad.from_numpy(np.arange(20.0)), step=[1, "text", (2.5, None)])
    state._metadata = OrderedDict(version=1)
    numgrad.save({"state": state, "again": state["weight"]}, file)
    return file.getvalue()


# Pickles that would run something


class Call:
    def __init__(self, function, *arguments):
        self._call = function, arguments

    def __reduce__(self):
        return self._call


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("nested", [False, True])
def test_code_is_not_run(tmp_path, protocol, nested):
    canary = tmp_path / "canary"
    for call in (
        Call(os.system, f"touch {canary}"),
        Call(eval, f"open({str(canary)!r}, 'w')"),
        Call(exec, f"open({str(canary)!r}, 'w')"),
        Call(open, str(canary), "w"),
        Call(getattr, os, "system") if protocol > 5 else Call(__import__, "os"),
    ):
        hostile = {"weight": [call]} if nested else call
        with pytest.raises(pickle.UnpicklingError, match="Weights only load failed"):
            load(pickle.dumps(hostile, protocol))
        with pytest.raises(pickle.UnpicklingError):
            # Not by way of a storage's location or key either.
            load(pickle.dumps(("storage", hostile, "0", hostile, 1), protocol)[:-1] + b"Q.")
    assert not canary.exists()


def test_the_canary_can_sing(tmp_path):
    """The same pickle does run where the user asks for it: the test above tests something."""
    canary = tmp_path / "canary"
    load(pickle.dumps(Call(os.system, f"touch {canary}"), 2), weights_only=False)
    assert canary.exists()


def test_messages_are_pytorchs():
    with pytest.raises(pickle.UnpicklingError, match="GLOBAL posix.system whose module posix is"):
        load(b"cposix\nsystem\n.")
    with pytest.raises(pickle.UnpicklingError, match="Unsupported global: GLOBAL eval was not an"):
        load(b"c__builtin__\neval\n.")
    with numgrad.serialization.safe_globals([(os.system, "posix.system")]):
        with pytest.raises(pickle.UnpicklingError, match="blocked"):
            load(b"cposix\nsystem\n.")


REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"
ORDERED_DICT = b"ccollections\nOrderedDict\n"
DEEP = b"N" + b"\x85" * 100_000
WIDE = b"Nq\0" + b"h\0h\0\x86q\0" * 100


@pytest.mark.parametrize(
    "pickled",
    [
        # Names reached through others, or through this package.
        b"ctorch\nsave.__globals__\n.",
        b"ctorch._utils\n_rebuild_tensor_v2.__globals__\n.",
        b"cnumgrad.serialization\nFullUnpickler\n.",
        b"cnumgrad._checkpoint.names\nrebuild_tensor\n.",
        b"cos.path\njoin\n.",
        b"ctorch.serialization\nos.system\n.",
        b"c\n\n.",
        # Other instructions that import or call.
        b"(S'echo'\nios\nsystem\n.",
        b"(cos\nsystem\nS'echo'\no.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93.",
        b"\x82\x01.",
        b"Pcanary\n.",
        b"\x80\x02" + ORDERED_DICT + b")}\x92.",
        # Calls and instances of what is no function to call, or no class to build.
        b"ctorch\nfloat32\n)R.",
        b"ctorch\nTensor\n)R.",
        b"ctorch\nTensor\n)\x81.",
        b"ctorch.nn.parameter\nParameter\n)\x81.",
        b"ctorch\nFloatStorage\n)R.",
        b"ccollections\nOrderedDict\n)\x81.",
        b"})R.",
        b"N)R.",
        REBUILD + b")\x81.",
        REBUILD + b"}b.",
        b"ctorch\nfloat32\n}X\x04\x00\x00\x00nameK\x01sb.",
        b"ctorch\nTensor\n}X\x04\x00\x00\x00nameK\x01sb.",
        ORDERED_DICT + b")R}X\x05\x00\x00\x00itemsNsb.",
        ORDERED_DICT + b")R}X\x09\x00\x00\x00__class__Nsb.",
        ORDERED_DICT + b")R]b.",
        b"]}b.",
        # Arguments that would allocate, compute or recurse without end.
        b"c__builtin__\nbytearray\n\x8a\x06" + (10**13).to_bytes(6, "little") + b"\x85R.",
        b"c_codecs\nencode\nX\x01\x00\x00\x00xX\x05\x00\x00\x00bz2__\x86R.",
        b"c_codecs\nencode\nX\x01\x00\x00\x00xX\x05\x00\x00\x00rot13\x86R.",
        b"}" + DEEP + b"Ns.",
        b"}" + WIDE + b"Ns.",
        b"c__builtin__\nset\n](" + DEEP + b"e\x85R.",
        b"c__builtin__\nset\n](" + WIDE + b"e\x85R.",
        ORDERED_DICT + b"](" + DEEP + b"N\x86e\x85R.",
        DEEP + b".",
        b"]" * 100_000 + b"a" * 99_999 + b".",
        b"(" * 100_000 + b"t" * 100_000 + b".",
        b"}q\0" + b"}K\0h\0sq\0" * 100_000 + b".",
        DEEP + b")R.",
        WIDE + b")R.",
        # Not well-formed.
        b"",
        b".",
        b"a.",
        b"t.",
        b"\x86.",
        b"N\x86.",
        b"h\x07.",
        b"X\xff\xff\xff\xffx.",
        b"X\x01\x00\x00\x00\xff.",
        b"J\x00",
        b"cos",
        b"}(K\x01u.",
        b"K\x01K\x02a.",
        b"}]K\x01s.",
        b"\x80",
        b"\xff.",
        b"ctorch\nSize\nK\x01\x85R.",
        b"ctorch\nSize\n]\x85\x85R.",
        b"ctorch\ndevice\nX\x04\x00\x00\x00moon\x85R.",
        b"c__builtin__\ncomplex\n(K\x01K\x02K\x03tR.",
    ],
)
def test_refused_pickles(pickled):
    with pytest.raises(pickle.UnpicklingError, match="Weights only load failed") as caught:
        load(pickled)
    assert len(str(caught.value)) < 1000


# Tensors that would read beyond their storage


def integer(value):
    return pickle.dumps(value, 2)[2:-1]


def storage(kind=b"FloatStorage", key="0", location="cpu", numel=4):
    parts = [pickle.dumps(part, 2)[2:-1] for part in (key, location, numel)]
    return b"(X\x07\x00\x00\x00storagectorch\n" + kind + b"\n" + b"".join(parts) + b"tQ"


def tensor(offset=0, size=(4,), stride=(1,), gradient=False, stored=None, more=b""):
    arguments = b"".join(pickle.dumps(part, 2)[2:-1] for part in (offset, size, stride, gradient))
    stored = storage() if stored is None else stored
    return REBUILD + b"(" + stored + arguments + ORDERED_DICT + b")R" + more + b"tR."


FOUR = np.arange(4, dtype="<f4").tobytes()


def test_the_helper_makes_a_tensor():
    assert load(tensor(), [FOUR]).tolist() == [0.0, 1.0, 2.0, 3.0]
    assert load(tensor(1, (3, 2), (1, 0)), [FOUR]).tolist() == [[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]
    assert load(tensor(4, (0, 5), (5, 1)), [FOUR]).shape == (0, 5)


@pytest.mark.parametrize(
    "arguments",
    [
        {"size": (5,)},
        {"offset": 1},
        {"offset": 5, "size": (0,)},
        {"offset": 2**62},
        {"offset": -1},
        {"size": (-4,)},
        {"stride": (-1,)},
        {"stride": (2,)},
        {"stride": (2**61,)},
        {"stride": (2**63,)},
        {"size": (2, 2), "stride": (3, 1)},
        {"size": (2**62, 2**62), "stride": (0, 0)},
        {"size": (1,) * 100, "stride": (0,) * 100},
        {"size": (1,) * 10_000_0, "stride": (0,) * 10_000_0},
        {"size": (4, 1)},
        {"size": (4.0,)},
        {"size": (True,)},
        {"size": "1"},
        {"size": None},
        {"offset": None},
        {"gradient": 1},
        {"more": b"}X\x04\x00\x00\x00conj\x88s"},
        {"more": b"NN"},
        {"stored": b"N"},
        {"stored": b"}"},
        {"stored": storage(b"LongStorage", numel=2), "size": (2,), "gradient": True},
        {"stored": storage(b"Size")},
        {"stored": storage(b"float32")},
        {"stored": storage(key=0)},
        {"stored": storage(key="../../version")},
        {"stored": storage(key="1")},
        {"stored": storage(location=None)},
        {"stored": storage(location="moon")},
        {"stored": storage(numel=5)},
        {"stored": storage(numel=3)},
        {"stored": storage(numel=-4)},
        {"stored": storage(numel=4.0)},
        {"stored": storage(numel=2**62)},
        {"stored": storage(numel=2**64)},
        {"stored": storage(b"DoubleStorage")},
        {"stored": storage() + b"0" + storage(b"IntStorage")},
        {"stored": b"(X\x07\x00\x00\x00storagetQ"},
        {"stored": b"(X\x06\x00\x00\x00moduletQ"},
        {"stored": b"X\x01\x00\x00\x000Q"},
        {"stored": b"K\x00Q"},
    ],
)
def test_tensors_beyond_their_storage(arguments):
    with pytest.raises(REFUSED) as caught:
        load(tensor(**arguments), [FOUR])
    assert len(str(caught.value)) < 1000
    with pytest.raises((*REFUSED, TypeError, ValueError)):
        load(tensor(**arguments), [FOUR], weights_only=False)


def test_a_storage_of_two_kinds():
    both = b"(" + storage() + storage(b"IntStorage") + b"t."
    with pytest.raises(pickle.UnpicklingError, match="two types"):
        load(both, [FOUR])


def test_bytes_that_are_no_booleans():
    stored = storage(b"BoolStorage", numel=4)
    loaded = load(tensor(stored=stored), [b"\x00\x01\x02\xff"])
    assert loaded.numpy().view(np.uint8).tolist() == [0, 1, 1, 1]


# Damaged archives


def test_every_truncation_is_refused():
    content = valid_file()
    for length in range(len(content)):
        with pytest.raises(RuntimeError):
            numgrad.load(io.BytesIO(content[:length]))


def test_every_flipped_bit_is_refused_or_harmless():
    content = valid_file()
    expected = numgrad.load(io.BytesIO(content))
    refused = 0
    for bit in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            loaded = numgrad.load(io.BytesIO(damaged))
        except REFUSED:
            refused += 1
        else:  # in padding, or in a field that says nothing about the data
            assert loaded["again"].tolist() == expected["again"].tolist()
            assert loaded["state"]["step"] == expected["state"]["step"]
    assert refused > 2 * len(content)


def test_messages_about_archives(tmp_path):
    content = valid_file()
    damaged = bytearray(content)
    damaged[content.index(np.arange(20.0).tobytes()) + 80] ^= 4
    legacy_tar = b"\0" * 257 + b"ustar" + b"\0" * 300
    for bad, message in (
        (b"", "it is empty"),
        (b"hello, world", "not a PyTorch checkpoint"),
        (content[:-300], "failed finding central directory"),
        (damaged, "CRC-32 check failed"),
        (pickle.dumps(0x1950A86A20F9469CFC6C, 2) + b"more", "legacy format"),
        (legacy_tar, "legacy format"),
        (content + content, "does not begin where"),
        (b"PK\x03\x04" + content, "does not begin where"),
        (checkpoint(b"N.", **{"constants.pkl": b""}), "TorchScript"),
    ):
        with pytest.raises(RuntimeError, match=message):
            numgrad.load(io.BytesIO(bad))
        (tmp_path / "bad.pth").write_bytes(bad)
        with pytest.raises(RuntimeError, match=message):
            numgrad.load(tmp_path / "bad.pth", weights_only=False)


def test_messages_about_records():
    def archive_of(records, compression=zipfile.ZIP_STORED):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", compression) as archive:
            for name, record in records:
                archive.writestr(name, record)
        return file.getvalue()

    pickled, version = ("a/data.pkl", b"N."), ("a/version", b"3\n")
    for bad, message in (
        (archive_of([pickled]), "version: file not found"),
        (archive_of([version]), "data.pkl: file not found"),
        (archive_of([pickled, ("a/version", b"99")]), "maximum supported version for reading is"),
        (archive_of([pickled, ("a/version", b"x")]), "is not a number"),
        (archive_of([pickled, version], zipfile.ZIP_DEFLATED), "not compressed"),
        (archive_of([pickled, version, ("a/byteorder", b"middle")]), "Unknown endianness"),
    ):
        with pytest.raises((RuntimeError, ValueError), match=message):
            numgrad.load(io.BytesIO(bad))
    with pytest.warns(UserWarning, match="Duplicate name"):
        twice = archive_of([pickled, version, pickled])
    with pytest.raises(RuntimeError, match="twice"):
        numgrad.load(io.BytesIO(twice))


def test_sizes_that_lie_allocate_nothing():
    """Directories that claim more bytes than the file has, once in one entry, once in many."""
    large = checkpoint(tensor(stored=storage(numel=2**28)), [FOUR])
    directory = large.index(b"PK\x01\x02", large.index(b"PK\x01\x02") + 4)
    directory = large.index(b"PK\x01\x02", directory + 4)
    claims = bytearray(large)
    struct.pack_into("<2L", claims, directory + 20, 2**30, 2**30)

    file = io.BytesIO()
    block = b"\0" * (1 << 20)
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a/version", "3\n")
        archive.writestr("a/data/0", block)
        count = 2000
        parts = [storage(b"ByteStorage", str(key), numel=len(block)) for key in range(count)]
        archive.writestr("a/data.pkl", b"(" + b"".join(parts) + b"t.")
        original = archive.getinfo("a/data/0")
        for key in range(1, count):
            alias = zipfile.ZipInfo(f"a/data/{key}")
            alias.header_offset, alias.CRC = original.header_offset, original.CRC
            alias.file_size = alias.compress_size = original.file_size
            archive.filelist.append(alias)
    for bad in (bytes(claims), file.getvalue()):
        tracemalloc.start()
        try:
            with pytest.raises(REFUSED):
                numgrad.load(io.BytesIO(bad))
            assert tracemalloc.get_traced_memory()[1] < 50 << 20
        finally:
            tracemalloc.stop()


# Arbitrary bytes

OPCODES = b"()N\x88\x89KMJGX]}.atus\x85\x86\x87qhrjcQRb\x81\x8aU\x80"
pieces = st.one_of(
    st.binary(max_size=8),
    st.sampled_from([bytes([opcode]) for opcode in OPCODES]),
    st.sampled_from(
        [b"K\x01", b"q\x00", b"h\x00", b"X\x01\x00\x00\x00a", REBUILD, ORDERED_DICT, storage()]
        + [b"ctorch\nSize\n", b"c__builtin__\nset\n", b"c_codecs\nencode\n", b"ctorch\nfloat32\n"]
    ),
)


@settings(max_examples=500, deadline=None)
@given(st.lists(pieces, max_size=30).map(b"".join))
@example(b"c\\ctorch\nSize\n")  # a backslash that starts no escape: CPython warns
def test_arbitrary_pickles_are_loaded_or_refused(pickled):
    try:
        load(pickled + b".", [FOUR])
    except REFUSED:
        pass
    try:
        globals_in(pickled)
    except pickle.UnpicklingError:
        pass


def test_the_interpreter_agrees_with_pickle_on_plain_data():
    for plain in (None, True, 0, -1, 2**31, -(2**100), 1.5, "é", [], [1, [2]], {"a": {"b": ()}}):
        pickled = pickle.dumps(plain, 2)
        nothing = {"find_global": None, "constructor_of": None, "may_build": None}
        assert WeightsUnpickler(pickled, persistent_load=None, **nothing).load() == plain
