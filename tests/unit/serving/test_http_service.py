"""The HTTP service: its answers are the bundle's, and wrong requests are told what is wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
import pytest
import requests
from http_client import BUNDLE, EVENTS, TOKEN, Client, serving

from riskml.export.bundle import load_bundle
from riskml.serving.http.batching import Limits

LIMITS = Limits(windows=300, events=1_000, body_bytes=1 << 20)


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with serving(limits=LIMITS) as client:
        yield client


@pytest.fixture(scope="module")
def events() -> pl.DataFrame:
    return pl.read_parquet(EVENTS)


@pytest.fixture(scope="module")
def rows(events: pl.DataFrame) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(
        events.with_columns(pl.col("timestamp").dt.strftime("%Y-%m-%dT%H:%M:%S%.fZ")).write_json()
    )
    return found


def same(found: list[dict[str, Any]], expected: pl.DataFrame) -> None:
    assert len(found) == len(expected)
    for name in ("window_id", "user_id", "n_events", "peer", "alert", "learning"):
        assert [row[name] for row in found] == expected[name].to_list(), name
    for name in ("score", "p_value", "risk"):
        np.testing.assert_allclose([r[name] for r in found], expected[name], rtol=2e-6, atol=1e-6)
    for name in ("start", "end"):
        assert [datetime.fromisoformat(r[name]) for r in found] == expected[name].to_list()


# ---- answers


def test_events_come_back_as_the_bundle_scores_them(
    client: Client, events: pl.DataFrame, rows: list[dict[str, Any]]
) -> None:
    answer = client.post("/v1/events", rows)
    assert answer.status_code == 200, answer.text
    content = answer.json()
    expected = load_bundle(BUNDLE).score(events)
    same(content["windows"], expected)
    assert content["late_events"] == content["repeated_events"] == 0
    assert [row["reasons"] is not None for row in content["windows"]] == expected["alert"].to_list()
    assert answer.headers["x-model-version"] == content["model_version"]


def test_the_same_request_has_the_same_answer(client: Client, rows: list[dict[str, Any]]) -> None:
    """Nothing is learnt from what is posted."""
    first, second = (client.post("/v1/events", rows[:50]).content for _ in range(2))
    assert first == second


def test_events_that_come_again_count_once(client: Client, rows: list[dict[str, Any]]) -> None:
    content = client.post("/v1/events", [*rows[:20], *rows[:3]]).json()
    assert content.pop("repeated_events") == 3
    once = client.post("/v1/events", rows[:20]).json()
    assert content["windows"] == once["windows"]


def posted(events: pl.DataFrame) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The windows of events as a list and as a table."""
    windows = load_bundle(BUNDLE).extractor.windows(events)
    names, actions = windows.spec.names, windows.spec.actions
    columns = {
        "window_id": windows.keys["window_id"].to_list(),
        "user_id": windows.keys["user_id"].to_list(),
        "start": [moment.isoformat() for moment in windows.keys["start"]],
        "end": [moment.isoformat() for moment in windows.keys["end"]],
        "features": [dict(zip(names, row, strict=True)) for row in windows.x.tolist()],
        "actions": [
            [actions[token] for token in row[:length]]
            for row, length in zip(windows.tokens.tolist(), windows.lengths, strict=True)
        ],
    }
    table = {
        "names": names[::-1],
        "rows": windows.x[:, ::-1].tolist(),
        "user_ids": columns["user_id"],
        "window_ids": columns["window_id"],
        "starts": columns["start"],
        "ends": columns["end"],
        "actions": columns["actions"],
    }
    keys = list(columns)
    return [dict(zip(keys, r, strict=True)) for r in zip(*columns.values(), strict=True)], table


def test_windows_come_back_as_the_bundle_scores_them(client: Client, events: pl.DataFrame) -> None:
    expected = load_bundle(BUNDLE).score(events)
    for body in posted(events):
        answer = client.post("/v1/windows", body)
        assert answer.status_code == 200, answer.text
        same(answer.json()["windows"], expected)


def test_requests_that_come_together_are_answered_as_alone(
    client: Client, events: pl.DataFrame, rows: list[dict[str, Any]]
) -> None:
    windows, _ = posted(events)
    bodies = [("/v1/windows", [window]) for window in windows] + [("/v1/windows", windows)] * 3
    bodies += [("/v1/windows", [{"user_id": "x"}]), ("/v1/events", rows[:40])] * 5
    alone = [client.post(*body) for body in bodies]
    before = client.metric("riskml_batch_windows_count"), client.metric("riskml_windows_scored")
    with ThreadPoolExecutor(24) as pool:
        found = list(pool.map(lambda body: client.post(*body), bodies * 2))
    for one, other in zip(found, alone * 2, strict=True):
        assert one.status_code == other.status_code
        if one.status_code != 200:
            assert one.content == other.content
            continue
        mine, theirs = one.json()["windows"], other.json()["windows"]
        for a, b in zip(mine, theirs, strict=True):
            assert a["alert"] == b["alert"]
            assert a["score"] == pytest.approx(b["score"], rel=2e-6, abs=1e-6)
    batches = client.metric("riskml_batch_windows_count") - before[0]
    assert batches < 2 * sum(path == "/v1/windows" for path, _ in bodies), "some went together"


@pytest.mark.parametrize(("asked", "given"), [("none", 0), ("all", 2), ("alerts", 1)])
def test_reasons(asked: str, given: int, client: Client) -> None:
    example = client.example("/v1/windows")
    found = client.post(f"/v1/windows?reasons={asked}", example).json()["windows"]
    assert sum(row["reasons"] is not None for row in found) == given
    if given:
        assert found[-1]["reasons"][1]["text"]


@pytest.mark.parametrize("route", ["/v1/events", "/v1/windows"])
def test_examples_of_the_page_work(route: str, client: Client) -> None:
    examples = client.get("/openapi.json").json()["paths"][route]["post"]["requestBody"]["content"]
    for example in examples["application/json"]["examples"].values():
        answer = client.post(route, example["value"])
        assert answer.status_code == 200, answer.text
        assert answer.json()["windows"]


def test_nothing_in_nothing_out(client: Client) -> None:
    for route in ("/v1/events", "/v1/windows"):
        answer = client.post(route, [])
        assert (answer.status_code, answer.json()["windows"]) == (200, [])


# ---- wrong requests


def window(client: Client, **changes: Any) -> dict[str, Any]:
    return client.example("/v1/windows")[0] | changes


def event(client: Client, **changes: Any) -> dict[str, Any]:
    return client.example("/v1/events")[0] | changes


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"user_id": 3}, "user_id"),
        ({"user_id": ""}, "user_id"),
        ({"colour": "red"}, "colour"),
        ({"end": "2024-01-01T00:00:00"}, "end"),
        ({"end": "9999-12-31T23:59:59Z"}, "end"),
        ({"end": 1e300}, "end"),
        ({"start": "2150-01-01T00:00:00Z"}, "start"),
        ({"features": {"events": 1.0}}, "features.resources"),
        ({"event_times": [[1.0, 3.0]]}, "event_times"),
        ({"actions": ["a"], "event_times": [[-1.0, 3.0]]}, "event_times"),
    ],
)
def test_a_wrong_window_is_named(changes: dict[str, Any], field: str, client: Client) -> None:
    answer = client.post("/v1/windows", [window(client), window(client, **changes)])
    assert answer.status_code == 422, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert (problem["errors"][0]["row"], problem["errors"][0]["field"]) == (1, field)
    assert f"row 1, field '{field}'" in problem["detail"]
    assert problem["status"] == 422


@pytest.mark.parametrize("value", ["1e39", "1e999", "NaN", "-Infinity", "9" * 400, "true", '"1"'])
def test_a_feature_that_is_no_number_is_named(value: str, client: Client) -> None:
    body = json.dumps([window(client, features=window(client)["features"] | {"minutes": "@"})])
    answer = client.post("/v1/windows", body.replace('"@"', value).encode())
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0] | {"message": ""} == {
        "row": 0,
        "field": "features.minutes",
        "message": "",
    }


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"event_id": None}, "event_id"),
        ({"timestamp": "yesterday"}, "timestamp"),
        ({"timestamp": "2024-01-01T00:00:00"}, "timestamp"),
        ({"timestamp": "0001-01-01T00:00:00Z"}, "timestamp"),
        ({"timestamp": 12}, "timestamp"),
        ({"success": 1}, "success"),
        ({"bytes": [1]}, "bytes"),
    ],
)
def test_a_wrong_event_is_named(changes: dict[str, Any], field: str, client: Client) -> None:
    answer = client.post("/v1/events", [event(client), event(client, **changes)])
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["row"] == 1
    assert answer.json()["errors"][0]["field"] == field


def test_an_unknown_time_zone_is_named(client: Client) -> None:
    answer = client.post("/v1/events", [event(client, time_zone="Mars/Base")])
    assert answer.status_code == 422
    assert "Mars/Base" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"names": ["a", "b"]}, "names"),
        ({"user_ids": ["a"]}, "user_ids"),
        ({"rows": [[1.0], [2.0]]}, "rows"),
        ({"peers": ["a", "b", "c"]}, "peers"),
        ({"more": 1}, "more"),
    ],
)
def test_a_wrong_table_is_named(changes: dict[str, Any], field: str, client: Client) -> None:
    answer = client.post("/v1/windows", client.example("/v1/windows", 1) | changes)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["field"] == field


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[" * 100_000, b'{"a":' * 50_000, b"\xff\xfe\x00", b'["\\ud800"]', b"nul", b"[]]"],
)
@pytest.mark.parametrize("route", ["/v1/events", "/v1/windows"])
def test_what_is_no_json_is_refused(body: bytes, route: str, client: Client) -> None:
    answer = client.post(route, body)
    assert answer.status_code == 400, answer.text
    assert "no JSON" in answer.json()["detail"]


@pytest.mark.parametrize("body", [b"null", b"3", b'"x"', b"[null]", b"[[]]", b"{}", b"[1e999]"])
@pytest.mark.parametrize("route", ["/v1/events", "/v1/windows"])
def test_other_json_is_refused(body: bytes, route: str, client: Client) -> None:
    assert client.post(route, body).status_code == 422


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_other_media_types_are_refused(kind: str, client: Client) -> None:
    assert client.post("/v1/windows", [], **{"Content-Type": kind}).status_code == 415
    answer = client.post("/v1/windows", b"\x1f\x8b", **{"Content-Encoding": "gzip"})
    assert answer.status_code == 415


def test_too_much_is_refused(client: Client) -> None:
    example = window(client)
    too_many = client.post("/v1/windows", [example] * (LIMITS.windows + 1))
    assert (too_many.status_code, "at most 300" in too_many.json()["detail"]) == (413, True)
    blank = b" " * (LIMITS.body_bytes + 1)
    assert client.post("/v1/windows", blank).status_code == 413
    chunks = (b" " * 65_536 for _ in range(20))
    chunked = requests.post(client.url + "/v1/events", chunks, headers=client.headers(), timeout=30)
    assert chunked.status_code == 413
    assert client.post("/v1/windows", [example] * LIMITS.windows).status_code == 200


def test_other_routes_and_methods_are_problems_too(client: Client) -> None:
    for answer, status in ((client.get("/v2"), 404), (client.get("/v1/windows"), 405)):
        assert answer.status_code == status
        assert answer.json()["status"] == status
    assert client.post("/v1/windows?reasons=some", []).status_code == 422


def test_a_full_queue_is_told_to_come_again(client: Client) -> None:
    with serving(limits=Limits(queue=0)) as full:
        answer = full.post("/v1/windows", [])
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    with serving(limits=Limits(queue_bytes=10)) as full:
        assert full.post("/v1/windows", b" " * 20).status_code == 503


# ---- the service


@pytest.mark.parametrize("given", ["", "Bearer", f"Bearer {TOKEN}x", f"Basic {TOKEN}", TOKEN])
def test_without_a_token_nothing_is_told(given: str, client: Client) -> None:
    headers = {"Authorization": given}
    for path in ("/v1/model", "/v1/schema", "/metrics"):
        assert client.get(path, headers=headers).status_code == 401
    for path in ("/v1/windows", "/v1/events", "/v1/reload"):
        answer = client.post(path, [], **headers)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (
            401,
            'Bearer realm="riskml"',
        )
    for path in ("/health", "/ready", "/docs", "/openapi.json"):
        assert client.get(path, headers=headers).status_code == 200


def test_the_model_tells_what_it_is_and_reads(client: Client) -> None:
    bundle = load_bundle(BUNDLE)
    model, schema = client.get("/v1/model").json(), client.get("/v1/schema").json()
    assert model["detector"] == "vae"
    assert model["model_version"] == schema["model_version"]
    assert model["threshold"] == bundle.threshold
    assert [f["name"] for f in schema["windows"]["features"]] == bundle.extractor.spec.names
    assert schema["events"] == json.loads((BUNDLE / "input.schema.json").read_text())


def test_metrics_count_and_name_nobody(client: Client) -> None:
    user = window(client)["user_id"]
    before = client.metric("riskml_windows_scored_total"), client.metric("riskml_alerts_total")
    client.post("/v1/windows", client.example("/v1/windows"))
    client.get("/nowhere/" + user)
    after = client.metric("riskml_windows_scored_total"), client.metric("riskml_alerts_total")
    assert (after[0] - before[0], after[1] - before[1]) == (2, 1)
    text = client.get("/metrics").text
    assert user not in text
    version = client.get("/v1/model").json()["model_version"]
    assert f'riskml_model_info{{detector="vae",version="{version}"}} 1.0' in text
    assert 'route="other",status="404"' in text
    assert client.metric("riskml_queue_requests") == 0


def test_the_page_asks_nobody_else(client: Client) -> None:
    page = client.get("/docs")
    assert "http" not in page.text.replace("<!doctype html>", "")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    for path in ("page.js", "page.css", "assets/swagger-ui-bundle.js", "assets/swagger-ui.css"):
        assert f"docs/{path}" in page.text
        assert client.get(f"/docs/{path}").status_code == 200
    with serving(docs=False) as hidden:
        assert hidden.get("/docs").status_code == hidden.get("/openapi.json").status_code == 404
