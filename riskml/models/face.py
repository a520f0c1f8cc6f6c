"""How a detector looks to scikit-learn and PyOD (Zhao et al. 2019): names, parameters, arrays."""

from __future__ import annotations

import dataclasses
import inspect
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt

from riskml.core.cards import card, table
from riskml.core.errors import ConfigError, DataError, did_you_mean, require
from riskml.core.types import FeatureSpec, FloatArray, Windows
from riskml.models.tables import Kinds, as_windows

if TYPE_CHECKING:
    from sklearn.utils import Tags


class OutlierEstimator(ABC):
    """Arrays and frames beside windows, under the names that PyOD and scikit-learn use.

    `fit` and what ends in an underscore are PyOD's: `predict` says 1 for what is odd, 0 else.

    Args:
        contamination: share of odd rows that is expected, above 0 to 0.5; sets `threshold_`.
        kinds: kinds of a table's columns by name, where they are not to be inferred.

    Attributes:
        decision_scores_: float32 [n] scores of the rows fitted on; higher is riskier.
        threshold_: the score that `contamination` of those rows exceed.
        labels_: int64 [n], 1 for the rows above the threshold.
        score_range_: lowest and highest of `decision_scores_`.
    """

    spec_: FeatureSpec
    decision_scores_: FloatArray
    labels_: npt.NDArray[np.int64]
    threshold_: float
    score_range_: tuple[float, float]

    def expect(self, contamination: float, kinds: Kinds | None) -> None:
        """Keep the arguments that all detectors share; called by their constructors.

        Raises:
            ConfigError: the share is not in (0, 0.5].
        """
        fits = 0 < contamination <= 0.5
        require("contamination", contamination, fits, "must lie above 0 and not above 0.5")
        self.contamination = contamination
        self.kinds = None if kinds is None else {name: str(kind) for name, kind in kinds.items()}

    @abstractmethod
    def learn(self, windows: Windows, validation: Windows | None = None) -> Any:
        """Learn from train windows; `validation` (later windows) may stop training early."""

    @abstractmethod
    def score(self, windows: Windows) -> FloatArray:
        """Float32 [n] scores."""

    @abstractmethod
    def settings(self) -> dict[str, Any]:
        """Constructor arguments as plain values."""

    def arguments(self) -> dict[str, Any]:
        """Constructor arguments, to make another like it."""
        return self.settings()

    # ---- fit and predict

    def fit(self, x: Any, validation: Any = None, *args: Any, **training: Any) -> Self:
        """Learn what is usual.

        Args:
            x: train windows, or a table of numbers [n, d] (see `as_windows`).
            validation: later windows, or a table like `x`, by which training stops early. One
                dimension is taken for the labels that scikit-learn passes on, and not looked at.
            args: what else `learn` of the detector takes.
            training: the same by name.

        Raises:
            DataError: not a table of finite numbers.
        """
        windows = as_windows(x, kinds=self.kinds)
        if not len(windows):
            raise DataError("there are no rows to fit on")
        if not isinstance(validation, Windows) and np.ndim(validation) < 2:
            validation = None
        later = None if validation is None else as_windows(validation, windows.spec)
        self.learn(windows, later, *args, **training)
        self.remember(self.score(windows))
        return self

    def remember(self, scores: FloatArray) -> None:
        """Keep the scores of the rows fitted on, and the threshold that follows from them."""
        self.decision_scores_ = scores
        share = 1 - self.contamination
        self.threshold_ = float(np.quantile(self.decision_scores_, share))
        self.score_range_ = (
            float(self.decision_scores_.min()),
            float(self.decision_scores_.max()),
        )
        self.labels_ = (self.decision_scores_ > self.threshold_).astype(np.int64)

    def decision_function(self, x: Any) -> FloatArray:
        """Float32 [n] scores of windows or of a table; higher is riskier.

        Raises:
            DataError: not fitted, or not the columns that it was fitted on.
        """
        return self.score(as_windows(x, getattr(self, "spec_", None)))

    def predict(self, x: Any) -> npt.NDArray[np.int64]:
        """Int64 [n]: 1 above the threshold, else 0."""
        return (self.decision_function(x) > self.threshold_).astype(np.int64)

    def fit_predict(self, x: Any, y: Any = None) -> npt.NDArray[np.int64]:
        """Labels of the rows fitted on; `y` is not looked at."""
        return self.fit(x).labels_

    def predict_proba(self, x: Any) -> npt.NDArray[np.float64]:
        """[n, 2]: usual and odd, as the score's place between the lowest and highest fitted.

        PyOD's `linear` method: an order between 0 and 1, no calibrated probability.
        """
        scores = self.decision_function(x)
        low, high = self.score_range_
        odd = np.clip((scores.astype(np.float64) - low) / max(high - low, 1e-12), 0, 1)
        return np.stack([1 - odd, odd], axis=1)

    # ---- parameters

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Constructor arguments; with `deep` also those of arguments that have some."""
        values = self.arguments()
        if deep:
            for name, value in list(values.items()):
                values |= {f"{name}__{inner}": found for inner, found in _inner(value).items()}
        return values

    def set_params(self, **changes: Any) -> Self:
        """Change arguments, `training__seed` a field of one; then it has to be fitted again.

        Raises:
            ConfigError: no such argument, or a value it cannot have.
        """
        known = self.get_params()
        values = self.get_params(deep=False)
        # whole arguments first, so that a field given beside them counts
        for name, value in sorted(changes.items(), key=lambda change: "__" in change[0]):
            if name not in known:
                kind = type(self).__name__
                raise ConfigError(f"{kind} has no argument '{name}': {did_you_mean(name, known)}")
            owner, _, field = name.partition("__")
            values[owner] = _with(values[owner], field, value) if field else value
        made = type(self)(**values)
        self.__dict__.clear()
        self.__dict__.update(made.__dict__)
        return self

    def __sklearn_clone__(self) -> Self:
        from sklearn.base import clone

        values = self.get_params(deep=False)
        return type(self)(**{name: clone(value, safe=False) for name, value in values.items()})

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "spec_")

    def __sklearn_tags__(self) -> Tags:
        from sklearn.utils import InputTags, Tags, TargetTags

        target = TargetTags(required=False)
        return Tags(estimator_type="outlier_detector", target_tags=target, input_tags=InputTags())

    # ---- shown to people

    def __repr__(self) -> str:
        changed = ", ".join(f"{name}={_short(value)}" for name, value in self._changed().items())
        return f"{type(self).__name__}({changed})"

    def _repr_html_(self) -> str:
        fitted: dict[str, object] = {"fitted": "not yet: call fit(windows)"}
        if hasattr(self, "spec_"):
            fitted = {"fitted": f"on {len(self.spec_)} features"}
            if hasattr(self, "decision_scores_"):
                fitted["fitted"] = (
                    f"on {len(self.decision_scores_):,} windows of {len(self.spec_)} features"
                )
            if hasattr(self, "threshold_"):
                share = f"{self.contamination:.0%} of them"
                fitted["threshold_"] = f"{self.threshold_:.4g}, which {share} exceed"
        return card(repr(self), fitted, _folded(self.get_params(deep=False)))

    def _changed(self) -> dict[str, Any]:
        """Constructor arguments that are not as they come."""
        values = self.arguments()
        parameters = inspect.signature(type(self)).parameters
        needed = {n: values[n] for n, p in parameters.items() if p.default is p.empty}
        as_it_comes = type(self)(**needed).arguments()
        return {n: v for n, v in values.items() if n in needed or v != as_it_comes[n]}

    # ---- saving

    def fitted_state(self) -> dict[str, Any]:
        """What `predict` needs beside the model, as plain values."""
        if not hasattr(self, "threshold_"):
            return {}
        return {"threshold": self.threshold_, "score_range": list(self.score_range_)}

    def restore_fitted(self, state: dict[str, Any]) -> None:
        """Read what `fitted_state` gave; nothing in folders written before there was any."""
        if "threshold" in state:
            self.threshold_ = float(state["threshold"])
            low, high = state["score_range"]
            self.score_range_ = (float(low), float(high))


def _folded(values: dict[str, Any]) -> str:
    """All arguments, seen once they are asked for."""
    inner = table(("argument", "value"), [(name, repr(value)) for name, value in values.items()])
    return f"<details><summary>all arguments</summary>{inner}</details>"


def _short(value: Any) -> str:
    """A value as Python; of a dataclass only the fields that are not as they come."""
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return repr(value)
    fields = [(field, getattr(value, field.name)) for field in dataclasses.fields(value)]
    changed = ", ".join(f"{f.name}={v!r}" for f, v in fields if v != f.default)
    return f"{type(value).__name__}({changed})"


def _inner(value: Any) -> dict[str, Any]:
    """Arguments of an argument: fields of a dataclass, parameters of a detector."""
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return value.get_params() if isinstance(value, OutlierEstimator) else {}


def _with(value: Any, field: str, changed: Any) -> Any:
    """Another like `value` with one of its arguments changed."""
    if isinstance(value, OutlierEstimator):
        return value.__sklearn_clone__().set_params(**{field: changed})
    return dataclasses.replace(value, **{field: changed})
