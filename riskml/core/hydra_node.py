"""What a config may say in its `hydra` node, which Hydra acts on before any job starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from riskml.core.errors import ConfigError, did_you_mean
from riskml.core.targets import check_targets

if TYPE_CHECKING:
    from omegaconf import DictConfig

PLUGINS: frozenset[str] = frozenset(
    {
        "hydra._internal.core_plugins.basic_launcher.BasicLauncher",
        "hydra._internal.core_plugins.basic_sweeper.BasicSweeper",
    }
)
"""What Hydra itself may build: its own defaults."""

LOGGING: frozenset[str] = frozenset(
    {"logging.FileHandler", "logging.Formatter", "logging.NullHandler", "logging.StreamHandler"}
)
"""Classes that a logging config may name."""

_STREAMS = frozenset({"ext://sys.stdout", "ext://sys.stderr"})
# Hydra puts an absolute path here just before it opens the job's log, so no ext:// can result.
_JOB_FOLDER = "${hydra.runtime.output_dir}/"


def check_hydra_node(config: DictConfig) -> None:
    """Hold a composed config's `hydra` node to listed names, all of them written out.

    Interpolations are refused where they could decide what is built: some are known only after
    the check. Variables of the environment may not be set, since child processes obey them.

    Raises:
        ConfigError: names the full key and what is wrong with it.
    """
    from omegaconf import OmegaConf

    if OmegaConf.is_interpolation(config, "hydra"):
        raise ConfigError("hydra: may not be an interpolation")
    node: Any = OmegaConf.to_container(config.hydra, resolve=False)
    for section in ("callbacks", "launcher", "sweeper"):
        _check_literal(node.get(section), f"hydra.{section}")
        check_targets({"hydra": {section: node.get(section)}}, PLUGINS)
    _check_logging(node.get("hydra_logging"), "hydra.hydra_logging", of_job=False)
    _check_logging(node.get("job_logging"), "hydra.job_logging", of_job=True)
    if node["job"].get("env_set"):
        raise ConfigError("hydra.job.env_set: not allowed; set variables in the shell instead")


def _check_literal(value: Any, key: str) -> None:
    if isinstance(value, str) and "${" in value:
        raise ConfigError(f"{key}: may not be an interpolation; write the value out")
    for path, child in _items(value, key):
        _check_literal(child, path)


def _check_logging(value: Any, key: str, *, of_job: bool) -> None:
    """Refuse whatever makes `logging.config` import, call or set something unlisted."""
    for path, child in _items(value, key):
        name = path[len(key) + 1 :]
        if isinstance(value, dict) and name in {"()", "."}:
            raise ConfigError(f"{path}: factories and attributes are not allowed in logging")
        if isinstance(value, dict) and name == "class" and child not in LOGGING:
            raise ConfigError(f"{path}: not allowed: {did_you_mean(str(child), LOGGING)}")
        log_file = name == "filename" and isinstance(child, str) and child.startswith(_JOB_FOLDER)
        if not (of_job and log_file):
            _check_logging(child, path, of_job=of_job)
    if isinstance(value, str):
        if "${" in value:
            raise ConfigError(
                f"{key}: interpolations are only allowed in the name of the job's log file, "
                f"after {_JOB_FOLDER}"
            )
        if value.startswith(("ext://", "cfg://")) and value not in _STREAMS:
            raise ConfigError(f"{key}: '{value}' is not allowed: {did_you_mean(value, _STREAMS)}")


def _items(value: Any, key: str) -> list[tuple[str, Any]]:
    if isinstance(value, dict):
        return [(f"{key}.{name}", child) for name, child in value.items()]
    if isinstance(value, list):
        return [(f"{key}.{i}", child) for i, child in enumerate(value)]
    return []
