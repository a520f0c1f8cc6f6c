"""Verdicts are kept for ever, and the last one counts."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner
from sqlalchemy import inspect, text
from sqlalchemy.exc import SQLAlchemyError

from riskml.alerting.alert_log import AlertLog
from riskml.alerting.feedback import COLUMNS, FeedbackStore, Judged, Judgement, import_csv
from riskml.cli import main
from riskml.core.errors import ConfigError, DataError

AT = datetime(2026, 3, 1, 9, tzinfo=UTC)
FIRST = Judgement("w1", "ann", "false_alarm", "kim", AT, "vae/1", "holiday, said so")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'feedback.db'}"


@pytest.fixture
def store(url: str) -> FeedbackStore:
    return FeedbackStore(url)


def test_a_changed_mind_is_history(store: FeedbackStore) -> None:
    later = replace(FIRST, verdict="true_incident", who="lee", at=AT + timedelta(hours=1))
    other = replace(FIRST, window_id="w2", verdict="unsure", at=AT - timedelta(days=1))
    assert store.add([later, FIRST, other]) == 3
    assert store.history()["verdict"].to_list() == ["true_incident", "false_alarm", "unsure"]
    latest = store.latest()
    assert latest.select("window_id", "verdict", "who", "verdicts", "changed").rows() == [
        ("w2", "unsure", "kim", 1, False),
        ("w1", "true_incident", "lee", 2, True),
    ]
    assert latest["at"].to_list() == [other.at, later.at]


def test_of_two_at_once_the_one_stored_last_counts(store: FeedbackStore) -> None:
    store.add([FIRST])
    store.add([replace(FIRST, verdict="unsure")])
    assert store.latest()["verdict"].to_list() == ["unsure"]


def test_the_same_again_is_the_same(store: FeedbackStore, url: str) -> None:
    assert store.add([FIRST, FIRST]) == 1
    assert FeedbackStore(url).add([FIRST, replace(FIRST, why="other")]) == 1
    assert len(store.history()) == 2


@pytest.mark.parametrize(
    "command",
    [
        "feedback list --store {typo}",
        "feedback export verdicts.csv --store {typo}",
        "triage --run nowhere --store {typo}",
        "drift --bundle nowhere --source log.csv --feedback {typo}",
        "report --period week --out reports --log {log} --feedback {typo}",
        "retrain step logins --log {log} --store {mlflow} --feedback {typo}",
    ],
)
def test_who_reads_verdicts_makes_no_store(command: str, tmp_path: Path) -> None:
    places = {name: f"sqlite:///{tmp_path / name}.db" for name in ("typo", "log", "mlflow")}
    AlertLog(places["log"]).migrate()
    (tmp_path / "mlflow.db").touch()
    result = CliRunner().invoke(main, command.format(**places).split())
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1] == (
        f"error: there is no file {tmp_path}/typo.db: name the store that has the verdicts "
        "(`riskml feedback add` makes one with the first)"
    )
    assert not (tmp_path / "typo.db").exists()


def test_a_database_without_verdicts_is_read_and_left_as_it_is(url: str) -> None:
    AlertLog(url).migrate()
    store = FeedbackStore(url, writes=False)
    assert store.latest().is_empty()
    assert not inspect(store.engine).has_table("verdicts")


def test_an_empty_store(store: FeedbackStore, url: str) -> None:
    assert store.add([]) == 0
    assert FeedbackStore(url, writes=False).latest().is_empty()
    assert store.history().columns == list(COLUMNS)
    assert store.latest().is_empty()


@pytest.mark.parametrize("statement", ["UPDATE verdicts SET who='x'", "DELETE FROM verdicts"])
def test_the_database_refuses_changes(store: FeedbackStore, statement: str) -> None:
    store.add([FIRST])
    with (
        pytest.raises(SQLAlchemyError, match="only added"),
        store.engine.begin() as connection,
    ):
        connection.execute(text(statement))
    assert store.history()["who"].to_list() == ["kim"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"who": " "}, "who is empty"),
        ({"window_id": ""}, "window_id is empty"),
        ({"verdict": "true_incidents"}, "verdict 'true_incidents': did you mean 'true_incident'"),
        ({"at": datetime(2026, 3, 1)}, "no time zone"),
    ],
)
def test_what_is_no_verdict(change: dict[str, str], said: str) -> None:
    with pytest.raises(DataError, match=said):
        replace(FIRST, **change)


def test_csv_there_and_back(store: FeedbackStore, url: str, tmp_path: Path) -> None:
    odd = replace(FIRST, window_id="w,2", why='said "no"\nand left', at=AT + timedelta(seconds=1.5))
    store.add([FIRST, odd])
    file = tmp_path / "verdicts.csv"
    runner = CliRunner()
    assert runner.invoke(main, ["feedback", "export", str(file), "--store", url]).exit_code == 0
    again = f"sqlite:///{tmp_path / 'again.db'}"
    result = runner.invoke(main, ["feedback", "import", str(file), "--store", again])
    assert (result.exit_code, result.stderr) == (0, "2 new, 0 known, 0 rejected\n")
    assert FeedbackStore(again).history().equals(store.history())
    result = runner.invoke(main, ["feedback", "import", str(file), "--store", again])
    assert "0 new, 2 known" in result.stderr


def test_bad_rows_are_told_and_the_others_stored(store: FeedbackStore, tmp_path: Path) -> None:
    file = tmp_path / "verdicts.csv"
    file.write_text(
        "window_id,user_id,verdict,who,at,model_version\n"
        "w1,ann,maybe,kim,2026-03-01T09:00:00Z,m\n"
        "w2,bob,unsure,kim,2026-03-01 10:00,m\n"
        "w3,cyd,unsure,kim,yesterday,m\n"
        "w4,,unsure,kim,2026-03-01,m\n"
    )
    done = import_csv(store, file)
    assert (done.new, done.known) == (1, 0)
    assert done.rejected["line"].to_list() == [2, 4, 5]
    assert [reason.split(":")[0] for reason in done.rejected["reason"]] == [
        "verdict 'maybe'",
        "at='yesterday' is no time",
        "user_id is empty",
    ]
    assert store.history()["at"].to_list() == [datetime(2026, 3, 1, 10, tzinfo=UTC)]
    url = f"sqlite:///{tmp_path / 'cli.db'}"
    result = CliRunner().invoke(main, ["feedback", "import", str(file), "--store", url])
    assert result.exit_code == 2
    assert "line 2: verdict 'maybe'" in result.stderr
    assert len(pl.read_csv(f"{file}.rejected.csv")) == 3


def test_a_file_that_is_no_table_of_verdicts(store: FeedbackStore, tmp_path: Path) -> None:
    file = tmp_path / "verdicts.csv"
    with pytest.raises(ConfigError, match="cannot be read"):
        import_csv(store, file)
    file.write_text("window_id,verdict\nw1,unsure\n")
    with pytest.raises(ConfigError, match=r"no column 'user_id'.* and has: window_id, verdict"):
        import_csv(store, file)
    file.write_text("window_id,user_id,verdict,who,at\nw1,ann,unsure,kim,2024-03-01\n")
    with pytest.raises(ConfigError, match=r"no column 'model_version'.*; --run tells user_id and"):
        import_csv(store, file)
    file.write_bytes("window_id,who\nw1,Jürgen\n".encode("latin-1"))
    with pytest.raises(ConfigError, match="save it as UTF-8"):
        import_csv(store, file)
    to = ("--store", f"sqlite:///{tmp_path / 'cli.db'}")
    FeedbackStore(to[1]).add([])
    nowhere = str(tmp_path / "none" / "out.csv")
    result = CliRunner().invoke(main, ["feedback", "export", nowhere, *to])
    assert result.exit_code == 2
    assert "cannot be written" in result.stderr


def test_a_run_tells_whose_windows_were_judged(store: FeedbackStore, tmp_path: Path) -> None:
    file = tmp_path / "verdicts.csv"
    file.write_text(
        "window_id,verdict,who,at\n"
        "w1,false_alarm,kim,2026-03-01T09:00:00Z\n"
        "w7,unsure,kim,2026-03-01T09:00:00Z\n"
    )
    done = import_csv(store, file, Judged({"w1": "ann"}, "vae/2026-03-01"))
    assert done.rejected.select("line", "reason").row(0) == (3, "the run has scored no window 'w7'")
    row = store.history().row(0, named=True)
    assert (row["user_id"], row["model_version"]) == ("ann", "vae/2026-03-01")


def test_add_and_list(tmp_path: Path, url: str) -> None:
    run = tmp_path / "2026-03-01"
    run.mkdir()
    pl.DataFrame({"window_id": ["w1"], "user_id": ["ann"]}).write_parquet(run / "scores.parquet")
    (run / "metrics.json").write_text('{"detector": "vae"}')
    runner = CliRunner()

    def feedback(*arguments: str, code: int = 0) -> str:
        result = runner.invoke(main, ["feedback", *arguments, "--store", url])
        assert result.exit_code == code, result.output
        return result.output

    feedback("add", "w1", "unsure", "--who", "kim", "--run", str(run), "--why", "odd")
    feedback("add", "w9", "false_alarm", "--who", "kim", "--user", "bob", "--model-version", "m")
    shown = feedback("list")
    assert "unsure         ann  w1  by kim: odd" in shown
    assert "2 verdicts" in shown
    assert "bob" not in feedback("list", "--user", "ann")
    assert '"model_version": "vae/2026-03-01"' in feedback("list", "--json", "--verdict", "unsure")
    assert "scored no window 'w2'" in feedback(
        "add", "w2", "unsure", "--who", "kim", "--run", str(run), code=2
    )
    assert "--run, or --user" in feedback("add", "w2", "unsure", "--who", "kim", code=2)
