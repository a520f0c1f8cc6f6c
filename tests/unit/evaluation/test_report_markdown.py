"""The Markdown of a report: the same content, and names stay text."""

from __future__ import annotations

import re
from html import unescape

import polars as pl
import pytest
from evaluation_cases import MakeWindows
from markdown_it import MarkdownIt
from markdown_it.token import Token
from report_cases import HOSTILE, comparison, hostile

from riskml.evaluation.reporting.blocks import (
    Bullets,
    Case,
    Cell,
    Code,
    Column,
    Document,
    Facts,
    Line,
    Picture,
    Pictures,
    Section,
    Table,
    Text,
)
from riskml.evaluation.reporting.html import plain, render_html
from riskml.evaluation.reporting.markdown import escaped, render_markdown
from riskml.evaluation.reporting.report import report_document

PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])


def tokens(text: str) -> list[Token]:
    flat: list[Token] = []
    for token in PARSER.parse(text):
        flat += [token, *(token.children or [])]
    return flat


NAMES = [
    HOSTILE,
    "# a", "- a", "+ a", "* a", "1. a", "12) a", "> a", "=== ", "---", "```", "~~~", "    a",
    "a|b", "|", "\\|", "\\", "`", "``a``", "*a*", "**a**", "_a_", "__a__", "a_b_c", "_", "~~a~~",
    "[a](b)", "![a](b)", "[a]: b", "<b>", "</td>", "<!-- a", "&lt;", "&amp;", "a\nb", "a\r\n# b",
    "\t", "a  \nb", "<http://x.invalid>", "pyod_iforest", "a@b.c", "[^1]", "!", "0.5", "-0.5", "",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("where", ["text", "bullet", "fact", "cell", "strong", "title", "case"])
def test_a_name_is_seen_as_it_stands(name: str, where: str) -> None:
    cell = Table("c", (Column("a", number=False), Column("b")), [Line((Cell(name), Cell("z")))])
    events = pl.DataFrame({"action": [name], name or "x": ["b"]})
    block = {
        "text": Text(name),
        "bullet": Bullets([name]),
        "fact": Facts([(name, "b")]),
        "cell": cell,
        "strong": Table("c", cell.columns, [Line((Cell(name), Cell("z")), strong=True)]),
        "title": Table(name, cell.columns, []),
        "case": Case(name, Facts([]), [name], events, verdict=name),
    }[where]
    markdown = render_markdown(Document("t", "s", [Section("x", "X", (block,))]))
    kinds = [token.type for token in tokens(markdown)]
    allowed = {
        *("heading", "paragraph", "bullet_list", "list_item", "table", "thead", "tbody", "tr"),
        *("th", "td", "inline", "text", "text_special", "strong"),
    }
    assert {re.sub("_(open|close)$", "", kind) for kind in kinds} <= allowed
    html = unescape(re.sub(r"<[^>]*>", "", PARSER.render(markdown)))
    shown = plain(name).strip()
    assert re.sub(r"\s+", " ", shown) in re.sub(r"\s+", " ", html)
    if where == "cell":
        assert kinds.count("td_open") == 2


def test_a_hostile_report_has_no_links_and_no_html(make_windows: MakeWindows) -> None:
    found = tokens(render_markdown(report_document(hostile(make_windows), {})))
    kinds = {token.type for token in found}
    assert not kinds & {"html_block", "html_inline", "link_open", "image", "code_inline", "hr"}
    blocks = [token for token in found if token.type in ("fence", "code_block")]
    assert [block.info for block in blocks] == ["bash"]


def test_code_cannot_be_left() -> None:
    code = Code("a\n```\n# no heading\n<b>", "bash")
    markdown = render_markdown(Document("t", "s", [Section("x", "X", (code, Text("after")))]))
    found = tokens(markdown)
    assert [token.content for token in found if token.type == "fence"] == [code.text + "\n"]
    assert not [token for token in found if token.type.startswith("html")]


def test_pictures_are_linked() -> None:
    picture = Picture("curve", "A [caption]", "an | alt", "<svg/>")
    markdown = render_markdown(Document("t", "s", [Section("x", "X", (Pictures([picture]),))]))
    (image,) = [token for token in tokens(markdown) if token.type == "image"]
    assert image.attrs["src"] == "plots/curve.png"
    assert image.content == "an \\| alt"


def words(html: str) -> set[str]:
    return set(re.findall(r"\w[\w.]*", unescape(re.sub(r"<[^>]*>", " ", html))))


def test_it_says_what_the_page_says(make_windows: MakeWindows) -> None:
    document = report_document(comparison(make_windows), {})
    own = r"<(style|script|footer|nav|h3)\b.*?</\1>"
    page = re.sub(own, " ", render_html(document), flags=re.DOTALL)
    missing = words(page) - words(PARSER.render(render_markdown(document)))
    assert missing == set()


def test_plain_names_stay_readable() -> None:
    for name in ("pyod_iforest", "0.512", "u00058/2024-02-22", "5 % of windows", "'usb_copy': 19"):
        assert escaped(name) == name
