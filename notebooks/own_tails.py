"""A detector in one file: how far out in the tails of the user's own past a window lies."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
from safetensors.numpy import load_file, save_file

from riskml.core.errors import reading, require
from riskml.core.types import FeatureSpec, FloatArray, Windows
from riskml.models.base import Detector, read_detector, write_state
from riskml.models.tables import Kinds

ARRAYS = "own_tails.safetensors"


class OwnTailsDetector(Detector):
    """Adds up, over all features, how rare so large a value is among the user's own windows.

    A feature's share is -log of the part of the user's train windows that are at least as large.
    Everybody's windows count a little as well, so that a new user is compared with all others.

    Args:
        prior_windows: how many windows everybody's part weighs among the user's own.
        contamination: share of odd rows that is expected; sets `threshold_`.
        kinds: kinds of a table's columns by name, where they are not to be inferred.
    """

    def __init__(
        self, prior_windows: float = 5.0, contamination: float = 0.1, kinds: Kinds | None = None
    ) -> None:
        self.expect(contamination, kinds)
        require("prior_windows", prior_windows, prior_windows > 0, "must be above 0")
        self.prior_windows = prior_windows

    def settings(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            "prior_windows": self.prior_windows,
            "contamination": self.contamination,
            "kinds": self.kinds,
        }

    def learn(self, windows: Windows, validation: Windows | None = None) -> None:
        """Keep the train windows, those of a user together."""
        order = np.argsort(windows.keys["user_id"].to_numpy(), kind="stable")
        self._keep(windows.spec, windows.x[order], windows.keys["user_id"].gather(order).to_list())

    def _keep(self, spec: FeatureSpec, x: FloatArray, owners: list[str]) -> None:
        self.spec_, self.x_, self.owners_ = spec, x, owners
        names = np.array(owners)
        self.own_ = {name: x[names == name] for name in sorted(set(owners))}
        self.sorted_ = np.sort(x, axis=0)

    def score(self, windows: Windows) -> FloatArray:
        """Float32 [n]."""
        scores: FloatArray = self.contributions(windows).sum(1)
        return scores

    def contributions(self, windows: Windows) -> FloatArray:
        """-log of the part that is as large, of each feature, float32 [n, d]."""
        self.check_spec(windows)
        everybody = np.stack(
            [
                1 - np.searchsorted(column, values) / (len(column) + 1)
                for column, values in zip(self.sorted_.T, windows.x.T, strict=True)
            ],
            axis=1,
        )
        shares = np.empty(windows.x.shape, np.float32)
        nothing = self.x_[:0]
        for i, user in enumerate(windows.keys["user_id"]):
            own = self.own_.get(user, nothing)
            as_large = (own >= windows.x[i]).sum(0) + self.prior_windows * everybody[i]
            shares[i] = -np.log(as_large / (len(own) + self.prior_windows))
        return shares

    def topics(self) -> list[str]:
        """Feature topics, one a contribution."""
        return [feature.topic for feature in self.spec_.features]

    def save(self, folder: Path) -> None:
        """Write `detector.json` and the windows as safetensors."""
        write_state(folder, self, owners=self.owners_)
        save_file({"x": np.ascontiguousarray(self.x_)}, folder / ARRAYS)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        detector, state = read_detector(folder, cls)
        with reading(folder / ARRAYS):
            detector._keep(detector.spec_, load_file(folder / ARRAYS)["x"], state["owners"])
        return detector
