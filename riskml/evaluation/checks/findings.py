"""What the checks against fooling oneself say; see docs/traps.md for each of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

OK, WARNING, REFUSED = "ok", "warning", "refused"
_ORDER = {OK: 0, WARNING: 1, REFUSED: 2}

IN_FULL = 3
"""Texts of one finding that differ by fold; the folds of further ones are counted."""


@dataclass(frozen=True)
class Finding:
    """What a check of the data or of a detector has found.

    Args:
        trap: which one, a stable name.
        verdict: "ok", "warning", or "refused" (the numbers would mislead and are withheld).
        text: for people.
        detector: None where it is about the data.
    """

    trap: str
    verdict: str
    text: str
    detector: str | None = None


def refusal(findings: Iterable[Finding]) -> str:
    """Why numbers are withheld, in words; empty where they are not."""
    texts = dict.fromkeys(finding.text for finding in findings if finding.verdict == REFUSED)
    return "; ".join(texts)


def gathered(by_fold: Sequence[tuple[int, Sequence[Finding]]]) -> tuple[Finding, ...]:
    """One finding a trap and detector: the worst of all folds, which says where it was.

    What differs between the folds of the worst verdict is said of each, of the first `IN_FULL`.

    Args:
        by_fold: number of the fold from 0, and what was found in it; a fold may come several times.
    """
    folds = {number for number, _ in by_fold}
    found: dict[tuple[str, str | None], dict[int, Finding]] = {}
    for number, findings in by_fold:
        for finding in findings:
            own = found.setdefault((finding.trap, finding.detector), {})
            own[number] = max(finding, own.get(number, finding), key=_badness)
    whole = []
    for own in found.values():
        worst = max(own.values(), key=_badness)
        texts: dict[str, list[int]] = {}
        for number, each in sorted(own.items()):
            if each.verdict == worst.verdict:
                texts.setdefault(each.text, []).append(number)
        if len(folds) > 1 and (worst.verdict != OK or len(texts) > 1):
            worst = replace(worst, text=_by_fold(texts))
        whole.append(worst)
    return tuple(whole)


def _by_fold(texts: Mapping[str, Sequence[int]]) -> str:
    """Texts with the folds that they are of, counted from 1; what all end with is said once."""
    shown = list(texts)[:IN_FULL]
    parts = [text.partition(": ") for text in shown]
    tails = {colon + tail for _, colon, tail in parts}
    tail = tails.pop() if len(tails) == 1 else ""
    told = [f"{named(texts[text])}: {text.removesuffix(tail)}" for text in shown]
    if more := sum(len(texts[text]) for text in list(texts)[IN_FULL:]):
        told.append(f"and {more} more fold{'s' if more > 1 else ''}")
    return "; ".join(told) + tail


def named(folds: Sequence[int]) -> str:
    """Folds as people count them, from 1.

    >>> named([0]), named([0, 2]), named([0, 1, 2, 3])
    ('fold 1', 'folds 1, 3', 'folds 1 to 4')
    """
    numbers = [number + 1 for number in folds]
    if len(numbers) == 1:
        return f"fold {numbers[0]}"
    if len(numbers) > 2 and numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"folds {numbers[0]} to {numbers[-1]}"
    return f"folds {', '.join(map(str, numbers))}"


def _badness(finding: Finding) -> int:
    return _ORDER[finding.verdict]
