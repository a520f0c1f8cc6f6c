"""Numbers in README.md and docs/ that are results must stand in a committed table.

    python -m experiments.quoted        # lists those that do not

What counts as a result: in a table, every number of a cell that holds little else, unless its row
begins with `code` (such a row describes a setting or a name). In a sentence: a number with three
decimals or more; and where it speaks of a measure (AP, AUC, F1, precision, recall, hits, alarms,
incidents, seconds, memory, speed, ...), decimals, percentages, whole numbers with a thousands
separator or with a unit of time, memory or speed. Code, commands, link targets and headings do not
count. Where it must stand: in a results file that the section, or one
around it, links to or that quoted.yaml names for it. A row of a table must stand, with all its
numbers, in a row of that name there, unless quoted.yaml calls the section `loose`.

quoted.yaml exempts what is no result, phrase by phrase or section by section, with the reason.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from experiments.study import HERE, ROOT

RULES = HERE / "quoted.yaml"
RESULTS = ("experiments/", "benchmarks/results/")

_UNIT = r"(?:ms|s|MB|MiB|GB|GiB|seconds|minutes|hours|times|bytes|(?:\w+ )?\w+/s)\b"
_NUMBER = re.compile(
    rf"(?<![\w.,/#-])(?P<value>\d+(?:,\d{{3}})*(?:\.\d+)?)(?![\d.]*\d)(?P<unit>\s?%|\s{_UNIT}|(?=–[\d.]+\s?%))?"
)
_MEASURE = re.compile(
    r"\b(?:AP|AUC|ROC|F1|area under the curve|precision|recall|hits?|accuracy|alarms?|found|finds?"
    r"|caught|missed|seconds|memory|faster|slower|speed|measured|took"
    r"|takes?|\w+/s|[KMG]i?B)\b"
)
_CONFIDENCE = re.compile(r"\b95 % intervals?")
_SENTENCE = re.compile(r"(?<=[.;:!?])\s+")
LETTERS = 20
"""That a cell may hold beside its numbers to be one of figures."""

_HEADING = re.compile(r"^(#{1,6}) (.*)$")
_LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]*)\)")
_FENCE = re.compile(r"^\s*```")
_ITEM = re.compile(r"^\s*(?:[-*]|\d+\.) ")
_COMMAND = re.compile(r"^ {4,}\S")


@dataclass(frozen=True)
class Number:
    """A number as it is written.

    Args:
        text: with its separators and sign of percent.
        value: what it says; of a percentage, as a share.
        half: half a unit of its last digit.
    """

    text: str
    value: float
    half: float

    @classmethod
    def of(cls, match: re.Match[str]) -> Number:
        """From a match of the pattern above."""
        digits = match["value"].replace(",", "")
        places = len(digits.partition(".")[2])
        percent = (match["unit"] or "").endswith("%") or match["unit"] == ""  # "" in 1.0–1.7 %
        scale = 100.0 if percent else 1.0
        text = match["value"] + (" %" if percent else "")
        return cls(text, float(digits) / scale, 0.5 * 10.0**-places / scale)

    def stands_for(self, source: Number) -> bool:
        """Whether the source, rounded to as many digits, is this."""
        return source.half <= self.half * 1.001 and (
            abs(source.value - self.value) <= self.half * 1.001
        )


@dataclass
class Section:
    """What stands under one heading.

    Args:
        title: of the heading, empty before the first.
        sources: results files that it, or a section around it, links to.
        rows: of tables: first cell and the others.
        sentences: paragraphs and list items.
    """

    title: str
    level: int = 0
    sources: list[Path] = field(default_factory=list)
    rows: list[tuple[str, str]] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)


def sections(path: Path) -> list[Section]:
    """The sections of a Markdown file."""
    around: list[Section] = [Section("")]
    found = [around[0]]
    paragraph: list[str] = []
    fenced = False
    for line in [*path.read_text().splitlines(), ""]:
        if _FENCE.match(line):
            fenced = not fenced
        elif heading := _HEADING.match(line):
            level = len(heading[1])
            while around[-1].level >= level:
                around.pop()
            around.append(Section(heading[2], level, list(around[-1].sources)))
            found.append(around[-1])
        elif fenced or (_COMMAND.match(line) and not paragraph):
            continue
        elif line.startswith("|"):
            _add_row(line, path, around[-1])
        elif line.strip() and not (paragraph and _ITEM.match(line)):
            paragraph.append(line.strip())
            continue
        if paragraph:
            told = _plain(" ".join(paragraph), path, around[-1])
            around[-1].sentences.append(told)
            paragraph = [line.strip()] if _ITEM.match(line) else []
    return found


def _add_row(line: str, path: Path, section: Section) -> None:
    """A row of a table; the line below the headings takes them out again."""
    if re.fullmatch(r"[\s|:-]*-[\s|:-]*", line):
        section.rows.pop()
        return
    cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
    text = " | ".join(_plain(cell, path, section) for cell in cells[1:])
    above = section.rows[-1][0] if section.rows else ""
    section.rows.append((cells[0] or above, text))


def _plain(text: str, path: Path, section: Section) -> str:
    """Without code and link targets; links to results become sources of the section."""
    for _, target in _LINK.findall(text):
        file = (path.parent / target.partition("#")[0]).resolve()
        if file.is_relative_to(ROOT) and _is_result(file.relative_to(ROOT).as_posix()):
            section.sources.append(file)
    text = _LINK.sub(r"\1", text)
    return re.sub(r"`[^`]*`", "`", text)


def _is_result(name: str) -> bool:
    return name.startswith(RESULTS) and name.endswith(".md") and (ROOT / name).is_file()


def numbers(text: str) -> list[Number]:
    """All numbers of a text."""
    return [Number.of(match) for match in _NUMBER.finditer(text)]


def claims(text: str) -> list[Number]:
    """Those of a paragraph that are results."""
    found = []
    for sentence in _SENTENCE.split(_CONFIDENCE.sub("interval", text)):
        measure = _MEASURE.search(sentence)
        for match in _NUMBER.finditer(sentence):
            digits = match["value"]
            precise = len(digits.partition(".")[2]) >= 3
            written = match["unit"] is not None or "." in digits or "," in digits
            if precise or (measure and written):
                found.append(Number.of(match))
    return found


def _of_cells(cells: str) -> list[Number]:
    """Those of a table's row that are results."""
    found = []
    for cell in cells.split(" | "):
        few = sum(letter.isalpha() for letter in cell) <= LETTERS
        found += numbers(cell) if few else claims(cell)
    return found


@cache
def _source(path: Path) -> tuple[dict[str, list[list[Number]]], list[Number]]:
    """Rows by their name, and all numbers, of a results file."""
    rows: dict[str, list[list[Number]]] = {}
    every: list[Number] = []
    for section in sections(path):
        for first, others in section.rows:
            rows.setdefault(_name(first), []).append(numbers(others))
            every += numbers(f"{first} | {others}")
        every += [number for sentence in section.sentences for number in numbers(sentence)]
    return rows, every


def _name(cell: str) -> str:
    return re.sub(r"[*`]", "", cell).strip().lower()


def without_source(path: Path, rules: dict[str, Any]) -> Iterator[str]:
    """One line for each result of a document that stands in no table, and each idle rule."""
    name = path.relative_to(ROOT).as_posix()
    own = rules.get(name, {})
    exempt, idle = dict(own.get("exempt", {})), set(own.get("exempt", {}))
    loose, given = own.get("loose", {}), own.get("from", {})
    found = sections(path)
    for section in found:
        if section.title in exempt:
            idle.discard(section.title)
            continue
        files = [*section.sources, *(ROOT / file for file in given.get(section.title, []))]
        files = [file for file in files if file.is_file()]
        if path.name == "README.md" and (beside := path.with_name("results.md")).is_file():
            files.append(beside)
        for phrase in exempt:
            if any(phrase in text for text in _texts(section)):
                idle.discard(phrase)
        yield from _of_rows(name, section, files, exempt, section.title in loose)
        for sentence in section.sentences:
            for number in claims(_without(sentence, exempt)):
                if not _stands(number, files):
                    yield f"{name}, {section.title}: {number.text} in: {sentence[:80]}"
    lost = {file for files in given.values() for file in files if not (ROOT / file).is_file()}
    yield from (f"{name}: quoted.yaml names {file}, which is not there" for file in sorted(lost))
    titles = {section.title for section in found}
    for title in [*(set(loose) | set(given)) - titles, *idle]:
        yield f"{name}: quoted.yaml names '{title}', which is not there"


def _of_rows(
    name: str, section: Section, files: Sequence[Path], exempt: dict[str, str], loose: bool
) -> Iterator[str]:
    for first, others in section.rows:
        wanted = _of_cells(_without(others, exempt))
        if not wanted or first.startswith("`") or _without(first, exempt) != first:
            continue
        if loose:
            bad = [number for number in wanted if not _stands(number, files)]
        else:
            rows = [row for file in files for row in _source(file)[0].get(_name(first), [])]
            rest = [
                [number for number in wanted if not any(number.stands_for(s) for s in row)]
                for row in rows
            ]
            bad = min(rest, key=len, default=wanted)
        if bad:
            told = ", ".join(number.text for number in bad)
            yield f"{name}, {section.title}: {told} in the row '{first}'"


def _stands(number: Number, files: Sequence[Path]) -> bool:
    return any(number.stands_for(source) for file in files for source in _source(file)[1])


def _texts(section: Section) -> list[str]:
    return [*section.sentences, *(f"{first} | {others}" for first, others in section.rows)]


def _without(text: str, phrases: dict[str, str]) -> str:
    for phrase in phrases:
        text = text.replace(phrase, " ")
    return text


def documents() -> list[Path]:
    """README.md, docs/ and what the studies say of themselves."""
    return [ROOT / "README.md", *sorted(ROOT.glob("docs/*.md")), *sorted(HERE.glob("**/README.md"))]


def main() -> int:
    """List what has no source."""
    rules = yaml.safe_load(RULES.read_text())
    lines = [line for path in documents() for line in without_source(path, rules)]
    print("\n".join(lines) or "every result stands in a table")
    return int(bool(lines))


if __name__ == "__main__":
    sys.exit(main())
