"""What the pages of the site show is what happens: their programs and sessions run."""

import doctest
import importlib.util
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest

import numgrad

DOCS = pathlib.Path(__file__).parent.parent.parent / "docs"
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
NO_GPU = "none is available"  # what only a machine without a GPU says


def blocks(page, language):
    """The page's code blocks, each with the heading it stands under."""
    found, title, lines = [], "", None
    for line in (DOCS / page).read_text().splitlines():
        if lines is not None:
            if line == "```":
                found.append((title, "\n".join(lines) + "\n"))
                lines = None
            else:
                lines.append(line)
        elif line == f"```{language}":
            lines = []
        elif line.startswith("#"):
            title = line.lstrip("# ")
    return found


def failures(text, scope, name):
    """What a session prints else than the page says."""
    report = []
    runner = doctest.DocTestRunner(optionflags=OPTIONS)
    test = doctest.DocTestParser().get_doctest(text, scope, name, name, 0)
    runner.run(test, out=report.append, clear_globs=False)
    scope.update(test.globs)
    return "".join(report)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "page", ["index.md", "from_pytorch.md", "architecture.md", "troubleshooting.md"]
)
def test_sessions(page):
    scope = {}
    for title, text in blocks(page, "pycon"):
        if NO_GPU in text and numgrad.cuda.is_available():
            continue
        assert not (report := failures(text, scope, f"<{page}: {title}>")), report


def test_messages_are_under_their_headings():
    """A heading is a message's words, `…` what is left out: the session under it shows them."""
    sections = {}
    for title, text in blocks("troubleshooting.md", "pycon"):
        sections.setdefault(title, []).append(text)
    headings = re.findall(r"^### (.*)$", (DOCS / "troubleshooting.md").read_text(), flags=re.M)
    assert len(headings) == len(set(headings)) > 25
    for heading in headings:
        words = [re.escape(part.strip()) for part in heading.split("…")]
        assert re.search(".*".join(words), sections[heading][0], flags=re.S), heading


def differences():
    text = (DOCS / "from_pytorch.md").read_text()
    titles = re.findall(r"^### (.*)$", text, flags=re.M)
    return [
        (title, block) for title, block in blocks("from_pytorch.md", "pycon") if title in titles
    ]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("title, text", differences(), ids=[title for title, _ in differences()])
def test_differences_are_differences(torch, title, text):
    with torch.compiler.set_stance("force_eager"):  # what it compiles behaves so, in a second
        assert failures(text, {"torch": torch, "np": np}, f"<{title}>")


def test_programs(tmp_path):
    """The blocks of a page are one program; the simulator stands in for a GPU where it can."""
    path = tmp_path / "program.py"
    path.write_text("\n\n".join(text for _, text in blocks("adding_an_operation.md", "python")))
    simulated = importlib.util.find_spec("greenlet") is not None
    environment = {**os.environ, "PYTHONPATH": str(DOCS.parent)}
    done = subprocess.run(
        [sys.executable, str(path)],
        capture_output=True,
        text=True,
        env={**environment, "NUMBA_ENABLE_CUDASIM": "1"} if simulated else environment,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "the same on" in done.stdout or not simulated
