"""The documentation site: the guides, and a reference made from docstrings, settings and the command line.

``python -m sphinx --fail-on-warning docs build/site`` builds it without a network; pages load nothing from elsewhere.
"""

from __future__ import annotations

import dataclasses
import re
import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from pygments.lexers.special import TextLexer
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import pipeline  # noqa: E402
from pipeline import plugins  # noqa: E402

project = "affect-pipeline"
version = release = pipeline.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click"]
html_theme = "furo"
html_title = f"affect-pipeline {release}"
pygments_dark_style = "monokai"
html_copy_source = False
smartquotes = False             # an option is --so, not –so
html_show_copyright = False
html_theme_options = {"navigation_with_keys": True}
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
toc_object_entries_show_parents = "hide"
napoleon_numpy_docstring = False
myst_heading_anchors = 3
# Every plug-in has a class Config of its own, to which annotations refer by this name alone.
suppress_warnings = ["ref.python"]
GUIDE = re.compile(r"docs/(\w+)\.md")


class Plugins(SphinxDirective):
    """``.. plugins:: extractor``: every plug-in of a kind with its words, its class and its settings."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        kind: Any = self.arguments[0]
        return self.parse_text_to_nodes("\n".join(line for name in plugins.names(kind)
                                                  for line in describe(kind, name)), allow_section_headings=True)


def describe(kind: Any, name: str) -> list[str]:
    """A section of reStructuredText on one plug-in."""
    found: Any = plugins.plugin_class(kind, name)
    lines = [name, "-" * len(name), "", f".. automodule:: {found.__module__}", "   :no-members:", "",
             f".. autoclass:: {found.__module__}.{found.__name__}", "   :no-members:", ""]
    fields = dataclasses.fields(found.Config)
    rows = [(field.name, default(field), field.metadata.get("help", "")) for field in fields]
    if not rows:
        return lines
    cells = [[f"   * - {setting}", f"     - {value}", f"     - {escaped(what)}"] for setting, value, what in (
        ("setting", "default", "meaning"), *((f"``{row[0]}``", row[1], row[2]) for row in rows))]
    return [*lines, ".. list-table::", "   :header-rows: 1", "   :widths: 20 20 60", "",
            *(line for row in cells for line in row), ""]


def default(field: dataclasses.Field[Any]) -> str:
    """A setting's default as one would type it."""
    value = field.default_factory() if field.default is dataclasses.MISSING else field.default  # type: ignore[misc]
    text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return f"``{text}``" if text else ""


def escaped(text: str) -> str:
    """Plain words in reStructuredText."""
    return re.sub(r"([\\*`|_<])", r"\\\1", text)


def link_guides(app: Sphinx, tree: nodes.document) -> None:
    """The guides name each other by their files, so that they read well anywhere; here these names are links."""
    for literal in list(tree.findall(nodes.literal)):
        found = GUIDE.fullmatch(literal.astext())
        if found and found[1] in app.env.found_docs and not isinstance(literal.parent, (nodes.reference, nodes.title)):
            link = addnodes.pending_xref("", literal.deepcopy(), refdomain="std", reftype="doc", refexplicit=True,
                                         reftarget=f"/{found[1]}", refdoc=app.env.current_document.docname)
            literal.parent.replace(literal, link)


def read_as_meant(_app: Sphinx, _what: str, _name: str, _object: Any, _options: Any, lines: list[str]) -> None:
    """Docstrings are written for people: a shape (T, *row) opens no emphasis, |x| no substitution, and a dictionary
    that is returned is no ``type: description``."""
    for place, line in enumerate(lines):
        line = re.sub(r"([(, ])\*(?=\w+[^*]*$|\w+\))", r"\1\\*", line)
        line = re.sub(r"(?<!\S)\|(?=\S[^|]*\|)", r"\\|", line)
        after = place and lines[place - 1].strip() == "Returns:"
        lines[place] = line.replace("``{", "dict: ``{", 1) if after and line.strip().startswith("``{") else line


def show_examples(_app: Sphinx, _context: Any, lines: list[str]) -> None:
    """Examples in a command's help become blocks of code; sphinx-click gives them as lines that begin with a bar."""
    found: list[str] = []
    for line in lines:
        if line.startswith("| "):
            found += [] if found and found[-1].startswith("   ") else ["", ".. code-block:: text", ""]
            found.append(f"   {line[2:]}")
        else:
            found += ["", line] if found and found[-1].startswith("   ") else [line]
    lines[:] = found


def setup(app: Sphinx) -> None:
    """Sphinx calls this."""
    app.add_directive("plugins", Plugins)
    app.add_lexer("csv", TextLexer)
    app.connect("autodoc-process-docstring", read_as_meant, priority=400)    # before napoleon's
    app.connect("sphinx-click-process-description", show_examples)
    app.connect("doctree-read", link_guides)
