"""What is refused before Ray is started, and how a worker's failure reads."""

from __future__ import annotations

from typing import Any

import pytest

from riskml.core.errors import ConfigError
from riskml.models.deep import TrainingError
from riskml.runs.ray_trainer import RayTrainer, clear_error


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"workers": 0}, r"trainer\.workers=0"),
        ({"cpus_per_worker": 0}, r"trainer\.cpus_per_worker=0"),
        ({"gpus_per_worker": -1}, r"trainer\.gpus_per_worker=-1"),
        ({"devices": 2}, r"trainer\.devices=2.*raise trainer\.workers"),
        ({"accelerator": "gpu"}, r"trainer\.accelerator=gpu.*trainer\.gpus_per_worker=1"),
    ],
)
def test_settings_that_do_not_fit(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        RayTrainer(logger=False, **settings)


class Failed(Exception):
    """As Ray Train's own."""

    def __init__(self, *failures: Exception) -> None:
        super().__init__("Training failed\nall of it")
        self.worker_failures = dict(enumerate(failures))


class Wrapped(Exception):
    def __init__(self, cause: Exception) -> None:
        self._base_exc = cause


class Unhealthy(Exception):
    health_check_failure = "gone"


CUT = Wrapped(RuntimeError("[gloo] Connection closed by peer [127.0.0.1]:1. This may indicate"))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Failed(Wrapped(ValueError("other")), Wrapped(TrainingError("the loss"))), "the loss"),
        (Failed(Wrapped(ValueError("odd"))), "worker 0 failed: ValueError: odd"),
        (Failed(Unhealthy()), "worker 0 was killed, .*: use fewer workers"),
        (Failed(CUT), "another worker than 0 was killed, .*: use fewer workers"),
        (Failed(CUT, Unhealthy()), "worker 1 was killed, .*: use fewer workers"),
        (Failed(), "all of it"),
    ],
)
def test_failures_in_plain_words(error: Exception, said: str) -> None:
    clear = clear_error(error)
    assert isinstance(clear, TrainingError)
    with pytest.raises(TrainingError, match=f"^{said}$"):
        raise clear
