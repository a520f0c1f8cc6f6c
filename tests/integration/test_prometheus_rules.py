"""Rules, their tests and the example configuration, by Prometheus' own tool."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

DEPLOY = Path(__file__).parents[2] / "deploy" / "prometheus"


def promtool(*words: object) -> str:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed (apt-get install prometheus)")
    done = subprocess.run([program, *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_rules_are_right() -> None:
    told = promtool("check", "rules", "--lint=all", "--lint-fatal", DEPLOY / "riskml.rules.yml")
    assert "SUCCESS" in told


@pytest.mark.parametrize("name", ["riskml.rules.test.yml", "riskml.rules.days.test.yml"])
def test_alerts_fire_when_they_should(name: str) -> None:
    assert "SUCCESS" in promtool("test", "rules", DEPLOY / name)


def test_the_example_configuration_is_right(tmp_path: Path) -> None:
    shutil.copy(DEPLOY / "riskml.rules.yml", tmp_path)
    (tmp_path / "token").write_text("x")
    text = (DEPLOY / "prometheus.yml").read_text()
    secrets = "/etc/prometheus/secrets/riskml-serve"
    assert secrets in text
    (tmp_path / "prometheus.yml").write_text(text.replace(secrets, str(tmp_path / "token")))
    assert "SUCCESS" in promtool("check", "config", tmp_path / "prometheus.yml")
