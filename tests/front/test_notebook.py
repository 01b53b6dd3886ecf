"""In a notebook: how tensors are shown, the magics, completion, and what is said while compiling."""

import base64
import inspect
import re
import struct
import zlib
from types import SimpleNamespace

import numpy as np
import pytest

import numgrad as ng
from numgrad import _display, progress

IPython = pytest.importorskip("IPython")


def pixels_of(html):
    """The picture in some HTML, decoded: [H, W, C] bytes."""
    content = base64.b64decode(re.search(r"base64,([^\"]+)\"", html)[1])
    width, height, _, kind = struct.unpack(">IIBB", content[16:26])
    channels = {0: 1, 2: 3, 6: 4}[kind]
    length = struct.unpack(">I", content[33:37])[0]
    rows = np.frombuffer(zlib.decompress(content[41 : 41 + length]), np.uint8)
    assert content.startswith(b"\x89PNG") and content.endswith(b"IEND\xaeB`\x82")
    return rows.reshape(height, 1 + width * channels)[:, 1:].reshape(height, width, channels)


@pytest.mark.parametrize(
    ("shape", "dtype", "layout"),
    [
        ((28, 28), ng.uint8, "HW"),
        ((28, 28), ng.float32, None),
        ((3, 16, 16), ng.float32, "CHW"),
        ((16, 16, 3), ng.uint8, "HWC"),
        ((16, 16, 3), ng.float32, None),
        ((5, 16, 16), ng.uint8, "NHW"),
        ((5, 1, 28, 28), ng.float64, "NCHW"),
        ((5, 28, 28, 4), ng.uint8, "NHWC"),
        ((5, 3, 4, 4), ng.float32, None),
        ((0, 3, 16, 16), ng.float32, None),
        ((3, 16, 16), ng.int64, None),
    ],
)
def test_what_counts_as_images(shape, dtype, layout):
    data = ng.zeros(shape, dtype=dtype)
    assert _display.image_layout(data) == _display.image_layout(data._data) == layout


def test_an_image():
    image = ng.zeros(3, 64, 80)
    image[0, :, 40:] = 1.0
    html = image.requires_grad_()._repr_html_()
    shown = pixels_of(html)
    factor = shown.shape[0] // 64
    assert shown.shape == (64 * factor, 80 * factor, 3) and factor == 2
    assert (shown[:, : 40 * factor] == 0).all()
    assert (shown[:, 40 * factor :] == [255, 0, 0]).all()
    assert "[3, 64, 80] float32" in html and "requires_grad=True" in html


def test_a_batch_is_a_grid_and_other_ranges_are_scaled():
    batch = ng.full((40, 1, 8, 8), -1.0)
    batch[1] = 3.0
    html = batch._repr_html_()
    assert "black -1, white 3, the first 32 of 40" in html
    shown = pixels_of(html)
    side = (shown.shape[1] + 2) // 8 - 2
    assert (shown[:side, :side] == 0).all()
    assert (shown[:side, side + 2 : 2 * side + 2] == 255).all()
    assert (shown[:, side : side + 2] == 255).all()  # between images
    assert "nan" not in ng.full((1, 8, 8), ng.nan)._repr_html_().split("<details>")[0]


def test_long_arrays_and_everything_else():
    assert ng.ones(3)._repr_html_() is None and ng.tensor(1.0)._repr_html_() is None
    x = ng.arange(2000.0)
    x[5] = ng.nan
    html = x._repr_html_()
    assert html.startswith(f"<pre>{x!r}</pre>")
    assert "from 0 to 1999" in html and "1 NaN, 1 zero" in html and "values by position" in html
    assert "histogram" in ng.ones(40, 40)._repr_html_()
    assert "1200 true, 400 false" in (ng.arange(1600).view(40, 40) >= 400)._repr_html_()
    assert ng.zeros(_display.MOST + 1, dtype=ng.uint8)._repr_html_() is None


# ------------------------------------------------------------------------ magics


@pytest.fixture
def shell():
    from IPython.core.interactiveshell import InteractiveShell

    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance()
    shell.history_manager.enabled = False
    shell.run_line_magic("load_ext", "numgrad")
    shell.user_ns["torch"] = ng
    yield shell
    shell.history_manager.end_session()
    InteractiveShell.clear_instance()


@pytest.mark.filterwarnings("ignore")
def test_kernel_time(shell, capsys):
    shell.user_ns["x"] = ng.ones(64)
    result = shell.run_cell("%%kernel_time -r 3\ny = x * 2\ny.sum()")
    assert result.result.item() == 128 and shell.user_ns["y"].shape == (64,)
    printed = capsys.readouterr().out
    assert "Wall time" in printed and re.search(r"^mul +kernel", printed, re.M)
    shell.run_cell("%kernel_time z = torch.relu(x)")
    assert re.search(r"^relu +kernel", capsys.readouterr().out, re.M)
    assert "takes -r ROWS" in str(shell.run_cell("%%kernel_time --fast\n1").error_in_exec)
    assert isinstance(shell.run_cell("%%kernel_time\n1 / 0").error_in_exec, ZeroDivisionError)
    assert ng.profiler.listen.active is None


@pytest.mark.filterwarnings("ignore")
def test_kernel_source(shell, capsys):
    shown = []
    shell.display_pub.publish = lambda data, **kwargs: shown.append(data["text/plain"])
    assert shell.run_cell("%kernel_source F.softmax").success
    text = "\n".join(shown)
    assert "numgrad/kernels/softmax.py:" in text
    for expected in (
        "def softmax_rows(",
        "def softmax_backward_rows(",
        "on_cuda",
        "def softmax_columns(",
    ):
        assert expected in text
    shown.clear()
    shell.run_cell("%kernel_source silu")
    assert "@silu.backward()" in shown[0] and "def silu(x):" in shown[0]
    error = shell.run_cell("%kernel_source softmx").error_in_exec
    assert "no kernel is called 'softmx'" in str(error)
    assert "takes the name of a kernel" in str(shell.run_cell("%kernel_source").error_in_exec)


def test_every_kernel_has_a_source():
    from numgrad._magics import all_kernels, kernel_sources

    for name in all_kernels():
        for place, source in kernel_sources(name):
            assert re.fullmatch(r"numgrad/kernels/\w+\.py:\d+", place) and "def " in source


# ------------------------------------------------------------------------ while compiling


def test_a_cell_says_what_it_compiles(monkeypatch):
    import IPython.display

    written = []

    def display(data, **kwargs):
        written.append([])
        place = written[-1]
        return SimpleNamespace(update=lambda data, raw: place.append(data["text/plain"]))

    monkeypatch.setattr(IPython.display, "display", display)
    notebook = SimpleNamespace(execution_count=1)
    monkeypatch.setattr(progress, "_notebook", lambda: notebook)
    moments = iter([0.0, 0.5, 0.5, 1.0, 3.0, 3.0, 4.0, 5.5, 5.5])
    monkeypatch.setattr(progress.time, "perf_counter", lambda: next(moments))
    shown = progress.CompileProgress()
    shown("exp", "float32")
    shown(None, None)
    assert written == [
        ["numgrad: compiling kernel 1, exp(float32), once: it is kept on disk …", ""]
    ]
    shown("log", "float32")
    shown(None, None)
    assert written[0][-1] == "numgrad compiled 2 kernels in 2.5 s, once: kept on disk"
    notebook.execution_count = 2
    shown("sin", "float32")
    shown(None, None)
    assert len(written) == 2 and written[1][-1].startswith("numgrad compiled 1 kernel in 1.5 s")


def test_a_progress_bar(capsys):
    found = list(progress.bar([3, 4], desc="steps", mininterval=0))
    assert found == [3, 4]
    assert "steps" in capsys.readouterr().err


# ------------------------------------------------------------------------ completion


@pytest.mark.parametrize(
    "name", ["exp", "add", "softmax", "clamp", "relu", "matmul", "sum", "where"]
)
def test_signatures(name):
    parameters = list(inspect.signature(getattr(ng, name)).parameters)
    assert parameters[0] in ("input", "condition") and "args" not in parameters
    assert (
        list(inspect.signature(getattr(ng.ones(2), name)).parameters)
        == [p for p in parameters if p != ("condition" if name == "where" else "input")]
        or name == "where"
    )
    assert inspect.getdoc(getattr(ng.Tensor, name))


def test_completion():
    jedi = pytest.importorskip("jedi")
    for source, expected in [
        ("import numgrad as torch\ntorch.softm", "softmax"),
        ("import numgrad as torch\ntorch.prof", "profiler"),
        ("import numgrad as torch\nx = torch.ones(3)\n(x + 1).exp().su", "sum"),
        ("import numgrad as torch\ntorch.nn.Linear(2, 3)(torch.ones(2)).backw", "backward"),
    ]:
        assert expected in [c.name for c in jedi.Script(source).complete()], source
    for source, expected in [
        ("import numgrad as torch\ntorch.softmax(", "dim"),
        ("import numgrad as torch\nx = torch.ones(3)\nx.clamp(", "min"),
        ("import numgrad as torch\nx = torch.ones(3)\nx.exp(", "out"),
        ("import numgrad as torch\ntorch.mul(", "other"),
    ]:
        signatures = jedi.Script(source).get_signatures()
        assert any(expected in [p.name for p in s.params] for s in signatures), source
    assert {"profiler", "viz", "summary"} <= set(dir(ng))
