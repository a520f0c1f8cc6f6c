"""Several detectors as one: the mean of their evidence, each read against normal windows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import copy
from pathlib import Path
from typing import Any, Self

import numpy as np
from scipy.stats import rankdata

from riskml.core.errors import ConfigError, did_you_mean, reading, require
from riskml.core.types import FeatureSpec, FloatArray, Windows
from riskml.models.base import Detector, read_state, write_state
from riskml.models.turns import Int64
from riskml.scoring.calibration import Calibration
from riskml.wrappers.parts import (
    FitPart,
    Float64,
    Part,
    checked,
    described,
    fit_plainly,
    in_two,
    unfitted,
)

P_VALUE, RANK = "p_value", "rank"


class EnsembleDetector(Detector):
    """Scores a window by the mean over detectors of −log10 p, or of its rank.

    p-value and rank are among the later windows given to `fit` (the calibration period); without
    them, among the last fifth of the train windows, which is then held out. What looks odd for
    different reasons to different detectors is averaged out (Aggarwal & Sathe 2015).

    Args:
        detectors: any detectors; they stay as they are, others like them are fitted.
        combine: `p_value` or `rank` (the share of later windows that score lower).
        keep: how many are kept, those that agree best with all: whose order of the later windows
            is nearest to the mean order (hyper-ensemble, Ding et al. 2022); None keeps all.
        contamination: share of odd rows that is expected; sets `threshold_`.

    Raises:
        ConfigError: no detectors, no such way to combine, or more to keep than there are.
    """

    def __init__(
        self,
        detectors: Sequence[Detector],
        combine: str = P_VALUE,
        keep: int | None = None,
        contamination: float = 0.1,
    ) -> None:
        require("detectors", list(detectors), len(detectors) > 0, "must name at least one")
        self.detectors = [checked("detectors", detector) for detector in detectors]
        kinds = [detector.kinds for detector in self.detectors if detector.kinds is not None]
        self.expect(contamination, kinds[0] if kinds else None)
        if combine not in (P_VALUE, RANK):
            raise ConfigError(f"combine={combine}: {did_you_mean(combine, (P_VALUE, RANK))}")
        fits = keep is None or 1 <= keep <= len(detectors)
        require("keep", keep, fits, f"must lie between 1 and the {len(detectors)} detectors")
        self.combine, self.keep = combine, keep
        self.remembers = any(detector.remembers for detector in self.detectors)
        self.learns_from_everybody = any(d.learns_from_everybody for d in self.detectors)

    @property
    def has_chance(self) -> bool:
        """As of any of the detectors."""
        return any(detector.has_chance for detector in self.detectors)

    def settings(self) -> dict[str, Any]:
        """Constructor arguments; detectors as class and settings."""
        return {**self.arguments(), "detectors": [described(d) for d in self.detectors]}

    def arguments(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            "detectors": list(self.detectors),
            "combine": self.combine,
            "keep": self.keep,
            "contamination": self.contamination,
        }

    def learn(
        self, windows: Windows, validation: Windows | None = None, fit_part: FitPart = fit_plainly
    ) -> None:
        """Fit every detector, then choose which ones count.

        Args:
            windows: train windows.
            validation: later, normal windows.
            fit_part: how each is fitted.
        """
        self.spec_ = windows.spec
        early, later = in_two(windows, validation)
        self.parts_ = [Part.fit(d, early, later, fit_part) for d in self.detectors]
        self._choose(later)

    @classmethod
    def of_fitted(
        cls,
        detectors: Sequence[Detector],
        windows: Windows,
        later: Windows,
        combine: str = P_VALUE,
        keep: int | None = None,
    ) -> Self:
        """An ensemble of detectors that are fitted already, which become its parts.

        Args:
            detectors: fitted on `windows`.
            windows: train windows.
            later: windows of the calibration period.
            combine: as for the constructor.
            keep: as for the constructor.
        """
        made = cls([unfitted(detector) for detector in detectors], combine, keep)
        made.spec_ = windows.spec
        made.parts_ = [Part(one, Calibration.fit(one.score(later))) for one in detectors]
        made._choose(later)
        made.remember(made.score(windows))
        return made

    def _choose(self, later: Windows) -> None:
        """Which parts count."""
        self.kept_ = list(range(len(self.parts_)))
        if self.keep is not None:
            orders = np.stack([rankdata(part.evidence(later)) for part in self.parts_])
            self.kept_ = _most_agreed(orders, self.keep)

    def score(self, windows: Windows) -> FloatArray:
        """Float32 [n]: mean evidence, or mean rank in [0, 1]."""
        return self._score(None, windows)

    def after(self, past: Windows) -> Self:
        """The same, with those detectors that remember after what came between."""
        if not self.remembers:
            return self
        later = copy(self)
        later.parts_ = [part.with_detector(lambda inner: inner.after(past)) for part in self.parts_]
        return later

    def with_parts(self, change: Callable[[Detector], Detector]) -> Self:
        """The same of changed detectors."""
        changed = copy(self)
        changed.parts_ = [part.with_detector(change) for part in self.parts_]
        changed.detectors = [unfitted(part.detector) for part in changed.parts_]
        return changed

    def _score(self, past: Windows | None, windows: Windows) -> FloatArray:
        self.check_spec(windows)
        amounts = [self._amount(part, past, windows) for part in self._counted()]
        score: FloatArray = np.sum(amounts, axis=0).astype(np.float32)
        return score

    def _counted(self) -> list[Part]:
        return [self.parts_[i] for i in self.kept_]

    def _amount(self, part: Part, past: Windows | None, windows: Windows) -> Float64:
        """What a part adds to the score, float64 [n]."""
        evidence = part.evidence(windows, past)
        if self.combine == RANK:
            evidence = 1 - 10.0**-evidence
        return evidence / len(self.kept_)

    def contributions(self, windows: Windows) -> FloatArray:
        """What each part adds, by its own topics where it has some, float32 [n, topics]."""
        return self.contributions_after(None, windows, np.arange(len(windows)))

    def contributions_after(
        self, past: Windows | None, windows: Windows, rows: Int64
    ) -> FloatArray:
        """The same of some windows after what came between."""
        self.check_spec(windows)
        return np.hstack(
            [
                part.split(self._amount(part, past, windows)[rows], past, windows, rows)
                for part in self._counted()
            ]
        )

    def topics(self) -> list[str]:
        """Topics of the parts, one after the other; of a part without any, its name."""
        return [topic for part in self._counted() for topic in part.topics()]

    def save(self, folder: Path) -> None:
        """Write `detector.json` and a folder for each part."""
        write_state(folder, self, kept=self.kept_)
        for i, part in enumerate(self.parts_):
            part.save(folder / f"part_{i}")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        state = read_state(folder, cls)
        with reading(folder):
            settings = state["settings"]
            count = len(settings.pop("detectors"))
            parts = [Part.load(folder / f"part_{i}") for i in range(count)]
            detector = cls([unfitted(part.detector) for part in parts], **settings)
            detector.parts_, detector.kept_ = parts, [int(i) for i in state["kept"]]
            detector.restore_fitted(state)
            detector.spec_ = FeatureSpec.from_dict(state["spec"], np.zeros((0, 0), np.float32))
        return detector


def _most_agreed(orders: Float64, keep: int) -> list[int]:
    """Rows of `orders` [detectors, n] nearest to their mean, by rank correlation."""
    consensus = rankdata(orders.mean(0))
    # an order that is the same everywhere agrees with nothing
    agreement = [np.corrcoef(o, consensus)[0, 1] if o.std() > 0 else -1.0 for o in orders]
    return sorted(np.argsort(-np.array(agreement), kind="stable")[:keep].tolist())
