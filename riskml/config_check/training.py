"""What train.py needs: settings that compose, a log, a store for runs, a folder for results."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from riskml.config_check import places
from riskml.config_check.findings import Checks
from riskml.core.errors import ConfigError

if TYPE_CHECKING:
    from omegaconf import DictConfig

SCRIPT, SQLITE = "train.py", "sqlite:///"


def train(checks: Checks) -> None:
    """`python train.py ...`, with settings as there."""
    root = Path(os.environ.get("RISKML_ROOT") or Path.cwd())
    kept: list[DictConfig] = []

    def composed() -> str:
        kept.append(_composed(root / "conf", checks.overrides))
        return f"conf and the command line's settings ({len(checks.overrides)}) are understood"

    remedy = "set RISKML_ROOT to the folder of train.py and conf, or go there"
    if not (root / "conf" / "train.yaml").is_file():
        checks.ask("RISKML_ROOT", lambda: _refuse(f"{root} has no conf/train.yaml"), remedy)
        return
    os.environ.setdefault("RISKML_ROOT", str(root))
    if not checks.ask(SCRIPT, composed):
        return
    config = kept[0]
    if _at(config, "data.source") is not None:
        checks.ask("data.source", lambda: log_of(config, checks.offline))
    variable = _at(config, "data.pseudonyms.key_variable")
    if variable is not None:
        checks.ask(str(variable), lambda: _key(str(variable)))
    checks.ask("paths.outputs", lambda: places.writable_folder(Path(_at(config, "paths.outputs"))))
    tracking = _at(config, "logger.tracking_uri")
    if tracking is not None:
        checks.ask("logger.tracking_uri", lambda: _tracking(str(tracking), checks.offline))


def _refuse(told: str) -> str:
    raise ConfigError(told)


def _at(config: DictConfig, place: str) -> Any:
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        return OmegaConf.select(config, place)
    except OmegaConfBaseException:  # what is missing is told by whatever needs it
        return None


def _composed(conf: Path, overrides: tuple[str, ...]) -> DictConfig:
    """The config that a run would have, looked at as train.py does before it starts."""
    from hydra import compose, initialize_config_dir

    from riskml.core.preflight import VERSION_BASE, check_command_line

    with _command_line(overrides):
        check_command_line(conf, "train", job_name="train")
    with initialize_config_dir(str(conf.absolute()), version_base=VERSION_BASE):
        return compose("train", overrides=[each for each in overrides if each[:1] != "-"])


@contextmanager
def _command_line(overrides: tuple[str, ...]) -> Iterator[None]:
    before = sys.argv
    sys.argv = [SCRIPT, *overrides]
    try:
        yield
    except SystemExit as error:
        raise ConfigError("train.py does not understand this: python train.py --help") from error
    finally:
        sys.argv = before


def log_of(config: DictConfig, offline: bool) -> str:
    """That the log of a config is there and has its columns.

    Raises:
        ConfigError: a setting is impossible.
        DataError: it cannot be read, or lacks a column.
    """
    from riskml.core.targets import instantiate
    from riskml.data.sources.base import LogSource

    source = instantiate(config.data.source)
    if not isinstance(source, LogSource):
        return f"{type(source).__name__}, which is read or made at the start"
    if offline and hasattr(source, "url_variable"):
        return f"a database, {places.NOT_ASKED}"
    return f"{source.check()} has what is needed"


def _key(variable: str) -> str:
    from riskml.core.pseudonyms import read_key

    read_key(variable)
    return "there is a key, long enough"


def _tracking(uri: str, offline: bool) -> str:
    from riskml.core.mlflow_client import reach

    if uri.startswith(SQLITE):
        return places.writable_folder(Path(uri.removeprefix(SQLITE)).parent)
    if offline:
        return places.NOT_ASKED
    reach(uri)
    return "the store answers"
