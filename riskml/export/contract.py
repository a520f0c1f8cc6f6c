"""What goes into a bundle and what comes out, as JSON schemas (2020-12) for other programs."""

from __future__ import annotations

from typing import Any

from riskml.core.schema import EVENT_SCHEMA, REQUIRED_COLUMNS, TIME_ZONE
from riskml.features.extractor import FeatureExtractor

INPUT_SCHEMA, OUTPUT_SCHEMA = "input.schema.json", "output.schema.json"
_DIALECT = "https://json-schema.org/draft/2020-12/schema"

_TIME = {"type": "string", "format": "date-time"}
_TEXT = {"type": "string"}
_MEANING: dict[str, dict[str, Any]] = {
    "event_id": _TEXT | {"description": "unique"},
    "user_id": _TEXT | {"description": "as in training, a pseudonym where there were any"},
    "timestamp": _TIME | {"description": "with its offset from UTC"},
    "action": _TEXT | {"description": "what was done"},
    "resource": {"type": ["string", "null"], "description": "to what"},
    "source": {"type": ["string", "null"], "description": "IP address, host or device"},
    "success": {"type": ["boolean", "null"], "description": "how it ended"},
    TIME_ZONE: {"type": ["string", "null"], "description": "IANA time zone of the user's clock"},
}
_SCORED: dict[str, dict[str, Any]] = {
    "window_id": _TEXT,
    "user_id": _TEXT,
    "start": _TIME | {"description": "of its first event"},
    "end": _TIME | {"description": "of its last event"},
    "n_events": {"type": "integer", "minimum": 1},
    "peer": _TEXT | {"description": "the user's peer group"},
    "score": {"type": "number", "description": "of the detector; higher is riskier"},
    "p_value": {
        "type": "number",
        "minimum": 0,
        "maximum": 1,
        "description": "chance that a normal window of the peer group scores as high",
    },
    "risk": {"type": "number", "minimum": 0, "maximum": 100, "description": "−25 · log10(p)"},
    "alert": {"type": "boolean", "description": "whether the threshold is passed"},
    "learning": {"type": "boolean", "description": "whether the user is too new to be known"},
}


def input_schema(extractor: FeatureExtractor) -> dict[str, Any]:
    """Of a list of events, with the columns that this extractor reads."""
    reads = extractor.reads()
    anything = {"type": ["string", "number", "boolean", "null"]}
    columns = {name: _MEANING.get(name, anything) for name in [*reads, TIME_ZONE]}
    needed = [name for name in reads if name in REQUIRED_COLUMNS or name not in EVENT_SCHEMA]
    return _list_of("events of a log", "event", columns, ["event_id", *needed])


def output_schema() -> dict[str, Any]:
    """Of a list of scored windows."""
    return _list_of("windows with their risk", "window", _SCORED, list(_SCORED))


def scored_columns() -> dict[str, str]:
    """JSON type of each column of a scored window, by name."""
    return {name: str(meaning["type"]) for name, meaning in _SCORED.items()}


def _list_of(
    title: str, item: str, columns: dict[str, dict[str, Any]], required: list[str]
) -> dict[str, Any]:
    row = {"title": item, "type": "object", "properties": columns, "required": required}
    return {"$schema": _DIALECT, "title": title, "type": "array", "items": row}
