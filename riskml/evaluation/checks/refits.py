"""Fits a detector again, as a deep audit does; see docs/traps.md."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import polars as pl
from sklearn.base import clone

from riskml.core.types import FloatArray, Windows
from riskml.evaluation.checks.audit import checked_scores, pristine
from riskml.evaluation.checks.findings import OK, REFUSED, WARNING, Finding
from riskml.evaluation.checks.probes import Scale, another_date, moved, renamed, shown_to_detectors
from riskml.features.preparation import PreparedWindows
from riskml.models.base import Detector

REFIT, IDENTITY = "refit", "identity"


def refit_findings(
    name: str, detector: Detector, windows: PreparedWindows, scores: FloatArray
) -> Iterator[Finding]:
    """Whether scores come from the train windows, and not from who users are and which year it is.

    Another detector of the same settings is fitted on the train windows, which must give the same
    scores; and once more with users renamed (their order stays) and all windows moved by whole
    weeks, which must give those of the first.

    Args:
        name: of the detector.
        detector: as it was before it scored anything.
        windows: by period.
        scores: of all test windows.
    """
    parts = [
        shown_to_detectors(part)
        for part in (windows.train, windows.calibration, windows.before_test, windows.test)
    ]
    scale = Scale.of(scores)
    plain = _fitted_and_scored(name, detector, parts)
    if isinstance(plain, str):
        yield Finding(REFIT, WARNING, f"it cannot be fitted again ({plain})", name)
        return
    differing = int(scale.differing(plain, scores).sum())
    if differing:
        text = (
            f"fitted again on the train windows, another of the same settings gives {differing:,} "
            f"of {len(scores):,} test windows other scores: it was fitted on something else, or "
            "fitting is left to chance"
        )
        yield Finding(REFIT, WARNING, text, name)
    else:
        text = "fitted again on the train windows, windows have the same scores"
        yield Finding(REFIT, OK, text, name)
    names = sorted({user for part in parts for user in part.keys["user_id"].unique()})
    other = {user: f"user-{place:09d}" for place, user in enumerate(names)}
    by = another_date(parts[-1])
    strangers = _fitted_and_scored(name, detector, [_disguised(p, other, by) for p in parts])
    if isinstance(strangers, str):
        text = f"with users renamed and windows moved to another date it fails ({strangers})"
        yield Finding(IDENTITY, REFUSED, text, name)
        return
    differing = int(scale.differing(strangers, plain).sum())
    if differing:
        text = (
            f"fitted again with users renamed and all windows moved by 28 years, {differing:,} of "
            f"{len(scores):,} test windows have other scores: it knows users or dates from "
            "elsewhere"
        )
        yield Finding(IDENTITY, REFUSED, text, name)
    else:
        text = "with users renamed and windows moved by 28 years, windows have the same scores"
        yield Finding(IDENTITY, OK, text, name)


def _fitted_and_scored(name: str, detector: Detector, parts: list[Windows]) -> FloatArray | str:
    """Test scores of another detector of the same settings; or how it failed."""
    train, calibration, past, test = parts
    try:
        fitted = clone(pristine(detector)).fit(train, calibration)
        return checked_scores(name, fitted.score_after(past, test), test)
    except Exception as error:  # one that looks something up may fail in any way
        return f"{type(error).__name__}: {' '.join(str(error).split())}"


def _disguised(windows: Windows, names: dict[str, str], by: timedelta) -> Windows:
    keys = windows.keys.with_columns(pl.col("user_id").replace_strict(names))
    return renamed(moved(replace(windows, keys=keys), by))
