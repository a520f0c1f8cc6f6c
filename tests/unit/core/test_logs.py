"""Logs: ECS in JSON, ids, levels by module, and nothing in them that nobody may read."""

from __future__ import annotations

import json
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import Any

import pytest

from riskml.core import logs
from riskml.core.errors import ConfigError
from riskml.core.redaction import hide_always, shown
from riskml.core.secrets import Secrets

CANARY = "canary-8f3a9c"


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Set-up is of the whole process: afterwards all is as it was."""
    root, hook = logging.getLogger(), sys.excepthook
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:], sys.excepthook = handlers, hook
    root.setLevel(level)
    logging.captureWarnings(False)
    hide_always(False)
    for name in ("riskml.streaming", "riskml.streaming.kafka"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def records(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    told = capsys.readouterr()
    assert told.out == ""
    return [json.loads(line) for line in told.err.splitlines()]


def test_json_has_the_fields_of_ecs(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("json", command="score")
    logging.getLogger("riskml.data.quality").warning("%d rows are odd", 3)
    [found] = records(capsys)
    assert found["message"] == "3 rows are odd"
    assert found["log.level"] == "warning" and found["log"]["logger"] == "riskml.data.quality"
    assert found["@timestamp"].endswith("Z") and found["ecs.version"]
    assert found["service"]["name"] == "riskml"
    assert found["labels"]["command"] == "score" and len(found["labels"]["run_id"]) == 32


def test_a_run_keeps_its_id_and_another_has_another(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        logs.set_up("json")
        logging.getLogger("riskml").error("once")
        logging.getLogger("riskml").error("twice")
    first, second, third, _ = (found["labels"]["run_id"] for found in records(capsys))
    assert first == second != third


def test_ids_are_those_of_where_it_was_logged(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    parent = f"00-{'a' * 32}-{'b' * 16}-01"
    monkeypatch.setenv("TRACEPARENT", parent)
    logs.set_up("json")
    logger = logging.getLogger("riskml")
    thread = threading.Thread(target=logger.error, args=("of the process",))
    with logs.ids(http__request__id="r1", **logs.trace_ids(parent.replace("a", "c"))):
        logger.error("of the request")
        thread.start()
        thread.join()
    request, process = records(capsys)
    assert (request["http"]["request"]["id"], request["trace"]["id"]) == ("r1", "c" * 32)
    assert "http" not in process and process["trace"]["id"] == "a" * 32


def test_each_module_has_its_level(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("json", "error,riskml.streaming=debug")
    for name in ("riskml.streaming.kafka", "riskml.serving"):
        logging.getLogger(name).info("heard?")
    assert [found["log"]["logger"] for found in records(capsys)] == ["riskml.streaming.kafka"]


@pytest.mark.parametrize(
    ("form", "levels", "words"),
    [
        ("jsn", None, "did you mean 'json'?"),
        (None, "loud", "RISKML_LOG_LEVEL=loud: Valid"),
        (None, "info,riskml=wrning", "did you mean 'warning'?"),
    ],
)
def test_what_is_not_known_is_refused(form: str | None, levels: str | None, words: str) -> None:
    with pytest.raises(ConfigError, match=words.replace("?", r"\?")):
        logs.set_up(form, levels)


def test_people_get_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("console")
    logging.getLogger("riskml").warning("postgresql://risk:%s@host/db is away", CANARY)
    logs.tell("3 alerts")
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith("WARNING postgresql://risk:***@host/db is away")
    assert second == "3 alerts"


def test_errors_come_with_their_trace(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("json")
    try:
        raise ValueError(f"token={CANARY}")
    except ValueError as error:
        sys.excepthook(ValueError, error, error.__traceback__)
    warnings.warn(f"password={CANARY}", stacklevel=1)
    failure, warning = records(capsys)
    assert failure["log.level"] == "critical"
    assert (
        failure["error"]["type"] == "ValueError" and "test_logs" in failure["error"]["stack_trace"]
    )
    assert warning["log"]["logger"] == "py.warnings"
    assert CANARY not in json.dumps([failure, warning])


SPOILT = [
    f"postgresql+psycopg://risk:{CANARY}@host:5432/db",
    f"redis://:{CANARY}@host",
    f"https://kim:a/{CANARY}@host/x",
    f"Authorization: Bearer {CANARY}",
    f"Basic {CANARY}",
    f"password={CANARY}&x=1",
    f"'sasl.password': '{CANARY}'",
    f'{{"api_key": "{CANARY}"}}',
    f"PGPASSWORD={CANARY}",
    f"secret: {CANARY}",
    f"https://hooks.slack.com/services/T0/B0/{CANARY}",
    f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----",
    f"{CANARY}@example.com",
]


@pytest.mark.parametrize("text", SPOILT)
def test_secrets_and_people_are_left_out(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("json")
    logger = logging.getLogger("riskml")
    logger.error("it says %s", text)
    logger.error("beside", extra={"url.full": text, "deep": {"er": [text]}})
    logs.tell(text, logging.ERROR)
    assert CANARY not in json.dumps(records(capsys))


def test_values_of_the_environment_are_known(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RISKML_SERVE_TOKEN", f"{CANARY}-1,{CANARY}-2")
    monkeypatch.setenv("RISKML_PSEUDONYM_KEY", "k" * 16)
    logs.set_up("json")
    logging.getLogger("riskml").error(f"no name tells what {CANARY}-2 and {'k' * 16} are")
    [found] = records(capsys)
    assert found["message"] == "no name tells what *** and *** are"


def test_values_of_the_log_are_left_out_in_all_threads(
    capsys: pytest.CaptureFixture[str],
) -> None:
    logs.set_up("json")
    logger = logging.getLogger("riskml.data")
    log = lambda: logger.warning("the user %s is odd", shown(CANARY))  # noqa: E731
    thread = threading.Thread(target=log)
    log()
    thread.start()
    thread.join()
    messages = {found["message"] for found in records(capsys)}
    assert messages == {"the user (not shown in logs) is odd"}


def test_what_is_no_secret_stays() -> None:
    for text in (
        "kafka://broker:9092/logins: partition 3 from offset 120",
        "2 tokens in the file; the secretary reads keys of keyboards",
        "/srv/riskml/bundle at http://127.0.0.1:8080/docs",
    ):
        assert Secrets().removed(text, personal=True) == text
