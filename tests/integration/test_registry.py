"""Bundles in a real MLflow registry (SQLite), and `mlflow models serve` on one of them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner, Result
from polars.testing import assert_frame_equal

import riskml
from riskml.cli import main
from riskml.core.errors import BundleError, ConfigError
from riskml.export.bundle import change_threshold
from riskml.export.registry import CHALLENGER, CHAMPION, MODEL, Registry

pytestmark = pytest.mark.slow

OLD = Path(__file__).parents[1] / "data" / "bundles"
GRAPH, NATIVE, BEFORE = (OLD / n / "bundle" for n in ("format_3", "format_3_native", "format_2"))
EVENTS = OLD / "format_3" / "events.parquet"
NAME = "logins"
ROOT = Path(riskml.__file__).parents[1]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("registry")


@pytest.fixture(scope="module")
def registry(place: Path) -> Registry:
    """Version 1 is the champion, 2 the challenger."""
    made = Registry(f"sqlite:///{place}/mlflow.db", makes=True)
    first = made.register(GRAPH, NAME, CHAMPION)
    second = made.register(NATIVE, NAME, CHALLENGER)
    assert (first.version, first.aliases, first.new) == ("1", (CHAMPION,), True)
    assert (second.version, second.aliases, second.new) == ("2", (CHALLENGER,), True)
    return made


@pytest.fixture(autouse=True)
def _store(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry.store)


def run(*words: str) -> Result:
    return CliRunner().invoke(main, ["registry", *words], catch_exceptions=False)


def files_of(registry: Registry, version: str) -> Path:
    """Where MLflow keeps the model of a version."""
    return Path(registry._client.get_model_version(NAME, version).source.removeprefix("file://"))


def test_the_same_bundle_is_the_same_version(registry: Registry) -> None:
    again = registry.register(GRAPH, NAME)
    assert (again.version, again.aliases, again.new) == ("1", (CHAMPION,), False)
    result = run("register", str(GRAPH), "--name", NAME)
    assert result.output.strip().endswith(f"is already models:/{NAME}/1 ({CHAMPION})")
    told = json.loads(run("register", str(GRAPH), "--name", NAME, "--json").output)
    assert (told["version"], told["aliases"], told["new"]) == ("1", [CHAMPION], False)
    assert told["champion"] == "1"
    assert len(registry.versions(NAME)) == 2


def test_what_is_kept_holds_no_pickle(registry: Registry) -> None:
    names = {path.name for path in files_of(registry, "1").rglob("*") if path.is_file()}
    assert {"MLmodel", "mlflow_model.py", "manifest.json", "input_example.json"} <= names
    assert not [name for name in names if name.endswith((".pkl", ".pickle", ".joblib"))]
    assert str(OLD) not in (files_of(registry, "1") / "MLmodel").read_text()


def test_list(registry: Registry) -> None:
    newest, oldest = json.loads(run("list", NAME, "--json").output)
    assert (newest["version"], newest["detector"]) == ("2", "persistence")
    assert (oldest["version"], oldest["aliases"]) == ("1", [CHAMPION])
    assert f"models:/{NAME}/1" in run("list").output


def test_list_of_a_model_that_is_not_there() -> None:
    result = run("list", "login")
    assert result.exit_code == 2
    assert f"no model 'login': did you mean '{NAME}'?" in result.output


def test_a_store_that_nobody_answers_at_is_one_line() -> None:
    with socket.socket() as taken:  # bound, but it does not listen
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        result = run("list", "--store", f"http://127.0.0.1:{port}")
    assert result.exit_code == 2
    assert f"store at 127.0.0.1, port {port} cannot be reached" in result.output


def test_scores_from_the_registry(registry: Registry) -> None:
    events = pl.read_parquet(EVENTS)
    found = riskml.load(f"models:/{NAME}@{CHAMPION}").score(events)
    assert_frame_equal(found, riskml.load(GRAPH).score(events))
    native = riskml.load(f"models:/{NAME}/2").score(events)
    assert_frame_equal(native, riskml.load(NATIVE).score(events))


def test_fetch(registry: Registry, tmp_path: Path) -> None:
    out, address = tmp_path / "got", f"models:/{NAME}@{CHAMPION}"
    assert run("fetch", address, "--out", str(out)).exit_code == 0
    assert (out / "manifest.json").read_bytes() == (GRAPH / "manifest.json").read_bytes()
    assert registry.fetch(address, out) == out
    assert [path.name for path in tmp_path.iterdir()] == ["got"], "no draft stays"
    with pytest.raises(ConfigError, match="holds another bundle"):
        registry.fetch(f"models:/{NAME}/2", out)


def test_a_link_points_to_what_was_fetched(registry: Registry, tmp_path: Path) -> None:
    link, out = tmp_path / "current", str(tmp_path / "{version}")
    for alias, version in ((CHAMPION, "1"), (CHALLENGER, "2"), (CHALLENGER, "2")):
        words = ("fetch", f"models:/{NAME}@{alias}", "--out", out, "--link", str(link), "--json")
        told = json.loads(run(*words).output)
        assert (told["version"], told["folder"]) == (version, str(tmp_path / version))
        assert link.readlink() == Path(version) and (link / "manifest.json").is_file()
    assert {path.name for path in tmp_path.iterdir()} == {"1", "2", "current"}
    result = run("fetch", f"models:/{NAME}/1", "--out", out, "--link", str(tmp_path / "2"))
    assert result.exit_code == 2 and "is there already and no link" in result.output


def test_alias_moves(registry: Registry) -> None:
    assert run("alias", NAME, "2", "tried").exit_code == 0
    assert run("alias", NAME, "1", "tried").output.strip() == f"models:/{NAME}@tried is version 1"
    newest, oldest = registry.versions(NAME)
    assert "tried" in oldest.aliases
    assert "tried" not in newest.aliases


@pytest.mark.parametrize(
    ("address", "words"),
    [
        (f"models:/{NAME}@nobody", "nobody not found"),
        (f"models:/{NAME}/9", "not found"),
        ("models:/other@champion", "not found"),
        (f"models:/{NAME}", "write models:/NAME@champion"),
        (f"models:/{NAME}/../1", "write models:/NAME@champion"),
    ],
)
def test_what_is_not_there_is_one_line(registry: Registry, address: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as found:
        registry.load(address)
    assert "\n" not in str(found.value)


def test_a_bundle_that_was_registered_without_its_run_has_no_settings(registry: Registry) -> None:
    with pytest.raises(ConfigError, match=f"no config.yaml: register it by .* register={NAME}"):
        registry.run_file(NAME, "1", "config.yaml")


def test_what_cannot_be_registered(registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="has no seal to be known by"):
        registry.register(BEFORE, NAME)
    with pytest.raises(ConfigError, match="registering a/b"):
        registry.register(GRAPH, "a/b")
    damaged = Path(shutil.copytree(GRAPH, tmp_path / "bundle"))
    (damaged / "users.json").write_text("{}")
    assert run("register", str(damaged), "--name", NAME).exit_code == 2
    assert len(registry.versions(NAME)) == 2


def test_tampering_is_refused(registry: Registry, tmp_path: Path) -> None:
    """Also where the forger makes the bundle whole again: the registry knows its seal."""
    changed = Path(shutil.copytree(NATIVE, tmp_path / "changed"))
    change_threshold(changed, 0.25)
    version = registry.register(changed, NAME).version
    kept = files_of(registry, version) / "artifacts" / "bundle"
    change_threshold(kept, 1e9)
    with pytest.raises(BundleError, match="not the one that was registered"):
        registry.load(f"models:/{NAME}/{version}")
    (kept / "threshold.json").write_text('{"score": 0}')
    with pytest.raises(BundleError, match=r"threshold\.json was changed"):
        registry.fetch(f"models:/{NAME}/{version}", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    registry._client.delete_model_version(NAME, version)


def test_without_mlflow_the_error_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "mlflow"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(ConfigError, match=r"needs mlflow: pip install 'riskml\[train\]'"):
        riskml.load(f"models:/{NAME}@{CHAMPION}")


@pytest.fixture
def server(registry: Registry, place: Path) -> Iterator[str]:
    """`mlflow models serve`, until it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    words = ["models", "serve", "-m", f"models:/{NAME}@{CHAMPION}", "--env-manager", "local"]
    with (place / "server.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *words, "--port", port],
            cwd=place,
            env={
                **os.environ,
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",  # uvicorn
                "PYTHONPATH": str(ROOT),
                "MLFLOW_DISABLE_TELEMETRY": "true",
            },
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        address = f"http://127.0.0.1:{port}"
        for _ in range(480):
            assert process.poll() is None, (place / "server.log").read_text()[-2000:]
            try:
                urllib.request.urlopen(f"{address}/ping", timeout=5).close()
                break
            except (urllib.error.URLError, OSError):
                time.sleep(0.25)
        yield address
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(60)


def invoke(address: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(
        f"{address}/invocations",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def test_mlflow_serves_it(server: str, registry: Registry) -> None:
    events = pl.read_parquet(EVENTS)
    time_text = pl.col("timestamp").dt.strftime("%Y-%m-%dT%H:%M:%S%.fZ")
    rows = events.with_columns(time_text).to_dicts()
    rows[3]["resource"] = rows[4]["success"] = None
    answer = pl.DataFrame(invoke(server, {"dataframe_records": rows})["predictions"])
    expected = riskml.load(GRAPH).score(events)
    for column in ("window_id", "user_id", "n_events", "alert", "learning"):
        assert answer[column].to_list() == expected[column].to_list()
    for column in ("score", "p_value", "risk"):
        assert_frame_equal(
            answer.select(column), expected.select(pl.col(column).cast(pl.Float64)), rel_tol=1e-6
        )
    assert answer["start"].str.to_datetime(time_zone="UTC").equals(expected["start"])
    example = json.loads((files_of(registry, "1") / "serving_input_example.json").read_text())
    assert len(invoke(server, example)["predictions"]) == 1
    with pytest.raises(urllib.error.HTTPError) as refused:
        invoke(server, {"dataframe_records": [{"user_id": "u"}]})
    assert refused.value.code == 400


def test_the_files_are_beside_the_store(registry: Registry, place: Path) -> None:
    assert place in files_of(registry, "1").parents
    assert files_of(registry, "1").name == MODEL
