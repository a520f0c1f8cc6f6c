"""`riskml serve`: what it refuses, in one line; and its document agrees with the code."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from riskml.cli import main
from riskml.monitoring.metrics_exporter import LiveMetrics
from riskml.serving.http.access import TOKEN_VARIABLE, Tokens
from riskml.serving.http.app import Settings, make_app
from riskml.serving.http.metrics import Metrics
from riskml.serving.http.problems import Problem

ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / "tests" / "data" / "bundles" / "format_3" / "bundle"
DOCUMENT = (ROOT / "docs" / "serving.md").read_text()
OLD, NEW = "o" * 32, "n" * 32


def run(*options: object, token: str | None = None) -> Result:
    arguments = ["serve", "--bundle", str(BUNDLE), *map(str, options)]
    return CliRunner().invoke(main, arguments, env={TOKEN_VARIABLE: token})


def refused(result: Result, words: str) -> None:
    assert result.exit_code == 2, result.output
    assert words in result.output
    assert len(result.output.strip().splitlines()) == 1


def test_without_a_token_it_does_not_start() -> None:
    refused(run(), f"{TOKEN_VARIABLE} holds no token")
    refused(run(token=" , "), "holds no token")


def test_a_short_token_is_refused_and_not_shown() -> None:
    result = run(token=f"{OLD},secret-and-short")
    refused(result, "token 2 in the environment variable")
    assert "secret-and-short" not in result.output


def test_a_token_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    refused(run("--token-file", tmp_path / "none"), "none cannot be read")


def test_without_a_token_only_this_machine_may_ask() -> None:
    refused(run("--insecure-local", "--host", "0.0.0.0"), "not for --host 0.0.0.0")


def test_a_port_that_is_taken_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused(run("--port", port, token=OLD), f"cannot listen at 127.0.0.1, port {port}")


def test_a_bundle_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    nowhere = ["serve", "--bundle", str(tmp_path / "none"), "--insecure-local", "--port", "0"]
    refused(CliRunner().invoke(main, nowhere), "none does not exist: give the folder of a bundle")
    above = ["serve", "--bundle", str(BUNDLE.parent), "--insecure-local", "--port", "0"]
    refused(CliRunner().invoke(main, above), f"did you mean {BUNDLE}?")


def test_half_of_tls_is_refused() -> None:
    refused(run("--certfile", "chain.pem", token=OLD), "both --certfile and --keyfile")


def test_tokens_rotate_in_their_file(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"{OLD}\n")
    tokens = Tokens.of(file)
    tokens.check(f"Bearer {OLD}")
    with pytest.raises(Problem):
        tokens.check(f"Bearer {NEW}")
    file.write_text(f"{NEW}\n{OLD}\n")
    assert tokens.refresh()
    assert not tokens.refresh()
    tokens.check(f"bearer  {NEW}")
    tokens.check(f"Bearer {OLD}")
    file.write_text(NEW)
    tokens.refresh()
    with pytest.raises(Problem):
        tokens.check(f"Bearer {OLD}")


# ---- docs/serving.md


def test_the_document_names_the_routes() -> None:
    app = make_app(Settings(BUNDLE, Tokens.nobody()))
    routes = {route.path for route in app.routes if not route.path.startswith("/docs/")}
    told = set(re.findall(r"`(?:GET|POST) (/[\w/.]+)`", DOCUMENT))
    assert told == routes


def test_the_document_names_the_metrics() -> None:
    of_all, text = LiveMetrics("serve").text().decode(), Metrics().text().decode()
    named = re.compile(r"^# TYPE (riskml_\w+)", re.MULTILINE)
    ours = set(named.findall(text)) - set(named.findall(of_all))
    table = DOCUMENT[DOCUMENT.index("## Metrics") :]
    assert set(re.findall(r"`(riskml_\w+)`", table)) == ours


def test_the_document_names_options_that_there_are() -> None:
    (command,) = (main.commands[name] for name in ("serve",))
    options = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
    told = set(re.findall(r"`(--[a-z-]+)", DOCUMENT)) | set(re.findall(r" (--[a-z-]+) ", DOCUMENT))
    assert told - options - {"--help"} == set()


def test_it_imports_nothing_that_training_needs() -> None:
    """With a bundle loaded and asked for reasons; so `riskml[serve]` is enough."""
    code = f"""
import sys
from pathlib import Path
import riskml.cli, riskml.serving.http.server
from riskml.serving.http.model import Model
Model.load(Path({str(BUNDLE)!r}))
heavy = "captum fastapi gensim hydra matplotlib mlflow omegaconf pandas pyarrow pyod"
heavy += " pytorch_lightning scipy sklearn"
print(*(name for name in heavy.split() if name in sys.modules))
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []
