"""The command `riskml graph`."""

from __future__ import annotations

import json
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result

from riskml.cli import main
from riskml.serving.score_tables import ALERTS

ROOT = Path(__file__).parents[2]
OLD = ROOT / "tests" / "data" / "bundles" / "format_3"
EVENTS = OLD / "events.parquet"
DOCS = (ROOT / "docs" / "graph.md").read_text()


def graph(*words: object) -> Result:
    return CliRunner().invoke(main, ["graph", *map(str, words)])


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A graph, and scores of the same log in a folder and a database."""
    folder = tmp_path_factory.mktemp("world")
    for out in (folder / "scores", f"sqlite:///{folder / 'scores.db'}"):
        words = ["score", "--bundle", OLD / "bundle", "--source", EVENTS, "--out", out]
        done = CliRunner().invoke(main, [*map(str, words), "--until", "2024-02-02"])
        assert done.exit_code == 0, done.stderr
    assert graph("init", "--store", folder / "g").exit_code == 0
    members = ("--members", folder / "scores/scores/**/*.parquet", "--peers", "peer")
    done = graph("load", "--store", folder / "g", "--source", EVENTS, *members)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("448 events, 448 new accesses, 0 rows rejected")
    return folder


def alert_ids(world: Path) -> list[str]:
    return pl.read_parquet(world / "scores/alerts/**/*.parquet")["window_id"].to_list()


def test_a_second_load_is_nothing_new(world: Path) -> None:
    done = graph("load", "--store", world / "g", "--source", EVENTS, "--json")
    told = json.loads(done.stdout)
    assert (told["events"], told["new"], told["rejected"]) == (448, 0, 0)


def test_part_of_a_log_by_time(tmp_path: Path) -> None:
    graph("init", "--store", tmp_path / "g")
    span = ("--since", "2024-01-10", "--until", "2024-01-12")
    done = graph("load", "--store", tmp_path / "g", "--source", EVENTS, *span, "--json")
    begin, end = datetime(2024, 1, 10, tzinfo=UTC), datetime(2024, 1, 12, tzinfo=UTC)
    when = pl.col("timestamp")
    wanted = pl.read_parquet(EVENTS).filter(when > begin, when < end)
    assert json.loads(done.stdout)["new"] == len(wanted) > 0


def test_columns_of_another_name_and_groups_of_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log.csv"
    log.write_text(
        "id;who;when;what;thing;team\n1;ann;05.01.2024 09:00;read;ledger;finance\n"
        "2;bob;05.01.2024 10:00;read;ledger;finance\n3;cid;05.01.2024 11:00;;build;engineers\n"
    )
    names = {"event_id": "id", "user_id": "who", "timestamp": "when", "action": "what",
             "resource": "thing"}  # fmt: skip
    columns = [w for ours, theirs in names.items() for w in ("--column", f"{ours}={theirs}")]
    graph("init", "--store", tmp_path / "g")
    shape = ("--separator", ";", "--timestamp-format", "%d.%m.%Y %H:%M", "--time-zone", "UTC")
    done = graph("load", "--store", tmp_path / "g", "--source", log, *columns, *shape,
                 "--default-action", "touch", "--peers", "team")  # fmt: skip
    assert done.exit_code == 0, done.stderr
    about = ("--param", "user=ann", "--param", "resource=ledger", "--json")
    found = graph("ask", "peers-who-use", "--store", tmp_path / "g", *about)
    assert json.loads(found.stdout) == {
        "peer": "bob", "first": "2024-01-05T10:00:00+00:00", "accesses": 1
    }  # fmt: skip


def test_the_same_alert_from_a_folder_a_database_and_a_run(world: Path, tmp_path: Path) -> None:
    alert = alert_ids(world)[-1]
    run = tmp_path / "run"
    run.mkdir()
    of_job = pl.read_parquet(world / "scores/alerts/**/*.parquet")
    texts = [[r["text"] for r in json.loads(reasons)] for reasons in of_job["reasons"]]
    of_run = of_job.rename({"window_start": "start", "window_end": "end"})
    of_run.with_columns(reasons=pl.Series(texts)).write_parquet(run / "alerts.parquet")
    places = (world / "scores", f"sqlite:///{world / 'scores.db'}", run, run / "alerts.parquet")
    told = [
        graph("explain", alert, "--store", world / "g", "--alerts", place, "--json")
        for place in places
    ]
    assert [each.exit_code for each in told] == [0, 0, 0, 0], told[-1].stderr
    found = [json.loads(each.stdout) for each in told]
    assert found[0] == found[1] == found[2] == found[3]
    mine = of_job.filter(pl.col("window_id") == alert).row(0, named=True)
    assert found[0]["alert"]["start"] == mine["window_start"].isoformat()
    assert found[0]["alert"]["reasons"] == texts[of_job["window_id"].to_list().index(alert)]


def test_an_alert_of_the_log(world: Path, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'alerts.db'}"
    for words in (["init"], ["take", "--from", str(world / "scores")]):
        assert CliRunner().invoke(main, ["alerts", *words, "--log", url]).exit_code == 0
    listed = CliRunner().invoke(main, ["alerts", "list", "--json", "--log", url]).stdout
    alert = json.loads(listed.splitlines()[0])
    places = ("--log", url, "--alerts", world / "scores")
    done = graph("explain", alert["alert_id"], "--store", world / "g", *places, "--json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)["alert"]
    assert (found["user_id"], found["risk"]) == (alert["user_id"], alert["risk"])
    window = graph("explain", found["window_id"], "--store", world / "g", *places, "--json")
    assert json.loads(window.stdout)["alert"] == found


def test_an_alert_in_words_and_pictures(world: Path, tmp_path: Path) -> None:
    alert = alert_ids(world)[0]
    files = [tmp_path / "new" / name for name in ("a.png", "a.svg", "a.html")]
    for picture in files[:2]:
        done = graph("explain", alert, "--store", world / "g", "--alerts", world / "scores",
                     "--picture", picture, "--page", files[2])  # fmt: skip
        assert done.exit_code == 0, done.stderr
    user = alert.split("/")[0]
    assert done.stdout.startswith(f"{user} (") and "resource r: " in done.stdout
    assert files[0].read_bytes().startswith(b"\x89PNG") and b"<svg" in files[1].read_bytes()
    assert user in files[2].read_text()


def test_a_question_as_a_table_and_ones_own(world: Path) -> None:
    listed = graph("ask").stdout
    assert "users-of" in listed and "--param resource=..." in listed
    about = ("--store", world / "g", "--param", "resource=r")
    table = graph("ask", "users-of", *about)
    log = pl.read_parquet(EVENTS)
    lines = table.stdout.splitlines()
    assert lines[0].split() == ["user", "accesses", "first", "last"]
    assert len(lines) == 2 + log["user_id"].n_unique() and f"{len(lines) - 2} rows" in table.stderr
    own = graph("ask", "--store", world / "g", "--param", "since:time=2024-01-15",
                "--param", "most:number=1", "--cypher", "MATCH (a:Access) WHERE a.at >= $since "
                "RETURN count(a) AS n LIMIT $most", "--json")  # fmt: skip
    late = log.filter(pl.col("timestamp") >= datetime(2024, 1, 15, tzinfo=UTC))
    assert json.loads(own.stdout) == {"n": len(late)}


STORED = ("--store", "{world}/g")
EXPLAIN = ("explain", "x", *STORED, "--alerts")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["explain", "x", "--store", "none", "--alerts", "{world}/scores"], "no alert 'x'"),
        ([*EXPLAIN, "{world}"], "no alerts there; give what `riskml score --out` wrote"),
        ([*EXPLAIN, "none"], "--alerts none: no alerts there"),
        ([*EXPLAIN, "{world}/g"], "is missing, damaged or of another kind"),
        ([*EXPLAIN, "sqlite:///{world}/other.db"], "there is no file {world}/other.db"),
        (["explain", "x", *STORED], "give --alerts for a window, or --log for an alert of the log"),
        (["explain", "x", *STORED, "--log", "sqlite:///{world}/no.db"], "riskml alerts init makes"),
        ([*EXPLAIN, "{world}/scores", "--picture", "a.gif"], "no alert 'x'"),
        (["explain", "{alert}", "--store", "{world}/none", "--alerts", "{world}/scores"],
         "there is no graph in {world}/none: riskml graph init --store {world}/none"),
        (["explain", "{alert}", *STORED, "--alerts", "{world}/scores", "--picture", "a.gif"],
         "must end with .png or .svg"),
        (["explain", "{alert}", "--store", "{world}/empty", "--alerts", "{world}/scores"],
         "does not know user"),
        (["load", "--store", "{world}/none/g", "--source", str(EVENTS)], "riskml graph init"),
        (["load", *STORED, "--source", str(EVENTS), "--peers", "role"], "no column 'role'"),
        (["load", *STORED, "--source", str(EVENTS), "--members", "x"], "--members needs --peers"),
        (["load", *STORED, "--source", str(EVENTS), "--members", "x.csv", "--peers", "p"],
         "--members x.csv: "),
        (["load", *STORED, "--source", "no.parquet"], "no.parquet does not exist"),
        (["init"], "give --store, or set RISKML_GRAPH_STORE"),
        (["ask", "users", *STORED], "no question 'users': did you mean 'users-of'"),
        (["ask", "users-of", *STORED], "needs a value for $resource"),
        (["ask", "users-of", *STORED, "--param", "resouce=r"], "did you mean 'resource'"),
        (["ask", "used-by-one", *STORED, "--param", "most=x"], "give a whole number"),
        (["ask", "used-by-one", *STORED, "--param", "most=-1"], "give a whole number"),
        (["ask", "used-by-one", *STORED, "--param", f"most={10**30}"], "at most 18 digits"),
        (["load", *STORED, "--source", str(EVENTS), "--members", "x.txt", "--peers", "p"],
         "end in .csv or .parquet"),
        (["ask", *STORED, "--cypher", "MATCH (u:User) DELETE u"], "this one says DELETE"),
        (["ask", *STORED, "--cypher", "MATCH (u:Usr) RETURN u"], "does not understand: "),
        (["ask", "users-of", *STORED, "--cypher", "RETURN 1"], "not both"),
        (["ask", "users-of", "--store", "redis://host"], "unknown scheme"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_line(world: Path, words: list[str], message: str) -> None:
    if not (world / "empty").exists():
        graph("init", "--store", world / "empty")
    about = {"world": world, "alert": alert_ids(world)[0]}
    result = graph(*(word.format(**about) if "{" in word else word for word in words))
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("error: ") and result.stderr.count("\n") == 1, result.stderr
    assert message.format(**about) in result.stderr


def test_times_and_kinds_of_parameters_are_looked_at(world: Path) -> None:
    for given, message in (
        ("since=yesterday", "is no time"),
        ("since", "is no parameter"),
        ("since:date=2024-01-01", "is no parameter"),
    ):
        result = graph("ask", "new-sources", "--store", world / "g", "--param", given)
        assert result.exit_code == 2 and message in result.stderr


def test_names_cannot_steer_a_terminal(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    row = {"event_id": "1", "user_id": "a\x1b[31m", "timestamp": "2024-01-01T00:00:00Z",
           "action": "read", "resource": "r"}  # fmt: skip
    log.write_text(json.dumps(row) + "\n")
    graph("init", "--store", tmp_path / "g")
    assert graph("load", "--store", tmp_path / "g", "--source", log).exit_code == 0
    about = ("--store", tmp_path / "g", "--param", "resource=r")
    assert "\x1b" not in graph("ask", "users-of", *about).output


def test_docs_name_every_option_and_table() -> None:
    shown: set[str] = set()
    for command in ("init", "load", "explain", "ask"):
        shown |= set(re.findall(r"--[a-z-]+", graph(command, "--help").output))
    assert shown - {"--help", "--out", "--json"} <= set(re.findall(r"--[a-z-]+", DOCS))
    assert ALERTS.name == "riskml_alerts"


@pytest.mark.parametrize(("package", "store"), [("ladybug", "g"), ("neo4j", "bolt://host")])
def test_what_is_not_installed_is_named_with_its_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, package: str, store: str
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "riskml.graph.bolt", raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setenv("RISKML_GRAPH_PASSWORD", "p")
    monkeypatch.chdir(tmp_path)
    result = graph("init", "--store", store)
    assert result.exit_code == 2
    assert result.stderr == f"error: {package} is not installed: pip install 'riskml[graph]'\n"
