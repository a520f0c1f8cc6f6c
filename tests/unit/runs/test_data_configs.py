"""Every file in conf/data that reads a log of one's own reads a small one."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import polars as pl
import pytest
from hydra import compose, initialize_config_dir

from riskml.core.errors import ConfigError
from riskml.core.preflight import check_targets
from riskml.data.event_store import EventStore
from riskml.runs.assembly import build

CONF = Path(__file__).parents[3] / "conf"
NOT_ONES_OWN = {"simulated", "sea", "hdfs", "rows"}
TIME = "2024-03-01T12:00:00Z"
EVENTS = pl.DataFrame(
    {"event_id": ["a", "b"], "user_id": ["ann", "bob"], "timestamp": [TIME] * 2, "action": "x"}
).with_columns(pl.col("timestamp").str.to_datetime(time_zone="UTC"))
TEXTS = {
    "csv": ("log.csv", f"user_id,timestamp,action\nann,{TIME},x\n"),
    "jsonl": ("log.jsonl", json.dumps({"user_id": "ann", "timestamp": TIME, "action": "x"})),
    "cloudtrail": (
        "log.json",
        json.dumps(
            {
                "userIdentity": {"type": "IAMUser", "userName": "ann"},
                "eventTime": TIME,
                "eventSource": "s3.amazonaws.com",
                "eventName": "GetObject",
            }
        ),
    ),
    "ocsf": (
        "log.json",
        json.dumps({"class_uid": 3002, "activity_id": 1, "time": TIME, "user": {"name": "ann"}}),
    ),
    "ecs": (
        "log.json",
        json.dumps({"@timestamp": TIME, "event.action": "x", "user": {"name": "ann"}}),
    ),
    "entra": ("log.json", json.dumps([{"createdDateTime": TIME, "userPrincipalName": "ann"}])),
    "auth_log": (
        "auth.log",
        f"{TIME} web1 sshd[7]: Accepted password for ann from ::1 port 5 ssh2",
    ),
    "cert": ("logon.csv", "id,date,user,pc,activity\n{A},03/01/2024 12:00:00,ann,PC-1,Logon\n"),
}


def log_of(name: str, folder: Path) -> list[str]:
    """Writes a log; returns the settings that read it."""
    if name == "database":
        EventStore(f"sqlite:///{folder / 'log.db'}").append(EVENTS)
        return [f"url=sqlite:///{folder / 'log.db'}"]
    if name == "duckdb":
        with duckdb.connect(folder / "log.duckdb") as connection:
            connection.register("frame", EVENTS.rename({"timestamp": "login_time"}).to_arrow())
            connection.execute("CREATE TABLE events AS SELECT * FROM frame")
        return [f"path={folder / 'log.duckdb'}"]
    if name == "parquet":
        EVENTS.write_parquet(folder / "log.parquet")
        return [f"path={folder / 'log.parquet'}"]
    file, text = TEXTS[name]
    (folder / file).write_text(text)
    return [f"path={folder if name == 'cert' else folder / file}"]


@pytest.mark.parametrize(
    "name", sorted({path.stem for path in (CONF / "data").glob("*.yaml")} - NOT_ONES_OWN)
)
def test_a_small_log_is_read(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RISKML_ROOT", str(CONF.parent))
    settings = log_of(name, tmp_path)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", overrides=[f"data={name}", *settings, f"paths.run={tmp_path}"])
    source = build(cfg.data.source)
    log = source.load()
    assert log.events["user_id"][0] == "ann"
    assert f"{log.events['timestamp'][0]:%Y-%m-%dT%H:%M:%SZ}" == TIME
    assert len(next(source.batches(1)).events) == 1


@pytest.mark.parametrize("name", ["database", "duckdb"])
@pytest.mark.parametrize("setting", ["query", "data.source.query"])
def test_a_query_is_enough(
    name: str, setting: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RISKML_ROOT", str(CONF.parent))
    query = f"{setting}=\"SELECT * FROM events WHERE user_id <> 'ann'\""
    words = [f"data={name}", *log_of(name, tmp_path), f"paths.run={tmp_path}", "time_zone=UTC"]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("train", overrides=[*words, query])
        both = compose("train", overrides=[*words, query, "table=events"])
    assert build(cfg.data.source).load().events["user_id"].to_list() == ["bob"]
    with pytest.raises(ConfigError, match="table=events and query are both given: leave one out"):
        build(both.data.source)


@pytest.mark.parametrize(
    "url", ["postgresql://ann:word@host/db", "mysql+x://host/db?user=ann&password=word"]
)
def test_a_password_is_refused_before_settings_are_kept(url: str) -> None:
    with pytest.raises(ConfigError) as refused:
        check_targets({"data": {"source": {"url": url}}})
    assert "url_variable=NAME" in str(refused.value) and "word@" not in str(refused.value)
    check_targets({"url": "postgresql+psycopg://ann@host:5432/db?sslmode=require"})
    check_targets({"uri": "sqlite:////home/ann/mlflow.db", "path": "s3://bucket/a:b/c@d.csv"})
