"""What an object shows of itself in a notebook: a small card of HTML, every value escaped."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from html import escape

from riskml.core.redaction import printable

LINE = "1px solid rgba(128, 128, 128, .35)"
"""Seen on light and on dark pages alike; letters keep the colour of the page."""


def card(title: str, facts: Mapping[str, object], *parts: str) -> str:
    """A title, facts below each other, and parts that are HTML already.

    >>> "<script>" in card("<script>", {"user": "<script>"})
    False
    """
    rows = "".join(
        f"<tr><th style='text-align:left;font-weight:600;padding:1px 14px 1px 0'>{safe(name)}</th>"
        f"<td style='text-align:left;padding:1px 0'>{safe(value)}</td></tr>"
        for name, value in facts.items()
    )
    table = f"<table style='border-collapse:collapse;margin:4px 0'>{rows}</table>" if rows else ""
    return (
        f"<div style='border-left:3px solid #0b4f8a;padding:2px 0 2px 12px;margin:4px 0'>"
        f"<strong>{safe(title)}</strong>{table}{''.join(parts)}</div>"
    )


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], caption: str = "") -> str:
    """A table; numbers stand on the right.

    Args:
        columns: their headers.
        rows: values, as many as there are columns.
        caption: above it, where there is something to say.
    """
    head = "".join(
        f"<th style='text-align:left;padding:2px 14px 2px 0;border-bottom:{LINE}'>{safe(name)}</th>"
        for name in columns
    )
    body = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in rows)
    above = f"<caption style='text-align:left'>{safe(caption)}</caption>" if caption else ""
    return (
        f"<table style='border-collapse:collapse;margin:6px 0'>{above}"
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def safe(value: object) -> str:
    """A value as text that no browser takes for anything else.

    >>> safe(True), safe(None), safe("a < b")
    ('yes', '', 'a &lt; b')
    """
    if isinstance(value, bool):
        value = "yes" if value else "no"
    elif isinstance(value, datetime):
        value = f"{value:%Y-%m-%d %H:%M:%S}"
    return "" if value is None else escape(printable(str(value)))


def _cell(value: object) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    side = "right" if is_number else "left"
    style = f"text-align:{side};padding:2px 14px 2px 0;vertical-align:top"
    return f"<td style='{style}'>{safe(value)}</td>"
