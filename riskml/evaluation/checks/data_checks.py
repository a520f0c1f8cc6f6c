"""Whether windows and truth of a fold can be measured on without fooling oneself; docs/traps.md."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from riskml.core.errors import DataError
from riskml.core.schema import is_truth, time_span
from riskml.core.types import Windows
from riskml.evaluation.checks.artefacts import artefact_findings, label_findings
from riskml.evaluation.checks.duplicates import duplicate_finding, seen_before
from riskml.evaluation.checks.findings import OK, REFUSED, WARNING, Finding
from riskml.evaluation.checks.probes import KEYS, Mask
from riskml.evaluation.metrics import Labels
from riskml.features.preparation import PreparedWindows
from riskml.scoring.thresholds import days

NAMES, PREVALENCE, ORDER, STRADDLING, BACKGROUND, NEW_USERS, NO_POSITIVES = (
    "labels_in_windows",
    "prevalence",
    "order_of_periods",
    "overlapping_windows",
    "risky_background",
    "new_users",
    "no_positives",
)
"""Names of the traps."""

TRUTH_NAMES = {"y", "anomaly", "attack", "incident", "incidents", "incident_id", "scenario"}
"""Names that nothing but truth has, beside `label…` and `gt_…`."""

ODD, IMPOSSIBLE = 0.1, 0.3
"""Share of risky windows, normal ones weighted, that is a warning, and that is refused."""
SPARSE, WEEK = 0.4, 7
"""Normal windows a day, against those before the test, below which some were left out."""
OVERLAPPING = 0.05
"""Share of windows that may overlap with another one of their user."""


@dataclass(frozen=True)
class Looked:
    """What is known of the windows of a fold.

    Args:
        findings: of the checks.
        labels: of the test windows; None where there is no truth.
        known: test windows that hold exactly what one before them holds [n].
    """

    findings: tuple[Finding, ...]
    labels: Labels | None
    known: Mask


_last: tuple[weakref.ref[PreparedWindows], Looked] | None = None


def looked_at(windows: PreparedWindows) -> Looked:
    """Check windows and truth; once for all detectors that are judged on them.

    Raises:
        DataError: the truth does not fit the test windows, row by row.
    """
    global _last
    if _last is None or _last[0]() is not windows:
        labels, known = labels_as_checked(windows), seen_before(windows)
        found = tuple(_findings(windows, labels, known))
        _last = weakref.ref(windows), Looked(found, labels, known)
    return _last[1]


def _findings(windows: PreparedWindows, labels: Labels | None, known: Mask) -> Iterator[Finding]:
    yield from _names(windows)
    yield from _order(windows)
    yield from _overlapping(windows.test)
    yield duplicate_finding(windows, labels, known)
    if labels is None:
        return
    if not labels.any():
        text = "no window of the test period is known to be risky: nothing can be measured"
        yield Finding(NO_POSITIVES, WARNING, text)
        return
    yield from _prevalence(windows, labels)
    yield from _background(windows)
    yield from _new_users(windows, labels)
    yield from label_findings(windows, labels)
    yield from artefact_findings(windows, labels)


def labels_as_checked(windows: PreparedWindows) -> Labels | None:
    """Labels of the test windows; None where there is no truth.

    Raises:
        DataError: there are more or fewer than windows, of other windows, or not 0 or 1.
    """
    truth = windows.test_truth
    if truth is None:
        return None
    n = len(windows.test)
    if len(truth) != n:
        raise DataError(f"the truth has {len(truth):,} rows and the test period {n:,} windows")
    if "window_id" in truth.columns:
        odd = (truth["window_id"] != windows.test.keys["window_id"]).arg_true()
        if len(odd):
            raise DataError(
                f"row {odd[0]} (counted from 0) of the truth is of window "
                f"'{truth['window_id'][odd[0]]}', that of the test windows is "
                f"'{windows.test.keys['window_id'][odd[0]]}': bring them into one order"
            )
    labels = truth["label"]
    odd = (~labels.is_in([0, 1]) | labels.is_null()).arg_true()
    if len(odd):
        raise DataError(f"label {labels[odd[0]]} of row {odd[0]} (counted from 0) must be 0 or 1")
    return labels.to_numpy().astype(np.int8)


def _names(windows: PreparedWindows) -> Iterator[Finding]:
    parts = (windows.train, windows.calibration, windows.test)
    names = {name for part in parts for name in (*part.keys.columns, *part.spec.names)}
    truth = sorted(name for name in names if is_truth(name) or name.lower() in TRUTH_NAMES)
    if truth:
        listed = ", ".join(f"'{name}'" for name in truth[:5])
        text = f"windows hold what is called {listed}: truth must not be among what detectors see"
        yield Finding(NAMES, REFUSED, text)
    else:
        yield Finding(NAMES, OK, "no column of the windows has a name of truth")


def _order(windows: PreparedWindows) -> Iterator[Finding]:
    """Train < calibration < test in time; a window that reaches over a cut is of the later one."""
    train, calibration, test = (
        part.keys for part in (windows.train, windows.calibration, windows.test)
    )
    _, last = time_span(train["start"], pl.concat([train["start"], calibration["start"]]))
    early = int((test["end"] < last).sum())
    if early and windows.over_time:
        text = (
            f"{early:,} of {len(test):,} test windows end before the last window of the train or "
            "calibration period begins: the split is not by time, and what was learnt knows the "
            "future; cut the log by time (data.split)"
        )
        yield Finding(ORDER, REFUSED, text)
    elif early:
        text = (
            f"{early:,} of {len(test):,} test windows end before the last window that was learnt "
            "from begins: the split is that of the log's own protocol, not by time"
        )
        yield Finding(ORDER, WARNING, text)
    elif len(train) and (calibration["end"] < train["start"].max()).any():
        text = "some calibration windows end before the last train window begins"
        yield Finding(ORDER, WARNING, f"{text}: the threshold knows what was learnt")
    else:
        yield Finding(ORDER, OK, "train, calibration and test follow each other in time")


def _overlapping(test: Windows) -> Iterator[Finding]:
    ordered = test.keys.sort("user_id", "start", "end")
    latest = pl.col("end").cum_max().over("user_id").shift(1).over("user_id")
    share = float(ordered.select((pl.col("start") < latest).fill_null(False).mean()).item())
    if share > OVERLAPPING:
        text = (
            f"{share:.0%} of the test windows overlap in time with one of the same user: they are "
            "no independent cases; trust intervals that are drawn by user or incident"
        )
        yield Finding(STRADDLING, WARNING, text)
    else:
        yield Finding(STRADDLING, OK, "windows of a user follow each other in time")


def _prevalence(windows: PreparedWindows, labels: Labels) -> Iterator[Finding]:
    weight, risky = windows.normal_weight, float(labels.sum())
    normal = len(labels) - risky
    if not (np.isfinite(weight) and weight >= 1):
        text = (
            f"data.normal_weight={weight:g}: a normal window stands for one or more; less makes "
            "every precision look better than it is"
        )
        yield Finding(PREVALENCE, REFUSED, text)
        return
    share = risky / (risky + normal * weight)
    thin = _thinned(windows, normal) if weight == 1 and windows.over_time else None
    left_out = (
        ""
        if thin is None
        else f"; there are {thin:.0%} of the windows a day that there were before, so normal ones "
        "seem to have been left out"
    )
    text = (
        f"{share:.1%} of the test windows are risky{left_out}: where that is not how often it "
        "happens, precision means nothing; give the whole period, or say how many normal windows "
        "each stands for (data.normal_weight)"
    )
    if windows.over_time and (share >= IMPOSSIBLE or (thin is not None and share >= ODD)):
        yield Finding(PREVALENCE, REFUSED, text)
    elif share >= ODD or thin is not None:
        yield Finding(PREVALENCE, WARNING, text)
    else:
        told = "" if weight == 1 else f" (a normal window stands for {weight:g})"
        yield Finding(PREVALENCE, OK, f"{share:.2%} of the test windows are risky{told}")


def _thinned(windows: PreparedWindows, normal: float) -> float | None:
    """Normal windows a day in the test period against all before it, where there are too few."""
    before = pl.concat([part.keys.select(KEYS) for part in (windows.train, windows.calibration)])
    after = windows.test.keys
    if min(days(before), days(after)) < WEEK:
        return None
    ratio = normal / days(after) * days(before) / len(before)
    return ratio if ratio < SPARSE else None


def _background(windows: PreparedWindows) -> Iterator[Finding]:
    """The attacker's own data among what is taken for normal."""
    if windows.background is None:
        yield Finding(BACKGROUND, OK, "not known: the truth of the train period was not given")
        return
    sizes = {"train": len(windows.train), "calibration": len(windows.calibration)}
    found = [
        f"{count:,} of {sizes[name]:,} {name} windows ({count / max(sizes[name], 1):.2%})"
        for name, count in windows.background.items()
        if count
    ]
    if found:
        text = (
            f"{' and '.join(found)} are risky: attacks are learnt as if they were normal; a "
            "contaminated background makes results worse or, where it holds the attackers' own "
            "habits, better than they will be"
        )
        yield Finding(BACKGROUND, WARNING, text)
    else:
        yield Finding(BACKGROUND, OK, "no train or calibration window is known to be risky")


def _new_users(windows: PreparedWindows, labels: Labels) -> Iterator[Finding]:
    known = windows.train.keys["user_id"].unique().to_list()
    users = windows.test.keys["user_id"]
    new = ~users.is_in(known).to_numpy()
    if new.any():
        text = (
            f"{int(new.sum()):,} test windows, {int(labels[new].sum()):,} of them risky, are of "
            f"{users.filter(pl.Series(new)).n_unique():,} users without train windows: see the "
            "break-down by tenure"
        )
        yield Finding(NEW_USERS, OK, text)
    elif len(known) > 1:
        text = "all users of the test period were seen in training: nothing is known of new ones"
        yield Finding(NEW_USERS, WARNING, text)
