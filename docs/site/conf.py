"""The documentation site: `make docs`, or

    sphinx-build --fail-on-warning --keep-going -c docs/site . build/docs

The pages are the Markdown files where they are, so that their links work on a forge as well;
those of the reference are written by `reference.py` before each build.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "docs" / "site")]

import reference  # noqa: E402

import riskml  # noqa: E402

project = "riskml"
author = "The riskml developers"
version = release = riskml.__version__
copyright = "The riskml developers, Apache-2.0"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
]

# ---- which files are pages ----------------------------------------------------------------

SHOWN = ("docs", "experiments", "benchmarks", "notebooks", "CONTRIBUTING.md")
SHOWN += ("CHANGELOG.md",)
root_doc = "docs/index"
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
exclude_patterns = [path.name for path in ROOT.iterdir() if path.name not in SHOWN]
exclude_patterns += ["docs/site", "**/__pycache__", "**/.ipynb_checkpoints"]
html_additional_pages = {"index": "forward.html"}  # the site begins in docs/, as its sources do

# ---- Markdown ----------------------------------------------------------------

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 4
suppress_warnings = [
    "misc.highlighting_failure",  # Cypher's $parameters, cron tables
    "ref.python",  # riskml.Bundle is also riskml.export.bundle.Bundle
]
smartquotes = False  # quotes and dashes of commands stay what they are

# ---- docstrings ----------------------------------------------------------------

default_role = "code"  # `names` in docstrings
add_module_names = False
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
maximum_signature_line_length = 90

# ---- looks ----------------------------------------------------------------

html_theme = "furo"
html_title = "riskml"
html_static_path = ["static"]
html_css_files = ["site.css"]
templates_path = ["templates"]
html_copy_source = False
html_show_sphinx = False
pygments_style = "default"
pygments_dark_style = "github-dark"


def folders(app: Sphinx, page: str, source: list[str]) -> None:
    """A link to a folder, which a forge lists, leads to its README here."""

    def led(found: re.Match[str]) -> str:
        folder = (ROOT / page).parent / found[2]
        if not folder.is_dir():
            return found[0]
        return (
            f"[{found[1]}]({found[2]}/README.md)" if (folder / "README.md").is_file() else found[1]
        )

    source[0] = re.sub(r"\[([^\]]+)\]\((\.\./[\w/-]+)\)", led, source[0])


def not_a_type(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Keep napoleon from reading `What it is: more` of a property as a type and its meaning."""
    if what in {"attribute", "data", "property"}:
        lines.insert(0, "")


def arrays(
    app: Sphinx,
    what: str,
    name: str,
    obj: object,
    options: object,
    signature: str | None,
    returned: str | None,
) -> tuple[str | None, str | None]:
    """Call arrays what the source calls them."""

    def called(text: str | None) -> str | None:
        return text and re.sub(
            r"ndarray\[tuple\[Any, \.\.\.\], dtype\[(\w+)\]\]", r"NDArray[\1]", text
        )

    return called(signature), called(returned)


def setup(app: Sphinx) -> None:
    """Called by Sphinx: the reference is written before sources are looked for."""
    reference.write(ROOT)
    app.connect("source-read", folders)
    app.connect("autodoc-process-docstring", not_a_type, priority=400)
    app.connect("autodoc-process-signature", arrays)
