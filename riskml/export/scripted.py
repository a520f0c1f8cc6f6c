"""A deep detector after its export: a graph that scores and explains, and nothing to train."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from riskml.core.errors import ConfigError, reading
from riskml.core.types import FloatArray, Windows
from riskml.export.torchscript import TorchScriptGraph
from riskml.models.base import Detector, read_detector, write_state


class ScriptedDetector(Detector):
    """Stands for a deep detector inside another one in a bundle.

    Args:
        contamination: as of the detector that it was made of.
    """

    has_graph = True
    graph_: TorchScriptGraph
    topics_: list[str] | None

    def __init__(self, contamination: float = 0.1) -> None:
        self.expect(contamination, None)

    @classmethod
    def of(cls, detector: Detector) -> Self:
        """Of a fitted detector with a graph."""
        made = cls(detector.contamination)
        made.spec_, made.topics_ = detector.spec_, detector.topics()
        made.graph_ = TorchScriptGraph.of(detector)
        made.restore_fitted(detector.fitted_state())
        return made

    def settings(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {"contamination": self.contamination}

    def learn(self, windows: Windows, validation: Windows | None = None) -> None:
        """Refuse.

        Raises:
            ConfigError: always.
        """
        raise ConfigError("a graph cannot be fitted: fit the detector that it was made of")

    def score(self, windows: Windows) -> FloatArray:
        """Float32 [n] scores."""
        self.check_spec(windows)
        return self.graph_.score(windows)

    def contributions(self, windows: Windows) -> FloatArray:
        """Exact shares of each score, float32 [n, parts]."""
        self.check_spec(windows)
        if not len(windows):
            return np.zeros((0, len(self.topics_ or [])), np.float32)
        return self.graph_.contributions(windows)

    def topics(self) -> list[str] | None:
        """As of the detector that it was made of."""
        return self.topics_

    def graph(self) -> torch.jit.ScriptModule:
        """The graph."""
        return self.graph_.module

    def users(self) -> dict[str, int]:
        """Index of each user known from training."""
        return self.graph_.users

    def save(self, folder: Path) -> None:
        """Write `detector.json`, the graph and the index of its users."""
        write_state(folder, self, topics=self.topics_)
        self.graph_.save(folder)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        detector, state = read_detector(folder, cls)
        with reading(folder):
            detector.topics_ = state["topics"]
            detector.graph_ = TorchScriptGraph.load(folder)
        return detector
