"""Linux `auth.log` (or `secure`): sshd, sudo and sessions, in any of the syslog formats."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl

from riskml.core.errors import ConfigError, DataError
from riskml.data.event_mapping import EventMapping, LogTable
from riskml.data.quality import RowRule
from riskml.data.sources.base import LogSource, origin, set_apart
from riskml.data.sources.files import find_files
from riskml.data.text_lines import line_chunks
from riskml.data.timestamps import check_time_zone

SUFFIXES = (".log", ".gz", *(f".log.{number}" for number in range(1, 100)))
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
NOT_SYSLOG = RowRule(
    "not_syslog", "the line has no time, host and program as syslog writes them", pl.lit(False)
)

PROGRAM = r"(?P<host>\S+) (?P<program>[^\s:\[]+)(?:\[\d+\])?: ?(?P<message>.*)$"
LAYOUTS = (
    rf"^(?:<\d+>)?(?P<stamp>[A-Z][a-z]{{2}} [ \d]\d \d\d:\d\d:\d\d) {PROGRAM}",
    r"^<\d+>\d+ (?P<stamp>\d{4}-\S+) (?P<host>\S+) (?P<program>\S+) \S+ \S+ "
    r"(?:-|(?:\[[^\]]*\])+) ?(?P<message>.*)$",
    rf"^(?:<\d+>)?(?P<stamp>\d{{4}}-\d\d-\d\d[T ]\S+) {PROGRAM}",
)
"""RFC 3164 (no year), RFC 5424, and RFC 3164 with ISO 8601 times."""

REPEATED = r"^message repeated (?P<repeats>\d+) times: \[ ?(?P<inner>.*?)\s*\]$"

# A name comes from outside and may itself hold " from ": `.*` takes the last, which is sshd's own.
PATTERNS = {
    "login": r"^(?P<verb>Accepted|Failed) (?P<method>\S+) for (?:invalid user )?(?P<user>.*) "
    r"from (?P<source>\S+) port \d+",
    "invalid_user": r"^(?:Invalid|Illegal) user (?P<user>.*) from (?P<source>\S+)",
    "command": r"^\s*(?P<user>\S+) : (?:(?P<problem>[^;=]+) ; )?TTY=(?P<tty>\S+) ; PWD=.*? ; "
    r"USER=(?P<target>\S+) ;.*? ?COMMAND=(?P<command>.*)$",
    "session": r"^pam_unix\((?P<service>[^:)]+):session\): session (?P<verb>opened|closed) for "
    r"user (?P<target>[^\s(]+)(?:\(uid=\d+\))?(?: by (?P<by>[^\s(]*)\(uid=\d+\))?",
}
"""What a message may say, and its parts; any other message is about no user's action."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class AuthLogSource(LogSource):
    """`auth.log` files, plain or gzipped: one, a folder, or a pattern such as `auth.log*`.

    Events are sign-ins by ssh (accepted, failed, invalid user), commands by sudo, and sessions
    that open and close; a log line says how many other lines were left out. The user of a session
    is who opened it, where the line tells. Lines that are no syslog go to quarantine.

    Args:
        path: of the file or folder, or a pattern with `*` or `?`.
        time_zone: IANA name of the machine's zone, for times without one.
        year: in which each file begins, for times without a year. None infers it: the last line
            is no younger than the file's own time stamp. Every new year in the file counts.
        max_rejected_share: largest share of unusable lines that is tolerated, 0 to 1.

    Raises:
        ConfigError: the year is no year.
    """

    path: str | Path
    time_zone: str | None = None
    year: int | None = None
    max_rejected_share: float = 0.2

    def __post_init__(self) -> None:
        check_time_zone(self.time_zone)
        if self.year is not None and not 1990 <= self.year <= 2100:
            raise ConfigError(f"year={self.year}: must be between 1990 and 2100")

    def mapping(self) -> EventMapping:
        """The columns of `tables` have the names of event columns already."""
        return EventMapping(time_zone=self.time_zone, max_rejected_share=self.max_rejected_share)

    def tables(self, rows: int) -> Iterator[LogTable]:
        """The lines that are events."""
        path = Path(self.path).expanduser()
        root, files = find_files(path, SUFFIXES, "log")
        n_lines = n_events = 0
        for file in files:
            name = file.relative_to(root).as_posix()
            years = _Years(self.year if self.year is not None else self._first_year(file, rows))
            for lines in line_chunks(file, rows, "log"):
                table, n_filled = _table(path.name, name, lines, years)
                n_lines, n_events = n_lines + n_filled, n_events + len(table.rows)
                n_events += len(table.rejected)
                yield table
        if n_lines == 0:
            raise DataError(f"{path} is empty")
        if n_lines > n_events:
            _logger.warning(
                "%s: %d of %d lines are not about sign-ins, sudo or sessions and were left out",
                path.name,
                n_lines - n_events,
                n_lines,
            )

    def _first_year(self, file: Path, rows: int) -> int:
        """The year of the first line, counted back from the file's own time stamp."""
        years, last = _Years(0), ""
        for lines in line_chunks(file, rows, "log"):
            stamps = lines["text"].str.extract(LAYOUTS[0]).drop_nulls()
            if len(stamps):
                years.of(stamps)
                last = str(stamps[-1])
        zone = ZoneInfo(self.time_zone) if self.time_zone else UTC
        written = datetime.fromtimestamp(file.stat().st_mtime, zone) + timedelta(days=1)
        if not last:
            return written.year
        month, day = MONTHS.index(last[:3]) + 1 if last[:3] in MONTHS else 1, int(last[4:6])
        is_later = (month, day) > (written.month, written.day)
        first = written.year - is_later - years.turns
        _logger.info("%s: its times have no year; it was taken to begin in %d", file.name, first)
        return first


class _Years:
    """The year of each stamp without one: a new one begins where months fall far back."""

    def __init__(self, first: int) -> None:
        self.first, self.turns = first, 0
        self._month: int | None = None

    def of(self, stamps: pl.Series) -> pl.Series:
        """The year of each stamp, nulls where there is none; goes on from the last call."""
        month = stamps.str.slice(0, 3).replace_strict(
            list(MONTHS), list(range(1, 13)), default=None, return_dtype=pl.Int32
        )
        frame = pl.DataFrame({"month": month.fill_null(strategy="forward")})
        step = pl.col("month") - pl.col("month").shift(1, fill_value=self._month)
        # A line or two may be late, so that December comes once more after January.
        turn = (step < -6).cast(pl.Int32) - (step > 6).cast(pl.Int32)
        turns = frame.select(turn.fill_null(0).cum_sum() + self.turns).to_series()
        if len(turns):
            self.turns = int(turns[-1])
            latest = frame["month"][-1]
            self._month = self._month if latest is None else int(latest)
        return turns + self.first


def _table(log: str, file: str, lines: pl.DataFrame, years: _Years) -> tuple[LogTable, int]:
    """Events of some lines, and how many lines there were that are not blank."""
    lines = lines.filter(pl.col("text").str.strip_chars() != "")
    text = pl.col("text")
    parts = lines.select(
        pl.coalesce(text.str.extract_groups(layout).struct.field(name) for layout in LAYOUTS).alias(
            name
        )
        for name in ("stamp", "host", "program", "message")
    )
    lines = pl.concat([lines, parts], how="horizontal")
    bad = set_apart(lines.filter(pl.col("message").is_null()), file, NOT_SYSLOG)
    lines = lines.filter(pl.col("message").is_not_null())
    lines = lines.with_columns(timestamp=_stamps(lines["stamp"], years))
    repeated = pl.col("message").str.extract_groups(REPEATED)
    lines = lines.with_columns(
        message=pl.coalesce(repeated.struct.field("inner"), "message"),
        repeats=repeated.struct.field("repeats").cast(pl.Int64).fill_null(1),
        program=pl.col("program").str.extract(r"([^/]+)$").str.strip_suffix("-session"),
    )
    found = {
        kind: pl.col("message").str.extract_groups(pattern) for kind, pattern in PATTERNS.items()
    }
    lines = lines.with_columns(**found)
    events = lines.filter(
        pl.any_horizontal(pl.col(kind).struct[0].is_not_null() for kind in PATTERNS)
    )
    return (
        LogTable(log, _events(events), origin(file, events["row"]), bad),
        len(lines) + len(bad),
    )


def _stamps(stamps: pl.Series, years: _Years) -> pl.Series:
    """Times in ISO 8601."""
    without_year = stamps.str.contains(r"^[A-Z]")
    year = years.of(stamps.set(~without_year, None))
    frame = pl.DataFrame({"stamp": stamps, "year": year, "without_year": without_year})
    month = (
        pl.col("stamp")
        .str.slice(0, 3)
        .replace_strict(
            list(MONTHS), [f"{i:02d}" for i in range(1, 13)], default=None, return_dtype=pl.String
        )
    )
    day = pl.col("stamp").str.slice(4, 2).str.replace(" ", "0")
    whole = pl.format("{}-{}-{} {}", "year", month, day, pl.col("stamp").str.slice(7))
    # a month that there is not stays as it is, for the quarantine
    return frame.select(
        pl.when("without_year").then(whole.fill_null(pl.col("stamp"))).otherwise("stamp")
    ).to_series()


def _events(lines: pl.DataFrame) -> pl.DataFrame:
    def part(kind: str, name: str) -> pl.Expr:
        return pl.col(kind).struct.field(name)

    program = pl.col("program").str.to_lowercase()
    opened_by = part("session", "by")
    session_user = (
        pl.when(~opened_by.is_in(["", "LOGIN"]))
        .then(opened_by)
        .fill_null(part("session", "target"))
    )
    is_login = part("login", "verb").is_not_null()
    is_command = part("command", "user").is_not_null()
    return lines.select(
        user_id=pl.coalesce(
            part("login", "user"),
            part("invalid_user", "user"),
            part("command", "user"),
            session_user,
        ),
        timestamp="timestamp",
        action=pl.when(is_login)
        .then(pl.format("{}:login", program))
        .when(part("invalid_user", "user").is_not_null())
        .then(pl.format("{}:invalid_user", program))
        .when(is_command)
        .then(pl.format("{}:command", program))
        .otherwise(pl.format("{}:session_{}", part("session", "service"), part("session", "verb"))),
        resource=pl.coalesce(
            part("command", "command").str.extract(r"^(\S+)"), part("session", "target")
        ),
        source=pl.coalesce(part("login", "source"), part("invalid_user", "source")),
        success=pl.when(is_login)
        .then(part("login", "verb") == "Accepted")
        .when(part("invalid_user", "user").is_not_null())
        .then(False)
        .when(is_command)
        .then(part("command", "problem").is_null()),
        host="host",
        method=part("login", "method"),
        run_as=part("command", "target"),
        command=part("command", "command"),
        repeats="repeats",
    )
