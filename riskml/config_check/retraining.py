"""What `riskml retrain step` needs: a champion with its settings, a policy, the alert log."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from riskml.config_check import places
from riskml.config_check.findings import Checks
from riskml.config_check.shared import alert_log, feedback, metrics
from riskml.config_check.training import log_of

if TYPE_CHECKING:
    from omegaconf import DictConfig

SQLITE = "sqlite:///"


def retrain(checks: Checks) -> None:
    """`riskml retrain step`."""
    alert_log(checks)
    name = checks.needed("name", "name a registered model")
    if name is not None:
        remedy = "python train.py register=NAME, then riskml registry alias NAME VERSION champion"
        kept: list[DictConfig] = []
        if checks.ask("store", lambda: _champion(checks, str(name), kept), remedy) and kept:
            checks.ask("data.source", lambda: log_of(kept[0], checks.offline))
    file = checks.values.get("file")
    if file is not None:
        checks.ask("file", lambda: _policy(Path(file)))
    checks.ask("out", lambda: places.writable_folder(Path(checks.values["out"])))
    feedback(checks, writes=False)
    metrics(checks)


def _champion(checks: Checks, name: str, kept: list[DictConfig]) -> str:
    """That there is one, and settings of its run to train another by, which are kept."""
    from riskml.core.mlflow_client import told_uri
    from riskml.export.registry import CHAMPION, STORE, Registry
    from riskml.retraining.challenger import read_config
    from riskml.runs.context import CONFIG_FILE

    store = str(checks.values.get("store") or told_uri() or STORE)
    if checks.offline and not store.startswith(SQLITE):
        return places.NOT_ASKED
    registry = Registry(store)
    found = registry.version(name, CHAMPION)
    kept.append(read_config(registry.run_file(name, found.version, CONFIG_FILE), name))
    return f"the champion of {name} is version {found.version}, with the settings of its run"


def _policy(file: Path) -> str:
    from riskml.retraining.policy import read_policy

    read_policy(file)
    return f"{file} is understood"
