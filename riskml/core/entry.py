"""How train.py and evaluate.py start: check the whole config, then let Hydra run the job.

Hydra builds callbacks, a launcher, a sweeper and log handlers from its own `hydra` node before
the job's function is called. So the config is composed once to be looked at, `hydra` node and
every job of a sweep included, and Hydra starts only if nothing in it is off the list.
"""

from __future__ import annotations

import functools
import inspect
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any

from riskml.core import logs
from riskml.core.environment import environment
from riskml.core.errors import RiskmlError
from riskml.core.interrupts import INTERRUPTED, quiet_interrupts
from riskml.core.secret_files import secrets_from_files
from riskml.core.targets import check_targets

if TYPE_CHECKING:
    from omegaconf import DictConfig

FULL_ERROR = "HYDRA_FULL_ERROR"
WRONG_INPUT = 2


def hydra_entry(config_name: str) -> Callable[[Callable[[DictConfig], Any]], Callable[..., Any]]:
    """Make a function the entry point of a script, with `conf/` beside it.

    The environment variable RISKML_ROOT is set to the script's folder unless it is set already.
    What a person can put right is printed as one line with exit code 2, an interruption ends
    with 130. With HYDRA_FULL_ERROR=1 every error keeps its traceback.

    Args:
        config_name: the main file in `conf/`, without `.yaml`.

    Returns:
        A decorator. The decorated function takes no argument and reads the command line; given
        a config it checks that and runs with it, as tests do.
    """

    def decorate(task: Callable[[DictConfig], Any]) -> Callable[..., Any]:
        script = Path(inspect.getfile(task)).resolve()

        @functools.wraps(task)
        def entry(cfg: DictConfig | None = None) -> Any:
            os.environ.setdefault("RISKML_ROOT", str(script.parent))
            if cfg is not None:
                check_targets(cfg)
                return task(cfg)
            code = _run(task, script, config_name)
            if code:
                sys.exit(code)
            return None

        return entry

    return decorate


def _run(task: Callable[[DictConfig], Any], script: Path, config_name: str) -> int:
    """Run from the command line and give the exit code."""
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from hydra.errors import HydraException
    from hydra.types import RunMode
    from omegaconf.errors import InterpolationResolutionError, MissingMandatoryValue

    from riskml.core.advice import explain
    from riskml.core.preflight import VERSION_BASE, check_command_line

    wanted = os.environ.get(FULL_ERROR)
    expected = (RiskmlError, HydraException, InterpolationResolutionError, MissingMandatoryValue)

    @functools.wraps(task)
    def checked(cfg: DictConfig) -> Any:
        check_targets(cfg)
        if logs.is_wanted():  # in place of what Hydra has set up meanwhile
            logs.set_up(command=script.stem)
        try:
            with environment({FULL_ERROR: wanted}):
                return task(cfg)
        except expected as error:
            if wanted == "1" or HydraConfig.get().mode == RunMode.MULTIRUN:
                raise  # a sweep goes on with its other jobs
            raise _WrongInputError(error) from error

    conf = script.parent / "conf"
    quiet_interrupts()
    try:
        if logs.is_wanted():
            logs.set_up(command=script.stem)
        with secrets_from_files(), _stopped_clock():
            with warnings.catch_warnings(action="ignore"):  # Hydra is going to give them again
                check_command_line(conf, config_name, job_name=script.stem)
            # Else Hydra prints a traceback and exits by itself.
            with environment({FULL_ERROR: "1"}):
                hydra.main(str(conf), config_name, version_base=VERSION_BASE)(checked)()
    except KeyboardInterrupt:
        logs.tell("interrupted", logging.WARNING)
        return INTERRUPTED
    except (*expected, _WrongInputError) as error:
        if wanted == "1":
            raise
        cause = error.args[0] if isinstance(error, _WrongInputError) else error
        logs.tell(f"error: {explain(cause)}", logging.ERROR)
        return WRONG_INPUT
    return 0


class _WrongInputError(BaseException):
    """Carries an error past Hydra, which would print lines of its own."""


@contextmanager
def _stopped_clock() -> Iterator[None]:
    """Let `${now:...}` give one time throughout.

    A config that reads the clock could otherwise show the check one choice and the run another.
    """
    import hydra.core.utils as source

    start = datetime.now()

    class StoppedClock(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return start.astimezone(tz) if tz else start

    names = vars(source)
    before = names["datetime"]
    names["datetime"] = StoppedClock
    try:
        yield
    finally:
        names["datetime"] = before
