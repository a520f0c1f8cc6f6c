"""The settings at the top of a config, which no class is built from and none could check."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from omegaconf import DictConfig, ListConfig

from riskml.core.errors import ConfigError, require
from riskml.evaluation.checks.auditor import LEVELS, STANDARD
from riskml.evaluation.checks.controls import CONTROLS

EVERYTHING, BEFORE_TEST = "everything", "before_test"
"""What a bundle knows: the whole log, or what was there when the test period began."""

LARGEST_SEED = 2**32 - 1
"""That every library takes."""


def check_top(cfg: DictConfig) -> None:
    """Refuse what could not be worked with, before any work.

    Args:
        cfg: complete and resolved, of train.py or evaluate.py.

    Raises:
        ConfigError: names the setting and what it may be.
    """
    require("seed", cfg.seed, is_seed(cfg.seed), f"must be a whole number from 0 to {LARGEST_SEED}")
    resamples = cfg.get("resamples", 1)
    fits = is_whole(resamples) and resamples >= 1
    require("resamples", resamples, fits, "must be a whole number of at least 1, such as 2000")
    knows, choices = cfg.get("bundle_knows", EVERYTHING), (EVERYTHING, BEFORE_TEST)
    require("bundle_knows", knows, knows in choices, f"must be one of {', '.join(choices)}")
    since = cfg.get("drift_since")
    fits = since is None or is_time(since)
    require("drift_since", since, fits, "must be a day or a time, such as 2024-05-01")
    name = cfg.get("register")
    if name is not None:
        fits = isinstance(name, str) and name != "" and not set("/:@") & set(name)
        require("register", name, fits, "must be a name without / : and @, such as logins")
        tracked = str(cfg.logger.get("_target_", "")).endswith("MLflowTracker")
        require("register", name, tracked, "needs an MLflow store: choose logger=mlflow")
    audit, control = cfg.get("audit") or STANDARD, cfg.get("control")
    require("audit", audit, audit in LEVELS, f"must be one of {', '.join(LEVELS)}")
    share = cfg.get("contamination")
    if control is not None and share is not None:
        raise ConfigError(f"control={control} and contamination={share}: give one of them")
    if control is not None:
        require("control", control, control in CONTROLS, f"must be one of {', '.join(CONTROLS)}")
    if share is not None:
        fits = is_number(share) and 0 <= share < 0.5
        require("contamination", share, fits, "must be a number from 0 up to 0.5, such as 0.01")


def seeds_of(cfg: DictConfig) -> list[int]:
    """`seeds` as a list: so many from `seed` on, those that are given, or `seed` alone.

    Raises:
        ConfigError: something else.
    """
    given = cfg.seeds
    if given is None:
        return [cfg.seed]
    if is_whole(given):
        require("seeds", given, given >= 1, "must be at least 1")
        return [cfg.seed + i for i in range(given)]
    rule = "must be a number of seeds, or a list such as [0,1,2,3,4]"
    require("seeds", given, isinstance(given, ListConfig) and len(given) > 0, rule)
    rule = f"must be whole numbers from 0 to {LARGEST_SEED}"
    require("seeds", given, all(is_seed(seed) for seed in given), rule)
    twice = _twice(given)
    require("seeds", given, twice is None, f"must be different numbers, and {twice} comes twice")
    return [int(seed) for seed in given]


def baselines_of(cfg: DictConfig) -> list[str]:
    """The names under `baselines`.

    Raises:
        ConfigError: no list of names, or one of them twice.
    """
    given = cfg.get("baselines")
    example = given if isinstance(given, str) else "pyod_knn"
    fits = isinstance(given, ListConfig)
    require("baselines", given, fits, f"must be a list: baselines=[{example}], or [] for none")
    for i, name in enumerate(given):
        rule = "must be the name of a model; one with other settings goes to detectors"
        require(f"baselines[{i}]", name, isinstance(name, str), rule)
    twice = _twice(given)
    if twice is not None:
        raise ConfigError(f"baselines: '{twice}' comes twice: name it once")
    return [str(name) for name in given]


def is_whole(value: Any) -> bool:
    """Whether it is a whole number, and no true or false."""
    return type(value) is int


def is_time(value: Any) -> bool:
    """Whether it is a day or a time as ISO 8601 has it."""
    try:
        datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return False
    return True


def is_number(value: Any) -> bool:
    """Whether it is a number, and no true or false."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_seed(value: Any) -> bool:
    """Whether all that draw can begin with it."""
    return is_whole(value) and 0 <= value <= LARGEST_SEED


def _twice(values: Sequence[Any]) -> Any:
    """The first that comes again, or None."""
    return next((value for i, value in enumerate(values) if value in list(values)[:i]), None)
