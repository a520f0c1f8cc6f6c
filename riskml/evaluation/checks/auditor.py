"""All checks of one detector on one fold, in the order in which they have to be asked."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from riskml.core.types import FloatArray, Windows
from riskml.evaluation.checks.audit import Audit
from riskml.evaluation.checks.content import content_findings, fitting_findings, score_findings
from riskml.evaluation.checks.data_checks import Looked, looked_at
from riskml.evaluation.checks.duplicates import without_duplicates
from riskml.evaluation.checks.findings import OK, REFUSED, Finding
from riskml.evaluation.checks.probes import KEYS, shown_to_detectors
from riskml.evaluation.checks.refits import refit_findings
from riskml.evaluation.metrics import Metrics
from riskml.features.preparation import PreparedWindows
from riskml.models.base import Detector

STANDARD, DEEP, OFF = "standard", "deep", "off"
LEVELS = (STANDARD, DEEP, OFF)
CHANGED = "changed_windows"


@dataclass(frozen=True)
class Shown:
    """The windows as detectors see them: copies, with the columns of the contract alone.

    Args:
        calibration, test: windows of these periods.
        past: all between train period and test.
    """

    calibration: Windows
    test: Windows
    past: Windows

    @classmethod
    def of(cls, windows: PreparedWindows) -> Shown:
        """Copies of all but the train windows."""
        calibration = shown_to_detectors(windows.calibration)
        past = calibration if windows.before is None else shown_to_detectors(windows.before)
        return cls(calibration, shown_to_detectors(windows.test), past)

    def is_as_in(self, windows: PreparedWindows) -> bool:
        """Whether nothing was written to the copies."""
        pairs = (
            (self.calibration, windows.calibration),
            (self.test, windows.test),
            (self.past, windows.before_test),
        )
        return all(_same(*pair) for pair in pairs)


class Auditor:
    """Asks before the detector has scored, and again after.

    Args:
        name: of the detector.
        detector: fitted.
        windows: by period.
        shown: what the detector is shown of them.
        deep: whether it is fitted again as well.
    """

    def __init__(
        self, name: str, detector: Detector, windows: PreparedWindows, shown: Shown, deep: bool
    ) -> None:
        self.name, self.detector, self.deep = name, detector, deep
        self.windows, self.shown = windows, shown
        self.looked: Looked = looked_at(windows)
        self.audit = Audit(name, detector, shown.past, shown.test, self.looked.labels)

    def findings(self, scores: FloatArray) -> list[Finding]:
        """Of the data and of the detector that gave these scores of the test windows."""
        labels = self.looked.labels
        found = [
            *self.looked.findings,
            self._changed(),
            *self.audit.findings(self.detector, scores),
            *fitting_findings(self.name, self.detector, self.windows.train, scores),
            *score_findings(self.name, scores, labels),
        ]
        if labels is not None:
            found += content_findings(self.audit, scores, labels)
        if self.deep:
            found += refit_findings(self.name, self.audit.detector, self.windows, scores)
        return found

    def without_duplicates(self, scores: FloatArray) -> Metrics:
        """Measures of the test windows that hold what no window before them holds."""
        labels, known = self.looked.labels, self.looked.known
        if labels is None:
            return {}
        return without_duplicates(labels, scores, known, self.windows.normal_weight)

    def _changed(self) -> Finding:
        if not self.shown.is_as_in(self.windows):
            text = "it writes into the windows that it is given to score"
            return Finding(CHANGED, REFUSED, text, self.name)
        if self.windows.as_it_is() != self.windows.fingerprint:
            text = (
                "windows or truth are no longer what they were: this detector, or one that was "
                "fitted before it, writes into what it is given; make the windows anew"
            )
            return Finding(CHANGED, REFUSED, text, self.name)
        return Finding(CHANGED, OK, "windows are as they were before", self.name)


def _same(copied: Windows, original: Windows) -> bool:
    arrays = ("x", "tokens", "lengths", "times")
    return copied.keys.equals(original.keys.select(KEYS)) and all(
        np.array_equal(getattr(copied, name), getattr(original, name)) for name in arrays
    )
