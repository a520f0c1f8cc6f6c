"""The remedy at the end of an error: names that would have been right."""

from __future__ import annotations

from riskml.core.errors import FEW, MANY, did_you_mean


def test_few_names_are_all_shown() -> None:
    assert did_you_mean("sesion", ["session", "block"]) == (
        "did you mean 'session'? Valid: block, session"
    )


def test_of_many_names_the_nearest_are_shown() -> None:
    names = [f"column{i}" for i in range(MANY)] + ["timestamp"]
    text = did_you_mean("timestmp", names)
    assert text.startswith("did you mean 'timestamp'? Valid: timestamp, ")
    assert text.count("column") == FEW - 1
    assert text.endswith(f"({MANY + 1} in all)")
