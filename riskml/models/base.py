"""The contract of every detector, deep or not."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from riskml.core.errors import BundleError, DataError, reading
from riskml.core.targets import ALLOWED
from riskml.core.types import FeatureSpec, FloatArray, Windows
from riskml.models.face import OutlierEstimator

STATE_FILE = "detector.json"

D = TypeVar("D", bound="Detector")


class Detector(OutlierEstimator):
    """Learns from windows and scores windows; higher is riskier, always.

    A score is finite and deterministic. It is the same alone as among others, unless the detector
    `remembers`: then it depends on the user's windows before, never on other users' or later ones;
    on everybody's windows before where it `learns_from_everybody`.
    """

    has_graph: ClassVar[bool] = False
    remembers: bool = False
    """Whether a score depends on the windows of the same user before it."""
    learns_from_everybody: bool = False
    """Whether those of all other users before it count, too."""

    @property
    def has_chance(self) -> bool:
        """Whether another seed may give another detector: any of its settings is a seed."""
        return _has_seed(self.settings())

    def after(self, past: Windows) -> Self:
        """The same once it has learnt from what came since; itself where it does not remember.

        Args:
            past: closed windows between what it knows and what it will score, of any users.
        """
        return self

    def score_after(self, past: Windows, windows: Windows) -> FloatArray:
        """Scores of windows that come after others, float32 [n].

        Args:
            past: what came between the train period and `windows`, of any users.
            windows: to be scored.
        """
        return self.after(past).score(windows)

    def with_parts(self, change: Callable[[Detector], Detector]) -> Self:
        """The same around changed parts; itself where it is not made of detectors."""
        return self

    def contributions(self, windows: Windows) -> FloatArray:
        """Exact shares of each score, float32 [n, parts]; each row sums to the window's score.

        A detector that cannot tell has no parts.
        """
        return np.zeros((len(windows), 0), np.float32)

    def contributions_after(
        self, past: Windows | None, windows: Windows, rows: npt.NDArray[np.int64]
    ) -> FloatArray:
        """Exact shares of some of the scores of `score_after`, float32 [rows, parts].

        Args:
            past: what came between the train period and `windows`, of any users; None: nothing.
            windows: as they were scored.
            rows: int64, which of them are asked for; without repetition.
        """
        return self.contributions(windows.take(rows))

    def topics(self) -> list[str] | None:
        """What each part of `contributions` is about; None: the window's actions, in order."""
        return []

    def held_out_surprise(self, windows: Windows) -> FloatArray | None:
        """Negative log-likelihood of each window in nats, float32 [n]; None: it has none.

        Of one density for all settings of the detector, so that settings can be compared by it.
        """
        return None

    def note(self) -> str:
        """What a reader has to know to compare its scores; a footnote of the table, or empty."""
        return ""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write the fitted detector without pickle."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote.

        Raises:
            BundleError: a file is missing or of another detector.
        """

    def graph(self) -> torch.jit.ScriptModule:
        """Scripted graph (x, tokens, times, lengths, user) -> score.

        Raises:
            BundleError: the detector has none (see `has_graph`).
        """
        raise BundleError(f"{type(self).__name__} has no TorchScript graph to export")

    def eager(self) -> torch.nn.Module:
        """The network of the graph before it was scripted, for other exporters.

        Raises:
            BundleError: the detector has none.
        """
        raise BundleError(f"{type(self).__name__} has no network to export")

    def users(self) -> dict[str, int]:
        """User id -> index that the graph takes; users not in it have index 0."""
        return {}

    def check_spec(self, windows: Windows) -> None:
        """Refuse windows with other columns than the detector was fitted on.

        Raises:
            DataError: the detector is not fitted, the columns differ, or times are missing.
        """
        fitted = getattr(self, "spec_", None)
        if fitted is None:
            raise DataError(f"{type(self).__name__} is not fitted: call fit(windows) first")
        if fitted.names != windows.spec.names:
            odd = set(fitted.names) ^ set(windows.spec.names)
            raise DataError(
                f"{type(self).__name__} was fitted on other features; not in both: "
                f"{sorted(odd)[:5]}"
            )
        if fitted.event_times and not windows.spec.event_times:
            raise DataError(
                f"{type(self).__name__} was fitted on the times of events: make the windows with "
                "features.event_times=true"
            )


def write_state(folder: Path, detector: Detector, **state: Any) -> None:
    """Write `detector.json`: the class, its settings, its feature spec, and more plain values."""
    folder.mkdir(parents=True, exist_ok=True)
    spec = detector.spec_.to_dict()
    document = {
        "detector": dotted(type(detector)),
        "settings": detector.settings(),
        "spec": spec,
        **detector.fitted_state(),
        **state,
    }
    (folder / STATE_FILE).write_text(json.dumps(document, indent=1, ensure_ascii=False))


def read_state(folder: Path, kind: type[Detector]) -> dict[str, Any]:
    """Read `detector.json` and check that it was written by `kind`.

    Raises:
        BundleError: missing, unreadable, or of another detector.
    """
    with reading(folder / STATE_FILE):
        document: dict[str, Any] = json.loads((folder / STATE_FILE).read_text())
        name = document["detector"]
    if name != dotted(kind):
        raise BundleError(f"{folder} holds a {name}, not a {dotted(kind)}")
    return document


def read_detector(folder: Path, kind: type[D]) -> tuple[D, dict[str, Any]]:
    """The detector whose `detector.json` `write_state` wrote, and what else is in the file.

    It has its settings, its feature spec and what `predict` needs.

    Raises:
        BundleError: missing, unreadable, or of another detector.
    """
    state = read_state(folder, kind)
    with reading(folder / STATE_FILE):
        detector = kind(**state["settings"])
        detector.restore_fitted(state)
        # without vectors of actions: networks, which read them, keep their own
        detector.spec_ = FeatureSpec.from_dict(state["spec"], np.zeros((0, 0), np.float32))
    return detector, state


def load_detector(folder: Path | str) -> Detector:
    """Load a detector of whatever kind the folder holds.

    Raises:
        BundleError: unreadable, or of a kind that is not on the allowlist.
    """
    folder = Path(folder)
    with reading(folder / STATE_FILE):
        name = str(json.loads((folder / STATE_FILE).read_text())["detector"])
    if name not in ALLOWED:
        raise BundleError(f"{folder} holds a {name}, which is not on the list of known detectors")
    module, _, attribute = name.rpartition(".")
    kind = getattr(import_module(module), attribute)
    if not (isinstance(kind, type) and issubclass(kind, Detector)):
        raise BundleError(f"{folder}: {name} is no detector")
    return kind.load(folder)


def dotted(kind: type) -> str:
    """The name that stands for a class in files."""
    return f"{kind.__module__}.{kind.__qualname__}"


def _has_seed(value: Any) -> bool:
    if isinstance(value, dict):
        return "seed" in value or any(_has_seed(inner) for inner in value.values())
    return isinstance(value, list | tuple) and any(_has_seed(inner) for inner in value)
