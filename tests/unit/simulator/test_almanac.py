"""Weekdays, holidays, month ends, daylight saving, and that people keep to them."""

from datetime import date, timedelta

import numpy as np
import pytest

from riskml.data.simulator import SimulationSettings
from riskml.data.simulator.almanac import TIME_ZONES, easter, make_almanac
from riskml.data.simulator.plan import make_plan


@pytest.mark.parametrize(
    ("year", "day"),
    [(2000, (4, 23)), (2019, (4, 21)), (2024, (3, 31)), (2025, (4, 20)), (2038, (4, 25))],
)
def test_easter(year: int, day: tuple[int, int]) -> None:
    assert easter(year) == date(year, *day)


def test_daylight_saving_begins_on_each_continent_on_its_own_day() -> None:
    almanac = make_almanac(date(2024, 3, 1), 40)
    hours = almanac.utc_offset / 3600

    def begins(zone: str) -> date:
        row = hours[TIME_ZONES.index(zone)]
        return almanac.dates[int(np.flatnonzero(np.diff(row))[0]) + 1]

    assert begins("Europe/Berlin") == date(2024, 3, 31)
    assert begins("America/New_York") == date(2024, 3, 10)
    assert set(hours[TIME_ZONES.index("Asia/Seoul")]) == {9.0}


def test_holidays_and_month_ends() -> None:
    almanac = make_almanac(date(2024, 3, 25), 14)
    london = almanac.holiday[TIME_ZONES.index("Europe/London")]
    off = [day for day, free in zip(almanac.dates, london, strict=True) if free]
    assert off == [date(2024, 3, 29), date(2024, 4, 1)]
    assert not almanac.holiday[TIME_ZONES.index("Asia/Seoul")].any()
    last = [day for day, end in zip(almanac.dates, almanac.month_end, strict=True) if end]
    assert last == [date(2024, 3, 28) + timedelta(days=ahead) for ahead in range(4)]


def test_people_rest_at_weekends_and_machines_do_not() -> None:
    plan = make_plan(SimulationSettings(users=300, days=56, test_days=14))
    people = ~plan.people.service
    weekend = plan.almanac.weekday >= 5
    weekday = plan.active[people][:, ~weekend].mean()
    assert 0.04 < plan.active[people][:, weekend].mean() < 0.13
    assert 0.75 < weekday < 0.97
    assert plan.active[plan.people.service].all()


def test_volume_follows_role_person_drift_and_month_end() -> None:
    plan = make_plan(SimulationSettings(users=300, days=120))
    people = ~plan.people.service & (plan.people.move_day > 120)
    working = np.where(plan.day_off, np.nan, plan.volume)[people]
    typical = np.nanmedian(working, axis=1)
    assert 0.3 < np.log(typical).std() < 0.55
    late = np.log(np.nanmedian(working[:, 90:], axis=1) / np.nanmedian(working[:, :30], axis=1))
    # A random walk of 0.012 a day is about 0.11 apart after 90 days.
    assert 0.06 < late.std() < 0.2
