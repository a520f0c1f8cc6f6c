"""AWS CloudTrail: who did what with which AWS service."""

from __future__ import annotations

from typing import ClassVar

import polars as pl

from riskml.data.mappings.records import FormatSource, RecordFormat, chosen_by, first_of

WHO, REQUEST = "userIdentity", "requestParameters"
ROLE = f"{WHO}.sessionContext.sessionIssuer.userName"

RESOURCES = (
    "bucketName",
    "roleName",
    "userName",
    "groupName",
    "policyArn",
    "roleArn",
    "secretId",
    "functionName",
    "keyId",
    "instanceId",
    "instancesSet.items.0.instanceId",
    "snapshotId",
    "imageId",
    "volumeId",
    "dBInstanceIdentifier",
    "tableName",
    "streamName",
    "topicArn",
    "queueUrl",
    "stackName",
    "clusterName",
    "trailName",
    "logGroupName",
    "domainName",
    "securityGroupId",
    "groupId",
    "routeTableId",
    "subnetId",
    "networkInterfaceId",
    "vpcId",
    "resourceArn",
    "resourceId",
    "name",
)
"""Request parameters that name what was acted on, the most telling first."""


def _user() -> pl.Expr:
    """Who acted, so that the same person or machine has the same name over sessions.

    A role is assumed anew each time, often with a random session name, so the role is the user;
    but where people sign in by it, the session bears the person's name.
    """
    session = _session_name()
    is_person = session.str.contains("@", literal=True) | pl.col(ROLE).str.starts_with(
        "AWSReservedSSO_"
    )
    role = pl.coalesce(
        pl.format("role/{}", ROLE),
        pl.format("role/{}", pl.col(f"{WHO}.arn").str.extract(r":assumed-role/([^/]+)/")),
    )
    account = pl.format("account/{}", f"{WHO}.accountId")
    return chosen_by(
        f"{WHO}.type",
        {
            "Root": pl.coalesce(pl.format("root/{}", f"{WHO}.accountId"), pl.lit("root")),
            "AssumedRole": pl.when(is_person.fill_null(False)).then(session).otherwise(role),
            "FederatedUser": pl.coalesce(session, ROLE),
            "AWSService": first_of(f"{WHO}.invokedBy"),
            "AWSAccount": account,
        },
        otherwise=first_of(
            f"{WHO}.userName", f"{WHO}.onBehalfOf.userId", f"{WHO}.invokedBy", f"{WHO}.userId"
        ),
    ).fill_null(
        pl.coalesce(first_of(f"{WHO}.invokedBy", f"{WHO}.principalId", f"{WHO}.arn"), account)
    )


def _session_name() -> pl.Expr:
    return pl.col(f"{WHO}.principalId").str.extract(r"^[^:]+:(.+)$")


def _success() -> pl.Expr:
    """No error; a failed sign-in to the console has no code but says so in the answer."""
    sign_in = pl.col("responseElements.ConsoleLogin")
    return pl.col("errorCode").is_null() & (sign_in.fill_null("Success") != "Failure")


class CloudTrailSource(FormatSource):
    """AWS CloudTrail files, `{"Records": [...]}` or a record a line, plain or gzipped.

    `user_id` is the IAM user, `role/<name>` for an assumed role (the session's name where people
    sign in by the role), the service that acted, `root/<account>` or `account/<account>`.
    `action` is service:event. A record without `errorCode` was a success.
    """

    record_format: ClassVar[RecordFormat] = RecordFormat(
        list_key="Records",
        columns={
            "event_id": pl.col("eventID"),
            "user_id": _user(),
            "timestamp": pl.col("eventTime"),
            "action": pl.format(
                "{}:{}", pl.col("eventSource").str.strip_suffix(".amazonaws.com"), "eventName"
            ),
            "resource": first_of("resources.0.ARN", *(f"{REQUEST}.{name}" for name in RESOURCES)),
            "source": pl.col("sourceIPAddress"),
            "success": _success(),
            "region": pl.col("awsRegion"),
            "user_agent": pl.col("userAgent"),
            "account": first_of("recipientAccountId", f"{WHO}.accountId"),
            "identity_type": pl.col(f"{WHO}.type"),
            "session_name": _session_name(),
            "access_key": pl.col(f"{WHO}.accessKeyId"),
            "mfa": pl.col(f"{WHO}.sessionContext.attributes.mfaAuthenticated"),
            "read_only": pl.col("readOnly"),
            "error_code": pl.col("errorCode"),
            "request_id": pl.col("requestID"),
        },
    )
