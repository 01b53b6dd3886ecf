"""`python -m numgrad`: the subcommands that need no data."""

from numgrad.__main__ import main


def test_info_and_cache(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("NUMGRAD_CACHE_DIR", str(tmp_path))
    (tmp_path / "a.kernel").write_bytes(b"x")
    assert main(["info"]) == 0
    printed = capsys.readouterr().out
    assert "numba" in printed and "products: library" in printed and str(tmp_path) in printed
    assert main(["cache", "list"]) == 0
    assert "1 kernels" in capsys.readouterr().out
    assert main(["cache", "clear"]) == 0
    assert "1 kernels deleted" in capsys.readouterr().out
    assert not list(tmp_path.glob("*.kernel"))
