"""A bundle as an MLflow model: its folder, the script that loads it, and what goes in and out."""

from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from riskml.core.schema import EVENT_SCHEMA, REQUIRED_COLUMNS, TIME_ZONE
from riskml.core.types import UNKNOWN_ACTION
from riskml.export.bundle import Bundle
from riskml.export.contract import scored_columns
from riskml.export.graphs import NATIVE
from riskml.features.extractor import FeatureExtractor

if TYPE_CHECKING:
    import pandas
    from mlflow.models import ModelSignature

BUNDLE = "bundle"
SCRIPT = Path(__file__).with_name("mlflow_model.py")
_KINDS = {"string": "string", "number": "double", "integer": "long", "boolean": "boolean"}


def save_model(bundle: Bundle, folder: Path, to: Path) -> None:
    """Write the MLflow model, without a pickle.

    Args:
        bundle: as it was loaded.
        folder: of it.
        to: new folder.
    """
    import mlflow.pyfunc

    import riskml

    logging.getLogger("mlflow.pyfunc").setLevel(logging.WARNING)
    extra = "[native]" if bundle.manifest.get("graph", {}).get("format") == NATIVE else ""
    mlflow.pyfunc.save_model(
        to,
        python_model=str(SCRIPT),
        artifacts={BUNDLE: str(folder.resolve())},
        signature=signature(bundle.extractor),
        input_example=example(bundle).to_pandas(),
        pip_requirements=[
            f"riskml{extra}=={riskml.__version__}",
            f"mlflow=={mlflow.__version__}",
        ],
    )


def signature(extractor: FeatureExtractor) -> ModelSignature:
    """What goes in and out, by column. Times are ISO 8601 text: MLflow's own type has no zone."""
    from mlflow.models import ModelSignature
    from mlflow.types.schema import AnyType, ColSpec, Schema

    anything: Any = AnyType()  # type: ignore[no-untyped-call]

    needed = {"event_id", *REQUIRED_COLUMNS}
    into: list[Any] = []
    for name in (*extractor.reads(), TIME_ZONE):
        known = name in EVENT_SCHEMA or name == TIME_ZONE
        kind: Any = "string" if known else anything
        if name == "success":
            kind = anything  # MLflow's boolean cannot be missing in a single row
        into.append(ColSpec(kind, name, required=name in needed))
    out: list[Any] = [ColSpec(_KINDS[kind], name) for name, kind in scored_columns().items()]
    return ModelSignature(Schema(into), Schema(out))


def example(bundle: Bundle) -> pl.DataFrame:
    """Two events as somebody would send them, later than all that the bundle knows."""
    extractor, known = bundle.extractor, bundle.profile.watermark
    moment = known + timedelta(days=1) if known is not None else _moment("2024-01-01T08:00:00")
    actions = extractor.spec.actions[UNKNOWN_ACTION + 1 :] or ("login",)
    event = {
        "event_id": ["example-1", "example-2"],
        "user_id": ["user"] * 2,
        "timestamp": [f"{moment + timedelta(minutes=m):%Y-%m-%dT%H:%M:%SZ}" for m in (0, 5)],
        "action": [actions[0], actions[-1]],
        "resource": ["resource"] * 2,
        "source": ["host"] * 2,
        "success": [True] * 2,
    }
    numbers = {name for family in extractor.families for name in family.numbers(())}
    for name in extractor.reads():
        event.setdefault(name, [0.0 if name in numbers else "value"] * 2)
    return pl.DataFrame(event)


def scored_rows(bundle: Bundle, table: pandas.DataFrame) -> pandas.DataFrame:
    """Score a table of events.

    Args:
        bundle: that scores.
        table: events with times as text, ISO 8601 with their offset from UTC.

    Returns:
        Columns of `output.schema.json`, times as text in UTC.

    Raises:
        DataError: a column is missing, or a value is not of its kind.
    """
    scored = bundle.score(table)
    times = [pl.col(name).dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ") for name in ("start", "end")]
    wanted = scored.select(*scored_columns()).with_columns(pl.col("score").cast(pl.Float64), *times)
    return wanted.to_pandas()


def _moment(text: str) -> Any:
    return pl.Series([text]).str.to_datetime(time_zone="UTC")[0]
