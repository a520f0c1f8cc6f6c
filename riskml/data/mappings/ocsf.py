"""Open Cybersecurity Schema Framework 1.x: Authentication (3002) and API Activity (6003)."""

from __future__ import annotations

from typing import ClassVar

import polars as pl

from riskml.data.mappings.records import FormatSource, RecordFormat, first_of, words

AUTHENTICATION = "3002"
ACTIVITIES = {
    "1": "logon",
    "2": "logoff",
    "3": "authentication_ticket",
    "4": "service_ticket_request",
    "5": "service_ticket_renew",
    "6": "preauth",
    "7": "account_switch",
}
"""`activity_id` of the class Authentication."""

USER_NAMES = ("name", "email_addr", "uid")


def _user() -> pl.Expr:
    """The one who signs in or, of other activities, who acts."""
    signs_in = first_of(*(f"user.{name}" for name in USER_NAMES))
    acts = first_of(
        *(f"actor.user.{name}" for name in USER_NAMES),
        "actor.session.issuer",
        "actor.invoked_by",
        "actor.app_name",
    )
    is_sign_in = pl.col("class_uid") == AUTHENTICATION
    return pl.when(is_sign_in).then(signs_in.fill_null(acts)).otherwise(acts.fill_null(signs_in))


def _action() -> pl.Expr:
    activity = pl.coalesce(
        words(first_of("activity_name")),
        pl.when(pl.col("class_uid") == AUTHENTICATION).then(
            pl.col("activity_id").replace_strict(ACTIVITIES, default=None, return_dtype=pl.String)
        ),
    )
    service = first_of("api.service.name", "metadata.product.name")
    return pl.coalesce(
        pl.format("{}:{}", service, "api.operation"),
        pl.col("api.operation"),
        pl.format("{}:{}", words(first_of("class_name")), activity),
        pl.when(pl.col("class_uid") == AUTHENTICATION).then(
            pl.format("authentication:{}", activity)
        ),
        pl.format("class_{}:{}", "class_uid", activity),
    )


class OcsfSource(FormatSource):
    """OCSF events, a record a line or an array of them, plain or gzipped.

    `action` is `authentication:logon` and the like, or service:operation of an API call; a
    `status_id` other than 1 (success) and 2 (failure) leaves the outcome unknown.
    """

    record_format: ClassVar[RecordFormat] = RecordFormat(
        columns={
            "event_id": pl.col("metadata.uid"),
            "user_id": _user(),
            "timestamp": first_of("time", "time_dt"),
            "action": _action(),
            "resource": first_of(
                "resources.0.uid",
                "resources.0.name",
                "resource.uid",
                "service.name",
                "dst_endpoint.hostname",
                "dst_endpoint.ip",
            ),
            "source": first_of("src_endpoint.ip", "src_endpoint.hostname", "src_endpoint.name"),
            "success": pl.when(pl.col("status_id").is_in(["1", "2"])).then(
                pl.col("status_id") == "1"
            ),
            "class_uid": pl.col("class_uid"),
            "product": pl.col("metadata.product.name"),
            "severity_id": pl.col("severity_id"),
            "region": pl.col("cloud.region"),
            "account": pl.col("cloud.account.uid"),
            "user_agent": pl.col("http_request.user_agent"),
            "auth_protocol": pl.col("auth_protocol"),
            "mfa": pl.col("is_mfa"),
            "status_detail": pl.col("status_detail"),
        }
    )
