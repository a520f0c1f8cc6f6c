"""`riskml graph explain` and `ask`: what the graph tells, and how commands get at it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from riskml.cli_types import MOMENT
from riskml.core.errors import ConfigError, did_you_mean
from riskml.core.redaction import printable

if TYPE_CHECKING:
    from riskml.core.alert import Alert
    from riskml.graph.neighbourhood import Neighbourhood
    from riskml.graph.store import Answer, GraphStore

Command = TypeVar("Command", bound=Callable[..., Any])

OF_LOG = re.compile(r"[0-9a-f]{12}")
"""The id of an alert of the log."""

NEEDS = "pip install 'riskml[graph]'"


def store_options(command: Command) -> Command:
    """Where the graph is."""
    for option in reversed(_STORE):
        command = option(command)
    return command


_STORE = [
    click.option(
        "--store",
        metavar="FILE_OR_URL",
        envvar="RISKML_GRAPH_STORE",
        show_envvar=True,
        help="A file, or a server such as bolt://host:7687, whose password is in "
        "RISKML_GRAPH_PASSWORD.",
    ),
    click.option(
        "--user",
        default="neo4j",
        show_default=True,
        envvar="RISKML_GRAPH_USER",
        show_envvar=True,
        help="Of the server.",
    ),
    click.option(
        "--database",
        envvar="RISKML_GRAPH_DATABASE",
        show_envvar=True,
        help="Of the server; the user's own, unless given.",
    ),
]


class Parameter(click.ParamType[tuple[str, str | None, str]]):
    """A query's parameter and its value, such as user=alice or since:time=2024-03-01."""

    name = "NAME[:KIND]=VALUE"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str | None, str]:
        """`since:time=2024-03-01` → name, kind and value."""
        if isinstance(value, tuple):
            return value
        words, found, text = str(value).partition("=")
        name, _, kind = words.partition(":")
        if not (name and found) or kind not in ("", "text", "time", "number"):
            self.fail(
                f"{value!r} is no parameter; write for example user=alice, since:time=2024-03-01 "
                "or most:number=10"
            )
        return name, kind or None, text


@click.command()
@click.argument("alert_id", metavar="ALERT")
@store_options
@click.option(
    "--alerts",
    metavar="URL_OR_FOLDER",
    envvar=["RISKML_GRAPH_ALERTS", "RISKML_SCORE_OUT"],
    show_envvar=True,
    help="Where alerts are: what `riskml score --out` wrote to, or the folder of a run.",
)
@click.option(
    "--log",
    "log",
    metavar="URL",
    envvar="RISKML_ALERTS_URL",
    show_envvar=True,
    help="Database of the alert log, for an ALERT of `riskml alerts list`.",
)
@click.option(
    "--picture", type=click.Path(path_type=Path, dir_okay=False), help="Write a PNG or SVG."
)
@click.option(
    "--page",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write an HTML page that needs no other file.",
)
@click.option("--json", "as_json", is_flag=True, help="All that was found as one JSON object.")
def explain(
    alert_id: str,
    store: str | None,
    user: str,
    database: str | None,
    alerts: str | None,
    log: str | None,
    picture: Path | None,
    page: Path | None,
    as_json: bool,
) -> None:
    """Show what makes an ALERT odd: what was touched, who else uses it, and since when.

    ALERT is a window_id of --alerts, or the id of an alert of --log, whose riskiest window counts.
    What came after the window does not.
    """
    from riskml.graph.neighbourhood import neighbourhood

    alert = _alert(alert_id, alerts, log)
    with open_store(store, user, database) as opened:
        found = neighbourhood(opened, alert)
    if picture is not None:
        from riskml.graph.picture import save_picture

        save_picture(found, picture)
        click.echo(f"picture {picture}", err=True)
    if page is not None:
        from riskml.graph.page import save_page

        save_page(found, page)
        click.echo(f"page {page}", err=True)
    if as_json:
        click.echo(json.dumps(found.plain(), ensure_ascii=False))
        return
    for line in _lines(found):
        click.echo(printable(line))


@click.command()
@click.argument("question", required=False)
@store_options
@click.option("--cypher", metavar="TEXT", help="A query of your own in place of a QUESTION.")
@click.option(
    "--param",
    "given",
    type=Parameter(),
    multiple=True,
    help="Value of a $NAME; KIND is text, time or number.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a row.")
def ask(
    question: str | None,
    store: str | None,
    user: str,
    database: str | None,
    cypher: str | None,
    given: tuple[tuple[str, str | None, str], ...],
    as_json: bool,
) -> None:
    """Answer a QUESTION of docs/graph.md, or a --cypher query that only reads.

    Without either, the questions are listed.
    """
    from riskml.graph.questions import QUESTIONS

    if question is not None and cypher is not None:
        raise ConfigError("give a QUESTION or --cypher, not both")
    if question is None and cypher is None:
        for name, each in QUESTIONS.items():
            needs = " ".join(f"--param {word}=..." for word in each.parameters)
            click.echo(f"{name:<16}{each.asks}\n{'':<16}{needs}")
        return
    kinds: dict[str, str] = {}
    if question is not None:
        if question not in QUESTIONS:
            near = did_you_mean(question, QUESTIONS)
            raise ConfigError(f"no question '{printable(question)}': {near}")
        cypher, kinds = QUESTIONS[question].cypher, dict(QUESTIONS[question].parameters)
        if strange := [name for name, _, _ in given if name not in kinds]:
            near = did_you_mean(strange[0], kinds)
            raise ConfigError(f"{question} has no parameter '{printable(strange[0])}': {near}")
    assert cypher is not None
    values = {
        name: _value(name, kind or kinds.get(name, "text"), text) for name, kind, text in given
    }
    with open_store(store, user, database) as opened:
        answer = opened.ask(cypher, values)
    if as_json:
        for row in answer.dicts():
            click.echo(json.dumps(row, default=_told, ensure_ascii=False))
        return
    _table(answer)


def _value(name: str, kind: str, text: str) -> Any:
    if kind == "time":
        return MOMENT.convert(text, None, None)
    if kind == "number":
        if not re.fullmatch(r"\d{1,18}", text.strip()):
            raise ConfigError(
                f"--param {name}={printable(text)}: give a whole number, 0 or more, of at most 18 "
                "digits"
            )
        return int(text)
    return text


@contextmanager
def open_store(
    store: str | None, user: str, database: str | None, writes: bool = False, ready: bool = True
) -> Iterator[GraphStore]:
    """The store, which `init` has made ready unless `ready` says that it need not."""
    from riskml.graph.store import open_graph, require_graph

    if store is None:
        raise ConfigError("give --store, or set RISKML_GRAPH_STORE")
    try:
        opened = open_graph(store, writes=writes, user=user, database=database)
    except ModuleNotFoundError as error:
        raise ConfigError(f"{error.name} is not installed: {NEEDS}") from error
    with opened:
        if ready:
            require_graph(opened, store)
        yield opened


def _alert(alert_id: str, alerts: str | None, log: str | None) -> Alert:
    """From the log where the id has its form, or where there is nothing else."""
    if log is not None and (alerts is None or OF_LOG.fullmatch(alert_id)):
        from riskml.alerting.alert_log import AlertLog

        return AlertLog(log).history(alert_id).riskiest
    if alerts is None:
        raise ConfigError("give --alerts for a window, or --log for an alert of the log")
    from riskml.serving.alerts import find_alert

    return find_alert(alerts, alert_id)


def _lines(found: Neighbourhood) -> list[str]:
    alert = found.alert
    group = ", ".join(found.groups) or "no peer group"
    lines = [
        f"{alert.user_id} ({group}, {len(found.peers):,} peers), {alert.start:%Y-%m-%d %H:%M} to "
        f"{alert.end:%Y-%m-%d %H:%M} UTC, risk {alert.risk:.0f}",
        *(f"  {reason}" for reason in alert.reasons),
    ]
    for thing in found.things:
        times = f"{thing.accesses:,} access{'' if thing.accesses == 1 else 'es'}"
        failed = f", {thing.failed:,} failed" if thing.failed else ""
        lines += [
            f"{thing.kind} {thing.name}: {times} ({', '.join(thing.actions)}){failed}",
            f"  {thing.sentence(len(found.peers))}",
        ]
    return lines


def _table(answer: Answer) -> None:
    rows = [[_told(value) for value in row] for row in answer.rows]
    columns = [str(name) for name in answer.columns]
    widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
    for row in (columns, ["-" * width for width in widths], *rows):
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())
    click.echo(f"{len(rows):,} row{'' if len(rows) == 1 else 's'}", err=True)


def _told(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict | list):
        return printable(json.dumps(value, default=_told, ensure_ascii=False))
    return printable("" if value is None else str(value))
