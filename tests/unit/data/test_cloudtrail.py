"""CloudTrail records, real ones and one of each kind of identity."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from record_files import check_batches, rules, write_lines

from riskml.core.errors import ConfigError, DataError
from riskml.data.mappings.cloudtrail import CloudTrailSource

DATA = os.environ.get("RISKML_DATA")


@pytest.mark.slow
@pytest.mark.needs_data
@pytest.mark.skipif(DATA is None, reason="RISKML_DATA is not set")
def test_every_real_record_is_an_event() -> None:
    folder = Path(str(DATA)) / "cloudtrail"
    records = [
        record
        for file in sorted(folder.glob("*.json.gz"))
        for record in json.loads(gzip.decompress(file.read_bytes()))["Records"]
    ]
    log = check_batches(CloudTrailSource(folder), 700)
    assert len(log.events) == len(records) == 2_900
    assert log.rejected.is_empty()
    by_id = {row["event_id"]: row for row in log.events.iter_rows(named=True)}
    for record in records:
        event, who = by_id[record["eventID"]], record["userIdentity"]
        assert f"{event['timestamp']:%Y-%m-%dT%H:%M:%SZ}" == record["eventTime"]
        assert event["action"].endswith(f":{record['eventName']}")
        assert event["source"] == record["sourceIPAddress"]
        assert event["success"] == ("errorCode" not in record)
        assert event["error_code"] == record.get("errorCode")
        assert event["region"] == record["awsRegion"]
        if who.get("type") == "IAMUser":
            assert event["user_id"] == who["userName"]
    roles = log.events.filter(identity_type="AssumedRole")
    assert roles["user_id"].str.starts_with("role/").all() and len(roles) == 76
    services = log.events.filter(pl.col("identity_type").is_null())
    assert services["user_id"].str.ends_with(".amazonaws.com").sum() == 42
    assert log.events["resource"].count() > 1_500


ROLE = {
    "type": "AssumedRole",
    "principalId": "AROA1:{}",
    "arn": "arn:aws:sts::111122223333:assumed-role/{}/x",
    "accountId": "111122223333",
}


def role(session: str, name: str, issuer: bool = True) -> dict[str, Any]:
    who: dict[str, Any] = {key: value.format(session) for key, value in ROLE.items()}
    who["arn"] = f"arn:aws:sts::111122223333:assumed-role/{name}/{session}"
    if issuer:
        who["sessionContext"] = {"sessionIssuer": {"type": "Role", "userName": name}}
    return who


IDENTITIES: list[tuple[dict[str, Any], str | None]] = [
    ({"type": "IAMUser", "userName": "ann", "accountId": "1"}, "ann"),
    ({"type": "Root", "accountId": "111122223333", "principalId": "1"}, "root/111122223333"),
    (role("i-0abc", "WebServer"), "role/WebServer"),
    (role("i-0abc", "WebServer", issuer=False), "role/WebServer"),
    (role("ann@example.org", "Admin"), "ann@example.org"),
    (role("ann", "AWSReservedSSO_Admin_0123"), "ann"),
    ({"type": "FederatedUser", "principalId": "111122223333:bob"}, "bob"),
    ({"type": "AWSService", "invokedBy": "ec2.amazonaws.com"}, "ec2.amazonaws.com"),
    ({"type": "AWSAccount", "accountId": "4", "principalId": "AIDA"}, "account/4"),
    ({"type": "SAMLUser", "userName": "carol", "principalId": "x:carol"}, "carol"),
    ({"type": "WebIdentityUser", "userName": "dave@example.org"}, "dave@example.org"),
    ({"type": "IdentityCenterUser", "onBehalfOf": {"userId": "94-1"}}, "94-1"),
    ({"type": "Unknown", "principalId": "AIDA9"}, "AIDA9"),
    ({"accountId": "5", "invokedBy": "rds.amazonaws.com"}, "rds.amazonaws.com"),
    ({"accountId": "5"}, "account/5"),
    ({}, None),
]


def record(who: dict[str, Any] | None, number: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "userIdentity": who,
        "eventTime": "2024-03-01T12:00:00Z",
        "eventSource": "s3.amazonaws.com",
        "eventName": "GetObject",
        "sourceIPAddress": "198.51.100.7",
        "eventID": f"e{number:02d}",
        **more,
    }


def test_the_user_by_kind_of_identity(tmp_path: Path) -> None:
    records = [record(who, number) for number, (who, _) in enumerate(IDENTITIES)]
    path = write_lines(tmp_path / "log.json.gz", [{"Records": [*records, record(None, 99)]}])
    log = check_batches(CloudTrailSource(path), 4)
    expected = [user for _, user in IDENTITIES if user is not None]
    assert log.events.sort("event_id")["user_id"].to_list() == expected
    assert rules(log) == [
        ("log.json.gz", 16, "missing_user"),
        ("log.json.gz", 17, "missing_user"),
    ]


ANN = {"type": "IAMUser", "userName": "ann"}


@pytest.mark.parametrize(
    ("more", "success"),
    [
        ({}, True),
        ({"errorCode": "AccessDenied"}, False),
        ({"responseElements": {"ConsoleLogin": "Success"}}, True),
        ({"responseElements": {"ConsoleLogin": "Failure"}}, False),
    ],
)
def test_the_outcome(tmp_path: Path, more: dict[str, Any], success: bool) -> None:
    path = write_lines(tmp_path / "log.json", [record(ANN, **more)])
    assert CloudTrailSource(path).load().events["success"].to_list() == [success]


@pytest.mark.parametrize(
    ("more", "resource"),
    [
        ({"resources": [{"ARN": "arn:x"}], "requestParameters": {"name": "n"}}, "arn:x"),
        ({"requestParameters": {"bucketName": "b", "name": "n"}}, "b"),
        (
            {"requestParameters": {"instancesSet": {"items": [{"instanceId": "i-1"}]}}},
            "i-1",
        ),
        ({"requestParameters": None}, None),
    ],
)
def test_the_resource(tmp_path: Path, more: dict[str, Any], resource: str | None) -> None:
    path = write_lines(tmp_path / "log.json", [record(ANN, **more)])
    assert CloudTrailSource(path).load().events["resource"].to_list() == [resource]


def test_damaged_files_and_records(tmp_path: Path) -> None:
    write_lines(tmp_path / "a.json.gz", [{"Records": [record(ANN, n) for n in range(20)]}])
    (tmp_path / "b.json").write_text('{"Records": [{"eventVersion"')
    write_lines(tmp_path / "c.json", [{"Records": ["x", record(ANN, 30, eventTime="noon")]}])
    write_lines(tmp_path / "d.json", [{"Records": []}])
    log = check_batches(CloudTrailSource(tmp_path), 3)
    assert len(log.events) == 20
    assert rules(log) == [
        ("b.json", 1, "invalid_json"),
        ("c.json", 1, "not_an_object"),
        ("c.json", 2, "unparsable_timestamp"),
    ]


def test_another_field_can_be_chosen(tmp_path: Path) -> None:
    who = {**ANN, "arn": "arn:ann"}
    path = write_lines(tmp_path / "log.json", [record(who, vpcEndpointId="v1")])
    source = CloudTrailSource(path, {"user_id": "userIdentity.arn"}, keep=["vpcEndpointId"])
    assert source.load().events.select("user_id", "vpcEndpointId").rows() == [("arn:ann", "v1")]
    with pytest.raises(ConfigError, match=r"columns\.user: no such event column"):
        CloudTrailSource(path, {"user": "x"}).load()


def test_what_is_no_cloudtrail(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "log.json", [{"a": 1}])
    with pytest.raises(DataError, match=r"log\.json: no value of 'timestamp' can be read"):
        CloudTrailSource(path).load()
