"""The scale plan is what its script makes of the measured tables."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from benchmarks import scale_plan
from benchmarks.scale_plan import TABLE, Assumed, Measured, Plan, page, row

MEASURED = Measured.read()


def test_the_table_is_what_the_script_writes() -> None:
    assert page(MEASURED, Assumed()) == TABLE.read_text(), "python -m benchmarks.scale_plan"


def test_what_was_measured_is_read_from_its_table() -> None:
    assert all(math.isfinite(value) and value > 0 for value in vars(MEASURED).values())
    text = (scale_plan.RESULTS / "score_job.md").read_text()
    assert f"| {MEASURED.job:,.0f} |" in text
    with pytest.raises(SystemExit, match="no row 'nothing'"):
        row("score_job.md", "nothing")


def test_sums_of_a_plan() -> None:
    """By hand, with round figures."""
    measured = Measured(
        job=1000, features=100, stream=10, stream_disk=1 << 20, stream_memory=2048,
        event=200, identity=100, score=400,
    )  # fmt: skip
    assumed = Assumed(events=86.4, peak=2, use=0.5, windows=1, keep_events=10, keep_scores=10)
    plan = Plan(1_000_000, measured, assumed)
    assert plan.mean_rate == pytest.approx(1000) and plan.peak_rate == pytest.approx(2000)
    assert plan.streams == 400
    assert plan.stream_memory == 400 * 0.5  # less than half a GiB each is not counted
    assert plan.job_minutes == pytest.approx(1440) and plan.jobs == 12
    assert plan.feature_core_hours == pytest.approx(86.4e6 * 10 / 100 / 3600)
    assert plan.score_gib == pytest.approx(4e9 / (1 << 30))
    assert plan.state_gib == pytest.approx(1e6 / 1024)
    dearer = Plan(1_000_000, measured, replace(assumed, core_hour=2 * assumed.core_hour))
    disk = (plan.event_gib + plan.score_gib) * assumed.gib_month
    memory = (plan.stream_memory + plan.state_gib) * 730 * assumed.memory_hour
    assert dearer.month(batch=True) - disk == pytest.approx(2 * (plan.month(batch=True) - disk))
    cores = plan.month(batch=False) - disk - memory
    assert cores == pytest.approx(400 * 730 * assumed.core_hour)


def test_partitions_follow_the_users_where_the_rate_is_low() -> None:
    quiet = replace(Assumed(), events=0.001)
    assert Plan(100_000_000, MEASURED, quiet).streams == 100
    assert Plan(1, MEASURED, quiet).streams == Plan(1, MEASURED, quiet).nodes == 1
