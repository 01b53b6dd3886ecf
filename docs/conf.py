"""The site: `python -m sphinx -W docs build/site`, with the packages of the extra `docs`."""

import pathlib
import sys

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE))

from _extension import coverage, docstrings, notebooks, reference  # noqa: E402

import numgrad  # noqa: E402

project = "numgrad"
author = "The numgrad authors"
version = release = numgrad.__version__
extensions = ["sphinx.ext.autodoc", "sphinx.ext.viewcode", "myst_nb"]
exclude_patterns = ["_extension"]
html_theme = "furo"
html_title = f"numgrad {release}"
html_static_path = ["pictures"]
html_css_files = ["site.css"]
html_show_copyright = html_show_sphinx = False
templates_path: list[str] = []

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # the tests execute the notebooks; the site shows what they kept
nb_merge_streams = True

autodoc_typehints = "none"
autodoc_member_order = "bysource"
python_maximum_signature_line_length = 88
add_module_names = False
toc_object_entries_show_parents = "hide"


def _to_rst(app, what, name, obj, options, lines):
    lines[:] = docstrings.to_rst(lines)


def _write(app):
    reference.write_pages(HERE / "reference")
    notebooks.write_pages(HERE.parent / "notebooks", HERE / "notebooks")
    coverage.write_page(HERE / "coverage.md")


def setup(app):
    app.connect("builder-inited", _write)
    app.connect("autodoc-process-docstring", _to_rst)
