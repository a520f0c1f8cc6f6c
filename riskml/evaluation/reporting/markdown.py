"""A document as Markdown (CommonMark with GitHub's tables)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import polars as pl

from riskml.evaluation.reporting.blocks import (
    Block,
    Bullets,
    Case,
    Code,
    Document,
    Facts,
    KeyNumbers,
    Pictures,
    Section,
    Table,
    Text,
)
from riskml.evaluation.reporting.numbers import THIN

SPECIAL = re.compile(r"[\\`*\[\]<>|~&#!^$]|(?<![^\W_])_|_(?![^\W_])|(?<=:)/|(?<=www)\.")
"""Signs that could begin a link, code, HTML or emphasis; `_` within a word cannot."""

AT_START = re.compile(r"^(\s*)([-+=](?!\d)|\d+(?=[.)](?:\s|$)))")
"""What would begin a list or a line across, where a block begins."""


def escaped(text: str) -> str:
    r"""Plain text that stays plain text in Markdown, on one line.

    >>> print(escaped("a|b `c` <script> pyod_iforest _x_ [l](http://x)"))
    a\|b \`c\` \<script\> pyod_iforest \_x\_ \[l\](http:\//x)
    >>> print(escaped("- no\nlist"), escaped("1. none"))
    \- no�list 1\. none
    >>> escaped("0.5"), escaped("+0.5")
    ('0.5', '+0.5')
    """
    plain = "".join(c if c.isprintable() or c == THIN else "�" for c in text).strip()
    marked = SPECIAL.sub(lambda found: "\\" + found.group(), plain)
    return AT_START.sub(_not_a_list, marked)


def _not_a_list(found: re.Match[str]) -> str:
    space, sign = found.groups()
    return f"{space}{sign}\\" if sign.isdigit() else f"{space}\\{sign}"


def render_markdown(document: Document, plots: str = "plots") -> str:
    """The whole document; pictures are linked.

    Args:
        document: to show.
        plots: folder of the pictures, as seen from the file.
    """
    parts = [f"# {escaped(document.title)}", escaped(document.subtitle)]
    for section in document.sections:
        parts += _section(section, plots)
    return "\n\n".join(part for part in parts if part) + "\n"


def _section(section: Section, plots: str) -> Iterator[str]:
    yield f"## {escaped(section.title)}"
    for block in section.blocks:
        yield from _block(block, plots)


def _block(block: Block, plots: str) -> Iterator[str]:
    match block:
        case Text(text, tone, lead):
            begin = f"**{escaped(lead)}** " if lead else ""
            yield begin + (f"**{escaped(text)}**" if tone else escaped(text))
        case Bullets(items):
            yield _list(items)
        case Facts(items):
            yield "\n".join(f"- {escaped(name)}: {escaped(value)}" for name, value in items)
        case KeyNumbers(numbers):
            yield "\n".join(
                f"- **{escaped(n.value)}** {escaped(n.label)}"
                + (f" ({escaped(n.detail)})" if n.detail else "")
                for n in numbers
            )
        case Table():
            yield from _table(block)
        case Pictures(pictures):
            for picture in pictures:
                yield f"![{escaped(picture.alt)}]({plots}/{picture.name}.png)"
                yield escaped(picture.caption)
        case Case():
            yield from _case(block)
        case Code(text, language):
            fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
            yield f"{fence}{language}\n{text}\n{fence}"


def _list(items: Sequence[str]) -> str:
    return "\n".join(f"- {escaped(item)}" for item in items)


def _table(table: Table) -> Iterator[str]:
    yield f"### {escaped(table.caption)}"
    rows = []
    for line in table.lines:
        cells = []
        for cell in line.cells:
            detail = cell.detail if cell.detail.startswith("[") else f"({cell.detail})"
            text = escaped(f"{cell.text} {detail}" if cell.detail else cell.text)
            cells.append(f"**{text}**" if line.strong and text else text)
        rows.append(cells)
    titles = [escaped(column.title) for column in table.columns]
    yield _grid(titles, [column.number for column in table.columns], rows)
    if table.notes:
        yield _list(table.notes)


def _grid(titles: Sequence[str], numbers: Sequence[bool], rows: Sequence[Sequence[str]]) -> str:
    aligned = ["---:" if number else "---" for number in numbers]
    lines = [titles, aligned, *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _case(case: Case) -> Iterator[str]:
    yield f"### {escaped(case.title)}"
    if case.verdict:
        yield f"**{escaped(case.verdict)}**"
    yield from _block(case.facts, "")
    yield from _block(Bullets(case.reasons), "")
    if not case.events.is_empty():
        rows = [[escaped(value) for value in row] for row in _rows(case.events)]
        titles = [escaped(name) for name in case.events.columns]
        yield _grid(titles, [False] * len(titles), rows)
    if case.more:
        yield escaped(case.shown)


def _rows(events: pl.DataFrame) -> Iterator[tuple[str, ...]]:
    return events.iter_rows()
