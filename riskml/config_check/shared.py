"""What several roles need: a bundle, a log, places for scores and metrics, verdicts."""

from __future__ import annotations

from pathlib import Path

from riskml.config_check import places
from riskml.config_check.findings import Checks, Level

EXPORTED = "give the folder that train.py has exported"


def bundle(checks: Checks, parameter: str) -> Path | None:
    """That it loads, up to the score of a blank window; gives its folder where it does."""
    folder = checks.needed(parameter, EXPORTED)
    if folder is None:
        return None

    def loads() -> str:
        from riskml.export.bundle import load_bundle
        from riskml.export.seal import SIGNATURE, bundle_key
        from riskml.serving.standing import known_until, version_of

        loaded = load_bundle(folder, checks.values.get("runtime"))
        signed = "signed with your key" if bundle_key() else "signed, not checked: no key is set"
        if SIGNATURE not in loaded.manifest:
            signed = "not signed"
        known = known_until(loaded)
        until = "" if known is None else f", knows the log up to {known:%Y-%m-%d}"
        return f"{folder} is model {version_of(loaded.manifest)}, sealed, {signed}{until}"

    return Path(folder) if checks.ask(parameter, loads, f"{EXPORTED}, whole") else None


def events(checks: Checks, parameter: str = "source") -> None:
    """That the log is there and has the columns that are named."""
    where = checks.needed(parameter, "give a file, a folder, a glob or a database URL")
    if where is not None:
        look = checks.values["look_at_events"]
        checks.ask(parameter, lambda: str(look(where, checks.offline)))


def scores_out(checks: Checks, parameter: str) -> None:
    """That scores can be written."""
    where = checks.needed(parameter, "give a folder or a database URL")
    if where is None:
        return

    def asked() -> str:
        from riskml.serving.job import open_store
        from riskml.serving.score_tables import METADATA

        open_store(where)
        if "://" in where:
            return places.tables(where, "--out", METADATA.sorted_tables, checks.offline)
        return places.writable_folder(Path(where))

    checks.ask(parameter, asked)


def scores_read(checks: Checks, parameter: str, needed: bool) -> None:
    """That there are scores to be read."""
    given = checks.values.get(parameter)
    if given is None and not needed:
        return
    where = checks.needed(
        parameter, "give what riskml score --out or riskml stream --sink wrote to"
    )
    if where is None:
        return

    def asked() -> str:
        from riskml.serving.alerts import raised_alerts
        from riskml.serving.score_tables import ALERTS, SCORES

        if "://" in where:
            rights = ("SELECT",)
            return places.tables(
                where, "scores", (SCORES, ALERTS), checks.offline, rights, makes=False
            )
        return f"{len(raised_alerts(where)):,} alerts there"

    checks.ask(parameter, asked)


def alert_log(checks: Checks) -> None:
    """That the alert log is there, with its tables."""
    url = checks.needed("url", "set RISKML_ALERTS_URL to the database of the alert log")
    if url is not None:
        checks.ask("url", lambda: places.alert_log(url, checks.offline))


def feedback(checks: Checks, writes: bool) -> None:
    """That verdicts can be read, and added where the role `writes`."""
    url = checks.values.get("feedback")
    if url is None:
        return

    def asked() -> str:
        from riskml.alerting.feedback import verdict_table

        rights = ("SELECT", "INSERT") if writes else ("SELECT",)
        wanted = (verdict_table(),)
        return places.tables(url, "feedback", wanted, checks.offline, rights, makes=writes)

    checks.ask("feedback", asked)


def metrics(checks: Checks) -> None:
    """That metrics can be left where they are to go."""
    where = checks.values.get("metrics")
    if where:
        remedy = "pip install 'riskml[monitoring]'"
        checks.ask("metrics", lambda: places.metrics(where, checks.offline), remedy)


def address(checks: Checks) -> None:
    """Where it listens."""
    host, port = str(checks.values["host"]), int(checks.values["port"])
    pair = (checks.values.get("certfile"), checks.values.get("keyfile"))
    if checks.ask("host", lambda: places.free_address(host, port, *pair)):
        from riskml.core.listening import Address

        if not Address(host, port).is_local and pair[0] is None:
            told = "tokens travel in clear"
            checks.add(Level.WARNING, "certfile", told, "give it, or put TLS in front of it")
