"""`riskml dashboards publish` against a server that answers as Grafana's HTTP API says."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from click.testing import CliRunner, Result

from riskml.cli import main
from riskml.monitoring.dashboards import dashboards
from riskml.monitoring.grafana import TOKEN_VARIABLE

TOKEN = "glsa-a-token"
PLACE = "http://prometheus:9090"


class FakeGrafana(HTTPServer):
    """Keeps what it is given, with the numbers and versions that Grafana gives; has its rules.

    After "Folder", "Data source" and "Dashboard" in the documentation of its HTTP API.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folders: dict[str, dict[str, Any]] = {}
        self.sources: dict[str, dict[str, Any]] = {}
        self.boards: dict[str, dict[str, Any]] = {}
        self.changes: list[str] = []

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        kind, _, rest = path.removeprefix("/api/").partition("/")
        uid = rest.rpartition("/")[2]
        if method != "GET":
            self.changes.append(f"{method} {path}")
        return {
            ("GET", "folders"): lambda: self.found(self.folders, uid),
            ("POST", "folders"): lambda: self.made(self.folders, body),
            ("PUT", "folders"): lambda: self.renamed(uid, body),
            ("GET", "datasources"): lambda: self.found(self.sources, uid),
            ("POST", "datasources"): lambda: self.made(self.sources, body),
            ("PUT", "datasources"): lambda: self.pointed(uid, body),
            ("GET", "dashboards"): lambda: self.found(self.boards, uid),
            ("POST", "dashboards"): lambda: self.stored(body),
        }[method, kind]()

    @staticmethod
    def found(there: dict[str, Any], uid: str) -> tuple[int, Any]:
        return (200, there[uid]) if uid in there else (404, {"message": "not found"})

    @staticmethod
    def made(there: dict[str, Any], body: Any) -> tuple[int, Any]:
        if body["uid"] in there:
            return 409, {"message": "a thing with that uid already exists"}
        there[body["uid"]] = {**body, "id": len(there) + 1, "version": 1, "readOnly": False}
        return 200, there[body["uid"]]

    def renamed(self, uid: str, body: Any) -> tuple[int, Any]:
        if body.get("version") != self.folders[uid]["version"] and not body.get("overwrite"):
            return 412, {"message": "the folder has been changed by someone else"}
        self.folders[uid] |= {"title": body["title"], "version": body["version"] + 1}
        return 200, self.folders[uid]

    def pointed(self, uid: str, body: Any) -> tuple[int, Any]:
        if body.get("version") not in (None, self.sources[uid]["version"]):
            return 409, {"message": "Datasource has already been updated by someone else"}
        self.sources[uid] = {**body, "version": self.sources[uid]["version"] + 1}
        return 200, {"datasource": self.sources[uid]}

    def stored(self, body: Any) -> tuple[int, Any]:
        board, folder = body["dashboard"], body["folderUid"]
        if folder not in self.folders:
            return 400, {"message": "folder not found"}
        if not board["title"] or board.get("id") is not None:
            return 400, {"message": "bad request"}
        before = self.boards.get(board["uid"])
        if before is not None and not body.get("overwrite"):
            return 412, {"message": "The dashboard has been changed by someone else"}
        version = 1 if before is None else before["dashboard"]["version"] + 1
        kept = {**board, "id": len(self.boards) + 1, "version": version}
        self.boards[board["uid"]] = {"dashboard": kept, "meta": {"folderUid": folder}}
        return 200, {"uid": board["uid"], "status": "success", "version": version}


class Handler(BaseHTTPRequestHandler):
    server: FakeGrafana

    def handle_one(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            status, answer = 401, {"message": "Invalid API key"}
        else:
            parsed = json.loads(body) if body else None
            status, answer = self.server.answer(self.command, self.path, parsed)
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = handle_one

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def grafana() -> Iterator[FakeGrafana]:
    with FakeGrafana() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def publish(grafana: FakeGrafana, *more: str, token: str = TOKEN) -> Result:
    url = f"http://127.0.0.1:{grafana.server_port}"
    words = ["dashboards", "publish", "--grafana", url, "--prometheus", PLACE, *more]
    return CliRunner().invoke(main, words, env={TOKEN_VARIABLE: token})


def test_it_makes_all_and_again_changes_nothing(grafana: FakeGrafana) -> None:
    done = publish(grafana)
    assert done.exit_code == 0, done.output
    assert done.output.count("created") == 2 + len(dashboards())
    assert set(grafana.boards) == set(dashboards())
    assert {board["meta"]["folderUid"] for board in grafana.boards.values()} == {"riskml"}
    changes = list(grafana.changes)
    again = publish(grafana)
    assert again.output.count("unchanged") == 2 + len(dashboards())
    assert grafana.changes == changes


def test_what_was_changed_is_put_right_and_what_is_others_stays(grafana: FakeGrafana) -> None:
    publish(grafana)
    grafana.boards["riskml-sla"]["dashboard"]["title"] = "mine"
    grafana.folders["riskml"]["title"] = "mine"
    grafana.sources["riskml-prometheus"] |= {"url": "http://other", "basicAuth": True}
    done = publish(grafana, "--folder", "Risk")
    assert done.exit_code == 0, done.output
    assert done.output.count("changed") - done.output.count("unchanged") == 3
    assert grafana.boards["riskml-sla"]["dashboard"]["title"] == "riskml: service levels"
    assert grafana.folders["riskml"]["title"] == "Risk"
    source = grafana.sources["riskml-prometheus"]
    assert (source["url"], source["basicAuth"]) == (PLACE, True)


def test_a_dashboard_in_another_folder_is_moved(grafana: FakeGrafana) -> None:
    publish(grafana)
    grafana.boards["riskml-sla"]["meta"]["folderUid"] = "attic"
    assert "riskml-sla: changed" in publish(grafana).output
    assert grafana.boards["riskml-sla"]["meta"]["folderUid"] == "riskml"


def test_a_wrong_token_is_one_line_without_it(grafana: FakeGrafana) -> None:
    done = publish(grafana, token="glsa-canary")
    assert done.exit_code == 2
    assert "refused GET folders/riskml: 401 Invalid API key" in done.output
    assert "canary" not in done.output and len(done.output.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("grafana", "give a URL such as"),
        ("http://kim:canary@127.0.0.1:9", "http://127.0.0.1:9 does not answer"),
    ],
)
def test_a_wrong_place_is_one_line(url: str, words: str) -> None:
    done = CliRunner().invoke(main, ["dashboards", "publish", "--grafana", url])
    assert done.exit_code == 2
    assert words in done.output and "canary" not in done.output


def test_without_a_token_it_does_not_ask(grafana: FakeGrafana) -> None:
    done = publish(grafana, token="")
    assert done.exit_code == 2 and f"set {TOKEN_VARIABLE}" in done.output
