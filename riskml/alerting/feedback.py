"""What auditors said of alerts: every verdict with who, when, on which model, and why."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import polars as pl
from sqlalchemy import DDL, Column, Engine, Index, MetaData, Table, Text, event, inspect, select

from riskml.alerting.log_tables import NUMBER
from riskml.core.errors import ConfigError, DataError, did_you_mean
from riskml.core.redaction import printable
from riskml.core.schema import TIMESTAMP
from riskml.data.database import database_errors, one_at_a_time, open_engine, require_file
from riskml.data.event_tables import UtcTime
from riskml.data.timestamps import parse_timestamps


class Verdict(StrEnum):
    """What an auditor makes of an alert."""

    TRUE_INCIDENT = "true_incident"
    FALSE_ALARM = "false_alarm"
    UNSURE = "unsure"


@dataclass(frozen=True)
class Judgement:
    """One verdict of one person on one window.

    Args:
        window_id: of the window that was judged.
        user_id: whose window it is.
        verdict: `true_incident`, `false_alarm` or `unsure`.
        who: gave it.
        at: when, UTC.
        model_version: that raised the alert.
        why: in the auditor's words; may be empty.
    """

    window_id: str
    user_id: str
    verdict: str
    who: str
    at: datetime
    model_version: str
    why: str = ""

    def __post_init__(self) -> None:
        for name in ("window_id", "user_id", "who", "model_version"):
            if not str(getattr(self, name) or "").strip():
                raise DataError(f"{name} is empty: a verdict says on what, by whom, of which model")
        if self.verdict not in set(Verdict):
            near = did_you_mean(self.verdict, list(Verdict))
            raise DataError(f"verdict '{printable(self.verdict)}': {near}")
        if self.at.tzinfo is None:
            raise DataError(f"at={self.at} has no time zone: write it as {self.at.isoformat()}Z")

    @property
    def digest(self) -> str:
        """The same verdict, said again, is the same."""
        values = asdict(self) | {"at": int(self.at.timestamp() * 1_000_000)}
        return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


COLUMNS = tuple(Judgement.__dataclass_fields__)
CSV_OPTIONAL = ("why",)
CSV_OPTIONAL_OF_RUN = ("why", "user_id", "model_version")
"""Where the run that raised the alerts tells the others."""


def verdict_table() -> Table:
    """The table `verdicts`: rows are added and never changed, the database itself sees to it."""
    table = Table(
        "verdicts",
        MetaData(),
        Column("number", NUMBER, primary_key=True),
        Column("digest", Text, nullable=False, unique=True),
        Column("window_id", Text, nullable=False),
        Column("user_id", Text, nullable=False),
        Column("verdict", Text, nullable=False),
        Column("who", Text, nullable=False),
        Column("at", UtcTime, nullable=False),
        Column("model_version", Text, nullable=False),
        Column("why", Text, nullable=False),
        Index("verdicts_window", "window_id"),
        Index("verdicts_user", "user_id"),
    )
    for dialect, statements in APPEND_ONLY.items():
        for statement in statements:
            # SQLAlchemy leaves DDL without types
            ddl: Any = DDL(statement)  # type: ignore[no-untyped-call]
            event.listen(table, "after_create", ddl.execute_if(dialect=dialect))
    return table


APPEND_ONLY = {
    "sqlite": [
        f"CREATE TRIGGER verdicts_no_{verb.lower()} BEFORE {verb} ON verdicts "
        "BEGIN SELECT RAISE(ABORT, 'verdicts are only added'); END"
        for verb in ("UPDATE", "DELETE")
    ],
    "postgresql": [
        "CREATE OR REPLACE FUNCTION verdicts_only_added() RETURNS trigger AS "
        "$$ BEGIN RAISE EXCEPTION 'verdicts are only added'; END $$ LANGUAGE plpgsql",
        "CREATE TRIGGER verdicts_only_added BEFORE UPDATE OR DELETE OR TRUNCATE ON verdicts "
        "FOR EACH STATEMENT EXECUTE FUNCTION verdicts_only_added()",
    ],
}


MISSING = "name the store that has the verdicts (`riskml feedback add` makes one with the first)"


class FeedbackStore:
    """Verdicts in a database; a changed mind is a further verdict, never an overwritten one.

    Args:
        url: SQLAlchemy URL, e.g. sqlite:///outputs/feedback.db or
            postgresql+psycopg://user@host/database.
        writes: whether verdicts are added; who only reads them makes no store.

    Raises:
        ConfigError: the URL is not understood, or its driver is not installed.
        DataError: it is only read, and there is no such file.
    """

    def __init__(self, url: str, writes: bool = True) -> None:
        self.engine: Engine = open_engine(url, "feedback", writes)
        self.table = verdict_table()
        if not writes:
            require_file(self.engine, MISSING)

    def add(self, judgements: Iterable[Judgement]) -> int:
        """Store verdicts in one transaction; those that are there already are left out.

        Returns:
            How many were new.

        Raises:
            DataError: the database refused; nothing of this call is stored.
        """
        rows = {judgement.digest: asdict(judgement) for judgement in judgements}
        refused = "the database refused the verdicts"
        with database_errors(refused), self.engine.begin() as connection:
            # so that nobody makes the table or adds the same twice
            one_at_a_time(connection, "riskml_feedback")
            self.table.create(connection, checkfirst=True)
            known: set[str] = set()
            digests = list(rows)
            for start in range(0, len(digests), 500):
                some = self.table.c.digest.in_(digests[start : start + 500])
                known.update(connection.execute(select(self.table.c.digest).where(some)).scalars())
            new = [{"digest": d, **row} for d, row in rows.items() if d not in known]
            if new:
                connection.execute(self.table.insert(), new)
        return len(new)

    def history(self) -> pl.DataFrame:
        """All verdicts in the order in which they were stored: the fields of `Judgement`."""
        columns = [self.table.c[name] for name in COLUMNS]
        refused = "the database refused to tell verdicts"
        with database_errors(refused), self.engine.connect() as connection:
            there = inspect(connection).has_table(self.table.name)
            query = select(*columns).order_by(self.table.c.number)
            rows = connection.execute(query).all() if there else []
        schema = {name: TIMESTAMP if name == "at" else pl.String() for name in COLUMNS}
        return pl.DataFrame([tuple(row) for row in rows], schema=schema, orient="row")

    def latest(self) -> pl.DataFrame:
        """What is held of each window now: its last verdict, by `at` and then by order of storing.

        `verdicts` counts how many there were, `changed` tells whether they differ.
        """
        history = self.history().with_row_index("number")
        return (
            history.sort("at", "number")
            .group_by("window_id", maintain_order=True)
            .agg(
                pl.col(*COLUMNS[1:]).last(),
                pl.len().cast(pl.Int64).alias("verdicts"),
                (pl.col("verdict").n_unique() > 1).alias("changed"),
            )
            .sort("at", "window_id")
        )


@dataclass(frozen=True)
class Imported:
    """What became of a CSV file.

    Args:
        new: verdicts that were stored.
        known: rows that were stored before.
        rejected: rows that are no verdicts: line, reason, and the columns as they stood.
    """

    new: int
    known: int
    rejected: pl.DataFrame


@dataclass(frozen=True)
class Judged:
    """The windows that a run has scored.

    Args:
        users: whose each is, by window_id.
        model_version: of the run.
    """

    users: Mapping[str, str]
    model_version: str


def import_csv(store: FeedbackStore, path: Path, judged: Judged | None = None) -> Imported:
    """Store the verdicts of a CSV file with the columns of `Judgement`; `why` may be left out.

    Rows that are no verdicts are told and left out; the others are stored.

    Args:
        store: where to.
        path: the file, in UTF-8.
        judged: what a run has scored; it then tells `user_id` and `model_version`, and a window
            that is not among it is no verdict.

    Raises:
        ConfigError: no such file, no CSV, or a column is missing.
    """
    table = _read_csv(path, optional=CSV_OPTIONAL if judged is None else CSV_OPTIONAL_OF_RUN)
    if judged is not None:
        known = pl.DataFrame({"window_id": judged.users.keys(), "user_id": judged.users.values()})
        table = table.drop("user_id", strict=False).join(
            known, on="window_id", how="left", maintain_order="left"
        )
        table = table.with_columns(pl.lit(judged.model_version).alias("model_version"))
    table = table.select(COLUMNS).with_columns(pl.col("why").fill_null(""))
    times = parse_timestamps(table["at"], "UTC")["timestamp"]
    judgements, rejected = [], []
    for line, (row, at) in enumerate(zip(table.iter_rows(named=True), times, strict=True), 2):
        try:
            if judged is not None and row["user_id"] is None:
                raise DataError(
                    f"the run has scored no window '{printable(row['window_id'] or '')}'"
                )
            if at is None:
                raise DataError(f"at='{printable(row['at'] or '')}' is no time")
            judgements.append(Judgement(**{**row, "verdict": row["verdict"] or "", "at": at}))
        except DataError as error:
            rejected.append({"line": line, "reason": str(error), **row})
    new = store.add(judgements)
    schema = {"line": pl.Int64(), "reason": pl.String(), **dict.fromkeys(COLUMNS, pl.String())}
    return Imported(new, len(judgements) - new, pl.DataFrame(rejected, schema=schema))


def _read_csv(path: Path, optional: Collection[str]) -> pl.DataFrame:
    """All columns of `Judgement` as text, those that may be left out empty."""
    try:
        table = pl.read_csv(path, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        reason = str(error).splitlines()[0]
        if "utf-8" in reason:
            reason += "; save it as UTF-8"
        raise ConfigError(f"{path} cannot be read as CSV: {reason}") from error
    needed = [name for name in COLUMNS if name not in optional]
    missing = [name for name in needed if name not in table.columns]
    if missing:
        found = ", ".join(printable(name) for name in table.columns)
        of_run = {"user_id", "model_version"} & set(missing)
        hint = "; --run tells user_id and model_version" if of_run else ""
        raise ConfigError(
            f"{path} has no column '{missing[0]}'; it needs {', '.join(needed)}, separated by "
            f"commas, and has: {found}{hint}"
        )
    left_out = [name for name in optional if name not in table.columns]
    return table.with_columns(pl.lit("").alias(name) for name in left_out)
