"""How a report looks on paper."""

from __future__ import annotations

from importlib.resources import files

from riskml.evaluation.reporting.html import plain
from riskml.reporting.words import Words

FONTS = {
    "en": "'Noto Sans', 'Liberation Sans', 'DejaVu Sans', sans-serif",
    "ko": "'Noto Sans CJK KR', 'Noto Sans KR', 'NanumGothic', 'NanumBarunGothic', sans-serif",
}
"""Of each language, the first that is installed; Debian has them in fonts-noto-core, fonts-noto-cjk
and fonts-nanum."""


def style(words: Words, title: str) -> str:
    """CSS after that of all documents: fonts, and what stands on every page."""
    text = (files("riskml.reporting") / "templates" / "paper.css").read_text(encoding="utf-8")
    page = words("page", page="\0", pages="\1")
    counters = {"\0": '" counter(page) "', "\1": '" counter(pages) "'}
    number = f'"{_quoted(page)}"'
    for sign, counter in counters.items():
        number = number.replace(sign, counter)
    return (
        text.replace("FONTS", FONTS[words.language])
        .replace("PAGE_NUMBER", number)
        .replace("TITLE", f'"{_quoted(plain(title))}"')
    )


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("<", "\\3c ")
