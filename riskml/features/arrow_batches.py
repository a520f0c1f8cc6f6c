"""Windows of whole users as Arrow batches in, Arrow batches out: what Spark's `mapInArrow` calls.

Nothing here needs Spark (docs/scaling.md shows the calls).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa

from riskml.core.errors import DataError, did_you_mean
from riskml.core.schema import EVENT_SCHEMA, TIMESTAMP
from riskml.core.types import FeatureSpec
from riskml.features.bucket_job import in_order
from riskml.features.extractor import FeatureExtractor
from riskml.features.first_times import FIRST
from riskml.features.profile import Profile
from riskml.features.window_files import TOKENS, lists, to_frame

FIRST_TIMES_SCHEMA = "group int, column int, slot bigint, first bigint"
"""What `first_times_of_batches` gives, as Spark writes it."""

_FIRST_TYPES = {"group": pl.Int32, "column": pl.UInt8, "slot": pl.UInt32, "first": pl.Int64}
_FIRST_ARROW = pa.schema(
    [("group", pa.int32()), ("column", pa.int32()), ("slot", pa.int64()), ("first", pa.int64())]
)
_KEYS = {
    "window_id": (pa.string(), "string"),
    "user_id": (pa.string(), "string"),
    "start": (pa.timestamp("us", "UTC"), "timestamp"),
    "end": (pa.timestamp("us", "UTC"), "timestamp"),
    "n_events": (pa.int64(), "bigint"),
    "peer": (pa.string(), "string"),
}


def windows_of_batches(
    batches: Iterable[pa.RecordBatch],
    extractor: Path | str,
    first_times: pa.Table | None = None,
    rows: int = 10_000,
) -> Iterator[pa.RecordBatch]:
    """All windows of one partition, those that may still grow included.

    Args:
        batches: all events of some users, in any order.
        extractor: folder of a fitted one, where this worker can read it.
        first_times: earliest of `first_times_of_batches` over all partitions; needed where the
            extractor's `shares_first_times` is true, else what another partition's users met
            first counts as new.
        rows: at most so many windows a batch.

    Yields:
        Windows in order of start, in the columns of `spark_schema`.

    Raises:
        DataError: a column is missing or of another type, or first times are needed.
    """
    fitted = FeatureExtractor.load(Path(extractor))
    if fitted.shares_first_times and first_times is None:
        raise DataError(
            "these features ask who met a name first: gather first_times_of_batches over all "
            "partitions and give the result as first_times, or fit novelty with scopes=[user]"
        )
    events = _events(batches, fitted)
    if events is None:
        return
    profile = Profile()
    if first_times is not None:
        known = pl.DataFrame(first_times.select(list(_FIRST_TYPES)))
        profile = profile.with_table(FIRST, known.cast(_FIRST_TYPES))  # type: ignore[arg-type]
    windows, _ = fitted.transform(events, profile, open_windows=True)
    table = to_frame(windows).to_arrow().cast(_arrow_schema(fitted.spec))
    yield from table.combine_chunks().to_batches(max_chunksize=rows)


def first_times_of_batches(
    batches: Iterable[pa.RecordBatch], extractor: Path | str
) -> Iterator[pa.RecordBatch]:
    """When peer groups and everybody first met what is new to the users of one partition.

    Args:
        batches: all events of some users, in any order.
        extractor: folder of a fitted one.

    Yields:
        Columns of `FIRST_TIMES_SCHEMA`; the earliest `first` of each group, column and slot over
        all partitions is what `windows_of_batches` needs.

    Raises:
        DataError: a column is missing or of another type.
    """
    fitted = FeatureExtractor.load(Path(extractor))
    events = _events(batches, fitted)
    if events is None:
        return
    found = fitted.arrive(events, Profile())[1].tables.get(FIRST)
    if found is not None:
        yield from found.select(*_FIRST_TYPES).to_arrow().cast(_FIRST_ARROW).to_batches()


def buckets_of_batches(
    work: Callable[[int], object], batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Work on buckets, such as those of `serving.buckets`; `mapInArrow` as an engine.

    Args:
        work: on the bucket of a number; what it finds it writes itself.
        batches: with the column `bucket`.

    Yields:
        The batches, once their buckets are done.
    """
    for batch in batches:
        for bucket in batch.column("bucket").to_pylist():
            work(bucket)
        yield batch


def spark_schema(extractor: Path | str) -> str:
    """The columns of `windows_of_batches`, as Spark writes a schema."""
    spec = FeatureExtractor.load(Path(extractor)).spec
    keys = [f"{name} {kind}" for name, (_, kind) in _KEYS.items()]
    features = ["`" + name.replace("`", "``") + "` float" for name in spec.names]
    arrays = [f"{name} array<{'int' if name == TOKENS else 'float'}>" for name in lists(spec)]
    return ", ".join([*keys, *features, *arrays])


def _arrow_schema(spec: FeatureSpec) -> pa.Schema:
    keys = [(name, kind) for name, (kind, _) in _KEYS.items()]
    features = [(name, pa.float32()) for name in spec.names]
    kinds = {name: pa.int32() if name == TOKENS else pa.float32() for name in lists(spec)}
    arrays = [(name, pa.list_(kind)) for name, kind in kinds.items()]
    return pa.schema([*keys, *features, *arrays])


def _events(batches: Iterable[pa.RecordBatch], fitted: FeatureExtractor) -> pl.DataFrame | None:
    """The events in the event schema and in order; None if there are none."""
    found = [batch for batch in batches if batch.num_rows]
    if not found:
        return None
    events = pl.DataFrame(pa.Table.from_batches(found))
    for name in fitted.reads():
        if name not in events.columns:
            raise DataError(f"there is no column '{name}': {did_you_mean(name, events.columns)}")
    kind = events.schema["timestamp"]
    if not isinstance(kind, pl.Datetime) or kind.time_zone is None:
        raise DataError(f"column 'timestamp' is {kind}, not instants with a time zone")
    instant = pl.col("timestamp").dt.convert_time_zone("UTC").cast(TIMESTAMP)
    others = [pl.col(name).cast(kind) for name, kind in EVENT_SCHEMA.items() if name != "timestamp"]
    return in_order(events.with_columns(instant, *others))[0]
