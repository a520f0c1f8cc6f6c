"""The graph in a file: what is in it, whatever is loaded how often and in which order."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from worlds import content, embedded, events, expected

from riskml.core.errors import ConfigError, DataError
from riskml.graph.embedded import EmbeddedGraph
from riskml.graph.loading import Loaded, load_graph
from riskml.graph.model import MARK, members_of
from riskml.graph.store import check_question, open_graph, require_graph

LOG = events()


def plain(found: dict[str, list[tuple[object, ...]]]) -> dict[str, list[str]]:
    return {name: sorted(map(repr, rows)) for name, rows in found.items()}


def test_graph_holds_what_the_log_says(tmp_path: Path) -> None:
    with open_graph(str(embedded(tmp_path / "g", LOG))) as store:
        found, wanted = content(store), expected(LOG)
    for name in wanted:
        assert len(found[name]) == len(wanted[name]), name
        assert {tuple(map(str, row)) for row in found[name]} == {
            tuple(map(str, row)) for row in wanted[name]
        }, name


@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.randoms(use_true_random=False))
def test_any_batches_in_any_order_any_number_of_times_make_one_graph(
    tmp_path_factory: pytest.TempPathFactory, draw: object
) -> None:
    folder = tmp_path_factory.mktemp("graphs")
    log = events(200)
    with open_graph(str(embedded(folder / "once", log))) as store:
        once = plain(content(store))
    cuts = sorted(draw.sample(range(1, 200), 4))  # type: ignore[attr-defined]
    parts = [log[a:b] for a, b in zip([0, *cuts], [*cuts, 200], strict=True)]
    parts += draw.sample(parts, 3)  # type: ignore[attr-defined]
    draw.shuffle(parts)  # type: ignore[attr-defined]
    with open_graph(str(folder / "parts"), writes=True) as store:
        store.prepare()
        done = load_graph(store, parts, "role")
        assert done.new == 200 and done.events == sum(map(len, parts))
        assert plain(content(store)) == once


def test_a_second_load_is_nothing_new_and_progress_is_told(tmp_path: Path) -> None:
    told: list[Loaded] = []
    with EmbeddedGraph(embedded(tmp_path / "g", LOG), writes=True) as store:
        store.prepare()
        before = plain(content(store))
        done = load_graph(store, LOG.iter_slices(300), "role", told.append)
        assert plain(content(store)) == before
    assert (done.events, done.new) == (900, 0)
    assert [each.events for each in told] == [300, 600, 900]


def test_an_id_that_stands_twice_in_a_batch_is_one_access(tmp_path: Path) -> None:
    doubled = pl.concat([LOG[:50], LOG[:50].reverse()])
    with open_graph(str(embedded(tmp_path / "g", doubled))) as store:
        assert store.ask("MATCH (a:Access) RETURN count(a)").rows == [[50]]


def test_groups_of_a_table_come_later_too_and_a_user_may_be_in_two(tmp_path: Path) -> None:
    path = embedded(tmp_path / "g", LOG, peers=None)
    table = pl.DataFrame(
        {"user_id": ["fin0", "fin0", "fin1", "nobody", "fin2"], "team": ["a", "b", "a", "a", ""]}
    )
    with EmbeddedGraph(path, writes=True) as store:
        assert store.ask("MATCH (g:PeerGroup) RETURN g.name").rows == []
        load_graph(store, [LOG], members_of(table, "team"))
        found = store.ask(
            "MATCH (u:User)-[:MEMBER_OF]->(g:PeerGroup) RETURN u.user_id AS user, g.name AS team "
            "ORDER BY user, team"
        )
    assert found.rows == [["fin0", "a"], ["fin0", "b"], ["fin1", "a"]]


def test_a_batch_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with EmbeddedGraph(embedded(tmp_path / "g", LOG[:100]), writes=True) as store:
        before = plain(content(store))
        store._connection.execute("DROP TABLE CAME_FROM")
        with pytest.raises(DataError, match="the graph refused the accesses"):
            load_graph(store, [LOG[100:200]], "role")
        store.prepare()
        after = plain(content(store))
    assert after["came"] == []
    assert {k: v for k, v in after.items() if k != "came"} == {
        k: v for k, v in before.items() if k != "came"
    }


def test_no_column_of_groups(tmp_path: Path) -> None:
    with (
        EmbeddedGraph(embedded(tmp_path / "g", LOG), writes=True) as store,
        pytest.raises(DataError, match=r"no column 'rol' .*did you mean 'role'"),
    ):
        load_graph(store, [LOG], "rol")


@pytest.mark.parametrize(
    "cypher",
    [
        "CREATE (u:User {user_id: 'x'})",
        "MATCH (u:User) SET u.user_id = 'x'",
        "MATCH (u:User) detach delete u",
        "MATCH (u:User) REMOVE u.user_id",
        "COPY (MATCH (u:User) RETURN u.user_id) TO '/tmp/out.csv'",
        "LOAD FROM '/etc/passwd' RETURN *",
        "CALL db.labels()",
        "MATCH (u) RETURN u /* */ ; DROP TABLE User",
        "MATCH (u) RETURN u; MATCH (u) RETURN u",
        "MATCH (n) RETURN 'a' UNION MERGE (n:User {user_id: 'y'}) RETURN 'b'",
    ],
)
def test_a_question_that_does_more_than_read_is_refused(tmp_path: Path, cypher: str) -> None:
    with (
        open_graph(str(embedded(tmp_path / "g", LOG[:5]))) as store,
        pytest.raises(ConfigError, match=r"only reads|one question at a time"),
    ):
        store.ask(cypher)


def test_words_in_names_and_texts_write_nothing() -> None:
    check_question("MATCH (a:Access) WHERE a.action = 'copy' RETURN a.set AS `delete`;", {})
    check_question('MATCH (n) // drop it\nRETURN n.x = "it\'s \\" set" /* merge */', {})


def test_a_question_says_which_parameter_is_missing() -> None:
    with pytest.raises(ConfigError, match=r"value for \$user: --param user="):
        check_question("MATCH (u:User {user_id: $user}) RETURN u", {})
    check_question("RETURN '$user'", {})


def test_nodes_and_lists_of_an_answer_are_plain(tmp_path: Path) -> None:
    with open_graph(str(embedded(tmp_path / "g", LOG[:5]))) as store:
        (row,) = store.ask("MATCH (a:Access {event_id: $id}) RETURN a, [1, 2] AS l",
                           {"id": LOG["event_id"][0]}).dicts()  # fmt: skip
    assert row["a"]["at"] == LOG["timestamp"][0] and row["l"] == [1, 2]
    assert not any(key.startswith("_") for key in row["a"])


def test_what_is_no_graph_is_said_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no graph in .*none: riskml graph init"):
        open_graph(str(tmp_path / "none"))
    with pytest.raises(DataError, match="is a folder"):
        open_graph(str(tmp_path))
    other = tmp_path / "other"
    other.write_text("user,action\n" * 400)
    with pytest.raises(DataError, match="cannot be opened as a graph"):
        open_graph(str(other))
    assert other.read_text().startswith("user,action"), "nothing of it may be overwritten"
    with (
        open_graph(str(tmp_path / "bare"), writes=True) as bare,
        pytest.raises(DataError, match="riskml graph init"),
    ):
        require_graph(bare, "bare")


def test_a_graph_of_a_later_format_is_refused(tmp_path: Path) -> None:
    path = embedded(tmp_path / "g", LOG[:5])
    with EmbeddedGraph(path, writes=True) as store:
        store._connection.execute(f"MATCH (m:{MARK}) SET m.format = 9")
        with pytest.raises(DataError, match="has format 9; this riskml has 1"):
            require_graph(store, "g")


def test_one_writes_or_several_read(tmp_path: Path) -> None:
    path = embedded(tmp_path / "g", LOG[:5])
    look = (
        "import sys; from riskml.graph.store import open_graph; "
        "open_graph(sys.argv[1], writes=sys.argv[2] == 'w').close()"
    )

    def other(how: str) -> str:
        done = subprocess.run([sys.executable, "-c", look, path, how], capture_output=True,
                              text=True, check=False)  # fmt: skip
        return done.stderr

    with open_graph(str(path), writes=True):
        assert "another process writes to" in other("r")
        assert "another process uses" in other("w")
    with open_graph(str(path)):
        assert other("r") == ""
        assert "another process uses" in other("w")


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("http://host", "unknown scheme; give a file, or one of bolt://"),
        ("bolt://kim:secret@host", "has a user in it"),
        ("bolt://host:7687", "needs a password: set RISKML_GRAPH_PASSWORD"),
    ],
)
def test_urls_are_looked_at(where: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RISKML_GRAPH_PASSWORD", raising=False)
    with pytest.raises(ConfigError, match=message) as raised:
        open_graph(where)
    assert "secret" not in str(raised.value)


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RISKML_GRAPH_PASSWORD", "p")
    with pytest.raises(DataError, match="bolt://localhost:9 does not answer"):
        open_graph("bolt://localhost:9")
