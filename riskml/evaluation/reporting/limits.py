"""Known limits, each drawn from a fact of the evaluation."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from riskml.evaluation.measures.reliability import AT_LEVEL
from riskml.evaluation.reporting.blocks import OK, Bullets, Section, Text
from riskml.evaluation.reporting.numbers import count, listed, number, share, some
from riskml.evaluation.reporting.view import MAIN, View

FEW_INCIDENTS = FEW_POSITIVES = 30
FEW_DAYS = 28.0
MANY_NEW = 0.05
UNKNOWN_ACTIONS = 0.01
KEPT = (0.8, 1.25)
"""Alerts delivered for each one promised that still count as a promise kept."""

UNFAIR, ENOUGH = 3.0, 3
"""How many times as often new users may be suspected; false alarms of theirs that tell."""

OFF = 2.0
"""How many times a p-value may be off."""

SIMULATED = "simulated"

ALWAYS = (
    "What was known to be risky is all that counts as risky: an attack that nobody has labelled "
    "counts as a false alarm here.",
    "Figures hold for this log and this time. Other organisations, other logs and later habits "
    "give others.",
    "Whoever chooses settings or detectors by these figures makes them look better than they are; "
    "choose on one log and judge on another.",
)


def limits(view: View) -> Section:
    """What to keep in mind, from the most to the least particular."""
    return Section(
        "limits",
        "Known limits",
        (
            Text("Of this evaluation, found in its own facts, and after them those of every one:"),
            Bullets([*known_limits(view), *ALWAYS]),
        ),
    )


def known_limits(view: View) -> list[str]:
    """Those that follow from facts of this evaluation."""
    return [*_of_the_truth(view), *_of_the_test(view), *_of_the_alerts(view), *_of_the_rest(view)]


def _of_the_truth(view: View) -> Iterator[str]:
    if view.about.data == SIMULATED:
        yield (
            "The log is simulated. The figures tell how detectors compare on planted attacks, not "
            "how many real attacks would be found."
        )
    if not view.has_labels and view.refusals:
        yield "A check refuses the figures: nothing here tells how well the detector does."
        return
    if not view.has_labels:
        yield "The truth is not known: no figure here tells whether an alert is right."
        return
    if not view.positives:
        yield "Nothing in the test period is known to be risky: nothing could be found."
        return
    incidents = len(view.detections)
    if 0 < incidents < FEW_INCIDENTS:
        yield (
            f"Only {some(incidents, 'incident')}: one more or one less found moves the share of "
            f"incidents found by {100 / incidents:.0f} percentage points."
        )
    elif not incidents and view.positives < FEW_POSITIVES:
        yield f"Only {some(view.positives, 'risky window')}: every figure rests on them."
    if view.metrics.get(MAIN) is not None and not view.focus.intervals:
        yield (
            "No intervals were computed, so that it cannot be told how much of a figure or of a "
            "difference is chance."
        )
    weight = view.focus.evaluations[0].normal_weight
    if weight != 1:
        yield (
            f"Normal windows were thinned out: each stands for {count(weight)}. Average precision "
            "and precision are weighted for it; counts of alerts are not."
        )


def _of_the_test(view: View) -> Iterator[str]:
    seeds = len(view.focus.seeds)
    if seeds == 1:
        yield (
            "One seed: detectors that draw weights or samples by chance may do better or worse "
            "with another."
        )
    if len(view.comparison.folds) == 1:
        yield "One test period: nothing tells how figures vary from month to month."
    if view.test_days < FEW_DAYS:
        yield f"A short test period: {some(round(view.test_days), 'day')}."
    new = view.whole.filter(view.whole["learning"])
    if len(new) > MANY_NEW * len(view.whole):
        yield (
            f"{share(len(new) / len(view.whole))} of test windows are of users that the detector "
            "hardly knew; see the table by tenure."
        )
    if view.has_labels:
        yield from _of_new_users(view)
    rate = view.about.unknown_action_rate
    if rate > UNKNOWN_ACTIONS:
        yield (
            f"{share(rate)} of test events are actions that training never saw: the log has "
            "changed since."
        )


def _of_new_users(view: View) -> Iterator[str]:
    normal = view.whole.filter(pl.col("label") == 0)
    rates = []
    for known in (normal.filter(~pl.col("learning")), normal.filter(pl.col("known_windows") == 0)):
        if known.is_empty():
            return
        rates.append(int(known["alert"].sum()) / len(known))
    usual, new = rates
    alarms = int(normal.filter(pl.col("known_windows") == 0)["alert"].sum())
    if alarms >= ENOUGH and new > UNFAIR * usual:
        yield (
            f"New users are suspected more often: {share(new)} of the normal windows of users that "
            f"training never saw raise a false alarm, of known users {share(usual)}; see the table "
            "by tenure."
        )


def _of_the_alerts(view: View) -> Iterator[str]:
    ratio = view.metrics.get("alerts_delivered_ratio")
    if ratio is not None and not KEPT[0] <= ratio <= KEPT[1]:
        yield (
            f"The promise of alerts was not kept: {share(ratio)} of those promised were delivered. "
            "The test period is unlike the calibration period."
        )
    normal = view.whole.filter(view.whole["label"] == 0) if view.has_labels else view.whole
    observed = float((normal["p_value"] <= AT_LEVEL).sum()) / max(len(normal), 1)
    if observed > OFF * AT_LEVEL:
        yield (
            f"P-values promise too much: {share(observed)} of normal windows have one up to "
            f"{share(AT_LEVEL)}. Risk looks higher than it is, though the order of windows stays."
        )
    kept = len(view.comparison.alerts)
    if kept < view.alerts:
        yield f"Reasons were worked out for the {kept:,} riskiest of {view.alerts:,} alerts only."


def _of_the_rest(view: View) -> Iterator[str]:
    refused = list(view.comparison.refused)
    if refused:
        yield f"Not compared with {listed(refused)}, which these windows do not suit."
    seen = [finding for finding in view.comparison.findings if finding.verdict != OK]
    concerning = [finding for finding in seen if finding.detector in (None, view.focus.name)]
    for finding in concerning:
        yield f"Finding of a check ({finding.detector or 'the data'}): {finding.text}"
    if len(seen) > len(concerning):
        yield f"Checks saw something of other detectors too ({len(seen) - len(concerning)})."
    if any(row.metrics.get("fit_seconds") is not None for row in view.comparison.rows):
        yield "Times were taken once, on a machine that may have had other work to do."
    if view.others:
        yield "Other detectors ran with their usual settings, which were not tuned for this log."
    values = [row.metrics.get(MAIN) for row in view.others]
    highest = max((value for value in values if value is not None), default=None)
    own = view.metrics.get(MAIN)
    if highest is not None and own is not None and highest > own:
        above = [row.name for row in view.others if (row.metrics.get(MAIN) or 0) > own]
        yield (
            f"By average precision {some(len(above), 'other detector')} "
            f"{'stands' if len(above) == 1 else 'stand'} above {view.focus.name} here, the best at "
            f"{number(highest)}."
        )
