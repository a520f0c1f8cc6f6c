"""The HTML of a report: needs nothing else, lets nothing in, and is well formed."""

from __future__ import annotations

import base64
import hashlib
import re
import tomllib
from fnmatch import fnmatch
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pytest
from evaluation_cases import MakeWindows
from report_cases import HOSTILE, comparison, hostile, with_intervals

import riskml
from riskml.evaluation.reporting.blocks import Cell, Column, Document, Line, Section, Table, Text
from riskml.evaluation.reporting.html import plain, render_html
from riskml.evaluation.reporting.report import report_document, write_report

VOID = {"meta", "img", "br", "hr", "link", "input"}
ROOT = Path(riskml.__file__).parents[1]


class Page(HTMLParser):
    """Tags with their attributes in order; every tag has to be closed in its place."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), (tag, attrs)
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open:
            self.words.setdefault(self._open[-1], []).append(data)

    def named(self, *tags: str) -> list[dict[str, str]]:
        return [attributes for tag, attributes in self.tags if tag in tags]


@pytest.fixture(scope="module")
def hostile_page(make_windows: MakeWindows, tmp_path_factory: pytest.TempPathFactory) -> str:
    """With pictures, everything named as badly as can be."""
    folder = tmp_path_factory.mktemp("hostile")
    return write_report(folder, hostile(make_windows))[0].read_text(encoding="utf-8")


def test_names_are_only_text(hostile_page: str) -> None:
    page = Page(hostile_page)
    assert len(page.named("script")) == 1
    assert {tag for tag, _ in page.tags} <= {
        *("html", "head", "meta", "title", "style", "script", "body", "header", "nav", "main"),
        *("section", "footer", "h1", "h2", "h3", "p", "ul", "ol", "li", "dl", "div", "dt", "dd"),
        *("a", "strong", "span", "small", "table", "thead", "tbody", "tr", "th", "td", "details"),
        *("summary", "figure", "figcaption", "img", "pre", "code"),
    }
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
    shown = plain(HOSTILE)
    assert "\n" not in shown
    assert "\u202e" not in shown
    assert any(shown in text for text in page.words["td"])
    assert any(shown in text for text in page.words["li"]), "reasons"
    assert any(shown in text for text in page.words["h1"])
    assert "{{ 7 * 7 }}" in hostile_page, "names are no template"


def test_nothing_is_loaded(hostile_page: str) -> None:
    page = Page(hostile_page)
    for tag, attributes in page.tags:
        for name in ("src", "href", "srcset", "data", "action", "poster", "background"):
            address = attributes.get(name, "#")
            assert address.startswith(("#", "data:image/svg+xml;base64,")), (tag, address[:80])
    style = "".join(page.words["style"])
    assert "@import" not in style
    assert "url(" not in style
    for image in page.named("img"):
        svg = base64.b64decode(image["src"].partition(",")[2]).decode()
        for address in re.findall(r'(?:href|src)="(.*?)"', svg):
            assert address.startswith("#"), address
        assert "<script" not in svg


def test_policy_allows_its_own_style_and_script_alone(hostile_page: str) -> None:
    page = Page(hostile_page)
    policy = next(m["content"] for m in page.named("meta") if "Policy" in m.get("http-equiv", ""))
    assert policy.startswith("default-src 'none'; img-src data:;")
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        text = "".join(page.words[tag])
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_for_readers_of_every_kind(hostile_page: str) -> None:
    page = Page(hostile_page)
    assert page.named("html") == [{"lang": "en"}]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.named(
        "meta"
    )
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert all(len(image["alt"]) > 20 for image in page.named("img"))
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {a["href"][1:] for a in page.named("a")} <= set(ids)
    assert all(head.get("scope") in ("col", "row") for head in page.named("th"))


def test_tables_are_rectangles(make_windows: MakeWindows) -> None:
    made = with_intervals(comparison(make_windows), {"good": (0.1, 0.2)})
    page = Page(render_html(report_document(made, {})))
    rows: list[list[int]] = []
    for tag, _ in page.tags:
        if tag == "table":
            rows.append([])
        elif tag == "tr":
            rows[-1].append(0)
        elif tag in ("th", "td"):
            rows[-1][-1] += 1
    assert len(rows) > 8
    assert all(len(set(table)) == 1 for table in rows), rows


def test_rows_are_sorted_by_values_not_by_texts() -> None:
    cells = (Cell("a"), Cell("1.2 h", 0.05, "0.1 to 0.2"), Cell("–"))
    columns = (Column("name", number=False), Column("time"), Column("none"))
    table = Table("Times", columns, [Line(cells, strong=True)])
    page = render_html(Document("t", "s", [Section("x", "X", (Text("a & b", lead="L"), table))]))
    assert '<td class="number" data-value="0.05">1.2 h <small>0.1 to 0.2</small></td>' in page
    assert '<td class="number">–</td>' in page
    assert "<strong>L</strong> a &amp; b" in page


def test_twenty_detectors_are_under_two_megabytes(hostile_page: str) -> None:
    assert hostile_page.count("</tr>") > 20
    assert len(hostile_page.encode()) < 2_000_000


def test_templates_come_with_the_package() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    data = settings["package-data"]
    packed = {
        path.relative_to(ROOT / package.replace(".", "/")).as_posix()
        for package, patterns in data.items()
        for path in (ROOT / package.replace(".", "/")).rglob("*")
        for pattern in patterns
        if fnmatch(path.relative_to(ROOT / package.replace(".", "/")).as_posix(), pattern)
    }
    folder = ROOT / "riskml" / "evaluation" / "reporting" / "templates"
    assert {f"templates/{path.name}" for path in folder.iterdir()} <= packed
