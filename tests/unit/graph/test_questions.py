"""The questions of docs/graph.md, as they stand there, against plain polars."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest
from worlds import START, answers, embedded, events, values_for

from riskml.graph.questions import NUMBER, QUESTIONS, TEXT, TIME
from riskml.graph.store import GraphStore, open_graph

ROOT = Path(__file__).parents[3]
DOCS = (ROOT / "docs" / "graph.md").read_text()
HEADING = re.compile(
    r"^### (?P<number>\d+)\. (?P<asks>.+)\n\n`(?P<name>[\w-]+)`: (?P<needs>.+)\n\n"
    r"```cypher\n(?P<cypher>[^`]+)\n```$",
    re.MULTILINE,
)
IN_DOCS = [match.groupdict() for match in HEADING.finditer(DOCS)]
LOG = events()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> GraphStore:
    with open_graph(str(embedded(tmp_path_factory.mktemp("graph") / "g", LOG))) as opened:
        yield opened


def test_docs_have_the_ten_questions_as_the_command_has_them() -> None:
    assert [int(each["number"]) for each in IN_DOCS] == list(range(1, 11))
    assert [each["name"] for each in IN_DOCS] == list(QUESTIONS)
    for each in IN_DOCS:
        question = QUESTIONS[each["name"]]
        assert (each["asks"], each["cypher"]) == (question.asks, question.cypher)
        needs = dict(re.findall(r"`\$(\w+)` \((\w+)\)", each["needs"]))
        assert needs == dict(question.parameters)
        assert set(re.findall(r"\$(\w+)", each["cypher"])) == set(needs)
        assert set(needs.values()) <= {TEXT, TIME, NUMBER}


@pytest.mark.parametrize("name", [each["name"] for each in IN_DOCS])
def test_answer_is_that_of_polars(store: GraphStore, name: str) -> None:
    (each,) = (each for each in IN_DOCS if each["name"] == name)
    values = values_for(LOG, QUESTIONS[name].parameters)
    found = store.ask(each["cypher"], values)
    wanted = answers(LOG, values)[name]
    assert list(found.columns) == wanted.columns
    assert [tuple(row) for row in found.rows] == wanted.rows()
    assert len(wanted), "a question whose answer is empty tells nothing"


def test_world_has_names_that_are_shared_and_names_that_are_not() -> None:
    users = LOG.drop_nulls("resource").group_by("resource").agg(pl.col("user_id").n_unique())
    assert users["user_id"].min() == 1 and users["user_id"].max() > 5
    assert LOG["timestamp"].min() >= START
