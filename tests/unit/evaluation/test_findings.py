"""What findings of several folds become."""

from __future__ import annotations

import pytest

from riskml.evaluation.checks.findings import Finding, gathered

TAIL = ": attacks are learnt; as if normal"


@pytest.mark.parametrize(
    ("verdict", "texts", "told"),
    [
        ("warning", ["3 of 9" + TAIL, "7 of 9" + TAIL], "fold 1: 3 of 9; fold 2: 7 of 9" + TAIL),
        ("warning", ["same", "same"], "folds 1, 2: same"),
        ("ok", ["same", "same"], "same"),
        ("ok", ["0 of 9", "1 of 9"], "fold 1: 0 of 9; fold 2: 1 of 9"),
        ("refused", list("abacded"), "folds 1, 3: a; fold 2: b; fold 4: c; and 3 more folds"),
        ("refused", list("aaaa"), "folds 1 to 4: a"),
        ("warning", ["alone"], "alone"),
    ],
)
def test_each_fold_keeps_its_own_text(verdict: str, texts: list[str], told: str) -> None:
    found = gathered([(i, [Finding("trap", verdict, text)]) for i, text in enumerate(texts)])
    assert found == (Finding("trap", verdict, told),)


def test_folds_of_a_better_verdict_are_not_named() -> None:
    odd, fine = Finding("trap", "warning", "odd: all"), Finding("trap", "ok", "fine")
    assert gathered([(0, [fine]), (1, [odd])])[0].text == "fold 2: odd: all"
