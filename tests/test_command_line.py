"""`numgrad`, and `python -m numgrad`: the subcommands that need no data."""

import importlib.metadata

import pytest

from numgrad.__main__ import main


def test_info_and_cache(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("NUMGRAD_CACHE_DIR", str(tmp_path))
    (tmp_path / "a.kernel").write_bytes(b"x")
    assert main(["cache", "list"]) == 0
    assert "1 kernels" in capsys.readouterr().out
    assert main(["info"]) == 0
    printed = capsys.readouterr().out
    for expected in ("numba", "threading layer", "bits", "cuda", "tile", str(tmp_path)):
        assert expected in printed
    assert main(["cache", "clear"]) == 0
    assert "kernels deleted" in capsys.readouterr().out
    assert not list(tmp_path.glob("*.kernel"))


def test_info_says_what_is_missing_and_how_to_install_it(capsys, monkeypatch):
    required = ["numpy>=2", 'tqdm[x]>=4; extra == "bench"', "no-such-package>=1; extra == 'bench'"]
    monkeypatch.setattr(importlib.metadata, "requires", lambda name: required)
    assert main(["info"]) == 0
    printed = capsys.readouterr().out
    assert "missing: no-such-package" in printed
    assert 'for numgrad bench: pip install "numgrad[bench]"' in printed
    assert f"tqdm {importlib.metadata.version('tqdm')}" in printed


def test_help(capsys):
    assert main([]) == 0
    alone = capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["--help"])
    assert capsys.readouterr().out == alone
    for command in ("demo", "bench", "info", "cache"):
        assert f"\n    {command} " in alone
        with pytest.raises(SystemExit) as status:
            main([command, "--help"])
        assert status.value.code == 0
        assert f"usage: numgrad {command}" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out.startswith("numgrad ")
