"""What telling people needs: the worker that delivers, the page, the report."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from riskml.config_check import places
from riskml.config_check.findings import Checks, Level
from riskml.config_check.shared import address, alert_log, events, feedback, metrics, scores_read

if TYPE_CHECKING:
    from riskml.alerting.channels import Channel


def alerts(checks: Checks) -> None:
    """`riskml alerts take`, `deliver` and `ui`."""
    alert_log(checks)
    scores_read(checks, "where", needed=True)
    rules = checks.values.get("rules")
    if rules is not None:

        def read() -> str:
            from riskml.alerting.settings_files import read_rules

            read_rules(rules)
            return f"{rules} is understood"

        checks.ask("rules", read)
    _channels(checks)
    metrics(checks)
    _page(checks)


def report(checks: Checks) -> None:
    """`riskml report`."""
    alert_log(checks)
    out = checks.needed("out", "give a folder for the HTML file and the PDF")
    if out is not None:
        checks.ask("out", lambda: places.writable_folder(Path(out)))
    if not checks.values.get("html_only"):
        checks.ask("PDF", lambda: _pdf(checks), "or give --html-only")
    scores_read(checks, "scores", needed=False)
    feedback(checks, writes=False)
    drift = checks.values.get("drift")
    if drift is not None:

        def read() -> str:
            from riskml.reporting.drift_file import read_drift

            read_drift(drift)
            return f"{drift} is understood"

        checks.ask("drift", read, "riskml drift --json > FILE makes it")
    if checks.values.get("to") or checks.values.get("channels_file") is not None:
        _channels(checks, "channels_file", mails=True)
    _pseudonyms(checks)


def _channels(checks: Checks, parameter: str = "file", mails: bool = False) -> None:
    """That the file is understood, and that each channel can be told; of mails only those."""
    remedy = "give --channels FILE (conf/alerting/channels.yaml)"
    if checks.values.get(parameter) is None and not mails:  # people may look at the page alone
        told = "nobody is told, and riskml alerts deliver does not start"
        checks.add(Level.WARNING, parameter, told, remedy)
        return
    file = checks.needed(parameter, remedy)
    if file is None:
        return
    found: dict[str, Channel] = {}

    def read() -> str:
        from riskml.alerting.settings_files import read_channels

        said = read_channels(file)
        found.update(said.channels)
        routes = len(said.routing.routes)
        return f"{file} is understood: {len(said.channels)} channels, {routes} routes"

    checks.ask(parameter, read)
    wanted = {name: each for name, each in found.items() if each.carries_letters or not mails}
    for name, each in wanted.items():
        setting = f"{checks.name(parameter)} channels.{name}"
        checks.ask(setting, partial(places.channel, each, checks.offline))
    if found and not wanted:
        checks.add(Level.ERROR, parameter, "has no channel of kind email, which sends", "add one")


def _page(checks: Checks) -> None:
    """What `riskml alerts ui` needs, where it is to run."""
    from riskml.alerting.page.people import PEOPLE_VARIABLE, People

    tokens = checks.values.get("tokens")
    if tokens is None and PEOPLE_VARIABLE not in os.environ:
        told = "nobody may sign in, so riskml alerts ui does not start"
        remedy = "riskml alerts token NAME --role analyst --tokens people.txt"
        checks.add(Level.WARNING, "tokens", told, remedy)
        return

    def people() -> str:
        People(tokens)
        return "there are people who may sign in"

    checks.ask("tokens" if tokens is not None else PEOPLE_VARIABLE, people)
    address(checks)
    scores_read(checks, "scores", needed=False)
    if checks.values.get("source") is not None:
        events(checks)
    feedback(checks, writes=True)
    triage = checks.values.get("triage")
    if triage is not None:

        def ranked() -> str:
            from riskml.alerting.page.queue import Chances

            Chances(triage)
            return "its chances can be read"

        checks.ask("triage", ranked)
    _pseudonyms(checks)


def _pseudonyms(checks: Checks) -> None:
    """Without a key people have other names with each start."""
    from riskml.core.pseudonyms import DEFAULT_KEY_VARIABLE, read_key

    if DEFAULT_KEY_VARIABLE not in os.environ:
        told = "is not set: pseudonyms are others with each start"
        checks.add(Level.WARNING, DEFAULT_KEY_VARIABLE, told, "set it to a key of 32 bytes or more")
        return

    def key() -> str:
        read_key()
        return "there is a key, long enough"

    checks.ask(DEFAULT_KEY_VARIABLE, key)


def _pdf(checks: Checks) -> str:
    from riskml.reporting.pdf import render_pdf

    language = str(checks.values.get("language") or "en")
    _, warnings = render_pdf(f'<html lang="{language}"><title>.</title><p>.</html>', language)
    for told in warnings:
        checks.add(Level.WARNING, "PDF", told)
    return "a PDF can be made"
