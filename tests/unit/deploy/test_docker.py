"""The Dockerfile and the try-out: linted, of files and of commands that there are.

Nothing is built here: no engine is asked for.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from command_lines import parsed
from packaging.requirements import Requirement

from riskml.alerting.settings_files import read_channels
from riskml.core.preflight import check_command_line

ROOT = Path(__file__).parents[3]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TRAINING = {"pytorch-lightning", "hydra-core", "omegaconf", "gensim", "pyod", "mlflow", "optuna"}
OURS = {name: found for name, found in SERVICES.items() if "build" in found}


def stages() -> dict[str, list[str]]:
    """Instructions of the Dockerfile by the stage that they stand in, each one line."""
    found: dict[str, list[str]] = {"": []}
    name = ""
    text = re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.MULTILINE)
    for line in re.sub(r"\\\n", " ", text).splitlines():
        if line.startswith("FROM "):
            name = line.split()[-1]
            found[name] = []
        if line:
            found[name].append(line)
    return found


def extras_of(target: str) -> set[str]:
    (line,) = [each for each in stages()[f"{target}-packages"] if each.startswith("ARG ")]
    return set(line.split("=")[1].split(","))


def in_the_image(service: dict[str, Any]) -> list[list[str]]:
    """Command lines of riskml in a service; of a script, those that stand in it."""
    entry, rest = service.get("entrypoint", ["riskml"]), service.get("command", [])
    if entry == ["riskml"]:
        return [[*entry, *rest]]
    script = entry[2] if entry[:2] == ["sh", "-ec"] else ""
    return [shlex.split(each) for each in re.findall(r"riskml [^;|\n]+", script)]


def tool(*words: str | Path) -> None:
    program = Path(sys.executable).parent / str(words[0])
    done = subprocess.run([program, *words[1:]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_linters_find_nothing() -> None:
    tool("hadolint", ROOT / "Dockerfile")
    schema = "vendor.compose-spec"
    tool("check-jsonschema", "--builtin-schema", schema, ROOT / "docker-compose.yaml")


def test_what_is_copied_is_there_and_let_in() -> None:
    kept = (ROOT / ".dockerignore").read_text().splitlines()
    for line in DOCKERFILE.splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            for name in line.split()[1:-1]:
                assert (ROOT / name).exists() and f"!{name}" in kept, name
    assert "*" in kept


@pytest.mark.parametrize("target", ["score", "serve", "stream", "report", "train"])
def test_images_run_as_nobody_with_the_packages_that_are_meant(target: str) -> None:
    found = stages()
    base = "drawing" if target == "report" else "runtime"
    assert found[target][0] == f"FROM {base} AS {target}"
    assert "USER 10001:10001" in found["runtime"]
    assert found["drawing"][-1] == "USER 10001:10001"
    assert not any(line.startswith("USER") for line in found[target])
    assert f"COPY --from={target}-packages /opt/riskml /opt/riskml" in found[target]
    assert any(line.startswith("HEALTHCHECK") for line in found[target])
    extras = extras_of(target)
    assert extras <= set(PROJECT["optional-dependencies"])
    lines = [*PROJECT["dependencies"]]
    lines += [line for extra in extras for line in PROJECT["optional-dependencies"][extra]]
    names = {Requirement(line).name for line in lines}
    assert (names & TRAINING == set()) == (target != "train")


def test_commands_in_the_dockerfile_are_those_of_riskml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RISKML_SERVE_TOKEN", "x" * 32)
    for name in ("serve", "stream", "runtime"):
        (line,) = [each for each in stages()[name] if each.startswith("CMD ")]
        words = [word for word in json.loads(line.removeprefix("CMD ")) if word != "--help"]
        if name != "runtime":
            parsed(["riskml", *words])


@pytest.mark.parametrize("name", OURS)
def test_services_run_commands_of_riskml(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    service = OURS[name]
    target = service["build"]["target"]
    assert f"FROM runtime AS {target}" in stages()[target]
    assert service["image"] == f"riskml-{target}"
    for variable, value in service.get("environment", {}).items():
        monkeypatch.setenv(variable, value)
    for words in in_the_image(service):
        options = parsed([word for word in words if word not in ("true",)])
        needed = {"serve": "serve", "stream": "stream", "alerts": "alerts"}.get(words[1])
        assert needed is None or needed in extras_of(target)
        if options.get("metrics") or options.get("metrics_port"):
            assert "monitoring" in extras_of(target)


def test_training_takes_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    train = SERVICES["train"]
    (line,) = re.findall(r"python train.py (.*) \"\$\$@\"", train["entrypoint"][2])
    monkeypatch.setattr(sys, "argv", ["train.py", *line.split(), *train["command"]])
    monkeypatch.setenv("RISKML_ROOT", str(ROOT))
    check_command_line(ROOT / "conf", "train", job_name="train")


def test_what_is_mounted_is_there() -> None:
    used = set()
    for name, service in SERVICES.items():
        for mount in service.get("volumes", []):
            source, target, *how = mount.split(":")
            if source.startswith("."):
                assert (ROOT / source).exists(), (name, source)
                assert how == ["ro"], (name, source)
            else:
                used.add(source)
            assert target.startswith("/")
        for waited, until in service.get("depends_on", {}).items():
            ends = until["condition"] == "service_completed_successfully"
            assert ("healthcheck" in SERVICES[waited]) != ends, (name, waited)
    assert used == set(COMPOSE["volumes"])


@pytest.mark.parametrize("name", OURS)
def test_our_services_write_to_nothing_but_volumes(name: str) -> None:
    service = OURS[name]
    assert service["read_only"] and service["tmpfs"] == ["/tmp"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_of_this_machine_and_versions_are_said(name: str) -> None:
    service = SERVICES[name]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert "build" in service or re.fullmatch(r"[a-z/]+:v?\d[\w.-]+", service["image"])


def test_no_secret_stands_in_it() -> None:
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            if "PASSWORD" in variable or "TOKEN" in variable:
                assert str(value).startswith("${RISKML_"), (name, variable)


def test_prometheus_asks_services_that_there_are() -> None:
    asked = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    places = [
        target.split(":")[0]
        for job in asked["scrape_configs"]
        for group in job["static_configs"]
        for target in group["targets"]
    ]
    assert set(places) <= set(SERVICES)
    read_channels(ROOT / "deploy" / "compose" / "channels.yaml")
