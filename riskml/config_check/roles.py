"""What each role needs, asked with the parsers and checks that its commands use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from riskml.config_check import places
from riskml.config_check.findings import Checks, Level
from riskml.config_check.people import alerts, report
from riskml.config_check.retraining import retrain
from riskml.config_check.shared import address, bundle, events, feedback, metrics, scores_out
from riskml.config_check.training import train
from riskml.core.errors import ConfigError

if TYPE_CHECKING:
    from sqlalchemy import Table

KAFKA, REDIS, FILE, STANDARD = "kafka://", ("redis://", "rediss://"), "file://", "-"


@dataclass(frozen=True)
class Role:
    """A part that is started.

    Args:
        check: asks of its settings.
        extras: of riskml that it needs.
    """

    check: Callable[[Checks], None]
    extras: tuple[str, ...] = ()


def score(checks: Checks) -> None:
    """`riskml score`."""
    bundle(checks, "folder")
    if checks.values.get("challenger") is not None:
        bundle(checks, "challenger")
    events(checks)
    scores_out(checks, "out")
    metrics(checks)


def serve(checks: Checks) -> None:
    """`riskml serve`."""
    bundle(checks, "bundle")

    def tokens() -> str:
        from riskml.serving.http.access import Tokens

        Tokens.of(checks.values.get("token_file"))
        return "there are tokens, long enough"

    if checks.values.get("insecure_local"):
        checks.add(Level.WARNING, "insecure_local", "everybody on this machine may ask")
    else:
        given = checks.values.get("token_file") is not None
        checks.ask("token_file" if given else "RISKML_SERVE_TOKEN", tokens)
    address(checks)


def stream(checks: Checks) -> None:
    """`riskml stream`."""
    bundle(checks, "folder")
    source = str(checks.values["source"])
    if source != STANDARD:
        checks.ask("source", lambda: _end(checks, source, "--source", read=True))
    for url in checks.values.get("sinks") or ():
        checks.ask("sinks", partial(_end, checks, url, "--sink"))
    letters = checks.values.get("dead_letters")
    if letters is None:
        remedy = "give --dead-letters kafka://HOST:PORT/TOPIC"
        checks.add(Level.WARNING, "dead_letters", "what cannot be scored is counted only", remedy)
    else:
        checks.ask("dead_letters", lambda: _end(checks, letters, "--dead-letters"))
    state = checks.needed("state", "give --state FOLDER or redis://HOST:PORT/NUMBER")
    if state is not None:
        checks.ask("state", lambda: _state(state, checks.offline))

    def format_of() -> str:
        from riskml.streaming.messages import decoder

        form = str(checks.values["form"])
        decoder(form, checks.values.get("schema"), checks.values.get("message"))
        return f"messages are {form}"

    checks.ask("form", format_of)


def _state(state: str, offline: bool) -> str:
    if state.startswith(REDIS):
        return places.redis(state, offline)
    if "://" in state:
        raise ConfigError("give a folder, or redis://HOST:PORT/NUMBER")
    return places.writable_folder(Path(state))


def _end(checks: Checks, url: str, option: str, read: bool = False) -> str:
    """What a stream reads from or writes to."""
    if url.startswith(KAFKA):
        return places.topic(url, option, checks.offline)
    if url == STANDARD:
        return "standard output"
    if "://" not in url or url.startswith(FILE):
        path = Path(url.removeprefix(FILE)).expanduser()
        if not read:
            return places.writable_folder(path.parent)
        with path.open("rb"):
            return f"{path} can be read"
    if read or option == "--dead-letters":
        raise ConfigError("give kafka://HOST:PORT/TOPIC or file://PATH")
    from riskml.serving.score_tables import SCORES
    from riskml.streaming.database_sink import ALERTS

    needed: tuple[Table, ...] = (SCORES, ALERTS)
    return places.tables(url, "--sink", needed, checks.offline)


def drift(checks: Checks) -> None:
    """`riskml drift`."""
    folder = bundle(checks, "folder")

    def reference() -> str:
        from riskml.monitoring.drift_reference import DriftReference

        assert folder is not None
        found = DriftReference.load(folder)
        return f"windows from {found.begin} to {found.end} to hold the log to"

    if folder is not None:
        checks.ask("folder", reference)
    events(checks)
    feedback(checks, writes=False)
    page = checks.values.get("report")
    if page is not None:
        checks.ask("report", lambda: places.writable_folder(Path(page).parent))
    metrics(checks)


ROLES = {
    "train": Role(train, ("train",)),
    "score": Role(score),
    "serve": Role(serve, ("serve",)),
    "stream": Role(stream, ("stream",)),
    "alerts": Role(alerts, ("alerts",)),
    "report": Role(report, ("report",)),
    "drift": Role(drift, ("drift",)),
    "retrain": Role(retrain, ("train", "alerts", "drift")),
}
"""By name. Another role is a function here, and in `riskml.cli_config` the commands whose options
it has."""
