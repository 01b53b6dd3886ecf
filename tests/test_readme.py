"""The README's programs run."""

import pathlib
import re

import pytest

TEXT = (pathlib.Path(__file__).parent.parent / "README.md").read_text()
#: Heading and text of the programs: the first block under a heading that begins with an import.
PROGRAMS = re.findall(
    r"^##? ([^\n]*)$(?:(?!^## ).)*?```python\n(import .*?)```", TEXT, flags=re.M | re.S
)


@pytest.mark.parametrize("program", [p for _, p in PROGRAMS], ids=[title for title, _ in PROGRAMS])
def test_program_runs(program, capsys):
    scope = {"__name__": "readme"}
    exec(compile(program, "README.md", "exec"), scope)
    if "step" in scope and callable(scope["step"]):
        assert scope["step"].reason is None and scope["step"].programs
        assert "def step(x0, x1):" in capsys.readouterr().out
        assert scope["losses"][-1] < scope["losses"][0]


def test_there_are_some():
    assert [title for title, _ in PROGRAMS] == ["numgrad", "Quick start", "Compile"]


def test_links_lead_somewhere():
    root = pathlib.Path(__file__).parent.parent
    for target in re.findall(r"\]\(([^)#]+)\)", TEXT):
        assert target.startswith("https://") or (root / target).exists(), target
