"""The chart and the plain manifest: valid, consistent, and of commands that there are."""

from __future__ import annotations

import os
import runpy
import shlex
import subprocess
from pathlib import Path
from typing import Any

import click
import helm_python
import kubernetes_validate
import pytest
import yaml
from command_lines import parsed
from kubernetes_objects import (
    CHART,
    MANIFEST,
    ROOT,
    Thing,
    containers,
    of_kind,
    pod_specs,
    rendered,
)

from riskml.alerting.settings_files import read_channels, read_rules

VERSIONS = ("1.29.0", "1.33.0", "1.37.0")
CUSTOM = "monitoring.coreos.com/v1"
PLAIN: list[Thing] = list(yaml.safe_load_all(MANIFEST.read_text()))
FETCH: Thing = yaml.safe_load((ROOT / "deploy" / "k8s" / "fetch_bundle.yaml").read_text())
WRITERS = {"riskml-drift": ["/reports", "/tmp"], "riskml-report": ["/reports", "/tmp"]}
SECRET = "RISKML_SLACK_URL", "http://127.0.0.1/hook"


def named(objects: list[Thing]) -> dict[tuple[str, str], Thing]:
    found = {(each["kind"], each["metadata"]["name"]): each for each in objects}
    assert len(found) == len(objects)
    return found


def test_lint_finds_no_more_than_that_there_is_no_icon() -> None:
    report = helm_python.lint(CHART, strict=True)
    assert report["errors"] == []
    assert [m["error"] for m in report["messages"]] == ["icon is recommended"]


def test_manifest_is_what_the_chart_renders() -> None:
    script = runpy.run_path(str(ROOT / "deploy" / "k8s" / "render.py"))
    assert script["manifest"]() == MANIFEST.read_text(), "run make manifest"
    in_chart = [each for each in rendered() if each["kind"] != "Pod"]
    assert named(in_chart) == named(PLAIN)


@pytest.mark.parametrize("version", VERSIONS)
def test_objects_are_valid_to_the_letter(version: str) -> None:
    """Objects of the Prometheus operator have no schema here; below is what they refer to."""
    for found in [*rendered(), FETCH]:
        if found["apiVersion"] != CUSTOM:
            kubernetes_validate.validate(found, version, strict=True)


@pytest.mark.parametrize(
    "values",
    [
        {"stream": {"source": "kafka://risk:secret@kafka.example/logins"}},
        {"stream": {"kafka": {"SASL_PASSWORD": "secret"}}},
        {"serve": {"targetCPU": 170}},
        {"report": {"period": "year"}},
        {"report": {"email": ["audit"]}},
        {"serve": {"minReplica": 3}},
        {"image": {"digests": {"serve": "latest"}}},
        {"score": {"resources": {"limits": {"memory": "much"}}}},
    ],
)
def test_values_that_cannot_be_meant_are_refused(values: Thing) -> None:
    with helm_python.Chart.load(CHART) as chart:
        chart.validate_schema({"serve": {"minReplicas": 3}})
        with pytest.raises(helm_python.HelmError):
            chart.validate_schema(values)


def test_nobody_is_root_and_nothing_but_tmp_and_reports_is_written() -> None:
    for name, _, pod in pod_specs(rendered()):
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["enableServiceLinks"] is False, name
        of_pod = pod["securityContext"]
        assert of_pod["runAsNonRoot"] and of_pod["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert {"cpu", "memory"} <= set(container["resources"]["requests"])
            assert "memory" in container["resources"]["limits"]
            mounts = container.get("volumeMounts", [])
            written = [m["mountPath"] for m in mounts if not m.get("readOnly")]
            assert written in ([], WRITERS.get(name, ["/tmp"])), name


def test_what_is_named_is_there() -> None:
    objects = rendered()
    things = named(objects)
    for name, _, pod in pod_specs(objects):
        assert ("ServiceAccount", pod["serviceAccountName"]) in things
        volumes = {volume["name"]: volume for volume in pod.get("volumes", [])}
        for volume in volumes.values():
            if "configMap" in volume:
                assert ("ConfigMap", volume["configMap"]["name"]) in things
            if "persistentVolumeClaim" in volume:
                claim = volume["persistentVolumeClaim"]["claimName"]
                assert ("PersistentVolumeClaim", claim) in things
            for item in volume.get("secret", {}).get("items", []):
                secret = things["Secret", volume["secret"]["secretName"]]
                assert item["key"] in secret["stringData"]
        used = set()
        for container in containers(pod):
            mounts = {mount["name"] for mount in container.get("volumeMounts", [])}
            assert mounts <= set(volumes), name
            used |= mounts
            for variable in container.get("env", []):
                source = variable.get("valueFrom", {})
                if key := source.get("secretKeyRef"):
                    known = things["Secret", key["name"]]["stringData"]
                    assert key["key"] in known or key.get("optional"), (name, key)
                if key := source.get("configMapKeyRef"):
                    assert key["key"] in things["ConfigMap", key["name"]]["data"]
        assert used == set(volumes), name


def test_what_is_selected_is_there() -> None:
    objects = rendered()
    pods = [labels for _, labels, _ in pod_specs(objects)]

    def some(wanted: dict[str, str]) -> list[dict[str, str]]:
        return [labels for labels in pods if wanted.items() <= labels.items()]

    for found in of_kind(objects, "Deployment", "StatefulSet", "PodDisruptionBudget"):
        assert len(some(found["spec"]["selector"]["matchLabels"])) == 1, found["metadata"]
    for found in of_kind(objects, "Service"):
        assert len(some(found["spec"]["selector"])) == 1
    for found in of_kind(objects, "NetworkPolicy"):
        assert some(found["spec"]["podSelector"]["matchLabels"]), found["metadata"]
    for found in of_kind(objects, "HorizontalPodAutoscaler"):
        target = found["spec"]["scaleTargetRef"]
        assert "replicas" not in named(objects)[target["kind"], target["name"]]["spec"]
    services = of_kind(objects, "Service")
    secrets = named(of_kind(objects, "Secret"))
    for found in of_kind(objects, "ServiceMonitor"):
        wanted = found["spec"]["selector"]["matchLabels"].items()
        (service,) = [s for s in services if wanted <= s["metadata"]["labels"].items()]
        (end,) = found["spec"]["endpoints"]
        assert end["port"] in [port["name"] for port in service["spec"]["ports"]]
        if key := end.get("authorization", {}).get("credentials"):
            assert key["key"] in secrets["Secret", key["name"]]["stringData"]


SCRIPTS = {
    'exec riskml score --until "$(date -u +%F)" "$@"': ["riskml", "score", "--until", "2026-01-05"],
    'riskml drift "$@" >/reports/drift.new || test $? = 3; '
    "mv /reports/drift.new /reports/drift.json": ["riskml", "drift"],
    'if test -f /reports/drift.json; then set -- "$@" --drift=/reports/drift.json; fi; '
    'exec riskml report "$@"': ["riskml", "report", "--drift=/reports/drift.json"],
}
"""Scripts of containers, and what they run."""


def shell_words(container: Thing) -> list[str]:
    """Its command line, with what the shell would put in."""
    words = [*container["command"], *container.get("args", [])]
    if words[:2] == ["sh", "-ec"]:
        script, _, *rest = words[2:]
        return SCRIPTS[script] + rest
    return words


def test_commands_are_those_of_riskml(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = set()
    for _, _, pod in pod_specs(rendered()):
        for container in containers(pod):
            words = shell_words(container)
            if words[0] == "python":
                continue
            with monkeypatch.context() as inside:
                for variable in container.get("env", []):
                    inside.setenv(variable["name"], "kafka://kafka.example/risk")
                inside.setenv("RISKML_LOG_FORMAT", "json")
                options = parsed(words)
            seen.add(container["name"])
            ports = {port["containerPort"] for port in container.get("ports", [])}
            listening = {options.get("port"), options.get("metrics_port")} - {None}
            assert listening == ports
    assert seen == {"score", "init", "take", "deliver", "serve", "stream", "drift", "report"}
    with pytest.raises(click.UsageError):
        parsed(["riskml", "serve", "--bundle=x", "--prot=1"])


def test_a_bundle_is_fetched_to_the_volume_that_all_read() -> None:
    pod = FETCH["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    first, _ = container["command"][2].splitlines()
    assert parsed(shlex.split(first))["out"] == Path("/bundles/$NAME")
    claims = named(of_kind(PLAIN, "PersistentVolumeClaim"))
    claim = pod["volumes"][0]["persistentVolumeClaim"]["claimName"]
    assert ("PersistentVolumeClaim", claim) in claims
    (hardened,) = [p for name, _, p in pod_specs(PLAIN) if name == "riskml-serve"]
    assert container["securityContext"] == hardened["containers"][0]["securityContext"]


def test_probes_ask_for_routes_that_there_are() -> None:
    asked = {
        (container["name"], probe["httpGet"]["path"])
        for _, _, pod in pod_specs(PLAIN)
        for container in containers(pod)
        for probe in [
            container.get(f"{kind}Probe") for kind in ("startup", "liveness", "readiness")
        ]
        if probe
    }
    assert asked == {("serve", "/health"), ("serve", "/ready"), ("stream", "/metrics")}


def test_time_to_end_is_longer_than_the_service_takes() -> None:
    ((_, _, pod),) = [p for p in pod_specs(PLAIN) if p[0] == "riskml-serve"]
    (container,) = pod["containers"]
    wait = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    grace = parsed(shell_words(container))["grace"]
    assert wait + grace < pod["terminationGracePeriodSeconds"]


def test_settings_are_read_by_riskml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (config,) = of_kind(PLAIN, "ConfigMap")
    for name in ("rules.yaml", "channels.yaml"):
        (tmp_path / name).write_text(config["data"][name])
    monkeypatch.setenv(*SECRET)
    read_rules(tmp_path / "rules.yaml")
    assert set(read_channels(tmp_path / "channels.yaml").channels) == {"desk"}


def test_a_secret_of_ones_own_takes_the_place_of_the_charts() -> None:
    claims = {"bundles": {"existingClaim": "models"}, "reports": {"existingClaim": "papers"}}
    objects = rendered({"existingSecret": "vault", **claims})
    assert of_kind(objects, "Secret", "PersistentVolumeClaim") == []
    text = yaml.safe_dump_all(objects)
    assert "CHANGE-ME" not in text
    assert "name: vault" in text and "secretName: vault" in text
    assert "claimName: models" in text and "claimName: papers" in text


@pytest.mark.parametrize(
    ("exit_code", "kept"), [(0, "found"), (3, "found"), (2, "before"), (1, "before")]
)
def test_drift_that_is_found_is_no_failure_and_a_failure_leaves_what_was(
    exit_code: int, kept: str, tmp_path: Path
) -> None:
    script = next(each for each in SCRIPTS if "drift.new" in each)
    (tmp_path / "drift.json").write_text("before")
    (tmp_path / "riskml").write_text(f"#!/bin/sh\nprintf found; exit {exit_code}\n")
    (tmp_path / "riskml").chmod(0o755)
    words = ["sh", "-ec", script.replace("/reports", str(tmp_path)), "riskml-drift", "--json"]
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = subprocess.run(words, env={"PATH": path}, check=False)
    assert (done.returncode == 0) == (exit_code in (0, 3))
    assert (tmp_path / "drift.json").read_text() == kept


def test_reports_are_mailed_to_those_who_are_named() -> None:
    def args(**values: Any) -> list[str]:
        found = named(rendered({"report": values}))["CronJob", "riskml-report"]
        spec = found["spec"]["jobTemplate"]["spec"]["template"]["spec"]
        return list(spec["containers"][0]["args"])

    assert not any("mail" in each or "channels" in each for each in args())
    mailed = args(email=["audit@a.example", "cio@a.example"], language="ko", period="month")
    assert mailed == [
        "--period=month",
        "--lang=ko",
        "--out=/reports",
        "--channels=/etc/riskml/channels.yaml",
        "--email=audit@a.example",
        "--email=cio@a.example",
    ]


@pytest.mark.parametrize(
    ("off", "gone"),
    [
        ("score", {("CronJob", "riskml-score")}),
        ("serve", {("Deployment", "riskml-serve"), ("ServiceMonitor", "riskml-serve")}),
        ("stream", {("StatefulSet", "riskml-stream"), ("CronJob", "riskml-take")}),
        ("alerts", {("Deployment", "riskml-deliver"), ("CronJob", "riskml-take")}),
        ("drift", {("CronJob", "riskml-drift")}),
        ("report", {("CronJob", "riskml-report")}),
        ("networkPolicy", {("NetworkPolicy", "riskml")}),
        ("serviceMonitor", {("ServiceMonitor", "riskml-stream")}),
    ],
)
def test_parts_can_be_left_out(off: str, gone: set[tuple[str, str]]) -> None:
    values: dict[str, Any] = {off: {"enabled": False}}
    assert gone <= set(named(rendered())) and not gone & set(named(rendered(values)))


def test_images_are_by_digest_where_one_is_given() -> None:
    digest = "sha256:" + "0" * 64
    objects = rendered({"image": {"digests": {"serve": digest}, "tag": "1.2.3"}})
    images = {c["image"] for _, _, pod in pod_specs(objects) for c in containers(pod)}
    base = "registry.example/riskml"
    others = {f"{base}-{name}:1.2.3" for name in ("score", "stream", "report")}
    assert images == {f"{base}-serve@{digest}", *others}
