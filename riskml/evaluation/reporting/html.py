"""A document as one HTML file that loads nothing: style, script and pictures are inside."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined

from riskml import __version__
from riskml.core.redaction import printable
from riskml.evaluation.reporting.blocks import Document
from riskml.evaluation.reporting.numbers import THIN

TEMPLATES = "riskml.evaluation.reporting"


def render_html(document: Document, more_style: str = "") -> str:
    """The whole document. What it may do stands in its content security policy: nothing outside.

    Args:
        document: what it says.
        more_style: CSS that comes after that of every document.
    """
    environment = Environment(
        loader=PackageLoader(TEMPLATES, "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"plain": plain, "kind": _kind, "as_address": svg_address}
    style, script = (_template(name) for name in ("report.css", "report.js"))
    style += more_style
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; "
        f"script-src {_hash(script)}; base-uri 'none'; form-action 'none'"
    )
    template = environment.get_template("report.html.j2")
    return template.render(
        document=document,
        style=style,
        script=script,
        policy=policy,
        version=__version__,
    )


def plain(text: str) -> str:
    r"""The text without what would turn or break lines; the template escapes it.

    >>> plain("a\u202eb\nc")
    'a�b�c'
    """
    return THIN.join(printable(part) for part in text.split(THIN))


def svg_address(svg: str) -> str:
    """A picture as the address of an image: apart from the page, so that it can touch nothing."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def _kind(block: object) -> str:
    return type(block).__name__


def _template(name: str) -> str:
    return (files(TEMPLATES) / "templates" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
