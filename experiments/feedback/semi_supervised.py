"""Verdicts into a network: the encoder of our autoencoder, tuned on, in place of trees.

Two published losses: Deep SAD (Ruff et al. 2020), distance to a centre, which confirmed windows are
pushed away from; and deviation networks (Pang et al. 2019), a score that lies five deviations above
normal ones for them. Both begin with weights that were learnt without verdicts.
"""

from __future__ import annotations

import copy
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from sklearn.model_selection import StratifiedGroupKFold
from torch import Tensor, nn

from riskml.core.types import FloatArray
from riskml.models.autoencoder import AutoencoderDetector
from riskml.triage.blending import Triage, TriageSettings
from riskml.triage.classifier import FOLDS, TriageClassifier

Float64 = npt.NDArray[np.float64]
DISTANCE, DEVIATION = "Deep SAD", "deviation network"
LOSSES = (DISTANCE, DEVIATION)
STEPS, LEARNING_RATE, MARGIN = 150, 1e-3, 5.0


class TunedEncoder(TriageClassifier):
    """The same face as the trees, so that the loop is the same.

    Args:
        loss: one of `LOSSES`.
        encoder: (x float32 [n, features]) → [n, latent]; a copy of it is tuned.
        width: number of features, the first columns of the triage's matrix.
        latent: numbers that the encoder gives.
        seed: of the head and the batches.
    """

    def __init__(self, loss: str, encoder: nn.Module, width: int, latent: int, seed: int) -> None:
        super().__init__("none", seed=seed)
        self.loss, self.encoder, self.width, self.latent = loss, encoder, width, latent

    def fit(
        self, x: FloatArray, confirmed: npt.NDArray[np.int8], users: npt.NDArray[np.str_],
        background: FloatArray,
    ) -> Self:  # fmt: skip
        """Tune on verdicts; opinions on judged windows are of networks without their user."""
        per_kind = [len(set(users[confirmed == kind].tolist())) for kind in (0, 1)]
        self.held_out_ = np.zeros(len(x))
        for train, test in StratifiedGroupKFold(min(FOLDS, *per_kind)).split(x, confirmed, users):
            if len(set(confirmed[train].tolist())) == 2:
                self._tune(x[train], confirmed[train], background)
                self.held_out_[test] = self.opinion(x[test])
        self._tune(x, confirmed, background)
        return self

    @torch.inference_mode()
    def opinion(self, x: FloatArray) -> Float64:
        """How far above the background the network puts each window, in its deviations [n]."""
        scores = self._score(torch.from_numpy(x[:, : self.width]))
        far: Float64 = ((scores - self._middle) / self._spread).double().numpy()
        return np.clip(far, -10, 10)

    def _tune(self, x: FloatArray, confirmed: npt.NDArray[np.int8], background: FloatArray) -> None:
        with torch.random.fork_rng():
            torch.manual_seed(self.seed)
            self._network = copy.deepcopy(self.encoder).train()
            self._head = nn.Linear(self.latent, 1)
            judged, rest = (torch.from_numpy(part[:, : self.width]) for part in (x, background))
            with torch.no_grad():
                self._centre = self._network(rest).mean(0)
            odd = torch.from_numpy(confirmed).bool()
            weights = [*self._network.parameters(), *self._head.parameters()]
            optimizer = torch.optim.Adam(weights, LEARNING_RATE, weight_decay=1e-4)
            kinds = (judged[odd], judged[~odd], rest)
            for _ in range(STEPS):
                # as many of each kind: a batch by chance would hold no incident
                batch = [part[torch.randint(len(part), (32,))] for part in kinds]
                loss = self._loss(*batch)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            self._network.eval()
            with torch.no_grad():
                scores = self._score(rest)
                self._middle, self._spread = scores.mean(), scores.std() + 1e-6

    def _loss(self, odd: Tensor, false: Tensor, rest: Tensor) -> Tensor:
        if self.loss == DISTANCE:
            far = [
                ((self._network(part) - self._centre) ** 2).sum(1) for part in (odd, false, rest)
            ]
            return (1 / (far[0] + 0.1)).mean() + far[1].mean() + far[2].mean()
        normal = torch.cat([false, rest])
        reference = torch.randn(5000)
        above = [(self._score(part) - reference.mean()) / reference.std() for part in (odd, normal)]
        return torch.relu(MARGIN - above[0]).mean() + above[1].abs().mean()

    def _score(self, x: Tensor) -> Tensor:
        if self.loss == DISTANCE:
            return torch.log(self._distance(x) + 1e-6)
        score: Tensor = self._head(self._network(x))[:, 0]
        return score

    def _distance(self, x: Tensor) -> Tensor:
        return ((self._network(x) - self._centre) ** 2).sum(1)


class TunedTriage(Triage):
    """The triage with a tuned encoder in place of trees.

    Args:
        settings: of the triage.
        loss: one of `LOSSES`.
        detector: an autoencoder, fitted without verdicts.
    """

    def __init__(self, settings: TriageSettings, loss: str, detector: AutoencoderDetector) -> None:
        super().__init__(settings)
        network = detector.network
        self._loss = loss
        self._encoder = nn.Sequential(network.scale, network.encoder, network.latent)
        self._sizes = len(detector.spec_), int(detector.architecture["latent_dim"])

    def classifier(self) -> TriageClassifier:
        """Untrained."""
        return TunedEncoder(self._loss, self._encoder, *self._sizes, self.settings.seed)
