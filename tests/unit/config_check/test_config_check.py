"""`riskml config check`: each role's settings, one finding a line, and no secret in any."""

from __future__ import annotations

import json
import os
import shutil
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from riskml.alerting.alert_log import AlertLog
from riskml.cli import main
from riskml.cli_config import COMMANDS
from riskml.config_check import surroundings
from riskml.config_check.roles import ROLES
from riskml.core.secret_files import secrets_from_files
from riskml.data.database import open_engine
from riskml.serving.score_tables import METADATA
from riskml.streaming.kafka import KafkaTopic

ROOT = Path(__file__).parents[3]
MADE = ROOT / "tests" / "data" / "bundles" / "format_3"
BUNDLE, EVENTS = str(MADE / "bundle"), str(MADE / "events.parquet")


def riskml(*words: str) -> Result:
    return CliRunner().invoke(main, ["config", "check", *words])


def found(*words: str) -> dict[str, tuple[str, str]]:
    """Level and text of each setting; of several findings the last."""
    result = riskml("--json", *words)
    told = json.loads(result.stdout)
    assert result.exit_code == (1 if told["errors"] else 0)
    return {each["setting"]: (each["level"], each["told"]) for each in told["findings"]}


@pytest.fixture
def log(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/alerts.db"
    AlertLog(url).migrate()
    return url


def test_every_role_has_options_and_checks() -> None:
    assert set(COMMANDS) == set(ROLES)


def test_a_scoring_job_that_would_start(tmp_path: Path) -> None:
    out = tmp_path / "scores"
    words = ("score", "--bundle", BUNDLE, "--source", EVENTS, "--out", str(out))
    result = riskml(*words)
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["ok", "--bundle:"],
        ["ok", "--source"],
        ["ok", "--out"],
    ]
    assert "will be made" in lines[2] and not out.exists()
    assert result.stderr == "score: 0 errors, 0 warnings\n"


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    broken = tmp_path / "bundle"
    shutil.copytree(BUNDLE, broken)
    with (broken / "model_card.md").open("a") as opened:
        opened.write("x")
    (tmp_path / "file").write_text("")
    result = riskml(
        "score", "--bundle", str(broken), "--source", "no.parquet", "--out", str(tmp_path / "file")
    )
    assert result.exit_code == 1
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["error"] * 3
    assert "model_card.md" in result.stdout and "→ give the folder" in result.stdout
    assert "no.parquet does not exist" in result.stdout


def test_what_is_not_set_is_told_with_its_variable() -> None:
    told = found("score")
    assert told["--source (RISKML_SCORE_SOURCE)"] == ("error", "is not set")
    assert told["--out (RISKML_SCORE_OUT)"] == ("error", "is not set")


def test_a_column_that_the_log_lacks_is_told_as_an_option() -> None:
    told = found("score", "--source", EVENTS, "--column", "user_id=employee")
    level, text = told["--source (RISKML_SCORE_SOURCE)"]
    assert level == "error" and "(--column user_id=employee)" in text


def test_no_password_is_shown_and_offline_nobody_is_asked() -> None:
    url = "postgresql+psycopg://risk:very-secret-word@192.0.2.1/risk"
    result = riskml("--offline", "score", "--bundle", BUNDLE, "--source", url, "--out", url)
    assert result.exit_code == 0, result.output
    assert "secret-word" not in result.output and result.stdout.count("not asked") == 2
    again = riskml("score", "--out", "postgresql+psycopg://risk:very-secret-word@127.0.0.1:1/risk")
    assert again.exit_code == 1 and "secret-word" not in again.output


def test_settings_come_from_files_of_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: str
) -> None:
    secret = tmp_path / "url"
    secret.write_text(f"{log}\n")
    secret.chmod(0o600)
    monkeypatch.setenv("RISKML_ALERTS_URL_FILE", str(secret))
    told = found("alerts")
    assert told["RISKML_ALERTS_URL_FILE"] == ("ok", "its file holds 1 line")
    level, text = told["--log (RISKML_ALERTS_URL)"]
    assert level == "ok" and "6 of 6 tables there" in text
    secret.chmod(0o644)
    assert found("alerts")["RISKML_ALERTS_URL_FILE"][0] == "warning"
    monkeypatch.setenv("RISKML_ALERTS_URL_FILE", str(tmp_path / "gone"))
    told = found("alerts")
    assert told["RISKML_ALERTS_URL_FILE"][0] == "error"
    assert told["--log (RISKML_ALERTS_URL)"] == ("error", "is not set")


def test_commands_read_secrets_from_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: str
) -> None:
    (tmp_path / "url").write_text(log)
    monkeypatch.setenv("RISKML_ALERTS_URL_FILE", str(tmp_path / "url"))
    result = CliRunner().invoke(main, ["alerts", "verify"])
    assert result.exit_code == 0, result.output
    (tmp_path / "url").write_text("")
    result = CliRunner().invoke(main, ["alerts", "verify"])
    assert result.exit_code == 2
    assert result.stderr == "error: RISKML_ALERTS_URL_FILE: the file holds nothing\n"


def test_settings_of_kafka_come_from_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "password").write_text("of-kafka\n")
    monkeypatch.setenv("RISKML_KAFKA_SASL_PASSWORD_FILE", str(tmp_path / "password"))
    with secrets_from_files():
        settings = KafkaTopic.parse("kafka://broker.example/logins", "--source").settings
    assert settings["sasl.password"] == "of-kafka"
    assert "RISKML_KAFKA_SASL_PASSWORD" not in os.environ


def test_a_misspelt_variable_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RISKML_SCORE_SUORCE", "x")
    monkeypatch.setenv("RISKML_KAFKA_SASL_USERNAME", "x")
    told = found("score")
    level, text = told["RISKML_SCORE_SUORCE"]
    assert level == "warning" and "RISKML_SCORE_SOURCE" in text
    assert "RISKML_KAFKA_SASL_USERNAME" not in told


def test_a_package_that_is_missing_is_told_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "alembic":
            raise PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(surroundings, "version", version)
    assert found("alerts")["riskml[alerts]"] == (
        "error",
        "alembic not installed: pip install 'riskml[alerts]'",
    )
    assert found("report")["riskml[report]"][0] == "error"  # it builds on alerts


def test_channels_need_their_secrets(monkeypatch: pytest.MonkeyPatch, log: str) -> None:
    words = ("--offline", "alerts", "--log", log)
    words += ("--channels", str(ROOT / "conf/alerting/channels.yaml"))
    words += ("--rules", str(ROOT / "conf/alerting/rules.yaml"))
    told = found(*words)
    assert told["--rules"][0] == "ok" and told["--channels"][0] == "ok"
    assert told["--channels channels.desk"][0] == "error"
    assert told["--channels channels.siem"] == ("ok", "Webhook, not asked (--offline)")
    monkeypatch.setenv("RISKML_SLACK_URL", "https://slack.example/hook")
    assert found(*words)["--channels channels.desk"][0] == "ok"


def test_without_channels_nobody_is_told(log: str) -> None:
    """Which is no error for the page alone, but one for a report that is to be mailed."""
    assert found("alerts", "--log", log)["--channels"] == (
        "warning",
        "nobody is told, and riskml alerts deliver does not start",
    )
    words = ("report", "--log", log, "--email", "audit@a.example")
    assert found(*words)["--channels"] == ("error", "is not set")


def test_a_channel_that_does_not_answer(tmp_path: Path, log: str) -> None:
    file = tmp_path / "channels.yaml"
    file.write_text(
        "channels:\n"
        "  manager: {kind: alertmanager, url: 'http://127.0.0.1:1'}\n"
        "  mail: {kind: email, host: 127.0.0.1, port: 1, sender: r@a.example, to: [k@a.example]}\n"
    )
    told = found("alerts", "--log", log, "--channels", str(file))
    assert told["--channels channels.manager"][0] == "error"
    assert told["--channels channels.mail"] == ("error", "the mail server: ConnectionRefusedError")
    file.write_text("channels: {desk: {kind: slakc}}")
    level, text = found("alerts", "--channels", str(file))["--channels"]
    assert level == "error" and "did you mean 'slack'" in text


def test_the_page_needs_people_and_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: str
) -> None:
    assert found("alerts", "--log", log)["--tokens"][0] == "warning"
    people = tmp_path / "people.txt"
    people.write_text("kim admin nonsense\n")
    words = ("alerts", "--log", log, "--port", "0", "--tokens", str(people))
    assert found(*words)["--tokens"][0] == "error"
    people.write_text(f"kim admin {'a' * 64}\n")
    told = found(*words)
    assert told["--tokens"][0] == "ok" and told["RISKML_PSEUDONYM_KEY"][0] == "warning"
    monkeypatch.setenv("RISKML_PSEUDONYM_KEY", "short")
    level, text = found(*words)["RISKML_PSEUDONYM_KEY"]
    assert level == "error" and "short" not in text.replace("too short", "")


def test_a_service_needs_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("serve", "--bundle", BUNDLE, "--port", "0")
    assert found(*words)["RISKML_SERVE_TOKEN"][0] == "error"
    monkeypatch.setenv("RISKML_SERVE_TOKEN", "t" * 32)
    assert found(*words)["RISKML_SERVE_TOKEN"][0] == "ok"
    assert found(*words, "--host", "0.0.0.0")["--certfile"][0] == "warning"
    assert found(*words, "--insecure-local")["--insecure-local"][0] == "warning"


def test_a_stream_with_files(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text("")
    source = ("--source", f"file://{tmp_path}/log.jsonl")
    told = found("stream", "--bundle", BUNDLE, *source, "--state", str(tmp_path / "state"))
    assert told["--source"][0] == told["--state (RISKML_STREAM_STATE)"][0] == "ok"
    assert told["--dead-letters"][0] == "warning"
    told = found("stream", "--source", "ftp://x/y", "--state", "s3://x", "--format", "avro")
    assert told["--source"] == ("error", "give kafka://HOST:PORT/TOPIC or file://PATH")
    assert told["--state (RISKML_STREAM_STATE)"][0] == "error"
    assert told["--format"] == ("error", "avro needs --schema")
    offline = ("--source", "kafka://nowhere.example/logins", "--sink", "kafka://no.example/risk")
    told = found("--offline", "stream", *offline, "--state", "redis://nowhere.example/0")
    levels = {told[name][0] for name in told if name.startswith(("--source", "--sink", "--state"))}
    assert levels == {"ok"}


def test_drift_needs_a_reference() -> None:
    level, text = found("drift", "--bundle", BUNDLE, "--source", EVENTS)["--bundle"]
    assert level == "error" and "no drift.json" in text


def test_a_report_needs_a_log_and_a_folder(tmp_path: Path, log: str) -> None:
    words = ("report", "--out", str(tmp_path), "--html-only", "--log", log)
    assert found(*words)["--log (RISKML_ALERTS_URL)"][0] == "ok"
    told = found(*words, "--scores", str(tmp_path), "--drift", str(tmp_path / "no.json"))
    assert told["--scores (RISKML_ALERTS_FROM)"][0] == told["--drift"][0] == "error"
    store = tmp_path / "risk.db"
    METADATA.create_all(open_engine(f"sqlite:///{store}"))
    told = found(*words, "--scores", f"sqlite:///{store}")
    assert told["--scores (RISKML_ALERTS_FROM)"] == (
        "ok",
        f"{store} can be read, 2 of 2 tables there",
    )
    verdicts = (*words, "--feedback", f"sqlite:///{tmp_path}/typo.db")
    level, text = found(*verdicts)["--feedback (RISKML_FEEDBACK_URL)"]
    assert level == "error" and "there is no file" in text
    gone = found("report", "--log", f"sqlite:///{tmp_path}/none.db")
    assert "riskml alerts init makes it" in gone["--log (RISKML_ALERTS_URL)"][1]
    assert gone["--out"] == ("error", "is not set")


@pytest.mark.parametrize(
    ("words", "setting", "level", "text"),
    [
        (["data=csv", "path=nowhere.csv"], "data.source", "error", "nowhere.csv does not exist"),
        (["data=simulated"], "data.source", "ok", "made at the start"),
        (["modle=vae"], "train.py", "error", "did you mean 'model'"),
        (["model=vae", "--cfg", "nonsense"], "train.py", "error", "train.py --help"),
        (
            ["data=csv", f"path={__file__}", "pseudonyms@data.pseudonyms=keyed"],
            "RISKML_PSEUDONYM_KEY",
            "error",
            "is not set",
        ),
        (
            ["logger.tracking_uri=http://127.0.0.1:1"],
            "logger.tracking_uri",
            "error",
            "cannot be reached",
        ),
    ],
)
def test_training(
    words: list[str], setting: str, level: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RISKML_ROOT", str(ROOT))
    told = found("train", *words)
    assert told[setting][0] == level and text in told[setting][1], told[setting]


def test_training_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RISKML_ROOT", str(tmp_path))
    assert found("train")["RISKML_ROOT"][0] == "error"


def test_reports_are_mailed_by_a_channel_of_mails(tmp_path: Path, log: str) -> None:
    file = tmp_path / "channels.yaml"
    words = ("--offline", "report", "--out", str(tmp_path), "--html-only", "--log", log)
    words += ("--email", "audit@a.example", "--channels", str(file))
    file.write_text("channels: {desk: {kind: slack}}")
    assert found(*words)["--channels"] == ("error", "has no channel of kind email, which sends")
    mail = "kind: email, host: mail.example, sender: r@a.example, to: [k@a.example]"
    file.write_text(f"channels: {{desk: {{kind: slack}}, mail: {{{mail}}}}}")
    told = found(*words)
    assert told["--channels channels.mail"] == ("ok", "Email, not asked (--offline)")
    assert "--channels channels.desk" not in told, "a report needs no Slack"


def test_a_retraining_needs_a_champion(tmp_path: Path, log: str) -> None:
    words = ("retrain", "--log", log, "--out", str(tmp_path))
    assert found(*words)["MODEL"] == ("error", "is not set")
    (tmp_path / "policy.yaml").write_text("settle: soon")
    store, policy = f"sqlite:///{tmp_path}/mlflow.db", str(tmp_path / "policy.yaml")
    told = found(*words, "logins", "--store", store, "--policy", policy)
    assert "there is no file" in told["--store (MLFLOW_TRACKING_URI)"][1]
    assert not (tmp_path / "mlflow.db").exists()
    assert told["--policy"][0] == "error" and told["--log (RISKML_ALERTS_URL)"][0] == "ok"


def test_nothing_is_left_behind(tmp_path: Path) -> None:
    before = dict(os.environ)
    riskml("score", "--bundle", BUNDLE, "--source", EVENTS, "--out", str(tmp_path))
    assert dict(os.environ) == before and list(tmp_path.iterdir()) == []
