"""The bars of a report name their days within the picture."""

from __future__ import annotations

import re
from datetime import date, timedelta

import pytest

from riskml.reporting.charts import DAY_WIDTH, WIDTH, bars
from riskml.reporting.words import Words


@pytest.mark.parametrize("length", [1, 7, 28, 29, 30, 31])
def test_no_day_is_cut(length: int) -> None:
    days = [date(2024, 12, 1) + timedelta(days=n) for n in range(length)]
    svg = bars(days, {"low": {days[-1]: 1}}, Words("ko"), "serif")
    found = re.findall(r'<text x="([\d.]+)" y="182.0" text-anchor="(\w+)"', svg)
    assert found
    for x, anchor in found:
        assert float(x) + (DAY_WIDTH / 2 if anchor == "middle" else 0) <= WIDTH
