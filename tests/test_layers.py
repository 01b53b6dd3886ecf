"""Imports only point down the list of layers: no file knows about a layer above its own."""

import ast
import pathlib

import numgrad

ROOT = pathlib.Path(numgrad.__file__).parent
#: From the bottom up. A file belongs to the first layer one of whose names begins its path.
LAYERS = [
    ("base", ["_version.py", "_changes.py", "dtypes.py"]),
    ("kernels", ["kernels/"]),
    ("device", ["device/", "_generator.py", "_generator_cuda.py"]),
    ("autograd", ["autograd/"]),
    ("ops", ["ops/"]),
    ("compile", ["compile/"]),
    ("front", [""]),
    ("tools", ["bench/", "__main__.py", "_demo.py", "_info.py"]),
]
ORDER = {name: level for level, (name, _) in enumerate(LAYERS)}


def layer_of(path):
    for name, prefixes in [LAYERS[-1], *LAYERS[:-1]]:
        if any(path.startswith(prefix) for prefix in prefixes):
            return name
    raise AssertionError(path)


def imported_files(path, tree):
    """The package's files that a file imports, anywhere in it."""
    package = ("numgrad", *path.relative_to(ROOT).parent.parts)
    for node in list(ast.walk(tree)):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body.clear()  # for type checkers: nothing is imported when the program runs
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = (*base, *(node.module.split(".") if node.module else ()))
            targets = [(*module, alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            targets = [tuple(alias.name.split(".")) for alias in node.names]
        else:
            continue
        for target in targets:
            if target[0] != "numgrad":
                continue
            for length in (len(target), len(target) - 1):
                file = ROOT.joinpath(*target[1:length])
                if file.with_suffix(".py").is_file() and length > 1:
                    yield file.with_suffix(".py").relative_to(ROOT).as_posix()
                    break
                if file.is_dir():
                    yield (file / "__init__.py").relative_to(ROOT).as_posix()
                    break


def test_imports_point_down():
    wrong = []
    for path in sorted(ROOT.rglob("*.py")):
        name = path.relative_to(ROOT).as_posix()
        for target in imported_files(path, ast.parse(path.read_text())):
            if ORDER[layer_of(target)] > ORDER[layer_of(name)]:
                wrong.append(f"{name} ({layer_of(name)}) imports {target} ({layer_of(target)})")
    assert not wrong, "\n".join(wrong)


def test_front_knows_no_numba():
    for path in sorted(ROOT.rglob("*.py")):
        if layer_of(path.relative_to(ROOT).as_posix()) in ("kernels", "tools", "device"):
            continue
        text = path.read_text()
        assert "import numba" not in text and "from numba" not in text, path
