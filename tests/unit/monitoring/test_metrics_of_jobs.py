"""`--metrics` of jobs that end: what a success leaves, what a failure adds, what is refused."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from prometheus_client.parser import text_string_to_metric_families

from riskml.cli import main

OLD = Path(__file__).parents[2] / "data" / "bundles" / "format_3"


def riskml(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def score(folder: Path, metrics: object, *more: object) -> Result:
    source = ("--source", OLD / "events.parquet", "--out", folder / "scores")
    until = ("--until", "2024-02-02", "--metrics", metrics)
    return riskml("score", "--bundle", OLD / "bundle", *source, *until, *more)


def samples(text: str) -> dict[tuple[str, ...], float]:
    """By name and values of labels."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_run_leaves_a_file(tmp_path: Path) -> None:
    file = tmp_path / "score.prom"
    done = score(tmp_path, file)
    assert done.exit_code == 0, done.output
    first = samples(file.read_text())
    assert first["riskml_run_events", "scored"] > 0
    assert first["riskml_run_windows_scored",] == first["riskml_score_count",]
    assert first["riskml_run_windows_scored",] > first["riskml_run_alerts",]
    assert first["riskml_alert_budget_per_day",] == 1
    assert first["riskml_last_success_timestamp_seconds", "score"] > 1.7e9
    assert score(tmp_path, file).exit_code == 0
    again = samples(file.read_text())  # nothing is new
    assert again["riskml_run_events", "scored"] == 0 == again["riskml_run_windows_scored",]


def test_a_failure_leaves_the_last_success(tmp_path: Path) -> None:
    file = tmp_path / "score.prom"
    assert score(tmp_path, file).exit_code == 0
    before = file.read_text()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "log.parquet").write_bytes(b"no parquet")
    done = score(tmp_path, file, "--source", tmp_path / "broken")
    assert done.exit_code == 2
    assert file.read_text() == before
    failed = samples((tmp_path / "score.failed.prom").read_text())
    assert [name[:3] for name in failed] == [
        ("riskml_run_failed_timestamp_seconds", "score", "DataError")
    ]


def test_a_dry_run_leaves_nothing(tmp_path: Path) -> None:
    assert score(tmp_path, tmp_path / "score.prom", "--dry-run").exit_code == 0
    assert not (tmp_path / "score.prom").exists()


def test_the_alert_log_is_counted(tmp_path: Path) -> None:
    log, file = f"sqlite:///{tmp_path}/alerts.db", tmp_path / "take.prom"
    score(tmp_path, tmp_path / "score.prom")
    assert riskml("alerts", "init", "--log", log).exit_code == 0
    words = ("--from", tmp_path / "scores", "--log", log, "--metrics", file)
    done = riskml("alerts", "take", *words)
    assert done.exit_code == 0, done.output
    found = samples(file.read_text())
    alerts = sum(n for name, n in found.items() if name[0] == "riskml_logged_alerts")
    windows = sum(n for name, n in found.items() if name[0] == "riskml_logged_windows")
    assert 0 < alerts <= windows

    (tmp_path / "channels.yaml").write_text(
        "channels: {siem: {kind: webhook, url: 'http://127.0.0.1:9/in'}}"
    )
    told = tmp_path / "deliver.prom"
    words = ("--channels", tmp_path / "channels.yaml", "--log", log, "--metrics", told)
    done = riskml("alerts", "deliver", *words)
    assert done.exit_code == 4, done.output
    found = samples(told.read_text())
    assert found["riskml_outbox_waiting", "siem"] > 0
    assert found["riskml_outbox_failures", "siem"] == 1
    assert found["riskml_outbox_oldest_timestamp_seconds",] > 1.7e9


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("metrics.txt", "give a Pushgateway's http://… or a file *.prom"),
        ("ftp://host/metrics.prom", "give a Pushgateway's http://… or a file *.prom"),
        ("not/there/metrics.prom", "there is no folder not/there"),
    ],
)
def test_a_place_that_is_none_is_refused(tmp_path: Path, where: str, words: str) -> None:
    done = score(tmp_path, where)
    assert done.exit_code == 2
    assert words in done.output and len(done.output.strip().splitlines()) == 1
    assert not (tmp_path / "scores").exists()


@pytest.fixture
def locked() -> Iterator[tuple[str, list[str | None]]]:
    """A gateway that wants a password, and what it was given."""
    given: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            given.append(self.headers["Authorization"])
            self.send_response(200 if given[-1] else 401)
            self.end_headers()

        def log_message(self, *words: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}", given
        server.shutdown()


def test_a_password_goes_into_the_header(
    tmp_path: Path, locked: tuple[str, list[str | None]]
) -> None:
    address, given = locked
    assert score(tmp_path, f"http://kim:se%2Fcret@{address}").exit_code == 0
    assert given == ["Basic a2ltOnNlL2NyZXQ="]


def test_a_gateway_that_refuses_is_a_warning(
    tmp_path: Path, locked: tuple[str, list[str | None]], caplog: pytest.LogCaptureFixture
) -> None:
    address, _ = locked
    assert score(tmp_path, f"http://{address}").exit_code == 0
    assert "the metrics could not be put" in caplog.text
    assert (tmp_path / "scores").exists()
