"""What the deep detectors share: fitting through Lightning, scoring, saving."""

from __future__ import annotations

import logging
import tempfile
import warnings
from abc import abstractmethod
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint
from safetensors.torch import load_file, save_file
from torch import Tensor

from riskml.core.errors import ConfigError, reading, require
from riskml.core.types import FeatureSpec, FloatArray, Windows
from riskml.features.scaling import FeatureScaler
from riskml.models.base import Detector, read_state, write_state
from riskml.models.batches import in_batches, to_tensors
from riskml.models.datamodule import WindowsDataModule
from riskml.models.networks import DetectorNetwork
from riskml.models.tables import Kinds
from riskml.models.training import (
    VALIDATION_LOSS,
    SteppingModule,
    TrainingError,
    TrainingSettings,
)

__all__ = ["DeepDetector", "NetworkInputs", "TrainingError", "TrainingSettings"]

WEIGHTS_FILE = "weights.safetensors"


@dataclass(frozen=True)
class NetworkInputs:
    """What a network has to know of the data before it is built."""

    spec: FeatureSpec
    scaler: FeatureScaler
    mean_counts: Tensor
    n_users: int


class DeepDetector(SteppingModule, Detector):
    """A Lightning module around a `DetectorNetwork`; subclasses build the network.

    Args:
        training: optimiser, batches, epochs, seed.
        contamination: share of odd rows that is expected; sets `threshold_`.
        kinds: kinds of a table's columns by name, where they are not to be inferred.
    """

    has_graph = True
    architecture: dict[str, Any]

    def __init__(
        self,
        training: TrainingSettings | None = None,
        contamination: float = 0.1,
        kinds: Kinds | None = None,
    ) -> None:
        super().__init__()
        self.expect(contamination, kinds)
        fits = training is None or isinstance(training, TrainingSettings)
        require("training", training, fits, "must be TrainingSettings(max_epochs=...)")
        self.training_settings = training or TrainingSettings()
        self.users_: dict[str, int] = {}

    def __repr__(self) -> str:
        return Detector.__repr__(self)  # a torch module would list its layers

    @abstractmethod
    def build_network(self, inputs: NetworkInputs) -> DetectorNetwork:
        """The untrained network."""

    # ---- fitting

    def learn(
        self,
        windows: Windows,
        validation: Windows | None = None,
        trainer: pl.Trainer | None = None,
        ckpt_path: str | None = None,
    ) -> None:
        """Train; the weights of the epoch with the lowest validation loss are kept.

        Args:
            windows: train windows.
            validation: later, normal windows; without them the train loss decides.
            trainer: a Lightning trainer, or None for a quiet one on the CPU.
            ckpt_path: checkpoint to go on from.

        Raises:
            TrainingError: the loss is not a finite number.
        """
        self._build(windows)
        if self.training_settings.max_epochs > 0:
            self.train_on(self._batches(windows, validation), trainer, ckpt_path)
        self.eval().cpu()

    def _build(self, windows: Windows) -> None:
        users = windows.keys["user_id"].unique().sort().to_list()
        scaler, mean = FeatureScaler.fit(windows), torch.from_numpy(windows.x.mean(0))
        self.begin(users, NetworkInputs(windows.spec, scaler, mean, len(users)))
        self.count_first(windows)

    def begin(self, users: list[str], inputs: NetworkInputs) -> None:
        """Make the untrained network for users whose windows it will see."""
        self.spec_ = inputs.spec
        self.users_ = {name: i + 1 for i, name in enumerate(users)}
        with torch.random.fork_rng():
            torch.manual_seed(self.training_settings.seed)
            self.network = self.build_network(inputs)

    def count_first(self, windows: Windows) -> None:
        """Count of the train windows what need not be learnt; most networks have nothing such."""

    def train_on(
        self,
        batches: pl.LightningDataModule,
        trainer: pl.Trainer | None = None,
        ckpt_path: str | None = None,
    ) -> None:
        """Train the network that `begin` has made; arguments and errors as of `learn`."""
        with tempfile.TemporaryDirectory() as folder:
            trainer = trainer or self._quiet_trainer(folder)
            self._check_fits(ckpt_path)
            with self.stepping_for(trainer):
                trainer.fit(self, datamodule=batches, ckpt_path=ckpt_path, weights_only=True)
            self._keep_best(trainer)

    def _batches(self, windows: Windows, validation: Windows | None) -> WindowsDataModule:
        settings = self.training_settings
        train = to_tensors(windows, self.users_)
        return WindowsDataModule(
            train,
            train if validation is None else to_tensors(validation, self.users_),
            settings.batch_size,
            settings.score_batch_size,
            settings.seed,
        )

    def _quiet_trainer(self, folder: str) -> pl.Trainer:
        settings = self.training_settings
        # its notes on devices and plug-ins are not for somebody who called fit()
        logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
        warnings.filterwarnings("ignore", ".*LeafSpec.*", FutureWarning)
        return pl.Trainer(
            max_epochs=settings.max_epochs,
            max_steps=settings.max_steps,
            accelerator="cpu",
            devices=1,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            gradient_clip_val=1.0,
            callbacks=[
                EarlyStopping(VALIDATION_LOSS, patience=settings.patience),
                ModelCheckpoint(folder, monitor=VALIDATION_LOSS),
            ],
        )

    def _check_fits(self, ckpt_path: str | None) -> None:
        """Refuse a checkpoint of another network.

        Raises:
            ConfigError: shapes differ.
        """
        if ckpt_path is None:
            return
        saved = torch.load(ckpt_path, weights_only=True, map_location="cpu")["state_dict"]
        shapes = {name: tensor.shape for name, tensor in self.state_dict().items()}
        if shapes != {name: tensor.shape for name, tensor in saved.items()}:
            raise ConfigError(
                f"ckpt_path={ckpt_path} is of another network: give the same model settings and "
                "data as the run that wrote it"
            )

    def _keep_best(self, trainer: pl.Trainer) -> None:
        best = getattr(trainer.checkpoint_callback, "best_model_path", "")
        if best:
            state = torch.load(best, weights_only=True, map_location="cpu")["state_dict"]
            self.load_state_dict(state)

    # ---- scoring

    @torch.inference_mode()
    def score(self, windows: Windows) -> FloatArray:
        """Float32 [n] scores."""
        if not len(windows):
            return np.zeros(0, np.float32)
        return self._forward(windows, self.network_ready(windows).forward)

    def network_ready(self, windows: Windows) -> DetectorNetwork:
        """The network in evaluation mode, after a check of the columns."""
        self.check_spec(windows)
        self.network.eval()
        return self.network

    @torch.inference_mode()
    def contributions(self, windows: Windows) -> FloatArray:
        """Exact shares of each score, float32 [n, parts]."""
        if not len(windows):
            return np.zeros((0, len(self.topics() or [])), np.float32)
        return self._forward(windows, self.network_ready(windows).contributions)

    def _forward(self, windows: Windows, function: Any) -> FloatArray:
        tensors = to_tensors(windows, self.users_)
        size = self.training_settings.score_batch_size
        result: FloatArray = in_batches(function, tensors, size, self.device).numpy()
        return result

    @torch.inference_mode()
    def held_out_surprise(self, windows: Windows) -> FloatArray | None:
        """Negative log-likelihood of each window in nats, float32 [n]; None: it has none."""
        network = self.network_ready(windows)
        if not network.has_likelihood:
            return None
        return self._forward(windows, network.negative_log_likelihood)

    def users(self) -> dict[str, int]:
        """Index of each user known from training."""
        return self.users_

    def graph(self) -> torch.jit.ScriptModule:
        """The scripted network (x, tokens, times, lengths, user) -> score; never traced."""
        return torch.jit.script(self.eager())

    def eager(self) -> DetectorNetwork:
        """The network itself."""
        return self.network.eval().cpu()

    # ---- saving

    def settings(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {**self.arguments(), "training": asdict(self.training_settings)}

    def arguments(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {
            **self.architecture,
            "training": self.training_settings,
            "contamination": self.contamination,
            "kinds": self.kinds,
        }

    def save(self, folder: Path) -> None:
        """Write `detector.json` and `weights.safetensors`."""
        write_state(folder, self, users=list(self.users_))
        tensors = {**self.network.state_dict(), "action_vectors": self._action_vectors()}
        save_file({name: t.contiguous() for name, t in tensors.items()}, folder / WEIGHTS_FILE)

    def _action_vectors(self) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(self.spec_.action_vectors))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        state = read_state(folder, cls)
        with reading(folder / WEIGHTS_FILE):
            settings = state["settings"]
            training = TrainingSettings(**settings.pop("training"))
            detector = cls(**settings, training=training)
            weights = load_file(folder / WEIGHTS_FILE)
            spec = FeatureSpec.from_dict(state["spec"], weights.pop("action_vectors").numpy())
            detector.spec_ = spec
            detector.users_ = {name: i + 1 for i, name in enumerate(state["users"])}
            zeros = np.zeros(len(spec), np.float32)
            scaler = FeatureScaler(zeros, zeros + 1, spec)
            detector.network = detector.build_network(
                NetworkInputs(spec, scaler, torch.ones(len(spec)), len(detector.users_))
            )
            detector.network.load_state_dict(weights)
            detector.restore_fitted(state)
        detector.eval()
        return detector
