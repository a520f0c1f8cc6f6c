"""What trees that learn from verdicts hold of a window."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedGroupKFold

from riskml.core.errors import ConfigError, DataError, did_you_mean, require
from riskml.core.types import FloatArray

Float64 = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int8]
Strings = npt.NDArray[np.str_]

FOREST, XGBOOST, NO_TREES = "forest", "xgboost", "none"
KINDS = (FOREST, XGBOOST, NO_TREES)
FOLDS = 5
SURE = 0.001
"""Trees that saw few windows are never surer than this of either answer."""


def check_kind(kind: str) -> None:
    """Refuse what is no kind of classifier.

    Raises:
        ConfigError: names those there are.
    """
    if kind not in KINDS:
        raise ConfigError(f"triage.kind={kind}: {did_you_mean(kind, KINDS)}")


class TriageClassifier:
    """A forest or boosted trees on verdicts.

    Confirmed windows weigh as much as false alarms in all, and so does the background, windows
    that nobody judged: almost all are normal.

    Args:
        kind: `forest` or `xgboost` (needs `pip install riskml[triage]`).
        trees: how many.
        seed: of the trees.

    Attributes:
        held_out_: opinion on each judged window by trees that saw no window of its user [n]; 0,
            which is no opinion, where the others had verdicts of one kind alone.

    Raises:
        ConfigError: no such kind, or xgboost is not installed.
    """

    def __init__(self, kind: str = FOREST, trees: int = 60, seed: int = 0) -> None:
        check_kind(kind)
        require("triage.trees", trees, trees >= 1, "must be at least 1")
        self.kind, self.trees, self.seed = kind, trees, seed
        self._untrained()  # what is not installed should say so before the work

    def fit(self, x: FloatArray, confirmed: Labels, users: Strings, background: FloatArray) -> Self:
        """Learn from verdicts.

        Args:
            x: float32 [n, columns], see `triage_matrix`.
            confirmed: int8 [n], 1 where an auditor found a true incident, 0 where a false alarm.
            users: whose windows they are [n]; a user is never on both sides of a fold.
            background: float32 [m, columns], windows that nobody judged.

        Raises:
            DataError: not a verdict of each kind from two users.
        """
        per_kind = [len(set(users[confirmed == kind].tolist())) for kind in (0, 1)]
        if min(per_kind) < 2:
            raise DataError(
                f"triage needs true incidents and false alarms of two users each; it has those of "
                f"{per_kind[1]} and {per_kind[0]}"
            )
        folds = StratifiedGroupKFold(min(FOLDS, *per_kind)).split(x, confirmed, users)
        self.held_out_ = np.zeros(len(x))
        for train, test in folds:
            if len(set(confirmed[train].tolist())) == 2:
                model = self._fitted(x[train], confirmed[train], background)
                self.held_out_[test] = _log_odds(model, x[test])
        self.model_ = self._fitted(x, confirmed, background)
        return self

    def opinion(self, x: FloatArray) -> Float64:
        """Log-odds of a true incident as the trees see it, not calibrated, float64 [n]."""
        return _log_odds(self.model_, x)

    def _fitted(self, x: FloatArray, confirmed: Labels, background: FloatArray) -> Any:
        negatives = int((confirmed == 0).sum())
        share = negatives / max(int(confirmed.sum()), 1)
        weight = np.where(confirmed == 1, share, 1.0)
        rest = np.full(len(background), negatives / max(len(background), 1))
        target = np.concatenate([confirmed, np.zeros(len(background), np.int8)])
        model = self._untrained()
        model.fit(np.vstack([x, background]), target, sample_weight=np.concatenate([weight, rest]))
        return model

    def _untrained(self) -> Any:
        if self.kind != XGBOOST:
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
            learning_rate=10 / (self.trees + 25),
            subsample=0.8,
            colsample_bytree=0.3,
            random_state=self.seed,
            n_jobs=1,
        )


def _log_odds(model: Any, x: FloatArray) -> Float64:
    chance = np.clip(model.predict_proba(x)[:, 1].astype(np.float64), SURE, 1 - SURE)
    odds: Float64 = np.log(chance / (1 - chance))
    return odds
