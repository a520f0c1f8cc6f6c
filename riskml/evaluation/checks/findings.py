"""What the checks against fooling oneself say; see docs/traps.md for each of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

OK, WARNING, REFUSED = "ok", "warning", "refused"
_ORDER = {OK: 0, WARNING: 1, REFUSED: 2}


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

    Args:
        by_fold: number of the fold, and what was found in it; a fold may come several times.
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
        where = [number for number, each in own.items() if each.verdict == worst.verdict]
        if worst.verdict != OK and len(folds) > 1:
            listed = ", ".join(map(str, sorted(where)))
            worst = replace(worst, text=f"fold {listed}: {own[where[0]].text}")
        whole.append(worst)
    return tuple(whole)


def _badness(finding: Finding) -> int:
    return _ORDER[finding.verdict]
