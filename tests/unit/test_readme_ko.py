"""README.ko.md keeps step with README.md: the same commands, figures, links and sections."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
ENGLISH, KOREAN = (
    (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.ko.md")
)
NUMBER = re.compile(r"(?<![\w.])\d[\d,]*(?:\.\d+)?")


def commands(text: str) -> list[str]:
    """Lines of all blocks, without what stands behind `#`."""
    blocks = re.findall(r"^```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [re.sub(r"\s+# .*", "", line) for block in blocks for line in block.splitlines()]


def prose(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)


def rows(text: str) -> list[list[str]]:
    """Numbers of each row of each table."""
    return [NUMBER.findall(line) for line in text.splitlines() if line.startswith("|")]


def test_commands_are_the_same() -> None:
    assert commands(KOREAN) == commands(ENGLISH)


def test_every_row_has_the_same_figures() -> None:
    assert rows(KOREAN) == rows(ENGLISH)


def test_figures_in_sentences_are_the_same() -> None:
    # small ones are words in one language and digits in the other
    found = [[n for n in NUMBER.findall(prose(text)) if len(n) > 2] for text in (ENGLISH, KOREAN)]
    assert sorted(found[0]) == sorted(found[1])


def test_links_and_sections_are_the_same() -> None:
    links = [Counter(re.findall(r"\]\(([^)]+)\)", text)) for text in (ENGLISH, KOREAN)]
    assert links[0] - Counter(["README.ko.md"]) == links[1] - Counter(["README.md"])
    depths = [re.findall(r"^(#+) ", prose(text), re.MULTILINE) for text in (ENGLISH, KOREAN)]
    assert depths[0] == depths[1]
