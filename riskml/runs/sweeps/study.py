"""The study in its database: who has which trial, which ones count, and which died.

`n_trials` is a total over restarts, processes and machines. A trial counts once it is complete,
pruned, or failed with a reason of its own. One whose process is gone, that was interrupted or that
was one too many is marked FAIL, too, and does not count.
"""

from __future__ import annotations

import os
import socket
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning, UpdateFinishedTrialError
from optuna.storages import RDBStorage
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy.exc import SQLAlchemyError

from riskml.core.errors import ConfigError
from riskml.data.database import SQLITE_WAIT_S, database_errors, open_engine
from riskml.runs.processes import alive
from riskml.runs.sweeps.settings import QUALITY, SweepSettings

PROCESS, REASON, COUNTS, DEFAULT = "process", "reason", "counts", "default"
TERMS, SECONDS, SCORE_SECONDS = "terms", "fit_seconds", "score_seconds_per_1000"
"""What is kept with a trial, apart from its parameters."""

OBJECTIVE, COMPARED, ABOUT, TRACKED = "objective", "settings", "log", "mlflow_run"
"""What is kept with the study."""

HEARTBEAT_S, GRACE_S = 30, 150
"""How often a running trial says that it lives, and after which silence it is taken for dead."""

ATTEMPTS = 8

GONE = "its process is gone"
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


@dataclass(frozen=True)
class SweepStudy:
    """An Optuna study with the rules of ours."""

    study: Study
    storage: RDBStorage
    n_trials: int

    @property
    def name(self) -> str:
        """Of the study."""
        return str(self.study.study_name)

    def trials(self) -> list[FrozenTrial]:
        """All of them, as they are now, in order of their numbers."""
        return self.study.get_trials(deepcopy=False)

    def counted(self) -> list[FrozenTrial]:
        """The trials that are over and count."""
        return [trial for trial in self.trials() if counts(trial)]

    def running(self) -> list[FrozenTrial]:
        """The trials that some process is at."""
        return [trial for trial in self.trials() if trial.state == TrialState.RUNNING]

    def wanted(self) -> bool:
        """Whether there is a trial that nobody has taken."""
        return len(self.counted()) + len(self.running()) < self.n_trials

    def one_too_many(self, number: int) -> bool:
        """Whether a trial that was just taken is beyond the total.

        Of processes that take the last trial at once, the one with the lower number has it.
        """
        before = [t for t in self.trials() if t.number < number]
        return sum(counts(t) or t.state == TrialState.RUNNING for t in before) >= self.n_trials

    def lacks_default(self, number: int) -> bool:
        """Whether no trial before this one has the settings of the config, or may yet have them."""
        running = [t for t in self.running() if t.number < number]
        if any(trial.user_attrs.get(DEFAULT) or not trial.params for trial in running):
            return False
        return not any(trial.user_attrs.get(DEFAULT) for trial in self.counted())

    def bury(self) -> list[int]:
        """Mark trials as FAIL whose process is gone; gives their numbers."""
        buried = []
        for trial in self.running():
            if not _is_alive(trial):
                self.note(trial.number, {REASON: GONE, COUNTS: False})
                self.study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)
                buried.append(trial.number)
        with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
            optuna.storages.fail_stale_trials(self.study)  # those of other machines
        return buried

    def note(self, number: int, values: Mapping[str, Any]) -> None:
        """Keep values with a trial; with one that is over nothing can be kept."""
        study = self.storage.get_study_id_from_name(self.name)
        trial = self.storage.get_trial_id_from_study_id_trial_number(study, number)
        try:
            for key, value in values.items():
                self.storage.set_trial_user_attr(trial, key, value)
        except UpdateFinishedTrialError:
            pass  # somebody else saw it, too


def counts(trial: FrozenTrial) -> bool:
    """Whether a trial is over and counts towards the total."""
    return trial.state in FINISHED or (
        trial.state == TrialState.FAIL and bool(trial.user_attrs.get(COUNTS))
    )


def _is_alive(trial: FrozenTrial) -> bool:
    """Whether a running trial's process may live; for other machines the heartbeat tells."""
    host, _, process = str(trial.user_attrs.get(PROCESS, "")).rpartition(":")
    if not process.isdigit():  # killed before it could say who it is
        begun = trial.datetime_start or datetime.min
        return datetime.now() - begun < timedelta(seconds=GRACE_S)
    return host != socket.gethostname() or alive(int(process))


def storage_url(settings: SweepSettings) -> str:
    """Where the study is kept.

    Raises:
        ConfigError: nowhere, or the environment variable that is to say so is not set.
    """
    if settings.storage_variable:
        url = os.environ.get(settings.storage_variable)
        if not url:
            raise ConfigError(
                f"sweep.storage_variable: the environment variable {settings.storage_variable} "
                "is not set; put the URL of a database into it"
            )
        return url
    if not settings.storage:
        raise ConfigError("sweep.storage must be the URL of a database, e.g. sqlite:///sweeps.db")
    return settings.storage


def open_storage(url: str) -> RDBStorage:
    """The database of studies; its tables are made where they are missing.

    Raises:
        ConfigError: the URL is not understood or its driver is missing.
        DataError: the database cannot be reached.
    """
    engine = open_engine(url, "sweep.storage")
    if engine.dialect.name == "sqlite" and engine.url.database:
        Path(engine.url.database).parent.mkdir(parents=True, exist_ok=True)
    sqlite = {"connect_args": {"timeout": SQLITE_WAIT_S}} if engine.dialect.name == "sqlite" else {}
    with database_errors("sweep.storage: the database of studies cannot be used"):
        engine.connect().close()
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
                    return RDBStorage(
                        url,
                        engine_kwargs=sqlite,
                        heartbeat_interval=HEARTBEAT_S,
                        grace_period=GRACE_S,
                    )
            except SQLAlchemyError:
                # another process makes the tables just now
                if attempt == ATTEMPTS:
                    raise
                time.sleep(0.25 * attempt)
    raise AssertionError("the last attempt returns or raises")


def open_study(storage: RDBStorage, name: str, settings: SweepSettings) -> SweepStudy:
    """The study of this name, begun or gone on with."""
    up, down = StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE
    directions = [up if one == QUALITY else down for one in settings.objectives]
    study = optuna.create_study(
        storage=storage, study_name=name, directions=directions, load_if_exists=True
    )
    if study.directions != directions:
        raise ConfigError(
            f"the study '{name}' has other sweep.objectives; name another with sweep.study=..."
        )
    return SweepStudy(study, storage, settings.n_trials)


def agree(study: SweepStudy, settings: Mapping[str, Any]) -> None:
    """Keep the settings with a new study; refuse other ones for one that was begun.

    Raises:
        ConfigError: names what differs.
    """
    plain = {key: _plain(value) for key, value in settings.items()}
    begun = study.study.user_attrs.get(COMPARED)
    if begun is None:
        study.study.set_user_attr(COMPARED, plain)
        return
    odd = sorted(k for k in begun.keys() | plain.keys() if begun.get(k) != plain.get(k))
    if odd:
        first = odd[0]
        raise ConfigError(
            f"the study '{study.name}' was begun with other settings, e.g. "
            f"{first}={begun.get(first)} where it is {plain.get(first)} now "
            f"({len(odd)} differ): name another with sweep.study=..."
        )


def keep_with(study: SweepStudy, key: str, value: Any, what: str) -> None:
    """Keep a value with a new study; refuse another one for a study that was begun.

    Raises:
        ConfigError: it differs.
    """
    begun = study.study.user_attrs.get(key)
    if begun is None:
        study.study.set_user_attr(key, value)
    elif begun != value:
        raise ConfigError(
            f"the study '{study.name}' was begun with another {what} ({begun} where it is {value} "
            "now): name another with sweep.study=..."
        )


def _plain(value: Any) -> Any:
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(one) for one in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
