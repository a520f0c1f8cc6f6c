"""`riskml config check` asks real places: PostgreSQL and its rights, Kafka, Redis, mail, HTTP."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import polars as pl
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink
from broker import running_broker
from click.testing import CliRunner
from sqlalchemy import create_engine, make_url, text

from riskml.alerting.alert_log import AlertLog
from riskml.cli import main
from riskml.data.event_store import EventStore
from riskml.serving.score_tables import METADATA

pytestmark = pytest.mark.slow

BUNDLE = str(Path(__file__).parents[1] / "data" / "bundles" / "format_3" / "bundle")


def found(*words: str) -> dict[str, tuple[str, str]]:
    """Level and text of each setting."""
    result = CliRunner().invoke(main, ["config", "check", "--json", *words])
    told = json.loads(result.stdout)
    assert "hidden-word" not in result.output
    return {each["setting"]: (each["level"], each["told"]) for each in told["findings"]}


def test_rights_of_a_role(new_database: Callable[[], str]) -> None:
    owner = new_database()
    engine = create_engine(owner, isolation_level="AUTOCOMMIT")
    role = make_url(owner).set(username="clerk", password="hidden-word")
    url = role.render_as_string(hide_password=False)

    def run(statement: str) -> None:
        with engine.connect() as connection:
            connection.execute(text(statement))

    run("CREATE ROLE clerk LOGIN PASSWORD 'hidden-word'")
    run("REVOKE CREATE ON SCHEMA public FROM public")
    name = "--out (RISKML_SCORE_OUT)"
    level, told = found("score", "--out", url)[name]
    assert level == "error" and "role clerk may not CREATE tables" in told
    METADATA.create_all(engine)
    level, told = found("score", "--out", url)[name]
    assert level == "error" and "role clerk may not SELECT in riskml_" in told
    run("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO clerk")
    assert found("score", "--out", url)[name] == ("ok", "postgresql answers, 5 of 5 tables there")
    run("REVOKE DELETE ON riskml_scores FROM clerk")
    assert "may not DELETE in riskml_scores" in found("score", "--out", url)[name][1]

    log = "--log (RISKML_ALERTS_URL)"
    assert "riskml alerts init makes it" in found("alerts", "--log", url)[log][1]
    AlertLog(owner).migrate()
    assert found("alerts", "--log", owner)[log][0] == "ok"
    assert found("alerts", "--log", url)[log][0] == "error"  # made after the rights were given

    level, told = found("score", "--source", url)["--source (RISKML_SCORE_SOURCE)"]
    assert level == "error" and "no table 'events'" in told
    EventStore(owner).append(pl.read_parquet(Path(BUNDLE).with_name("events.parquet")))
    level, told = found("score", "--source", url)["--source (RISKML_SCORE_SOURCE)"]
    assert level == "error" and "permission denied" in told
    run("GRANT SELECT ON events TO clerk")
    assert found("score", "--source", url)["--source (RISKML_SCORE_SOURCE)"][0] == "ok"
    run("ALTER ROLE clerk NOLOGIN")
    assert found("score", "--out", url)[name][0] == "error"
    run("DROP OWNED BY clerk")
    run("DROP ROLE clerk")


def test_a_broker_and_redis(tmp_path: Path, redis_url: str) -> None:
    with running_broker(tmp_path / "broker") as broker:
        broker.topic("logins", partitions=3)
        words = ("stream", "--bundle", BUNDLE, "--state", redis_url)
        words += ("--source", broker.url("logins"), "--sink", broker.url("risk"))
        told = found(*words)
    assert told["--source"][0] == "ok" and "logins has 3 partitions" in told["--source"][1]
    level, text_of = told["--sink (RISKML_STREAM_SINK)"]
    assert level == "error" and "no topic risk" in text_of
    assert told["--state (RISKML_STREAM_STATE)"] == ("ok", "Redis answers")


def test_channels_are_there_and_are_told_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    class Server(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            asked.append(f"HEAD {self.path}")
            self.send_response(503 if self.path == "/broken" else 405)
            self.end_headers()

        def do_POST(self) -> None:
            asked.append("POST")

        def log_message(self, *_: object) -> None:
            pass

    url = f"sqlite:///{tmp_path}/alerts.db"
    AlertLog(url).migrate()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    mails = Controller(Sink(), hostname="127.0.0.1", port=port)
    mails.start()
    try:
        with HTTPServer(("127.0.0.1", 0), Server) as server:
            Thread(target=server.serve_forever, daemon=True).start()
            base = f"http://127.0.0.1:{server.server_port}"
            monkeypatch.setenv("RISKML_SLACK_URL", f"{base}/hook")
            file = tmp_path / "channels.yaml"
            mail = "sender: r@a.example, to: [k@a.example], tls: none"
            file.write_text(
                "channels:\n"
                "  desk: {kind: slack}\n"
                f"  siem: {{kind: webhook, url: '{base}/broken'}}\n"
                f"  manager: {{kind: alertmanager, url: '{base}'}}\n"
                f"  audit: {{kind: email, host: 127.0.0.1, port: {port}, {mail}}}\n"
            )
            words = ("alerts", "--log", url, "--channels", str(file), "--metrics", base)
            told = found(*words)
            server.shutdown()
    finally:
        mails.stop()
    channels = {name.split(".")[-1]: told[name][0] for name in told if " channels." in name}
    assert channels == {"desk": "ok", "siem": "error", "manager": "ok", "audit": "ok"}
    assert told["--metrics (RISKML_METRICS)"][0] == "ok"
    assert sorted(asked) == ["HEAD /-/healthy"] * 2 + ["HEAD /broken", "HEAD /hook"]
