"""The graph on a server, through Neo4j's driver: all that is tested of the one in a file.

The server is ArcadeDB, installed into an environment of its own (some 180 MB with its Java; skipped
where that cannot be had), or the one that RISKML_TEST_BOLT names, with RISKML_GRAPH_USER,
RISKML_GRAPH_DATABASE and RISKML_GRAPH_PASSWORD: all in it is deleted.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import bolt_server
import neo4j
import pytest
from click.testing import CliRunner, Result
from test_graph_at_scale import SCORED, alert_ids, score_old_log

from riskml.cli import main
from riskml.core.errors import DataError
from riskml.graph.bolt import SET_UP, BoltGraph
from riskml.graph.loading import load_graph
from riskml.graph.questions import QUESTIONS
from riskml.graph.store import open_graph, require_graph
from tests.unit.graph.worlds import (
    alert_of,
    answers,
    check_around,
    content,
    embedded,
    events,
    expected,
    values_for,
)

pytestmark = pytest.mark.slow

LOG = events()
START_S = 120


def free_ports(n: int) -> list[int]:
    probes = [socket.socket() for _ in range(n)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def arcadedb(folder: Path) -> Path:
    """Python of an environment that has it."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    pip = [python, "-m", "pip", "-q", "--disable-pip-version-check", "install"]
    done = subprocess.run([*pip, bolt_server.PACKAGE], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"{bolt_server.PACKAGE} cannot be installed here: {done.stderr[-300:]}")
    return python


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of the server; user, database and password are in the environment."""
    if "RISKML_TEST_BOLT" in os.environ:
        yield os.environ["RISKML_TEST_BOLT"]
        return
    python = arcadedb(tmp_path_factory.mktemp("arcadedb") / "env")
    bolt, http = free_ports(2)
    command = [python, bolt_server.__file__, tmp_path_factory.mktemp("databases"), bolt, http]
    log = tmp_path_factory.mktemp("log") / "server.log"
    with log.open("w") as errors, pytest.MonkeyPatch.context() as patch:
        server = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=log.parent,  # it writes log/ where it stands
        )
        try:
            stopping = threading.Timer(START_S, server.kill)
            stopping.start()
            assert server.stdout is not None and server.stdin is not None
            assert any(bolt_server.READY in line for line in server.stdout), log.read_text()
            stopping.cancel()
            # what it says from now on must not fill the pipe
            threading.Thread(target=server.stdout.read, daemon=True).start()
            patch.setenv("RISKML_GRAPH_USER", bolt_server.USER)
            patch.setenv("RISKML_GRAPH_DATABASE", bolt_server.DATABASE)
            patch.setenv("RISKML_GRAPH_PASSWORD", bolt_server.PASSWORD)
            yield f"bolt://127.0.0.1:{bolt}"
            server.stdin.close()
            server.wait(60)
        finally:
            server.kill()
            server.wait()


def opened(url: str) -> BoltGraph:
    about = {name: os.environ.get(f"RISKML_GRAPH_{name.upper()}") for name in ("user", "database")}
    store = open_graph(url, writes=True, user=about["user"] or "neo4j", database=about["database"])
    assert isinstance(store, BoltGraph)
    return store


@pytest.fixture()
def store(url: str) -> Iterator[BoltGraph]:
    """An empty graph."""
    with opened(url) as store:
        with store._session() as session:
            session.run("MATCH (n) DETACH DELETE n").consume()
        store.prepare()
        yield store


def test_content_is_that_of_the_log_and_of_the_file(store: BoltGraph, tmp_path: Path) -> None:
    done = load_graph(store, LOG.iter_slices(250), "role")
    assert (done.events, done.new) == (900, 900)
    there = content(store)
    with open_graph(str(embedded(tmp_path / "g", LOG))) as file:
        assert there == content(file)
    assert {name: len(rows) for name, rows in there.items()} == {
        name: len(rows) for name, rows in expected(LOG).items()
    }
    shuffled = LOG.sample(fraction=1, shuffle=True, seed=3)
    assert load_graph(store, shuffled.iter_slices(400), "role").new == 0
    assert content(store) == there


def test_every_question_is_answered_as_by_polars(store: BoltGraph) -> None:
    load_graph(store, [LOG], "role")
    for name, question in QUESTIONS.items():
        values = values_for(LOG, question.parameters)
        found, wanted = store.ask(question.cypher, values), answers(LOG, values)[name]
        assert [tuple(row) for row in found.rows] == wanted.rows(), name
        assert found.rows, name


@pytest.mark.parametrize("user", ["fin0", "eng5", "gue0"])
def test_neighbourhoods_are_those_of_the_file(store: BoltGraph, tmp_path: Path, user: str) -> None:
    load_graph(store, [LOG], "role")
    alert = alert_of(LOG, user, (12, 30))
    there = check_around(store, LOG, alert)
    with open_graph(str(embedded(tmp_path / "g", LOG))) as file:
        assert there == check_around(file, LOG, alert)


def test_set_up_makes_constraints_and_again_changes_nothing(store: BoltGraph) -> None:
    store.prepare()
    require_graph(store, "here")
    with store._session() as session:
        made = list(session.run("SHOW CONSTRAINTS"))
        with pytest.raises(neo4j.exceptions.ConstraintError):
            for _ in range(2):
                session.run("CREATE (u:User {user_id: 'twice'})").consume()
    wanted = sum("CREATE CONSTRAINT" in statement for statement in SET_UP)
    assert len(made) == wanted
    assert {label for row in made for label in row["labelsOrTypes"]} >= {"User", "Access"}


def test_a_batch_that_fails_leaves_nothing(store: BoltGraph) -> None:
    """Here for a further constraint, which the second access of an action breaks."""
    of_action = "FOR (a:Access) REQUIRE a.action IS UNIQUE"
    with store._session() as session:
        session.run(f"CREATE CONSTRAINT riskml_test IF NOT EXISTS {of_action}").consume()
        (name,) = (
            r["name"] for r in session.run("SHOW CONSTRAINTS") if "action" in r["properties"]
        )
    try:
        with pytest.raises(DataError, match="the graph refused the accesses"):
            load_graph(store, [LOG[:100]], "role")
        assert not any(content(store).values())
    finally:
        with store._session() as session:
            session.run(f"DROP CONSTRAINT {name}").consume()
    assert load_graph(store, [LOG[:100]], "role").new == 100


def graph(*words: object) -> Result:
    return CliRunner().invoke(main, ["graph", *map(str, words)])


def test_the_commands(store: BoltGraph, url: str, tmp_path: Path) -> None:
    score_old_log(tmp_path / "scores")
    members = ("--members", tmp_path / "scores/scores/**/*.parquet", "--peers", "peer")
    told: dict[str, list[object]] = {}
    for where in (url, tmp_path / "g"):
        assert graph("init", "--store", where).exit_code == 0
        done = graph("load", "--store", where, "--source", SCORED, *members, "--json")
        assert json.loads(done.stdout)["new"] == 448, done.stderr
        alert = alert_ids(tmp_path / "scores")[-1]
        about = ("--alerts", tmp_path / "scores", "--json")
        explained = graph("explain", alert, "--store", where, *about)
        answered = graph("ask", "users-of", "--store", where, "--param", "resource=r")
        told[str(where)] = [json.loads(explained.stdout), answered.stdout]
    assert told[url] == told[str(tmp_path / "g")]


def test_what_is_wrong_is_said_in_a_line(
    store: BoltGraph, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def said(*words: str) -> str:
        result = graph("ask", "--store", url, *words)
        assert result.exit_code == 2 and result.stderr.count("\n") == 1, result.output
        return result.stderr

    assert "does not understand: " in said("--cypher", "MATCH (u:User RETURN u")
    assert "this one says CREATE" in said("--cypher", "CREATE (u:User {user_id: 'x'})")
    assert "nowhere" in said("used-by-one", "--param", "most=1", "--database", "nowhere")
    with store._session() as session:
        session.run("MATCH (n) DETACH DELETE n").consume()
    assert "there is no graph in bolt" in said("used-by-one", "--param", "most=1")
    monkeypatch.setenv("RISKML_GRAPH_PASSWORD", "wrong-one")
    refused = said("used-by-one", "--param", "most=1")
    assert "refuses user" in refused and "RISKML_GRAPH_PASSWORD" in refused
    assert "wrong-one" not in refused
