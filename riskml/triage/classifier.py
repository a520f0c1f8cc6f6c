"""The chance that an auditor would confirm a window, learnt from verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedGroupKFold

from riskml.core.errors import ConfigError, DataError, did_you_mean, require
from riskml.core.types import FloatArray

Float64 = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int8]

FOREST, XGBOOST = "forest", "xgboost"
FOLDS = 5


@dataclass(frozen=True)
class Examples:
    """Windows whose verdict is known, and some of which nobody said anything.

    Args:
        x: float32 [n, columns], see `triage_matrix`.
        confirmed: int8 [n], 1 where an auditor found a true incident, 0 where a false alarm.
        users: whose windows they are [n]; a user is never on both sides of a fold.
        background: float32 [m, columns], windows from before the first verdict that nobody has
            judged; almost all are normal, so they count as such with a small weight.
    """

    x: FloatArray
    confirmed: Labels
    users: npt.NDArray[np.str_]
    background: FloatArray

    def fewest(self) -> int:
        """Verdicts of the rarer kind."""
        positives = int(self.confirmed.sum())
        return min(positives, len(self.confirmed) - positives)


class TriageClassifier:
    """A forest or boosted trees on verdicts, calibrated on users that were left out.

    Positives weigh as much as negatives in all, and the background together as much as the
    judged negatives times `background_weight`. Probabilities are Platt's (1999), fitted on
    out-of-fold predictions grouped by user; so they speak of windows like those judged.

    Args:
        kind: `forest` or `xgboost` (needs `pip install riskml[triage]`).
        background_weight: of the windows that nobody judged, all together.
        trees: how many.
        seed: of the trees.

    Raises:
        ConfigError: no such kind, or xgboost is not installed.
    """

    def __init__(
        self, kind: str = FOREST, background_weight: float = 1.0, trees: int = 100, seed: int = 0
    ) -> None:
        if kind not in (FOREST, XGBOOST):
            raise ConfigError(f"triage.kind={kind}: {did_you_mean(kind, (FOREST, XGBOOST))}")
        fits = background_weight >= 0
        require("triage.background_weight", background_weight, fits, "must be 0 or more")
        require("triage.trees", trees, trees >= 1, "must be at least 1")
        self.kind, self.background_weight = kind, background_weight
        self.trees, self.seed = trees, seed
        self._untrained()  # what is not installed should say so before the work

    def fit(self, examples: Examples) -> Self:
        """Learn from verdicts.

        Raises:
            DataError: not a verdict of each kind from two users.
        """
        y, users = examples.confirmed, examples.users
        per_kind = [len(set(users[y == kind].tolist())) for kind in (0, 1)]
        if min(per_kind) < 2:
            raise DataError(
                f"triage needs true incidents and false alarms of two users each; it has those of "
                f"{per_kind[1]} and {per_kind[0]}"
            )
        background = examples.background if self.background_weight else examples.background[:0]
        x = np.vstack([examples.x, background])
        target = np.concatenate([y, np.zeros(len(background), np.int8)])
        # everybody of the background is a group alone: nobody knows whose verdicts are near
        groups = np.concatenate([users, [f"\0{i}" for i in range(len(background))]])
        weight = self._weights(y, len(background))
        split = StratifiedGroupKFold(min(FOLDS, *per_kind)).split(x, target, groups)
        folds = [(train, test) for train, test in split]
        if all(len(set(target[train].tolist())) == 2 for train, _ in folds):
            self.model_: Any = CalibratedClassifierCV(
                self._untrained(), method="sigmoid", cv=folds, ensemble=False
            )
        else:
            self.model_ = self._untrained()
        self.model_.fit(x, target, sample_weight=weight)
        return self

    def probability(self, x: FloatArray) -> Float64:
        """That an auditor would confirm, float64 [n] in (0, 1)."""
        found: Float64 = self.model_.predict_proba(x)[:, 1].astype(np.float64)
        return found

    def _weights(self, y: Labels, n_background: int) -> Float64:
        positives, negatives = int(y.sum()), int((y == 0).sum())
        weight = np.where(y == 1, len(y) / (2 * positives), len(y) / (2 * negatives))
        share = self.background_weight * len(y) / 2
        rest = np.full(n_background, share / n_background if n_background else 0.0)
        return np.concatenate([weight, rest])

    def _untrained(self) -> Any:
        if self.kind == FOREST:
            # leaves of two: a single verdict may be wrong
            return RandomForestClassifier(
                self.trees, min_samples_leaf=2, max_features=0.3, random_state=self.seed, n_jobs=1
            )
        try:
            from xgboost import XGBClassifier
        except ModuleNotFoundError as error:
            raise ConfigError(
                "triage.kind=xgboost needs xgboost: pip install 'riskml[triage]', or kind=forest"
            ) from error
        return XGBClassifier(
            n_estimators=self.trees,
            max_depth=3,
            learning_rate=10 / (self.trees + 50),
            subsample=0.8,
            colsample_bytree=0.5,
            random_state=self.seed,
            n_jobs=1,
        )
