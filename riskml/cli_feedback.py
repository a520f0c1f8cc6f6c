"""`riskml feedback`: what auditors say of alerts, kept for ever and learnt from."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from riskml.core.errors import ConfigError, DataError
from riskml.core.redaction import printable

if TYPE_CHECKING:
    import polars as pl

    from riskml.alerting.feedback import FeedbackStore, Judged

DEFAULT_STORE = "sqlite:///outputs/feedback.db"
VERDICTS = ("true_incident", "false_alarm", "unsure")
LEAST_CHANCE = 0.1

_store = click.option(
    "--store",
    metavar="URL",
    default=DEFAULT_STORE,
    show_default=True,
    envvar="RISKML_FEEDBACK_URL",
    show_envvar=True,
    help="Database with the verdicts, SQLite or PostgreSQL.",
)


@click.group(
    epilog="""\b
    Examples:
      riskml feedback add WINDOW true_incident --who kim --run outputs/train/<date>
      riskml feedback import verdicts.csv
      riskml feedback list --verdict false_alarm
      riskml feedback export verdicts.csv
    """
)
def feedback() -> None:
    """Keep what auditors say of alerts (docs/triage.md).

    Verdicts are only added: a changed mind is a further one, and the last counts.
    """


@feedback.command()
@click.argument("window_id", metavar="WINDOW")
@click.argument("verdict", type=click.Choice(VERDICTS))
@click.option("--who", required=True, help="Who judged.")
@click.option("--why", default="", help="Why, in a sentence.")
@click.option(
    "--run",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the run that raised the alert: tells the user and the model.",
)
@click.option("--user", help="Whose window it is, where no --run tells.")
@click.option("--model-version", help="What raised the alert, where no --run tells.")
@_store
def add(
    window_id: str,
    verdict: str,
    who: str,
    why: str,
    folder: Path | None,
    user: str | None,
    model_version: str | None,
    store: str,
) -> None:
    """Store a verdict on one WINDOW (the window_id of scores.parquet and alerts.csv)."""
    from riskml.alerting.feedback import Judgement

    if folder is not None:
        scored = _scored(folder)
        if window_id not in scored.users:
            raise DataError(f"{folder} has scored no window '{printable(window_id)}'")
        user = user or scored.users[window_id]
        model_version = model_version or scored.model_version
    if user is None or model_version is None:
        raise ConfigError("say whose window it is and of which model: --run, or --user and "
                          "--model-version")  # fmt: skip
    judgement = Judgement(window_id, user, verdict, who, datetime.now(UTC), model_version, why)
    _open(store).add([judgement])
    click.echo(f"stored: {verdict} on {printable(window_id)}", err=True)


@feedback.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--run",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of the run that raised the alerts: tells user_id and model_version, and windows "
    "that it has not scored are no verdicts.",
)
@_store
def import_(file: Path, folder: Path | None, store: str) -> None:
    """Store the verdicts of a CSV FILE; the same file again changes nothing.

    Columns: window_id, user_id, verdict (true_incident, false_alarm, unsure), who, at (UTC where
    it names no zone), model_version, why; with commas, in UTF-8. With --run the file needs
    window_id, verdict, who and at alone. Rows that are no verdicts are written with the reason to
    FILE.rejected.csv; the others are stored.
    """
    from riskml.alerting.feedback import import_csv

    done = import_csv(_open(store), file, None if folder is None else _scored(folder))
    click.echo(f"{done.new:,} new, {done.known:,} known, {len(done.rejected):,} rejected", err=True)
    if len(done.rejected):
        beside = file.with_name(f"{file.name}.rejected.csv")
        done.rejected.write_csv(beside)
        first = done.rejected.row(0, named=True)
        raise DataError(
            f"{file} line {first['line']}: {first['reason']}; all rejected rows are in {beside}"
        )


@feedback.command("list")
@click.option("--verdict", type=click.Choice(VERDICTS), help="Only these.")
@click.option("--user", help="Only windows of this user.")
@click.option("--history", is_flag=True, help="Every verdict, also those that were changed.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@_store
def list_(verdict: str | None, user: str | None, history: bool, as_json: bool, store: str) -> None:
    """Show what is held of each window now."""
    found = _rows(store, history)
    for column, value in (("verdict", verdict), ("user_id", user)):
        if value is not None:
            found = found.filter(found[column] == value)
    if as_json:
        for row in found.iter_rows(named=True):
            click.echo(json.dumps(row | {"at": row["at"].isoformat()}))
        return
    for row in found.iter_rows(named=True):
        told = f"{row['at']:%Y-%m-%d %H:%M}  {row['verdict']:<13}  {row['user_id']}  "
        told += f"{row['window_id']}  by {row['who']}" + (f": {row['why']}" if row["why"] else "")
        click.echo(printable(told))
    click.echo(f"{len(found):,} verdict{'' if len(found) == 1 else 's'}", err=True)


@feedback.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@_store
def export(file: Path, store: str) -> None:
    """Write all verdicts, the whole history, to a CSV FILE that `import` reads."""
    found = _rows(store, history=True)
    try:
        found.write_csv(file, datetime_format="%Y-%m-%dT%H:%M:%S%.6fZ")
    except OSError as error:
        raise ConfigError(f"{file} cannot be written: {error.strerror or error}") from error
    click.echo(f"{len(found):,} verdicts in {file}", err=True)


@click.command(epilog="Example: riskml triage --run outputs/train/<date>")
@click.option("--run", default="latest", show_default=True, help="Folder of a train run.")
@click.option(
    "--outputs",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("outputs"),
    show_default=True,
    help="Where runs are, for `latest`.",
)
@click.option("--kind", default="forest", show_default=True, help="forest, xgboost or none.")
@click.option("--fewest", default=5, show_default=True, help="Of each verdict, before they count.")
@click.option(
    "--half-life",
    default=7.0,
    show_default=True,
    help="Days after which a verdict on the same user counts half.",
)
@click.option(
    "--least-chance",
    default=LEAST_CHANCE,
    show_default=True,
    help="Of being confirmed, for an alert; 0 fills the budget.",
)
@click.option("--seed", default=0, show_default=True, help="Of the trees.")
@_store
def triage(
    run: str,
    outputs: Path,
    kind: str,
    fewest: int,
    half_life: float,
    least_chance: float,
    seed: int,
    store: str,
) -> None:
    """Rank a run's windows anew by what auditors said of its alerts (docs/triage.md).

    Writes triage/ into the run's folder: ranking.parquet, alerts.csv (within the budget and with
    the least chance that an auditor would confirm) and triage.json. Below the fewest verdicts the
    order stays the detector's.
    """
    from riskml.runs.triage import triage as rank_anew
    from riskml.triage.blending import TriageSettings

    settings = TriageSettings(
        kind=kind, fewest=fewest, half_life=half_life, least_chance=least_chance, seed=seed
    )
    click.echo(rank_anew(outputs, run, _read(store), settings))


def _rows(store: str, history: bool) -> pl.DataFrame:
    opened = _read(store)
    return opened.history() if history else opened.latest()


def _open(url: str) -> FeedbackStore:
    from riskml.alerting.feedback import FeedbackStore

    if url == DEFAULT_STORE:
        Path("outputs").mkdir(exist_ok=True)
    return FeedbackStore(url)


def _read(url: str) -> FeedbackStore:
    from riskml.alerting.feedback import FeedbackStore

    return FeedbackStore(url, writes=False)


def _scored(folder: Path) -> Judged:
    """The windows that a run has scored, and its model version."""
    import polars as pl

    from riskml.alerting.feedback import Judged

    try:
        scores = pl.read_parquet(folder / "scores.parquet", columns=["window_id", "user_id"])
        detector = json.loads((folder / "metrics.json").read_text())["detector"]
    except (OSError, ValueError, KeyError, pl.exceptions.PolarsError) as error:
        raise ConfigError(f"--run {folder} holds no scores of train.py or evaluate.py") from error
    return Judged(dict(scores.iter_rows()), f"{detector}/{folder.resolve().name}")
