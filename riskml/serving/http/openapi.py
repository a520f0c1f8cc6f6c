"""The OpenAPI 3.1 document, with the features of the model and examples that it scores."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from riskml import __version__
from riskml.core.schema import EVENT_SCHEMA, TIME_ZONE
from riskml.serving.http.batching import Limits
from riskml.serving.http.bodies import (
    Event,
    ProblemDocument,
    Reloaded,
    Scored,
    ScoredEvents,
    Status,
    Window,
    WindowTable,
)
from riskml.serving.http.intake import JSON
from riskml.serving.http.model import MOST_EXPLAINED, Asked, Model
from riskml.serving.http.problems import MEDIA_TYPE

_REFERENCE = "#/components/schemas/{model}"
_USER = "a.user@example.org"

_STATELESS = """
Finds risky behaviour in what users do. Post **events** of a log, or **windows** whose features
were computed elsewhere; each window comes back with its risk of 0 to 100, whether it is an alert,
and the reasons in words.

What is known of users is what the model knew when it was exported: requests never teach it, so the
same request has the same answer until the model changes. Every answer names its `model_version`.
"""

_PROBLEMS = {
    400: "the body is no JSON",
    401: "no valid token",
    408: "the body did not arrive in time",
    409: "the bundle was refused, the one from before goes on",
    413: "the body is too large, or has too many rows",
    415: "not sent as plain `application/json`",
    422: "rows or fields are wrong; `errors` names them",
    503: "too much is being worked on, or the service is stopping; see `Retry-After`",
}
_OF_SCORES = (400, 401, 408, 413, 415, 422, 503)


def openapi(model: Model, limits: Limits) -> dict[str, Any]:
    """The document for one model.

    Args:
        model: whose features and examples are shown.
        limits: of requests.
    """
    schemas = _schemas(model)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "riskml",
            "version": __version__,
            "summary": "Risk of what users do, with reasons.",
            "description": _STATELESS,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "tags": [
            {"name": "scores", "description": "Events or windows in, risk out"},
            {"name": "model", "description": "Which model answers, and what it reads"},
            {"name": "service", "description": "For those who run it"},
        ],
        "security": [{"token": []}],
        "paths": _paths(model, limits),
        "components": {
            "schemas": schemas,
            "responses": {str(code): _problem(code) for code in _PROBLEMS},
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "One of the tokens that the service was started with",
                }
            },
        },
    }


def event_examples(model: Model) -> list[dict[str, Any]]:
    """A few events of somebody new, later than all that the model knows."""
    extractor, known = model.bundle.extractor, model.bundle.profile.watermark
    begin = (known or datetime(2026, 1, 5, tzinfo=UTC)).replace(microsecond=0) + timedelta(hours=1)
    actions = extractor.vocabulary.actions[2:5] or ("login",)
    examples = []
    for i, action in enumerate(actions):
        moment = (begin + timedelta(minutes=7 * i)).isoformat().replace("+00:00", "Z")
        event: dict[str, Any] = {
            "event_id": f"example-{i + 1}",
            "user_id": _USER,
            "timestamp": moment,
            "action": action,
            "resource": "reports/2026",
            "source": "198.51.100.7",
            "success": True,
        }
        examples.append(event | {name: _value(model, name) for name in _columns(model)})
    return examples


def window_examples(model: Model) -> list[dict[str, Any]]:
    """A usual window, and the same with all that is counted ten times as high."""
    values = dict(zip(model.spec.names, model.example_values(), strict=True))
    counts = {f.name for f in model.spec.features if f.kind == "count"}
    busy = {name: value * 10 + 5 if name in counts else value for name, value in values.items()}
    return [
        {"window_id": name, "user_id": _USER, "features": features}
        for name, features in (("usual", values), ("busy", busy))
    ]


def _columns(model: Model) -> list[str]:
    return [name for name in model.reads if name not in EVENT_SCHEMA and name != TIME_ZONE]


def _value(model: Model, column: str) -> Any:
    extractor = model.bundle.extractor
    if column == extractor.peers.column and extractor.peers.names:
        return extractor.peers.names[0]
    numbers = [name for family in extractor.families for name in family.numbers(())]
    return 1.0 if column in numbers else "example"


def _schemas(model: Model) -> dict[str, Any]:
    asked: list[type[BaseModel]] = [Event, Window, WindowTable]
    told: list[type[BaseModel]] = [Scored, ScoredEvents, ProblemDocument, Reloaded, Status]
    pairs = [(kind, "validation") for kind in asked] + [(kind, "serialization") for kind in told]
    _, found = models_json_schema(pairs, ref_template=_REFERENCE)  # type: ignore[arg-type]
    schemas: dict[str, Any] = found["$defs"]
    spec = model.spec
    features = schemas["Window"]["properties"]["features"]
    features |= {
        "properties": {f.name: {"type": "number", "description": f.meaning} for f in spec.features},
        "required": spec.names,
        "additionalProperties": False,
    }
    extra = _columns(model)
    schemas["Event"]["required"] += extra
    schemas["Event"]["properties"] |= {
        name: schemas["Event"]["additionalProperties"] for name in extra
    }
    schemas["WindowTable"]["properties"]["names"] |= {
        "items": {"enum": spec.names},
        "minItems": len(spec),
        "maxItems": len(spec),
    }
    return schemas


def _paths(model: Model, limits: Limits) -> dict[str, Any]:
    table = {
        "names": model.spec.names,
        "rows": [list(window["features"].values()) for window in window_examples(model)],
        "user_ids": [_USER, _USER],
    }
    list_of_windows = {"type": "array", "items": _ref("Window"), "maxItems": limits.windows}
    size = f"Up to {limits.body_bytes:,} bytes"
    return {
        "/v1/events": {
            "post": _scoring(
                "Score events",
                "Cuts the events into windows, after what the model knows of these users, and "
                "scores them; windows that may still grow are given as they stand.\n\n"
                f"{size} and {limits.events:,} events a request.",
                {"type": "array", "items": _ref("Event"), "maxItems": limits.events},
                {"new user": event_examples(model)},
                "ScoredEvents",
            )
        },
        "/v1/windows": {
            "post": _scoring(
                "Score windows",
                "For callers that compute the features of `GET /v1/schema` themselves. A list of "
                "windows, or a table of many, which is read three times as fast.\n\n"
                f"{size} and {limits.windows:,} windows a request.",
                {"oneOf": [list_of_windows, _ref("WindowTable")]},
                {"list": window_examples(model), "table": table},
                "Scored",
            )
        },
        "/v1/schema": {"get": _telling("model", "What the model reads", "object")},
        "/v1/model": {"get": _telling("model", "Which model answers", "object")},
        "/v1/reload": {
            "post": {
                **_operation("model", "Load the bundle anew"),
                "description": "Verifies and loads what lies at the bundle's path, then puts it in "
                "the place of the present model between two batches. The service also does so by "
                "itself when the bundle changes, and at SIGHUP.",
            }
            | _answers("Reloaded", (401, 409))
        },
        "/health": {"get": _open("Whether the process lives", "Status")},
        "/ready": {"get": _open("Whether requests may be sent", "Status", stopping=True)},
        "/metrics": {
            "get": {
                **_operation("service", "Metrics for Prometheus"),
                "responses": {
                    "200": {
                        "description": "in Prometheus' text format",
                        "content": {"text/plain": {"schema": {"type": "string"}}},
                    },
                    "401": {"$ref": "#/components/responses/401"},
                },
            }
        },
    }


def _scoring(
    summary: str, description: str, schema: Any, examples: dict[str, Any], answer: str
) -> dict[str, Any]:
    shown = {name: {"summary": name, "value": value} for name, value in examples.items()}
    parameter = {
        "name": "reasons",
        "in": "query",
        "description": "which windows get reasons; the riskiest "
        f"{MOST_EXPLAINED} of a request at most",
        "schema": {"enum": list(get_args(Asked)), "default": "alerts"},
    }
    return {
        **_operation("scores", summary),
        "description": description,
        "parameters": [parameter],
        "requestBody": {
            "required": True,
            "content": {JSON: {"schema": schema, "examples": shown}},
        },
    } | _answers(answer, _OF_SCORES)


def _telling(tag: str, summary: str, kind: str) -> dict[str, Any]:
    content = {JSON: {"schema": {"type": kind}}}
    answer = {"description": summary, "content": content, "headers": _HEADERS}
    responses = {"200": answer, "401": {"$ref": "#/components/responses/401"}}
    return {**_operation(tag, summary), "responses": responses}


def _open(summary: str, answer: str, stopping: bool = False) -> dict[str, Any]:
    found = _operation("service", summary) | _answers(answer, ())
    if stopping:
        found["responses"]["503"] = {
            "description": "the service is stopping",
            "content": {JSON: {"schema": _ref(answer)}},
        }
    return found | {"security": []}


def _operation(tag: str, summary: str) -> dict[str, Any]:
    name = summary.lower().replace(" ", "_")
    return {"tags": [tag], "summary": summary, "operationId": name, "responses": {}}


_HEADERS = {
    "X-Model-Version": {"description": "the model that answered", "schema": {"type": "string"}}
}


def _answers(schema: str, problems: tuple[int, ...]) -> dict[str, Any]:
    answer = {
        "description": "as asked",
        "content": {JSON: {"schema": _ref(schema)}},
        "headers": _HEADERS,
    }
    refused = {str(code): {"$ref": f"#/components/responses/{code}"} for code in problems}
    return {"responses": {"200": answer, **refused}}


def _problem(code: int) -> dict[str, Any]:
    title = HTTPStatus(code).phrase
    example = {"type": "about:blank", "title": title, "status": code, "detail": _PROBLEMS[code]}
    content = {MEDIA_TYPE: {"schema": _ref("ProblemDocument"), "example": example}}
    return {"description": _PROBLEMS[code], "content": content}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": _REFERENCE.format(model=name)}
