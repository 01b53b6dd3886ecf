"""Safetensors files, alone and exchanged with the library's PyTorch and NumPy flavours."""

import numpy as np
import pytest

import numgrad
from numgrad import safetensors

DTYPES = ["float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool"]


def tensors():
    made = {
        dtype: numgrad.from_numpy((np.arange(6).reshape(2, 3) % 2).astype(dtype))
        for dtype in DTYPES
    }
    made["0-d"] = numgrad.from_numpy(np.array(2.5))
    made["empty"] = numgrad.from_numpy(np.empty((0, 3), np.float32))
    return made


def assert_same(loaded, expected):
    assert sorted(loaded) == sorted(expected)
    for name, tensor in loaded.items():
        array = np.asarray(expected[name].numpy())
        assert tensor.numpy().dtype == array.dtype
        np.testing.assert_array_equal(tensor.numpy(), array)


def test_round_trip(tmp_path):
    path = tmp_path / "model.safetensors"
    safetensors.save_file(tensors(), path, {"note": "text"})
    for loaded in (
        safetensors.load_file(path),
        safetensors.load(safetensors.save(tensors())),
        numgrad.load(path),
        numgrad.load(str(path), map_location="cpu"),
    ):
        assert_same(loaded, tensors())
    loaded["int64"][0, 0] = 5  # memory of its own
    assert loaded["int64"].tolist()[0][0] == 5


def test_exchange_with_torch(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    ours, theirs = tmp_path / "ours.safetensors", tmp_path / "theirs.safetensors"
    safetensors.save_file(tensors(), ours, {"note": "text"})
    with safe_open(ours, "pt") as file:
        assert file.metadata() == {"note": "text"}
    assert_same(tensors(), load_file(ours))
    half = torch.tensor([1.5, -2.0, float("inf")])
    save_file({"f16": half.half(), "bf16": half.bfloat16(), "f32": half}, theirs)
    loaded = safetensors.load_file(theirs)
    for name in ("f16", "bf16", "f32"):
        assert loaded[name].dtype is numgrad.float32
        assert loaded[name].tolist() == half.tolist()
    save_file({"complex": torch.ones(1, dtype=torch.complex64)}, theirs)
    with pytest.raises(TypeError, match="'complex' has dtype C64"):
        safetensors.load_file(theirs)


def test_what_is_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    matrix = numgrad.from_numpy(np.zeros((3, 3)))
    with pytest.raises(RuntimeError, match=r"Some tensors share memory.*\[\{'\w', '\w'\}\]"):
        safetensors.save_file({"a": matrix, "b": matrix[1], "c": numgrad.tensor([1.0])}, path)
    with pytest.raises(ValueError, match="non contiguous tensor: `a`"):
        safetensors.save_file({"a": matrix.T}, path)
    with pytest.raises(ValueError, match="Expected a dict"):
        safetensors.save_file([matrix], path)
    with pytest.raises(ValueError, match="Key `a` is invalid"):
        safetensors.save_file({"a": np.zeros(2)}, path)
    with pytest.raises(RuntimeError, match="Parent directory"):
        safetensors.save_file({}, tmp_path / "nowhere" / "model.safetensors")
    assert not path.exists()
    # Rows of one matrix do not overlap: each is saved by itself.
    safetensors.save_file({"a": matrix[0], "b": matrix[1]}, path)
    assert sorted(safetensors.load_file(path)) == ["a", "b"]


def test_damaged_files(tmp_path):
    path = tmp_path / "model.safetensors"
    content = safetensors.save(tensors())
    for bad in (b"", content[:-1], content[:20], b"\xff" * 100, b"PK\x03\x04" + content):
        path.write_bytes(bad)
        with pytest.raises(RuntimeError, match="not a safetensors file, or a damaged one"):
            numgrad.load(path)
    with pytest.raises(RuntimeError, match="map_location"):
        numgrad.load(path, map_location={"cuda": "cpu"})
    with pytest.raises(RuntimeError, match="device='cuda'"):
        safetensors.load_file(path, device="cuda")
