"""Sessions, counts, first times, rolling counts and sequences: ours, Polars, DuckDB and pandas.

    python benchmarks/features_speed.py [--events 1e7]

Each engine reads the same Parquet file in a process of its own and must give the same numbers,
which is checked. Then ours with all families but the graph, daily increments with a carried
profile, and pooled embeddings. Needs about 8 GB of memory at 10 million events, and idle cores.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table
from synthetic_log import ACTIONS, synthetic_log

GAP_MINUTES = 30
KEPT = 20
NAMED = ("action", "resource", "source")
SUMMED = (
    *("events", "resources", "sources", "failures", "minutes", "action05"),
    *(f"new_{name}" for name in NAMED),
    *("change", "trend", "tokens"),
)
Sums = dict[str, float]


def ours(file: Path) -> Sums:
    """The feature extractor with the plain families."""
    from riskml.features.extractor import FeatureExtractor
    from riskml.features.history import HistoryFeatures
    from riskml.features.novelty import NoveltyFeatures
    from riskml.features.volume import VolumeFeatures
    from riskml.features.windows import SessionWindows

    events = pl.read_parquet(file)
    extractor = FeatureExtractor(
        SessionWindows(GAP_MINUTES),
        {
            "volume": VolumeFeatures(KEPT),
            "novelty": NoveltyFeatures(scopes=["user"], absences=False, slots=2**24),
            "history": HistoryFeatures(percentiles=False),
        },
    )
    extractor.vocabulary.fit(events["action"].head(len(events) // 20))
    windows = extractor.windows(events)
    column = {
        "action05": "count:action05",
        "change": "change_events",
        "trend": "trend_events",
        **{f"new_{name}": f"new_{name}_to_user" for name in NAMED},
    }
    sums = {
        name: windows.x[:, windows.spec.names.index(column.get(name, name))].sum(dtype=np.float64)
        for name in SUMMED
        if name != "tokens"
    }
    return {"sessions": len(windows), **sums, "tokens": float(windows.lengths.sum())}


def by_polars(file: Path) -> Sums:
    """A query by hand: codes for names, one sort, one pass of aggregation, rolling sums."""
    user, t = pl.col("user"), pl.col("timestamp")
    names = pl.Enum([f"action{code:02d}" for code in range(ACTIONS)])
    events = (
        pl.read_parquet(file)
        .select(
            pl.col("user_id").cast(pl.Categorical).to_physical().alias("user"),
            pl.col("action").cast(names).to_physical(),
            *(pl.col(name).cast(pl.Categorical).to_physical() for name in NAMED[1:]),
            "timestamp",
            "success",
        )
        .sort("user", "timestamp", maintain_order=True)
        .with_columns(
            session=((user != user.shift()) | (t.diff() > pl.duration(minutes=GAP_MINUTES)))
            .fill_null(True)
            .cum_sum(),
            **{f"new_{name}": pl.struct("user", name).is_first_distinct() for name in NAMED},
        )
    )
    sessions = events.group_by("session", maintain_order=True).agg(
        user.first(),
        t.first().alias("start"),
        t.last().alias("end"),
        pl.len().cast(pl.Int64).alias("events"),
        pl.col("resource").n_unique().alias("resources"),
        pl.col("source").n_unique().alias("sources"),
        (~pl.col("success")).sum().alias("failures"),
        (t.last() - t.first()).dt.total_minutes().alias("minutes"),
        *((pl.col("action") == code).sum().alias(f"action{code:02d}") for code in range(KEPT)),
        *(pl.col(f"new_{name}").sum() for name in NAMED),
        pl.col("action").alias("tokens"),
    )
    past = [
        sessions.rolling(index_column="end", period=f"{days}d", group_by="user", closed="left").agg(
            pl.col("events").sum().alias(f"sum{days}"),
            pl.len().alias(f"n{days}"),
            pl.col("start").first().alias(f"first{days}"),
        )
        for days in (7, 30)
    ]
    rolled = pl.concat(
        [sessions, *(part.select(pl.exclude("user", "end")) for part in past)], how="horizontal"
    )
    mean = pl.col("sum30") / pl.max_horizontal("n30", 1)
    known = ((pl.col("start") - pl.col("first30")).dt.total_microseconds() / 86_400e6).fill_null(0)
    table = rolled.with_columns(
        change=pl.when(pl.col("n30") > 0)
        .then(pl.col("events").log1p() - mean.log1p())
        .otherwise(0.0),
        trend=(pl.col("sum7") / known.clip(1, 7)).log1p()
        - (pl.col("sum30") / known.clip(1, 30)).log1p(),
        tokens=pl.col("tokens").list.len(),
    )
    sums = table.select(pl.col(name).cast(pl.Float64).sum() for name in SUMMED)
    return {"sessions": len(table), **sums.row(0, named=True)}


SQL = """
WITH ordered AS (
  SELECT *, row_number() OVER (PARTITION BY user_id, action ORDER BY timestamp, place) = 1 AS na,
    row_number() OVER (PARTITION BY user_id, resource ORDER BY timestamp, place) = 1 AS nr,
    row_number() OVER (PARTITION BY user_id, source ORDER BY timestamp, place) = 1 AS ns,
    coalesce(timestamp - lag(timestamp) OVER u > INTERVAL {gap} MINUTES, true) AS begins
  FROM (SELECT *, file_row_number AS place FROM read_parquet('{file}', file_row_number = true))
  WINDOW u AS (PARTITION BY user_id ORDER BY timestamp, place)),
numbered AS (
  SELECT *, sum(begins::INT) OVER (PARTITION BY user_id ORDER BY timestamp, place) AS number
  FROM ordered),
sessions AS (
  SELECT user_id, number, min(timestamp) AS start, max(timestamp) AS last, count(*) AS events,
    count(DISTINCT resource) AS resources, count(DISTINCT source) AS sources,
    count(*) FILTER (NOT success) AS failures,
    date_diff('microsecond', min(timestamp), max(timestamp)) // 60000000 AS minutes,
    {counts},
    sum(na::INT) AS new_action, sum(nr::INT) AS new_resource, sum(ns::INT) AS new_source,
    list(action ORDER BY timestamp, place) AS tokens
  FROM numbered GROUP BY user_id, number),
rolled AS (
  SELECT *, coalesce(sum(events) OVER w7, 0) AS sum7, coalesce(sum(events) OVER w30, 0) AS sum30,
    count(*) OVER w30 AS n30, min(start) OVER w30 AS first30
  FROM sessions
  WINDOW
    w7 AS (PARTITION BY user_id ORDER BY last RANGE BETWEEN INTERVAL 7 DAYS PRECEDING
      AND INTERVAL 1 MICROSECOND PRECEDING),
    w30 AS (PARTITION BY user_id ORDER BY last RANGE BETWEEN INTERVAL 30 DAYS PRECEDING
      AND INTERVAL 1 MICROSECOND PRECEDING))
SELECT *,
  CASE WHEN n30 > 0 THEN ln(1 + events) - ln(1 + sum30 / n30) ELSE 0 END AS change,
  ln(1 + sum7 / greatest(1, least(7, known))) - ln(1 + sum30 / greatest(1, least(30, known)))
    AS trend
FROM (SELECT *, coalesce(date_diff('microsecond', first30, start) / 86400e6, 0) AS known
      FROM rolled)
"""


def by_duckdb(file: Path) -> Sums:
    """The same in SQL."""
    import duckdb

    counts = ", ".join(
        f"count(*) FILTER (action = 'action{code:02d}') AS action{code:02d}" for code in range(KEPT)
    )
    with duckdb.connect() as engine:
        engine.execute("SET TimeZone = 'UTC'")
        engine.execute(f"CREATE TABLE t AS {SQL.format(file=file, gap=GAP_MINUTES, counts=counts)}")
        columns = ", ".join(
            f"sum({'len(tokens)' if name == 'tokens' else name})" for name in SUMMED
        )
        row = engine.execute(f"SELECT count(*), {columns} FROM t").fetchone()
    assert row is not None
    return dict(zip(("sessions", *SUMMED), map(float, row), strict=True))


def by_pandas(file: Path) -> Sums:
    """The same with pandas and NumPy."""
    import pandas as pd

    events = pd.read_parquet(file).sort_values("timestamp", kind="stable")
    for name in ("user_id", *NAMED):
        events[name] = pd.factorize(events[name], sort=name == "action")[0]
    for name in NAMED:
        events[f"new_{name}"] = ~events.duplicated(["user_id", name])
    events = events.sort_values(["user_id", "timestamp"], kind="stable", ignore_index=True)
    other = events["user_id"].ne(events["user_id"].shift())
    gap = events["timestamp"].diff() > pd.Timedelta(minutes=GAP_MINUTES)
    events["session"] = (other | gap).cumsum()
    events["failed"] = ~events["success"]
    counts = pd.crosstab(events["session"], events["action"])
    by_session = events.groupby("session", sort=False)
    table = pd.DataFrame(
        {
            "user": by_session["user_id"].first(),
            "start": by_session["timestamp"].first(),
            "end": by_session["timestamp"].last(),
            "events": by_session.size(),
            "resources": by_session["resource"].nunique(),
            "sources": by_session["source"].nunique(),
            "failures": by_session["failed"].sum(),
            **{f"new_{name}": by_session[f"new_{name}"].sum() for name in NAMED},
            **{f"action{code:02d}": counts[code] for code in range(KEPT)},
        }
    ).reset_index(drop=True)
    table["minutes"] = (table["end"] - table["start"]) // pd.Timedelta(minutes=1)
    begins = np.flatnonzero((other | gap).to_numpy())
    tokens = np.split(events["action"].to_numpy(), begins[1:])
    indexed = table.set_index("end")
    for days in (7, 30):
        past = indexed.groupby("user", sort=False)["events"].rolling(f"{days}D", closed="left")
        table[f"sum{days}"] = past.sum().fillna(0).to_numpy()
        table[f"n{days}"] = past.count().fillna(0).to_numpy()
    n = table["n30"].to_numpy().astype(int)
    start = table["start"].astype("int64").to_numpy()  # microseconds
    known = (start - start[np.arange(len(table)) - n]) / 86_400e6
    sum7, sum30 = table["sum7"].to_numpy(), table["sum30"].to_numpy()
    change = np.log1p(table["events"]) - np.log1p(sum30 / np.maximum(n, 1))
    table["change"] = np.where(n > 0, change, 0)
    table["trend"] = np.log1p(sum7 / known.clip(1, 7)) - np.log1p(sum30 / known.clip(1, 30))
    table["tokens"] = [len(part) for part in tokens]
    return {"sessions": len(table), **{name: float(table[name].sum()) for name in SUMMED}}


def all_families(file: Path) -> Sums:
    """Ours with every family but the graph, learnt from the first twentieth of the log."""
    events = pl.read_parquet(file)
    extractor = _extractor(events)
    start = time.perf_counter()
    windows = extractor.windows(events)
    return {"sessions": len(windows), "seconds": time.perf_counter() - start}


def increments(file: Path) -> Sums:
    """The same families, a day at a time with the profile carried on."""
    from riskml.features.profile import Profile

    events = pl.read_parquet(file)
    extractor = _extractor(events)
    groups = events.group_by(pl.col("timestamp").dt.date(), maintain_order=True)
    days = [day for _, day in groups]
    profile, windows, seconds = Profile(), 0, []
    for day in days:
        start = time.perf_counter()
        made, profile = extractor.transform(day, profile)
        seconds.append(time.perf_counter() - start)
        windows += len(made)
    return {
        "sessions": windows,
        "seconds": sum(seconds),
        "last_day": len(days[-1]) / seconds[-1],
        "profile_mb": profile.estimated_bytes / 1e6,
    }


def embeddings(file: Path) -> Sums:
    """Token ids → pooled vectors on one core."""
    import torch

    from riskml.features.action_embedding import pool

    torch.set_num_threads(1)
    draw = np.random.default_rng(0)
    n = 2_000_000
    tokens = draw.integers(0, ACTIONS, n * 20)
    vectors = draw.standard_normal((ACTIONS, 16)).astype(np.float32)
    start = time.perf_counter()
    pool(tokens, vectors, np.arange(n) * 20)
    return {"sessions": n, "seconds": time.perf_counter() - start}


def _extractor(events: pl.DataFrame) -> Any:
    from riskml.features.extractor import FAMILIES, FeatureExtractor
    from riskml.features.windows import SessionWindows

    families = {name: family() for name, family in FAMILIES.items() if name != "graph"}
    return FeatureExtractor(SessionWindows(GAP_MINUTES), families).fit(
        events.head(len(events) // 20)
    )


def measure(work: Callable[[Path], Sums], file: Path) -> tuple[Sums, float, float]:
    """Result, seconds and peak memory in GB of a function in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_timed, (work, file))


def _timed(work: Callable[[Path], Sums], file: Path) -> tuple[Sums, float, float]:
    work(file.with_name("small.parquet"))  # imports, and what engines set up once
    start = time.perf_counter()
    result = work(file)
    seconds = time.perf_counter() - start
    return result, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main() -> None:
    """Make the log, run the engines, check and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=float, default=1e7)
    parser.add_argument("--repeats", type=int, default=2, help="the best of so many counts")
    n = int(parser.parse_args().events)
    repeats = parser.parse_args().repeats
    console = Console()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "events.parquet"
        synthetic_log(n, max(n // 500, 20)).write_parquet(file)
        synthetic_log(20_000, 40).write_parquet(Path(folder) / "small.parquet")
        table = Table("engine", "seconds", "events/s", "peak GB", "to ours", title=f"{n:,} events")
        engines = {"ours": ours, "Polars": by_polars, "DuckDB": by_duckdb, "pandas": by_pandas}
        expected: Sums = {}
        fastest = 0.0
        for name, work in engines.items():
            found, seconds, memory = min(
                (measure(work, file) for _ in range(repeats)), key=lambda run: run[1]
            )
            expected, fastest = expected or found, fastest or seconds
            odd = [k for k in expected if not np.isclose(found[k], expected[k], rtol=1e-5)]
            if odd:
                raise SystemExit(f"{name} differs in {odd}: {found} against {expected}")
            table.add_row(
                name,
                f"{seconds:.1f}",
                f"{n / seconds:,.0f}",
                f"{memory:.1f}",
                f"{seconds / fastest:.2f} ×",
            )
        console.print(table)
        more = Table("ours", "per second", "peak GB", "")
        for title, work, unit in (
            ("all families but the graph", all_families, "events"),
            ("the same by day, profile carried", increments, "events"),
            ("token ids → pooled embedding, one core", embeddings, "windows"),
        ):
            found, _, memory = measure(work, file)
            done = n if unit == "events" else found["sessions"]
            rest = {k: v for k, v in found.items() if k not in ("sessions", "seconds")}
            rate = f"{done / found['seconds']:,.0f} {unit}"
            more.add_row(title, rate, f"{memory:.1f}", json.dumps(rest) if rest else "")
        console.print(more)


if __name__ == "__main__":
    main()
