"""A Lightning trainer whose `fit` runs on workers of Ray Train; all else happens where it is."""

from __future__ import annotations

import signal
import tempfile
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback, ProgressBar
from torch import Tensor

from riskml.core.errors import ConfigError, RiskmlError, require
from riskml.features.engines import RayTasks
from riskml.models.deep import TrainingError
from riskml.runs.epochs import EpochMetrics
from riskml.runs.tracking import NoTracker

KILLED = "was killed, as a rule for want of memory: use fewer workers"
LOST = ("gloo", "Connection closed by peer", "Connection reset by peer", "Broken pipe")
"""What the connections between workers say when one of them is gone."""


class RayTrainer(pl.Trainer):
    """Data-parallel training as by `ddp`, with a process of Ray Train for each share of the rows.

    Module, data and callbacks go to the workers; best weights, final weights and the state of the
    callbacks come back. Trackers and progress stay here and are told of each epoch. All machines
    of a cluster must have riskml and see the folders of the run under the same paths.

    Args:
        workers: processes that train, each on its share of every epoch's rows.
        cpus_per_worker: cores of each.
        gpus_per_worker: GPUs of each, 0 to train on cores; a share lets workers have one together.
        address: of the cluster, or `auto`; None starts one here and ends it.
        callbacks: as of Lightning's trainer.
        **settings: of Lightning's trainer.

    Raises:
        ConfigError: a setting does not fit; with `fit`, also where Ray is missing or the machine
            has not enough for all workers.
    """

    def __init__(
        self,
        workers: int = 2,
        cpus_per_worker: int = 1,
        gpus_per_worker: float = 0,
        address: str | None = None,
        callbacks: list[Callback] | None = None,
        **settings: Any,
    ) -> None:
        require("trainer.workers", workers, workers >= 1, "must be at least 1")
        require("trainer.cpus_per_worker", cpus_per_worker, cpus_per_worker >= 1, "must be >= 1")
        require("trainer.gpus_per_worker", gpus_per_worker, gpus_per_worker >= 0, "must be >= 0")
        one = settings.get("devices", 1)
        require("trainer.devices", one, one == 1, "is for one worker: raise trainer.workers")
        kind = settings.get("accelerator", "cpu")
        rule = "does not choose here: give trainer.gpus_per_worker=1 for GPUs"
        require("trainer.accelerator", kind, kind == "cpu", rule)
        super().__init__(callbacks=callbacks, **settings)
        self.workers, self.address = workers, address
        self.cpus_per_worker, self.gpus_per_worker = cpus_per_worker, gpus_per_worker
        # a module that steps by itself clips by itself; Lightning would refuse to
        ours = ("accelerator", "devices", "enable_progress_bar", "gradient_clip_val")
        self._for_workers = {name: v for name, v in settings.items() if name not in ours}
        self._given = callbacks or []

    def fit(
        self,
        model: pl.LightningModule,
        train_dataloaders: Any = None,
        val_dataloaders: Any = None,
        datamodule: pl.LightningDataModule | None = None,
        ckpt_path: Any = None,
        weights_only: bool | None = None,
    ) -> None:
        """Train on the workers; the module gets the weights of the last epoch.

        Raises:
            TrainingError: a worker failed or was killed.
            KeyboardInterrupt: Ctrl-C, after the workers were ended.
        """
        fitting = {
            "train_dataloaders": train_dataloaders,
            "val_dataloaders": val_dataloaders,
            "datamodule": datamodule,
            "ckpt_path": ckpt_path,
            "weights_only": weights_only,
        }
        with RayTasks(self.address, self.workers * self.cpus_per_worker) as cluster:
            self._check_room(cluster.ray)
            done = self._on_workers(cluster.ray, model, fitting)
        model.load_state_dict(done.weights)
        for callback in self._given:
            if callback.state_key in done.callbacks:
                callback.load_state_dict(done.callbacks[callback.state_key])

    def _check_room(self, ray: Any) -> None:
        """Ray would wait for ever for what the machine does not have; a cluster may grow."""
        there = ray.cluster_resources().get("GPU", 0)
        if self.address is None and there < self.workers * self.gpus_per_worker:
            raise ConfigError(
                f"trainer.gpus_per_worker={self.gpus_per_worker} for {self.workers} workers: "
                f"this machine has {there:g} GPUs"
            )

    def _on_workers(self, ray: Any, model: pl.LightningModule, fitting: dict[str, Any]) -> Done:
        from ray.train import FailureConfig, RunConfig, ScalingConfig, TrainingFailedError
        from ray.train.torch import TorchTrainer
        from ray.util.queue import Queue

        epochs = Queue(actor_options={"num_cpus": 0})
        # the others talk to people and trackers, which are here
        sent = [c for c in self._given if not isinstance(c, EpochMetrics | ProgressBar)]
        job = Job(model, fitting, [EpochMetrics(_Relay(epochs)), *sent], self._for_workers)
        gpus = {"GPU": self.gpus_per_worker} if self.gpus_per_worker else {}
        scaling = ScalingConfig(
            num_workers=self.workers,
            use_gpu=bool(gpus),
            resources_per_worker={"CPU": self.cpus_per_worker} | gpus,
        )
        with (
            # Ray sees by a file there whether all machines have the folder
            tempfile.TemporaryDirectory(prefix="ray-", dir=self.default_root_dir) as storage,
            ThreadPoolExecutor(1) as beside,
            _handler_kept(),
        ):
            trainer = TorchTrainer(
                _work,
                # by reference, or the data would travel with every message on the settings
                train_loop_config={"job": ray.put(job)},
                scaling_config=scaling,
                run_config=RunConfig(
                    name="train",
                    storage_path=str(Path(storage).resolve()),
                    failure_config=FailureConfig(max_failures=0, controller_failure_limit=0),
                ),
            )
            told = beside.submit(self._tell, epochs)
            try:
                done: Done = trainer.fit().return_value
            except TrainingFailedError as error:
                raise clear_error(error) from error
            finally:
                # nobody may speak to Ray when it ends, or it ends this process too
                epochs.put(None)
            told.result()
        return done

    def _tell(self, epochs: Any) -> None:
        """Hand on what the workers say until they are done."""
        while (epoch := epochs.get()) is not None:
            values, step = epoch
            if self.progress_bar_callback is not None:
                numbers = "  ".join(f"{name} {value:.4f}" for name, value in values.items())
                print(f"epoch {step:3d}  {numbers}", flush=True)
            for callback in self._given:
                if isinstance(callback, EpochMetrics):
                    callback.tracker.metrics(values, step)


@dataclass(frozen=True)
class Job:
    """What every worker is handed: arguments of `fit`, and of the trainer it makes itself."""

    model: pl.LightningModule
    fitting: dict[str, Any]
    callbacks: list[Callback]
    settings: dict[str, Any]


@dataclass(frozen=True)
class Done:
    """What the first worker hands back."""

    weights: dict[str, Tensor]
    callbacks: dict[str, dict[str, Any]]


class _Relay(NoTracker):
    """A tracker at a worker: puts numbers into a queue."""

    def __init__(self, queue: Any) -> None:
        self.queue = queue

    def metrics(self, values: Mapping[str, float | None], step: int = 0) -> None:
        self.queue.put((dict(values), step))


def _work(config: dict[str, Any]) -> Done | None:
    """Run by every worker."""
    import ray
    from ray.train.lightning import RayDDPStrategy, RayLightningEnvironment, prepare_trainer

    job: Job = ray.get(config["job"])
    trainer = prepare_trainer(
        pl.Trainer(
            strategy=RayDDPStrategy(),
            plugins=[RayLightningEnvironment()],
            accelerator="auto",
            devices="auto",
            callbacks=job.callbacks,
            enable_progress_bar=False,
            **job.settings,
        )
    )
    trainer.fit(job.model, **job.fitting)
    if not trainer.is_global_zero:
        return None
    weights = {name: tensor.cpu() for name, tensor in job.model.state_dict().items()}
    return Done(weights, {c.state_key: c.state_dict() for c in job.callbacks})


def clear_error(error: Exception) -> Exception:
    """What a worker said itself, or which one failed and how."""
    # Ray wraps what a worker raises
    failures = {
        rank: getattr(failure, "_base_exc", failure)
        for rank, failure in getattr(error, "worker_failures", {}).items()
    }
    for cause in failures.values():
        if isinstance(cause, RiskmlError):
            return cause
    for rank, cause in failures.items():
        if hasattr(cause, "health_check_failure"):
            return TrainingError(f"worker {rank} {KILLED}")
    for rank, cause in failures.items():
        # a worker may tell of the connection before Ray has seen that the other one is gone
        if any(sign in str(cause) for sign in LOST):
            return TrainingError(f"another worker than {rank} {KILLED}")
        return TrainingError(f"worker {rank} failed: {type(cause).__name__}: {cause}")
    return TrainingError(str(error).splitlines()[-1])


@contextmanager
def _handler_kept() -> Iterator[None]:
    """Put the handler of Ctrl-C back, which Ray Train replaces."""
    before = signal.getsignal(signal.SIGINT)
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, before)
