"""OCSF, Elastic Common Schema and Entra: records as their specifications show them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from log_files import utc
from record_files import check_batches, rules, write_lines

from riskml.core.errors import DataError
from riskml.data.mappings.ecs import EcsSource
from riskml.data.mappings.entra import EntraSource
from riskml.data.mappings.ocsf import OcsfSource

LOGON = {
    "class_uid": 3002,
    "class_name": "Authentication",
    "category_uid": 3,
    "activity_id": 1,
    "activity_name": "Logon",
    "type_uid": 300201,
    "time": 1709294400123,
    "status_id": 2,
    "severity_id": 1,
    "user": {"name": "ann", "uid": "S-1-5-21"},
    "actor": {"process": {"name": "winlogon.exe"}},
    "src_endpoint": {"ip": "198.51.100.7", "hostname": "pc-7"},
    "dst_endpoint": {"hostname": "dc-1"},
    "auth_protocol": "Kerberos",
    "is_mfa": True,
    "metadata": {"uid": "m-1", "version": "1.1.0", "product": {"name": "Windows"}},
}
API_CALL = {
    "class_uid": 6003,
    "class_name": "API Activity",
    "activity_id": 1,
    "activity_name": "Create",
    "time": 1709294401000,
    "status_id": 1,
    "actor": {"user": {"uid": "AIDA1", "name": "bob", "type": "IAMUser"}},
    "api": {"operation": "CreateUser", "service": {"name": "iam.amazonaws.com"}},
    "resources": [{"uid": "arn:aws:iam::1:user/eve", "name": "eve"}],
    "src_endpoint": {"ip": "203.0.113.9"},
    "cloud": {"region": "eu-central-1", "provider": "AWS", "account": {"uid": "1"}},
    "http_request": {"user_agent": "aws-cli/2"},
    "metadata": {"uid": "m-2", "version": "1.1.0", "product": {"name": "CloudTrail"}},
}


def test_ocsf(tmp_path: Path) -> None:
    lacking = {key: value for key, value in LOGON.items() if key not in ("user", "metadata")}
    unnamed = {key: value for key, value in LOGON.items() if not key.endswith("_name")}
    unnamed |= {"activity_id": 2, "status_id": 99, "metadata": {"uid": "m-3"}}
    path = write_lines(tmp_path / "log.jsonl", [LOGON, API_CALL, unnamed, lacking, "{"])
    log = check_batches(OcsfSource(path, max_rejected_share=0.5), 2)
    columns = ("event_id", "user_id", "action", "resource", "source", "success", "region", "mfa")
    assert log.events.sort("event_id").select(columns).rows() == [
        ("m-1", "ann", "authentication:logon", "dc-1", "198.51.100.7", False, None, "true"),
        (
            "m-2",
            "bob",
            "iam.amazonaws.com:CreateUser",
            "arn:aws:iam::1:user/eve",
            "203.0.113.9",
            True,
            "eu-central-1",
            None,
        ),
        ("m-3", "ann", "authentication:logoff", "dc-1", "198.51.100.7", None, None, "true"),
    ]
    assert log.events["timestamp"][0] == utc(2024, 3, 1, 12, 0, 0, 123000)
    assert [(row, rule) for _, row, rule in rules(log)] == [
        (4, "missing_user"),
        (5, "invalid_json"),
    ]


SSH = {
    "@timestamp": "2024-03-01T12:00:00.123Z",
    "event": {
        "id": "x1",
        "action": "ssh_login",
        "category": ["authentication"],
        "type": ["start"],
        "outcome": "failure",
        "dataset": "system.auth",
    },
    "user": {"name": "ann", "id": "1000"},
    "source": {"ip": "198.51.100.7", "geo": {"country_iso_code": "DE"}},
    "host": {"name": "web-1"},
}
DOTTED = {
    "@timestamp": "2024-03-01T12:00:01Z",
    "event.id": "x2",
    "event.category": "file",
    "event.type": "access",
    "event.outcome": "unknown",
    "user.name": "bob",
    "file.path": "/etc/passwd",
    "host.name": "web-2",
}


def test_ecs(tmp_path: Path) -> None:
    found = {"_index": "logs", "_id": "x3", "_source": {**SSH, "event": {"action": "sudo"}}}
    nobody = {**SSH, "user": {}, "event": {"id": "x4", "action": "a"}}
    path = write_lines(tmp_path / "log.ndjson", [SSH, DOTTED, found, nobody])
    log = check_batches(EcsSource(path, max_rejected_share=0.25), 2)
    columns = ("event_id", "user_id", "action", "resource", "source", "success", "host")
    assert log.events.sort("event_id").select(columns).rows() == [
        ("x1", "ann", "ssh_login", None, "198.51.100.7", False, "web-1"),
        ("x2", "bob", "file:access", "/etc/passwd", "web-2", None, "web-2"),
        ("x3", "ann", "sudo", None, "198.51.100.7", None, "web-1"),
    ]
    assert rules(log) == [("log.ndjson", 4, "missing_user")]


def sign_in(number: int, code: int) -> dict[str, Any]:
    return {
        "id": f"s{number}",
        "createdDateTime": f"2024-03-01T12:00:0{number}Z",
        "userDisplayName": "Ann Example",
        "userPrincipalName": "ann@example.org",
        "userId": "26be570a",
        "appDisplayName": "Office 365",
        "ipAddress": "198.51.100.7",
        "clientAppUsed": "Browser",
        "signInEventTypes": ["interactiveUser"],
        "status": {"errorCode": code, "failureReason": "Other."},
        "deviceDetail": {"displayName": "pc-7", "operatingSystem": "Windows 10"},
        "location": {"city": "Berlin", "countryOrRegion": "DE"},
    }


def test_entra_json(tmp_path: Path) -> None:
    records: list[Any] = [sign_in(0, 0), sign_in(1, 50126), sign_in(2, 50074), sign_in(3, 0)]
    del records[3]["userPrincipalName"], records[3]["userId"]
    (tmp_path / "array.json").write_text(json.dumps(records, indent=2))
    (tmp_path / "graph.json").write_text(json.dumps({"value": records}))
    diagnostic = [
        {"time": one["createdDateTime"], "category": "SignInLogs", "properties": one}
        for one in records
    ]
    write_lines(tmp_path / "lines.json", diagnostic)
    for name in ("array.json", "graph.json", "lines.json"):
        log = check_batches(EntraSource(tmp_path / name, max_rejected_share=0.25), 2)
        columns = ("event_id", "user_id", "action", "resource", "success", "device", "country")
        assert log.events.select(columns).rows() == [
            (
                f"s{number}",
                "ann@example.org",
                "sign_in:interactiveuser",
                "Office 365",
                success,
                "pc-7",
                "DE",
            )
            for number, success in enumerate((True, False, None))
        ]
        assert rules(log) == [(name, 4, "missing_user")]


def test_entra_csv(tmp_path: Path) -> None:
    path = tmp_path / "SignIns.csv"
    path.write_text(
        "\ufeffDate (UTC),Request ID,User,Username,Application,IP address,Location,Status,"
        "Sign-in error code,Client app\n"
        '2024-03-01T12:00:00Z,s0,Ann,ann@example.org,Office,::1,"Berlin, DE",Success,,Browser\n'
        '2024-03-01T12:00:01Z,s1,Ann,ann@example.org,Office,::1,"Berlin, DE",Failure,50126,IMAP4\n'
        '2024-03-01T12:00:02Z,s2,Ann,ann@example.org,Office,::1,"Berlin, DE",Interrupted,50074,\n'
        "2024-03-01T12:00:03Z,s3,Ann,,Office,::1,,Success,,\n"
        "2024-03-01T12:00:04Z,s4\n"
    )
    log = check_batches(EntraSource(path, keep=["User"], max_rejected_share=0.5), 2)
    assert log.events.select("event_id", "action", "success", "location", "User").rows() == [
        ("s0", "sign_in", True, "Berlin, DE", "Ann"),
        ("s1", "sign_in", False, "Berlin, DE", "Ann"),
        ("s2", "sign_in", None, "Berlin, DE", "Ann"),
    ]
    assert [(row, rule) for _, row, rule in rules(log)] == [
        (5, "missing_user"),
        (6, "too_few_fields"),
    ]
    with pytest.raises(DataError, match=r"no column 'Usr' \(columns\.user_id=Usr\)"):
        EntraSource(path, {"user_id": "Usr"}).load()
    path.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="no download of Entra sign-ins"):
        EntraSource(path).load()
