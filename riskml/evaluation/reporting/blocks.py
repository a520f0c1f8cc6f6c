"""A document as plain values: written once, shown as HTML and as Markdown.

Every text here is plain text. What comes from the log (names of users, actions, resources) may
hold anything; the two renderers escape all of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from riskml.evaluation.checks.findings import OK as OK
from riskml.evaluation.checks.findings import REFUSED as REFUSED
from riskml.evaluation.checks.findings import WARNING as WARNING


@dataclass(frozen=True)
class Text:
    """A paragraph.

    Args:
        text: of it.
        tone: empty, or `WARNING` for what must not be missed.
        lead: what it is about, in bold before it.
    """

    text: str
    tone: str = ""
    lead: str = ""


@dataclass(frozen=True)
class Bullets:
    """A list."""

    items: Sequence[str]


@dataclass(frozen=True)
class Facts:
    """Names with their values; broad ones hold whole sentences."""

    items: Sequence[tuple[str, str]]
    broad: bool = False


@dataclass(frozen=True)
class KeyNumber:
    """A number to be seen first: value, what it is, and what to make of it."""

    value: str
    label: str
    detail: str = ""


@dataclass(frozen=True)
class KeyNumbers:
    """Some of them in a row."""

    items: Sequence[KeyNumber]


@dataclass(frozen=True)
class Column:
    """Of a table.

    Args:
        title: short.
        number: whether its cells are aligned as numbers.
        hint: what it means.
    """

    title: str
    number: bool = True
    hint: str = ""


@dataclass(frozen=True)
class Cell:
    """Of a table.

    Args:
        text: as shown; empty for nothing.
        value: that rows are sorted by; the text where it is None.
        detail: smaller, behind it (an interval, a footnote).
        tone: empty, `OK`, `WARNING` or `REFUSED`.
    """

    text: str
    value: float | None = None
    detail: str = ""
    tone: str = ""


@dataclass(frozen=True)
class Line:
    """A row of a table; a strong one stands out."""

    cells: Sequence[Cell]
    strong: bool = False


@dataclass(frozen=True)
class Table:
    """Rows and columns.

    Args:
        caption: what is in it.
        columns: of it.
        lines: with as many cells as columns.
        notes: below it.
        folded: long ones are opened by the reader.
        sortable: whether another order makes sense.
    """

    caption: str
    columns: Sequence[Column]
    lines: Sequence[Line]
    notes: Sequence[str] = ()
    folded: bool = False
    sortable: bool = True

    @property
    def prose(self) -> bool:
        """Whether it has no numbers: narrow pages then show its cells below each other."""
        return not any(column.number for column in self.columns)


@dataclass(frozen=True)
class Picture:
    """A plot.

    Args:
        name: of its file in plots/, without ending.
        caption: below it.
        alt: what is to be seen, for those who cannot.
        svg: the picture itself.
        wide: whether it takes a whole row.
    """

    name: str
    caption: str
    alt: str
    svg: str
    wide: bool = False


@dataclass(frozen=True)
class Pictures:
    """Side by side where there is room."""

    items: Sequence[Picture]


@dataclass(frozen=True)
class Case:
    """An alert that can be opened.

    Args:
        title: who and when.
        facts: about the window.
        reasons: in words, most important first.
        events: the first ones behind it, as texts.
        more: how many further events there are.
        verdict: what the truth says; may be empty.
        tone: of the verdict.
        open: whether it is open to begin with.
    """

    title: str
    facts: Facts
    reasons: Sequence[str]
    events: pl.DataFrame
    more: int = 0
    verdict: str = ""
    tone: str = ""
    open: bool = False

    @property
    def shown(self) -> str:
        """How many of its events are to be seen."""
        few = len(self.events)
        return f"{few:,} of {few + self.more:,} events shown; the reasons are about all of them"


@dataclass(frozen=True)
class Code:
    """Lines to be copied."""

    text: str
    language: str = "python"


Block = Text | Bullets | Facts | KeyNumbers | Table | Pictures | Case | Code


@dataclass(frozen=True)
class Section:
    """Some blocks under a heading.

    Args:
        name: for links.
        title: of it.
        blocks: in order; a section without any is left out.
    """

    name: str
    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Document:
    """The whole.

    Args:
        title: of it.
        subtitle: below it.
        sections: in order.
        language: of its texts, as HTML has it.
        contents: what the list of sections is called.
        footer: at its end; None: what made it.
    """

    title: str
    subtitle: str
    sections: Sequence[Section] = field(default_factory=tuple)
    language: str = "en"
    contents: str = "Contents"
    footer: str | None = None
