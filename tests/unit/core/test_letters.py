"""Names in any script on pictures."""

from __future__ import annotations

import io
import warnings
from pathlib import Path

import pytest
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font

from riskml.core import letters

OTHER = "STIXGeneral"
"""A font that comes with Matplotlib."""


def charmap(name: str) -> set[int]:
    return set(FT2Font(Path(font_manager.findfont(name))).get_charmap())


@pytest.mark.parametrize("there", [True, False])
def test_what_the_usual_font_has_not_another_draws(
    monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    only_there = charmap(OTHER) - charmap("DejaVu Sans")
    letter = chr(next(code for code in sorted(only_there) if chr(code).isprintable()))
    monkeypatch.setattr(letters, "FONTS", ("Not installed", *([OTHER] if there else [])))
    figure = Figure()
    figure.subplots().set_yticks([0, 1], [f"user {letter}", "user"])
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        letters.lettered(letters.lettered(figure)).savefig(io.BytesIO(), format="png")
    assert bool(told) is not there
