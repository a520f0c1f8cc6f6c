"""GitHub's and GitLab's pipelines: linted, pinned, and all tests come before anything goes out."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from command_lines import parsed

ROOT = Path(__file__).parents[3]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))
CI, RELEASE = (yaml.safe_load(path.read_text())["jobs"] for path in WORKFLOWS)
GITLAB: dict[str, Any] = yaml.safe_load((ROOT / ".gitlab-ci.yml").read_text())
ALL = [*WORKFLOWS, ROOT / ".gitlab-ci.yml"]
TESTS = {"check", "docs", "test", "slow", "wheel", "audit", "chart", "image"}


def tool(*words: str | Path) -> None:
    program = Path(sys.executable).parent / str(words[0])
    done = subprocess.run([program, *words[1:]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_linters_find_nothing() -> None:
    tool("actionlint", *WORKFLOWS)
    tool("zizmor", "--offline", "--quiet", *WORKFLOWS)
    tool("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *WORKFLOWS)
    gitlab = ("--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci")
    tool("check-jsonschema", *gitlab, ROOT / ".gitlab-ci.yml")


def test_actions_are_named_by_commit() -> None:
    used = re.findall(r"uses: (\S+)(.*)", "".join(path.read_text() for path in WORKFLOWS))
    pinned = {name: version for name, version in used if not name.startswith("./")}
    for name, version in pinned.items():
        assert re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", name), name
        assert re.fullmatch(r"  # v\d+\.\d+\.\d+", version), name
    assert len({name.split("@")[0] for name in pinned}) == len(pinned), "two versions of one"


def test_github_publishes_and_deploys_after_all_tests() -> None:
    assert set(CI) == TESTS
    assert not any("if" in job or job.get("continue-on-error") for job in CI.values())

    def before(name: str) -> set[str]:
        needs = RELEASE[name].get("needs", [])
        return set(needs).union(*(before(each) for each in needs))

    assert RELEASE["ci"]["uses"] == "./.github/workflows/ci.yaml"
    for name in set(RELEASE) - {"ci", "version"}:
        assert "ci" in before(name), name
        assert "if" not in RELEASE[name], name
    assert "staging" in before("production")
    environments = {name: RELEASE[name].get("environment") for name in ("staging", "production")}
    assert environments == {"staging": "staging", "production": "production"}


def test_gitlab_publishes_and_deploys_after_all_tests() -> None:
    jobs = {name: job for name, job in GITLAB.items() if isinstance(job, dict) and "stage" in job}
    assert GITLAB["stages"] == ["check", "test", "build", "publish", "deploy"]
    late = {name for name, job in jobs.items() if job["stage"] == "publish"}
    late |= {name for name, job in GITLAB.items() if name in ("staging", "production")}
    for name in late:  # without `needs` a job waits for all stages before its own
        needs = GITLAB[name].get("needs", [])
        assert not needs or set(needs) & late, name
        assert ".tagged" in GITLAB[name]["extends"] or ".deploy" in GITLAB[name]["extends"], name
    assert not any(job.get("allow_failure") for job in jobs.values())
    assert GITLAB["production"]["rules"][0]["when"] == "manual"


def test_what_they_call_is_there() -> None:
    targets = set(re.findall(r"^([a-z-]+)[^:=]*:", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for path in ALL:
        text = path.read_text()
        for words in re.findall(r"\bmake ([a-z -]+)", text):
            assert set(words.split()) <= targets, words
        for script in re.findall(r"deploy/helm/\w+\.sh", text):
            assert (ROOT / script).stat().st_mode & 0o111
            subprocess.run(["sh", "-n", ROOT / script], check=True)
        for folder in re.findall(r"helm (?:lint --strict|template riskml|package) (\S+)", text):
            assert (ROOT / folder / "Chart.yaml").is_file()
        for line in re.findall(r"bin/riskml (score .*)", re.sub(r"\\?\n +(?=--)", " ", text)):
            assert parsed(["riskml", *shlex.split(line)])["as_json"]


def test_versions_of_chart_and_package_are_one() -> None:
    """What the release asks of its tag."""
    chart = yaml.safe_load((ROOT / "deploy" / "helm" / "riskml" / "Chart.yaml").read_text())
    assert f'version = "{chart["appVersion"]}"' in (ROOT / "pyproject.toml").read_text()
