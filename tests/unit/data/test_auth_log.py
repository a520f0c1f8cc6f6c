"""Lines of auth.log as sshd, sudo and PAM write them."""

from __future__ import annotations

import gzip
import logging
import os
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from log_files import utc
from record_files import check_batches, rules

from riskml.core.errors import ConfigError, DataError
from riskml.data.mappings.auth_log import AuthLogSource

SSHD = "Mar  1 12:00:00 web1 sshd[7]: "
CASES = {
    "Accepted publickey for ann from 10.0.0.1 port 22022 ssh2: RSA SHA256:abc": (
        ("ann", "sshd:login", None, "10.0.0.1", True)
    ),
    "Accepted password for bob from ::1 port 5 ssh2": ("bob", "sshd:login", None, "::1", True),
    "Failed password for root from 10.0.0.2 port 22 ssh2": (
        ("root", "sshd:login", None, "10.0.0.2", False)
    ),
    "Failed password for invalid user eve from 10.0.0.2 port 22 ssh2": (
        ("eve", "sshd:login", None, "10.0.0.2", False)
    ),
    "Failed password for invalid user ann from 9.9.9.9 port 1 from 10.0.0.2 port 22 ssh2": (
        ("ann from 9.9.9.9 port 1", "sshd:login", None, "10.0.0.2", False)
    ),
    "Invalid user eve from 10.0.0.2 port 22": (
        ("eve", "sshd:invalid_user", None, "10.0.0.2", False)
    ),
    "pam_unix(sshd:session): session opened for user ann(uid=1000) by (uid=0)": (
        ("ann", "sshd:session_opened", "ann", None, None)
    ),
    "pam_unix(su:session): session opened for user root(uid=0) by ann(uid=1000)": (
        ("ann", "su:session_opened", "root", None, None)
    ),
    "pam_unix(login:session): session opened for user ann by LOGIN(uid=0)": (
        ("ann", "login:session_opened", "ann", None, None)
    ),
    "pam_unix(cron:session): session closed for user root": (
        ("root", "cron:session_closed", "root", None, None)
    ),
}
SUDO = "Mar  1 12:00:00 web1 sudo:   "
COMMANDS = {
    "ann : TTY=pts/0 ; PWD=/home/ann ; USER=root ; COMMAND=/bin/cat /etc/shadow": (
        ("ann", "sudo:command", "/bin/cat", None, True)
    ),
    "bob : user NOT in sudoers ; TTY=pts/1 ; PWD=/ ; USER=root ; COMMAND=/bin/ls": (
        ("bob", "sudo:command", "/bin/ls", None, False)
    ),
    "bob : 3 incorrect password attempts ; TTY=pts/1 ; PWD=/ ; USER=root ; COMMAND=/bin/ls": (
        ("bob", "sudo:command", "/bin/ls", None, False)
    ),
}


def write(path: Path, text: str, written: datetime = datetime(2024, 6, 1, tzinfo=UTC)) -> Path:
    content = text.encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    os.utime(path, (written.timestamp(), written.timestamp()))
    return path


def test_every_kind_of_message(tmp_path: Path) -> None:
    lines = [*(SSHD + case for case in CASES), *(SUDO + case for case in COMMANDS)]
    log = check_batches(AuthLogSource(write(tmp_path / "auth.log", "\n".join(lines)), "UTC"), 4)
    columns = ("user_id", "action", "resource", "source", "success")
    assert log.events.select(columns).rows() == [*CASES.values(), *COMMANDS.values()]
    assert log.events["timestamp"].unique().to_list() == [utc(2024, 3, 1, 12)]
    assert log.events["run_as"].drop_nulls().unique().to_list() == ["root"]


def test_every_layout_of_a_line(tmp_path: Path) -> None:
    message = "Failed password for root from 10.0.0.2 port 22 ssh2"
    lines = [
        f"Mar  1 12:00:00 web1 sshd[7]: {message}",
        f"<38>Mar 11 12:00:00 web1 sshd[7]: {message}",
        f"2024-03-01T12:00:00.5+01:00 web1 sshd[7]: {message}",
        f"<38>1 2024-03-01T12:00:00Z web1 sshd 7 - - {message}",
        f'<38>1 2024-03-01T12:00:00Z web1 sshd 7 ID [a@1 b="c"] {message}',
        f"2024-03-01T12:00:00Z web1 sshd-session[7]: {message}",
        f"2024-03-01T12:00:00Z web1 /usr/sbin/sshd[7]: message repeated 3 times: [ {message}]",
    ]
    log = AuthLogSource(write(tmp_path / "auth.log", "\n".join(lines)), "UTC").load()
    events = log.events.with_columns(row=pl.col("event_id").str.extract(r"(\d+)$").cast(pl.Int8))
    assert events.sort("row")["timestamp"].to_list() == [
        utc(2024, 3, 1, 12),
        utc(2024, 3, 11, 12),
        utc(2024, 3, 1, 11, 0, 0, 500_000),
        *[utc(2024, 3, 1, 12)] * 4,
    ]
    assert events["action"].unique().to_list() == ["sshd:login"]
    assert events.sort("row")["repeats"].to_list() == [1] * 6 + [3]


def test_lines_that_are_no_events(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    good = SSHD + next(iter(CASES))
    lines = [
        *[good] * 4,
        "Mar  1 12:00:00 web1 systemd-logind[1]: New session 5 of user ann.",
        "no syslog at all",
        "",
        "Feb 30 12:00:00 web1 sshd[7]: " + next(iter(CASES)),
        "Mar  1 12:00:00 web1 sshd[7]: Invalid user  from 10.0.0.2 port 22",
    ]
    source = AuthLogSource(
        write(tmp_path / "auth.log", "\n".join(lines)), "UTC", max_rejected_share=0.5
    )
    with caplog.at_level(logging.WARNING):
        log = check_batches(source, 2)
    assert len(log.events) == 4
    assert rules(log) == [
        ("auth.log", 6, "not_syslog"),
        ("auth.log", 8, "unparsable_timestamp"),
        ("auth.log", 9, "missing_user"),
    ]
    assert "1 of 8 lines are not about sign-ins" in caplog.text


def stamped(moments: list[datetime]) -> str:
    return "".join(
        f"{moment:%b} {moment.day:2d} {moment:%H:%M:%S} web1 sshd[7]: {next(iter(CASES))}\n"
        for moment in moments
    )


MOMENTS = st.lists(
    st.datetimes(datetime(2021, 1, 1), datetime(2024, 12, 30)).map(
        lambda moment: moment.replace(microsecond=0, tzinfo=UTC)
    ),
    min_size=1,
    max_size=3,
)


@settings(max_examples=30, deadline=None)
@given(MOMENTS, st.integers(1, 40), st.booleans())
def test_the_year_is_inferred_over_new_years(
    tmp_path_factory: pytest.TempPathFactory, ends: list[datetime], rows: int, given_year: bool
) -> None:
    """A line a month or so, over years, is dated right by the file's time or by its first year."""
    first, last = min(ends), max(ends)
    step = (last - first) / 40
    days = max(step.days, 1) if step.days < 150 else 100
    moments = [m for m in pl.datetime_range(first, last, f"{days}d", eager=True)]
    path = write(tmp_path_factory.mktemp("log") / "auth.log", stamped(moments), moments[-1])
    source = AuthLogSource(path, "UTC", year=first.year if given_year else None)
    found = pl.concat(batch.events for batch in source.batches(rows))
    assert found["timestamp"].to_list() == moments


def test_a_late_line_does_not_make_a_year(tmp_path: Path) -> None:
    moments = [utc(2023, 12, 31, 23), utc(2024, 1, 1), utc(2023, 12, 31, 23, 59), utc(2024, 1, 2)]
    path = write(tmp_path / "auth.log", stamped(moments), utc(2024, 1, 3))
    assert AuthLogSource(path, "UTC").load().events["timestamp"].to_list() == sorted(moments)


def test_rotated_files_have_their_own_years(tmp_path: Path) -> None:
    for name, moment in (("auth.log", utc(2024, 1, 5)), ("auth.log.1.gz", utc(2023, 1, 5))):
        write(tmp_path / name, stamped([moment]), moment)
    for path in (tmp_path, tmp_path / "auth.log*"):
        log = check_batches(AuthLogSource(path, "UTC"), 1)
        assert log.events["timestamp"].to_list() == [utc(2023, 1, 5), utc(2024, 1, 5)]


def test_settings_and_files_that_do_not_work(tmp_path: Path) -> None:
    path = write(tmp_path / "auth.log", stamped([utc(2024, 3, 1)]))
    with pytest.raises(DataError, match="time_zone=UTC"):
        AuthLogSource(path).load()
    with pytest.raises(ConfigError, match="year=24: must be between"):
        AuthLogSource(path, year=24)
    with pytest.raises(ConfigError, match="Europe/Berlin"):
        AuthLogSource(path, "Berlin")
    with pytest.raises(DataError, match="is empty"):
        AuthLogSource(write(tmp_path / "empty.log", "\n"), "UTC").load()
